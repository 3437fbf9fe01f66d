"""Developments made up at random so that the null of one claim holds, and as little else as may be."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from ontogeny.development import SignatureConfig, signatures
from ontogeny.studies.findings import Findings

Rng = np.random.Generator
Make = Callable[[Rng], Findings]
STEPS = np.unique(np.geomspace(1, 4000, 45).round().astype(int))
X = np.log10(STEPS)
FEW_STEPS = np.geomspace(1, 4000, 14).round().astype(int)
HEADS = [f"L{layer}H{head}" for layer in range(2) for head in range(8)]
SCORES = ["previous_token", "current_token", "duplicate_token", "prefix_matching"]
COUNT = 64  # probe sequences
LIMIT = 0.05  # the default threshold of prefix matching


def rise(at: float, width: float = 0.08) -> np.ndarray:
    return 1 / (1 + np.exp(-(X - np.log10(at)) / width))


BIGRAM, TRIGRAM, PREVIOUS, PREFIX = 1 + rise(900), 1 - rise(2000), 0.3 * rise(300), 0.3 * rise(1500)


def around(curve: np.ndarray, noise: float, rng: Rng) -> np.ndarray:
    """Sequences (step, sequence) about a curve, each with an offset and with noise of its own at each step."""
    shape = (len(curve), COUNT)
    return curve[:, None] + noise * (rng.standard_normal(COUNT) + rng.standard_normal(shape))


def head_scores(previous: np.ndarray, prefix: np.ndarray, rng: Rng) -> dict[str, tuple]:
    """One head of each kind, in layers 0 and 1; the others score 0.01."""
    heads = np.full((4, len(STEPS), 2, 2, COUNT), 0.01)
    heads[0, :, 0, 1], heads[3, :, 1, 0] = around(previous, 0.02, rng), around(prefix, 0.02, rng)
    dims = ("score", "step", "layer", "head")
    return {"head_score_by_sequence": ((*dims, "repeat"), heads), "head_score": (dims, heads.mean(-1))}


def trajectory(
    rng: Rng,
    *,
    bigram: np.ndarray = BIGRAM,
    trigram: np.ndarray = TRIGRAM,
    previous: np.ndarray = PREVIOUS,
    prefix: np.ndarray = PREFIX,
    fall: float = 1500,
    llc_rise: float = 40,
) -> xr.Dataset:
    laws = np.stack([around(each, 0.2, rng) for each in (bigram, trigram)], axis=1)
    icl = around(-0.3 * rise(fall), 0.02, rng)
    llc = 20 + llc_rise * X / X[-1] + 0.5 * rng.standard_normal(len(STEPS))
    cells = ("step", "component", "dataset")
    return xr.Dataset(
        {
            "ngram_by_sequence": (("step", "order", "ngram_sequence"), laws),
            "ngram_cross_entropy": (("step", "order"), laws.mean(-1)),
            **head_scores(previous, prefix, rng),
            "icl_by_sequence": (("step", "sequence"), icl),
            "icl_score": ("step", icl.mean(1)),
            "llc": (cells, llc[:, None, None]),
            "llc_mcse": (cells, np.full((len(STEPS), 1, 1), 0.5)),
        },
        coords={"step": STEPS, "order": ["bigram", "trigram"], "score": SCORES, "component": ["all"]},
    )


def bigram_rise_at_its_limit(rng: Rng) -> Findings:
    """Several steps at the minimum, and a rise from them that is exactly as large as is asked."""
    return Findings({"trajectory": trajectory(rng, bigram=3 * (1 - rise(60)) + 0.1 * rise(1500, 0.03))})


def bigram_and_trigram_minimum_together(rng: Rng) -> Findings:
    both = 3 * (1 - rise(60)) + rise(900)
    return Findings({"trajectory": trajectory(rng, bigram=both, trigram=both)})


def both_heads_together(rng: Rng) -> Findings:
    return Findings({"trajectory": trajectory(rng, previous=0.3 * rise(800), prefix=0.3 * rise(800))})


def fall_anywhere(rng: Rng) -> Findings:
    return Findings({"trajectory": trajectory(rng, fall=10 ** rng.uniform(2, X[-1]), prefix=0.3 * rise(1000))})


def _control(prefix: float, rng: Rng) -> xr.Dataset:
    """One head that scores so at the end; the others less."""
    return trajectory(rng, previous=0.01 * rise(800), prefix=prefix * rise(300, 0.02)).isel(layer=[1])


def control_at_its_limit(rng: Rng) -> Findings:
    control = _control(LIMIT, rng).isel(step=[0, -1])
    return Findings({"trajectory": trajectory(rng), "control-curves": control})


def two_layers_at_the_limit(rng: Rng) -> Findings:
    final = LIMIT / rise(1500)[-1]
    return Findings({"trajectory": trajectory(rng, prefix=final * rise(1500)), "control-curves": _control(0.01, rng)})


def smeared_at_its_limit(rng: Rng) -> Findings:
    return Findings({"smeared-curves": _control(LIMIT, rng), "control-curves": _control(0.01, rng)})


def plain_at_the_limit(rng: Rng) -> Findings:
    return Findings({"smeared-curves": _control(0.3, rng), "control-curves": _control(LIMIT, rng)})


def _circuits(rng: Rng, **curves: np.ndarray) -> xr.Dataset:
    """Of 16 heads, along the steps of a trajectory; every number that is not given varies from head to head."""
    composition = np.full((len(STEPS), 3, 16, 16), np.nan)
    composition[:, :, :8, 8:] = rng.standard_normal((3, 8, 8)) * rise(1000)[:, None, None, None]
    copying = curves.get("copying", rise(1000))[:, None] * np.ones(16)
    rises = rise(1000)[:, None] * rng.standard_normal(16)
    return xr.Dataset(
        {
            "composition": (("step", "input", "sender", "receiver"), composition),
            "copying_eigenvalues": (("step", "head"), copying),
            "repeat_rise": (("step", "head"), rises),
        },
        coords={"step": STEPS, "input": list("QKV"), "sender": HEADS, "receiver": HEADS, "head": HEADS},
    )


def each_change_anywhere(rng: Rng) -> Findings:
    prefix, copying, fall = 10 ** rng.uniform(2, X[-1], 3)
    curves = trajectory(rng, prefix=0.3 * rise(prefix), fall=fall)
    return Findings({"trajectory": curves, "circuits": _circuits(rng, copying=rise(copying))})


def pairs_alike(rng: Rng) -> Findings:
    return Findings({"trajectory": trajectory(rng), "circuits": _circuits(rng)})


def induction_heads_worth_as_much(rng: Rng) -> Findings:
    return Findings({"trajectory": types(rng, 3), "circuits": _circuits(rng)})


def _boundaries(places: np.ndarray) -> xr.Dataset:
    edges = {"boundary_step": 1.0, "boundary_low": 0.95, "boundary_high": 1.05}
    return xr.Dataset({name: ("boundary", 10**places * factor) for name, factor in edges.items()})


def boundaries_anywhere(rng: Rng) -> Findings:
    places = (np.array([0.2, 0.9, 1.3, 2.2]) + rng.uniform(0, X[-1])) % X[-1]
    return Findings({"trajectory": trajectory(rng), "stages": _boundaries(places)})


def coefficient_that_does_not_rise(rng: Rng) -> Findings:
    """Its boundaries are where behaviour changes, so that the shifts have next to no chance."""
    places = np.log10([200.0, 300.0, 1500.0, 3900.0])
    return Findings({"trajectory": trajectory(rng, llc_rise=0), "stages": _boundaries(places)})


def coefficients(rng: Rng, curves: np.ndarray, error: float = 0.1) -> xr.Dataset:
    """Curves (component, step) with errors, the same on every text but for them."""
    values = curves[:, :, None] + error * rng.standard_normal((*curves.shape, 3))
    dims = ("component", "step", "dataset")
    coords = {"component": HEADS, "step": FEW_STEPS, "dataset": ["mixed", "code", "prose"]}
    return xr.Dataset({"llc": (dims, values), "llc_mcse": (dims, np.full(values.shape, error))}, coords=coords)


def types(rng: Rng, number: int) -> xr.Dataset:
    """Final scores by which so many heads of layer 1, drawn at random, are induction heads."""
    values = np.full((4, 1, 2, 8), 0.01)
    values[3, 0, 1, rng.permutation(8)[:number]] = 0.2
    return xr.Dataset({"head_score": (("score", "step", "layer", "head"), values)}, coords={"score": SCORES})


T = np.linspace(0, 1, len(FEW_STEPS))
RISING = 1 + 9 * T
FALLING = 1 + 9 * np.where(T < 0.6, T / 0.6, 1 - (T - 0.6))


def types_dealt_out(rng: Rng) -> Findings:
    """Two kinds of curves in each layer, and types that have nothing to do with them."""
    kinds = rng.permuted(np.tile(np.arange(8) % 2, (2, 1)), axis=1).ravel()
    refined = coefficients(rng, np.where(kinds[:, None], RISING, FALLING))
    dealt = rng.permuted(kinds.reshape(2, 8), axis=1).ravel()
    labels = {head: str(kind) for head, kind in zip(HEADS, dealt, strict=True)}
    few = SignatureConfig(num_resamples=10, num_permutations=99, max_clusters=2, method="hierarchical")
    return Findings({"signatures": signatures(refined, labels, components=HEADS, config=few)})


def each_head_falls_or_not(rng: Rng) -> Findings:
    falling = rng.random(16) < 0.5
    refined = coefficients(rng, np.where(falling[:, None], FALLING, RISING))
    return Findings({"trajectory": types(rng, 0), "refined": refined})


def induction_heads_like_others(rng: Rng) -> Findings:
    """Ratios of code to prose vary between heads, and layers differ in them."""
    refined = coefficients(rng, np.tile(RISING, (16, 1)))
    factors = np.exp(0.3 * rng.standard_normal(16) + 0.5 * np.repeat([0, 1], 8))
    refined["llc"].loc[{"dataset": "code"}] *= factors[:, None]
    noise = np.ones((16, 3))
    dims, coords = ("component", "probe"), {"component": HEADS, "probe": ["mixed", "code", "prose"]}
    responses = xr.Dataset({"rise_noise": (dims, noise), "rise_mcse_noise": (dims, 0.01 * noise)}, coords=coords)
    return Findings({"trajectory": types(rng, 3), "refined": refined, "responses": responses})


def layers_alike(rng: Rng) -> Findings:
    """Heads fall by more or less, in both layers as much."""
    share = rng.uniform(0, 1, 16)[:, None]
    made = coefficients(rng, share * FALLING + (1 - share) * RISING)
    return Findings({"trajectory": types(rng, 0), "relative": made})


KINDS = ["induction", "bracket", "skip n-gram", "n-gram"]


def served_at_random(rng: Rng) -> Findings:
    """What is read of a head has nothing to do with what it serves; layers differ in how many do."""
    share = np.repeat([0.25, 0.6], 8)[:, None]
    read, true = (np.where(rng.random((16, 4)) < share, 1.0, 0.0) for _ in range(2))
    dims = ("part", "kind")
    data = {"read_effect": (dims, read), "true_effect": (dims, true)}
    data |= {f"{way}_error": (dims, np.full((16, 4), 0.01)) for way in ("read", "true")}
    return Findings({"planted": xr.Dataset(data, {"part": HEADS, "kind": KINDS})})


def found_whether_there_or_not(rng: Rng) -> Findings:
    """Heads seem to serve mechanisms as often in languages that lack them; some kinds more often than others."""
    read = np.where(rng.random((2, 16, 4)) < np.array([0.1, 0.3, 0.5, 0.7]), 1.0, 0.0)
    dims = ("network", "part", "kind")
    data = {
        "read_effect": (dims, read),
        "read_error": (dims, np.full(read.shape, 0.01)),
        "planted": (("network", "kind"), [[False, True, False, True], [True, False, True, False]]),
    }
    return Findings({"planted-controls": xr.Dataset(data, {"part": HEADS, "kind": KINDS})})


def paths_alike(rng: Rng) -> Findings:
    """Cutting any path costs any sequence as much, but for noise."""
    effect = rng.standard_normal((2, 8, 8, 3, COUNT))
    dims = ("step", "sender", "receiver", "kind", "pattern_sequence")
    coords = {"sender": HEADS[:8], "receiver": HEADS[8:], "kind": ["n-gram", "skip n-gram", "other"]}
    return Findings({"paths": xr.Dataset({"path_effect": (dims, effect)}, coords=coords)})


def shares_of_layers_stay(rng: Rng) -> Findings:
    """What n-grams lose rises and falls alike in both layers."""
    curve = (rise(300) * (1 - 0.5 * rise(1500)))[:, None, None, None]
    effect = curve * (1 + 0.5 * rng.standard_normal((len(STEPS), 16, 2, COUNT)))
    dims = ("step", "head", "kind", "pattern_sequence")
    coords = {"step": STEPS, "head": HEADS, "kind": ["n-gram", "skip n-gram"]}
    return Findings({"circuits": xr.Dataset({"pattern_effect": (dims, effect)}, coords)})


def multigrams_dealt_out(rng: Rng) -> Findings:
    """Heads differ in multigrams and in coefficients, and layers in both, but heads of a layer not in the same way."""
    layer = np.repeat([0, 20], 8)
    counts = np.zeros((1, 16, 4), dtype=int)
    counts[0, :, 1] = layer + rng.integers(0, 40, 16)
    refined = coefficients(rng, (5 + 0.2 * layer + rng.uniform(0, 5, 16))[:, None] * (1 + T))
    coords = {"step": [4000], "head": HEADS, "kind": KINDS}
    read = xr.Dataset({"pattern_multigrams": (("step", "head", "kind"), counts)}, coords)
    return Findings({"circuits": read, "refined": refined})


def complexity_in_random_order(rng: Rng) -> Findings:
    values = np.concatenate([rng.permutation(5) for _ in range(3)]).astype(float)
    network = np.repeat(["4-4", "5-5", "6-6"], 5)
    return Findings({"plateaus": xr.Dataset({"complexity": ("plateau", values), "network": ("plateau", network)})})


def kinds_dealt_out(rng: Rng) -> Findings:
    """Phase diagrams whose trained kinds are those of theory in another order."""

    def diagram() -> xr.Dataset:
        theory = rng.integers(0, 3, (8, 8))
        trained, dims = rng.permuted(theory.ravel()).reshape(theory.shape), ("density", "importance")
        table = {"theory": (dims, theory), "trained": (dims, trained), "gap": (dims, np.ones(theory.shape))}
        return xr.Dataset(table, attrs={"margin": 0.05})

    return Findings({name: diagram() for name in ("diagram", "diagram-of-three")})


def numbers_of_features_dealt_out(rng: Rng) -> Findings:
    """Networks that represent any number of 64 features, whatever the density."""
    numbers = rng.permutation(np.arange(10, 34))
    represented = np.where(np.arange(64) < numbers[:, None], 0.5, np.nan)
    columns = ("density", "hidden", "feature"), np.zeros((24, 12, 64))
    geometry = {"dimensionality": (("density", "feature"), represented), "W": columns}
    return Findings({"geometry": xr.Dataset(geometry, {"density": np.geomspace(0.1, 0.9, 24)})})


def repeats_dealt_out(rng: Rng) -> Findings:
    """A point whose dimensionality has nothing to do with how often it occurs."""
    dims, shape = ("count", "copy"), (6, 3)
    table = {"dimensionality": (dims, rng.random(shape)), "typical_features": (dims, np.full(shape, 0.2))}
    return Findings({"repeated": xr.Dataset(table, {"count": 2 ** np.arange(6)})})


def influence_between_any_items(rng: Rng) -> Findings:
    """Sampled, retrained and exact influence of eight items that have nothing to do with one another."""
    dims, shape = ("step", "item", "other"), (3, 8, 8)
    names = ("sampled", "retrained", "exact")
    tables = [xr.Dataset({name: (dims, rng.standard_normal(shape)) for name in names}) for _ in range(4)]
    return Findings({f"influence-{number}": table for number, table in enumerate(tables)})


def stairs_in_random_order(rng: Rng) -> Findings:
    """Seven networks whose plateaus have any complexity, though their losses fall."""
    path = np.repeat(np.arange(7), 4)
    found = xr.Dataset({"path": ("plateau", path), "loss": ("plateau", -np.arange(28.0))})
    return Findings({"stairs-found": found, "stairs-measured": xr.Dataset({"complexity": ("plateau", rng.random(28))})})
