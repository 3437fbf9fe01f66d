"""Targets read from activations by held-out ridge regression, and from every rival through the same folds."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.probes.config import ProbeConfig
from ontogeny.probes.contexts import Contexts, Groups, distinct_contexts
from ontogeny.probes.controls import random_features, shuffled_r2
from ontogeny.probes.last_tokens import LastTokens
from ontogeny.probes.probe import CONTROLS, Probe, ending
from ontogeny.probes.ridge import FoldedRidge

Array = Float[np.ndarray, "context _"]


def fit_probe(
    activations: Numbers,
    targets: Mapping[str, Numbers],
    groups: Groups,
    weights: Numbers | None = None,
    untrained: Numbers | None = None,
    rivals: Mapping[str, Numbers | None] | None = None,
    config: ProbeConfig | None = None,
) -> Probe:
    """How well targets are read from activations by an affine map, on contexts that the map has not seen.

    R² = 1 − Σ w |y − ŷ|² / Σ w |y − ȳ|² over distinct contexts, ŷ from ridge regression on the other folds, its
    penalty chosen among them by folds again. Rows of one context are one (their activations averaged), so that no
    context is on both sides of a fold.

    Beside it stand, through the same folds: the network before training; a random projection of the tokens with as
    many columns; the rivals, each in place of the activations; the last n tokens for n = 1, 2, …; the first target
    shuffled between distinct contexts, with a p-value; and the number of columns against that of contexts.

    Args (arrays, tensors or lists):
        activations: (row, column), of any site, layer and position, or several side by side. Columns are not rescaled,
            so that the penalty spares those of large variance.
        targets: name -> (row, dimension), the same in all rows of a context, in any units. The first is the one that
            is shuffled, predicted and read out; the others are scored beside it. R² of a target of several dimensions
            is that of their sum of squares, so that dimensions of large variance count most.
        groups: the context of every row: tokens (row, position), negative where there is none, or one sequence of
            tokens a row. Ids (row,) serve as well, without the controls that need tokens.
        weights: (row,), of the row's context, counted once for a context of many rows. By default a context weighs as
            much as it has rows.
        untrained: (row, column), activations of the same network before training. Left out, it is printed as missing.
        rivals: name -> (row, column), what else the targets could be read from, such as another explanation's
            quantity; None for one that there should be and is not, which is printed as missing.
        config: folds, shuffles, longest ending and seed, by default those of `ProbeConfig`.

    Raises:
        InvalidArgument: for arrays of other shapes, values that are not finite, weights that are negative, targets or
            weights that differ between rows of one context, a first target that does not vary, no target, a rival with
            the name of a control, and fewer than two distinct contexts a fold. Targets and rivals are named as in
            their mappings.

    When not to trust it: contexts that are alike have almost the same target and activations, so that a held-out
    context has near twins in the fit: what counts is R² beyond that of the rivals, not R² itself. The p-value speaks
    against no relation at all, and is as small for an untrained network. What can be read need not be used: move the
    activations along `Probe.readout.directions` and look at the output.
    """
    config = checked(config)
    if not isinstance(targets, Mapping) or not targets:
        raise InvalidArgument("targets", expected="one target or more by name", found=arguments.show(targets))
    reserved = [name for name in rivals or {} if name in ("activations", *CONTROLS) or ending(name)]
    if reserved:
        raise InvalidArgument("rivals", expected="other names than those of controls", found=reserved[0])
    activations = arguments.real_matrix("activations", activations)
    size = len(activations)
    contexts = folded_contexts(groups, weights, size, config)

    def rows(name: str, given: Numbers | None) -> Array | None:
        return None if given is None else contexts.mean_of(name, arguments.real_matrix(name, given, size))

    known = {name: arguments.real_matrix(name, target, size) for name, target in targets.items()}
    (first, target), *others = known.items()
    return fit_probe_to_contexts(
        contexts,
        contexts.mean_of("activations", activations),
        {first: contexts.varying(first, target)} | {name: contexts.value_of(name, value) for name, value in others},
        rows("untrained", untrained),
        {name: rows(name, rival) for name, rival in (rivals or {}).items()},
        config,
    )


def checked(config: ProbeConfig | None) -> ProbeConfig:
    """The config, by default the default one."""
    config = ProbeConfig() if config is None else config
    if not isinstance(config, ProbeConfig):
        raise InvalidArgument("config", expected="a ProbeConfig", found=arguments.show(config))
    return config


def folded_contexts(groups: Groups, weights: Numbers | None, num_rows: int, config: ProbeConfig) -> Contexts:
    """The distinct contexts of rows, refused where there are fewer than two a fold.

    Args:
        groups, weights: as `fit_probe` takes them.
        num_rows: how many there must be.
        config: of the probe.
    """
    contexts, least = distinct_contexts(groups, weights, num_rows), 2 * config.num_folds
    if len(contexts.rows) < least:
        expected = f"at least {least} distinct contexts for {config.num_folds} folds"
        raise InvalidArgument("groups", expected=expected, found=str(len(contexts.rows)))
    return contexts


def fit_probe_to_contexts(
    contexts: Contexts,
    activations: Array,
    targets: Mapping[str, Array | None],
    untrained: Array | None,
    rivals: Mapping[str, Array | None],
    config: ProbeConfig,
) -> Probe:
    """`fit_probe` where everything has a row a context already, for targets that are computed from distinct contexts.

    Args:
        contexts: of `folded_contexts`; the arrays are of its `mean_of`, `value_of` and `varying`.
        activations, untrained: (context, column).
        targets: name -> (context, dimension), the first of which varies; None for one that there is not here.
        rivals: name -> (context, column), or None.
        config: of the probe.
    """
    there = {name: values for name, values in targets.items() if values is not None}
    target, size, random = next(iter(there.values())), len(contexts.rows), None
    if contexts.tokens is not None:
        random = random_features(contexts.tokens, activations.shape[1], derive(config.seed, "random projection"))
    predictors = {"activations": activations, "untrained": untrained, "random_projection": random} | dict(rivals)
    folds = np.random.default_rng(derive(config.seed, "folds")).permutation(np.arange(size) % config.num_folds)
    ridges = {name: FoldedRidge(x, contexts.weights, folds) for name, x in predictors.items() if x is not None}
    scores = {
        name: _score(ridges[name], there, x.shape[1]) if x is not None else _ABSENT for name, x in predictors.items()
    }
    scores |= _score_endings(contexts, folds, there, config.max_last_tokens)
    ridge, unweighted = ridges["activations"], FoldedRidge(activations, np.ones(size), folds)
    penalty = ridge.held_out(target[:, None]).penalty[:, 0]
    return Probe(
        scores=_tabulate(scores, targets),
        unweighted_r2=float(unweighted.held_out(target[:, None]).r2[0]),
        shuffled_r2=shuffled_r2(unweighted, target, config.num_permutations, derive(config.seed, "shuffles")),
        predicted=ridge.predict(target, penalty),
        rows=contexts.rows,
        weights=contexts.weights,
        readout=ridge.readout(target),
        config=config,
    )


class _Score(NamedTuple):
    """Held-out and in-sample R² by target, and the number of columns."""

    r2: dict[str, float]
    in_sample_r2: dict[str, float]
    columns: int


_ABSENT = _Score({}, {}, 0)


def _score(ridge: FoldedRidge, targets: Mapping[str, Array], columns: int) -> _Score:
    return _Score(
        {name: float(ridge.held_out(target[:, None]).r2[0]) for name, target in targets.items()},
        {name: float(ridge.in_sample(target[:, None])[0]) for name, target in targets.items()},
        columns,
    )


def _score_endings(
    contexts: Contexts, folds: Int[np.ndarray, " context"], targets: Mapping[str, Array], most: int
) -> dict[str, _Score]:
    """The rivals "last_1", "last_2", …, as far as there are tokens."""
    tokens, weights = contexts.tokens, contexts.weights
    if tokens is None:
        return {}
    tables = [LastTokens(tokens, weights, folds, target) for target in targets.values()]
    scores = {}
    for n in range(1, min(most, tokens.shape[1]) + 1):
        for table in tables:
            table.advance()
        held_out, in_sample = zip(*(table.r2() for table in tables), strict=True)
        scores[f"last_{n}"] = _Score(
            dict(zip(targets, held_out, strict=True)), dict(zip(targets, in_sample, strict=True)), tables[0].num_endings
        )
    return scores


def _tabulate(scores: Mapping[str, _Score], targets: Mapping[str, Array | None]) -> xr.Dataset:
    """All predictors and targets in order, NaN and 0 columns for what was not given."""
    rows, names = list(scores.values()), list(targets)
    return xr.Dataset(
        {
            "r2": (("predictor", "target"), [[row.r2.get(name, np.nan) for name in names] for row in rows]),
            "in_sample_r2": (
                ("predictor", "target"),
                [[row.in_sample_r2.get(name, np.nan) for name in names] for row in rows],
            ),
            "columns": ("predictor", [row.columns for row in rows]),
            "dimensions": ("target", [0 if values is None else values.shape[1] for values in targets.values()]),
        },
        coords={"predictor": list(scores), "target": names},
    )
