"""Deep linear networks from small weights: training goes from saddle to saddle, and each has a coefficient in closed
form.

With W_L … W_1 = P and the population loss |P - T|², training from small weights comes near the best approximations of
T of rank 0, 1, 2, …, one after the other. The layers there have the rank of their product, which is the most degenerate
point over it, so that Aoyagi's formula holds. Complexity is measured for the network's own function: of
K(w) = |W_L … W_1 - P|² at w*, whose minimum w* is, although the loss falls on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive
from ontogeny.development import nulls
from ontogeny.estimators import llc
from ontogeny.measurement import Cell
from ontogeny.reports import Choice, Column, Panel, Table, Tag
from ontogeny.reports.small_multiples import Curve, axes, draw_curves, set_axes, small_multiples
from ontogeny.reports.style import NEUTRAL, PALETTE
from ontogeny.sampling import Calibrated, Fixed, LocalPosterior, PosteriorConfig, sample
from ontogeny.stores import Checkpoints, open_checkpoints
from ontogeny.studies.claims import Claims
from ontogeny.studies.evidence import Evidence, NotTested
from ontogeny.studies.findings import Findings
from ontogeny.studies.study import Preset, Study, StudyConfig
from ontogeny.studies.workspace import Workspace
from ontogeny.testing.aoyagi import deep_linear, reduced_rank, two_layer_local
from ontogeny.testing.linear_networks import DeepLinear
from ontogeny.training import TrainingConfig

Widths = tuple[int, ...]
ROWS = torch.zeros(2)  # the population has no rows; the loss is the same for each of these


class Config(StudyConfig):
    """Everything that the study depends on.

    Attributes:
        networks: units a layer of each network, from inputs to outputs. At rank 0 of three layers the value at this nβ
            and γ lies some 10 % above the exact one, which is that of nβ without end.
        singular_values: of the teacher T, which is diagonal; there is a plateau for each rank from 0 on.
        initial: size of a singular value of the initial weights, for networks of two layers and of more.
        training: plain gradient descent.
        posterior: nβ and γ at the plateaus.
        sampler: of every coefficient.
        points: ranks of the two layers at planted points, of layers of `point_widths` units. `point_posterior` holds
            chains near them: with a γ of 1 they find the more degenerate points of the same fibre.
        error: largest relative distance from the exact value that counts as agreement.
        agreeing: least share of the plateaus that agree.
        near: largest distance from a saddle, relative to the singular value that is learned next, to have visited it.
    """

    networks: tuple[Widths, ...] = ((10, 10, 10), (12, 8, 12), (9, 12, 9), (12, 5, 5, 12))
    singular_values: tuple[float, ...] = (4.0, 2.5, 1.6, 1.0)
    initial: tuple[float, float] = (1e-5, 0.03)
    training: TrainingConfig = TrainingConfig(
        num_steps=6000,
        batch_size=1,
        optimizer="sgd",
        betas=(0.0, 0.0),
        learning_rate=0.03,
        checkpoints_log=60,
        checkpoints_linear=100,
        state_every=1000,
    )
    posterior: PosteriorConfig = PosteriorConfig(nbeta=1e5, localization=1.0)
    sampler: Calibrated | Fixed = Calibrated(error=0.015)
    point_posterior: PosteriorConfig = PosteriorConfig(nbeta=1e7, localization=1e3)
    point_widths: tuple[int, int, int] = (8, 8, 8)
    points: tuple[tuple[int, int], ...] = ((0, 8), (2, 8), (0, 6))
    error: float = 0.05
    agreeing: float = 0.9
    near: float = 0.1


PRESETS = {
    "quick": Preset("3 minutes", Config()),
    "standard": Preset("10 minutes", Config(sampler=Calibrated(error=0.007))),
}


def run(work: Workspace, config: Config) -> None:
    """Makes for each network its checkpoints, `path-NAME` and `measured-NAME`; `plateaus` of all; and `points`."""
    own = OwnFunction(config.posterior, config.sampler, work.seed("sampler"))
    paths, measured = dict[Widths, xr.Dataset](), dict[Widths, xr.Dataset]()
    for widths in config.networks:
        name, size = _name(widths), config.initial[len(widths) > 3]
        make = partial(linear_network, widths, size, work.seed("weights", name))
        target = torch.zeros(widths[-1], widths[0])
        target.diagonal()[: len(config.singular_values)] = torch.tensor(config.singular_values)
        network = work.train(f"network-{name}", make, ROWS, partial(gap, target=target), config.training)
        paths[widths] = work.step(f"path-{name}", distances, network, target)
        steps = sorted(set(paths[widths]["saddle_step"].values.tolist()))
        measured[widths] = work.measure(f"measured-{name}", network, make, [own], steps=steps)
    work.step("plateaus", plateaus, paths, measured)
    points = [DeepLinear(config.point_widths, ranks, len(ROWS), population=True) for ranks in config.points]
    planted = open_checkpoints([point.model().state_dict() for point in points])
    at_points = OwnFunction(config.point_posterior, config.sampler, work.seed("sampler", "points"))
    work.measure("points", planted, partial(linear_network, config.point_widths, 1.0, 0), [at_points])


def linear_network(widths: Widths, size: float, seed: int) -> nn.Sequential:
    """Linear layers without biases; entries are normal, and the largest singular value of a layer is about `size`."""
    layers, source = list[nn.Module](), torch.Generator().manual_seed(seed)
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out, bias=False)
        nn.init.normal_(layer.weight, std=size / (fan_in**0.5 + fan_out**0.5), generator=source)
        layers.append(layer)
    return nn.Sequential(*layers)


def product(model: nn.Module) -> Tensor:
    """P = W_L … W_1."""
    return reduce(lambda done, weight: weight @ done, model.parameters())


def gap(model: nn.Module, batch: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
    """|P - target|², for every row."""
    rows = batch[0] if isinstance(batch, tuple) else batch
    return (product(model) - target.to(rows.device)).square().sum().expand(rows.shape[0])


@dataclass(frozen=True)
class OwnFunction:
    """A measurement: the coefficient of the network's own function, K(w) = |W_L … W_1 - P|² with P that of w*."""

    posterior: PosteriorConfig
    sampler: Calibrated | Fixed
    seed: int
    name: str = "own function"

    def cells(self) -> Sequence[Cell]:
        return [Cell("", self._at, (self.posterior, self.sampler, self.seed), weight=100.0)]

    def _at(self, model: nn.Module, step: int, progress: Progress) -> xr.Dataset:
        loss = partial(gap, target=product(model).detach())
        posterior = LocalPosterior(model, ROWS, loss, **self.posterior.options())
        found = llc(sample(posterior, self.sampler, seed=derive(self.seed, step), progress=progress))
        told = {name: getattr(found, name) for name in ("complexity", "complexity_mcse", "withheld")}
        return xr.Dataset(told | {"outcome": np.array(found.outcome.value, dtype="U16")})


