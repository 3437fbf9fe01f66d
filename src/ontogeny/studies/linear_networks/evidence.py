"""Claims of the linear-networks study."""

import numpy as np

from ontogeny.development import nulls
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.linear_networks.config import Config, name_of
from ontogeny.testing.aoyagi import reduced_rank, two_layer_local

claims = Claims(source="Jacot et al., 2106.15933; Aoyagi 2024 in the form of Lau et al., 2308.12108")
Rng = np.random.Generator


@claims.add(
    "saddles",
    "Training comes near every saddle, one rank after the other",
    expects="the distance from each approximation of T falls below a tenth of the singular value that is learned next, "
    "in the order of the ranks",
    unit="share of the plateaus",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    following = np.array([*config.singular_values, config.singular_values[-1]])
    paths = [found[f"path-{name_of(widths)}"] for widths in config.networks]
    relative = np.array([path["distance"].min("step").values / following for path in paths])
    ordered = all((np.diff(path["saddle_step"].values) > 0).all() for path in paths)
    control = f"largest distance {relative.max():.3f} of the next singular value"
    return Evidence(
        float((relative < config.near).mean()), bool(ordered and (relative < config.near).all()), None, control
    )


@claims.add(
    "exact",
    "Complexity at a plateau is Aoyagi's value of its rank",
    expects="within 5 % of the exact value at nine plateaus of ten",
    unit="share of the plateaus",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["plateaus"]
    close = np.abs(table["complexity"] / table["exact"] - 1) < config.error
    half = np.abs(table["complexity"] / table["half_parameters"] - 1) < config.error
    other = np.abs(table["complexity"] / table["next_rank"] - 1) < config.error
    control = (
        f"{int(close.sum())} of {len(close)}; within as much of the value of the next rank {int(other.sum())}, of "
    )
    control += f"half the number of weights {int(half.sum())}; {int((table['outcome'] == 'converged').sum())} converged"
    return Evidence(float(close.mean()), bool(close.mean() >= config.agreeing), None, control)


@claims.add(
    "opposed",
    "Complexity climbs as the loss descends",
    expects="complexity is larger at each plateau than at the one before",
    unit="share of the steps between plateaus that rise",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence:
    table = found["plateaus"]
    network, values = table["network"].values, table["complexity"].values

    def rises(values: np.ndarray) -> float:
        return float(np.mean((np.diff(values) > 0)[network[1:] == network[:-1]]))

    null = nulls.permutations(rises, values, rng, within=network)
    return Evidence(rises(values), rises(values) == 1, None, f"in random order {null.typical:.2f}", null)


@claims.add(
    "local",
    "Away from the most degenerate point the coefficient is the local one",
    expects="within 5 % of the local formula at each planted point, and nearer to it than to the global value where "
    "the two differ",
    unit="largest relative distance from the local formula",
    source="Aoyagi and Watanabe 2005, for what neither layer uses",
)
def _(found: Findings, config: Config, rng: Rng) -> Evidence | NotTested:
    values, (M, H, N) = found["points"]["complexity"].values, config.point_widths
    local = [float(two_layer_local((M, H, N), ranks, min(ranks))[0]) for ranks in config.points]
    whole = np.array([float(reduced_rank(M, H, N, min(ranks))[0]) for ranks in config.points])
    apart, differ = np.abs(values / local - 1), whole != local
    if not differ.any():
        return NotTested("local and global values are the same at every point")
    nearer = (np.abs(values - local) < np.abs(values - whole))[differ].all()
    points = zip(config.points, values, local, whole, strict=True)
    control = "; ".join(
        f"ranks {a}, {b}: {value:.1f}, local {near:g}, global {far:g}" for (a, b), value, near, far in points
    )
    return Evidence(float(apart.max()), bool(nearer and (apart < config.error).all()), None, control)