def distances(run: Checkpoints, target: Tensor) -> xr.Dataset:
    """Distance |P - T_k| to the best approximation of each rank along training, and the step nearest to each."""
    rank, weights = int(torch.linalg.matrix_rank(target)), [run.load(step) for step in run.steps]
    products = [reduce(lambda done, name, w=w: w[name] @ done, sorted(w)[1:], w[min(w)]) for w in weights]
    saddles = [target * (torch.arange(target.shape[1]) < k) for k in range(rank + 1)]
    apart = np.array([[float((each - saddle).norm()) for saddle in saddles] for each in products])
    found = {"distance": (("step", "rank"), apart), "loss": ("step", apart[:, -1] ** 2)}
    nearest = np.array(run.steps)[apart.argmin(axis=0)]
    return xr.Dataset(found | {"saddle_step": ("rank", nearest)}, coords={"step": run.steps, "rank": range(rank + 1)})


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
    paths = [found[f"path-{_name(widths)}"] for widths in config.networks]
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


def plateaus(paths: dict[Widths, xr.Dataset], measured: dict[Widths, xr.Dataset]) -> xr.Dataset:
    """One row a plateau: what was measured, the exact value, that of the next rank, and half the number of weights."""
    rows = []
    for widths, path in paths.items():
        steps = path["saddle_step"].values
        at = measured[widths].sel(step=steps).drop_vars("step").rename_dims(step="plateau")
        exact = [float(deep_linear(widths, rank)[0]) for rank in range(path.sizes["rank"] + 1)]
        half = [sum(a * b for a, b in pairwise(widths)) / 2] * path.sizes["rank"]
        own = {
            "step": steps,
            "rank": path["rank"].values,
            "exact": exact[:-1],
            "next_rank": exact[1:],
            "half_parameters": half,
        }
        own |= {"network": [_name(widths)] * path.sizes["rank"]}
        rows.append(at.assign({name: ("plateau", values) for name, values in own.items()}))
    return xr.concat(rows, "plateau")


def _name(widths: Widths) -> str:
    return "-".join(map(str, widths))


def panels(found: Findings) -> Iterator[Panel]:
    """The staircases of loss and complexity, and every plateau in a table."""
    table = found["plateaus"]
    names = list(dict.fromkeys(table["network"].values.tolist()))
    figures = {name: _staircase(found[f"path-{name}"], table.sel(plateau=table["network"] == name)) for name in names}
    caption = "Left, the loss over training steps; right, complexity at each plateau, and Aoyagi's exact value, dashed."
    shown = Choice(figures, "Loss and complexity of a deep linear network", caption, of="Network", opened="first")
    yield Panel("staircases", "Loss descends, complexity climbs", [shown], "Staircases")
    columns = [Column("Network", head=True), "Rank", "Step", "Complexity", "± (95 %)", "Exact", Column("Outcome")]
    keys = ("network", "rank", "step", "complexity", "complexity_mcse", "exact", "outcome")
    rows = [
        [str(n), r, s, c, 1.96 * e, x, Tag(str(o))]
        for n, r, s, c, e, x, o in zip(*(table[k].values.tolist() for k in keys), strict=True)
    ]
    yield Panel("plateaus", "Every plateau", [Table(columns, rows, label="Plateaus", tall=True)], "Plateaus")


def _staircase(path: xr.Dataset, table: xr.Dataset) -> go.Figure:
    figure = small_multiples(["Loss", "Complexity at the plateaus"])
    steps, ranks, error = path["step"].values, table["rank"].values, 1.96 * table["complexity_mcse"].values
    draw_curves(figure, axes(0), [Curve("loss", steps, path["loss"].values, NEUTRAL)])
    values, exact = table["complexity"].values, table["exact"].values
    measured = Curve("measured", ranks, values, PALETTE[0], band=(values - error, values + error))
    draw_curves(figure, axes(1), [measured, Curve("exact", ranks, exact, NEUTRAL, dash="dash")])
    set_axes(figure, 0, {"title": {"text": "training step"}}, {"title": {"text": "|P − T|²"}})
    set_axes(figure, 1, {"title": {"text": "rank"}, "dtick": 1}, {"title": {"text": "complexity"}})
    return figure


STUDY = Study(
    "linear-networks",
    title="Deep linear networks from saddle to saddle",
    shows="Training from small weights learns one rank after the other; complexity at every plateau is held against "
    "Aoyagi's exact value, and at degenerate points against the local formula.",
    presets=PRESETS,
    run=run,
    claims=claims,
    panels=panels,
)
