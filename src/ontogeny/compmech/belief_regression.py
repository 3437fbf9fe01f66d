"""Beliefs read from activations by held-out linear regression, beside everything that could explain it away."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from ontogeny.compmech.belief_regression_result import BeliefRegression
from ontogeny.compmech.belief_regression_settings import BeliefRegressionConfig
from ontogeny.compmech.regression_contexts import Contexts, Groups, distinct_contexts
from ontogeny.compmech.regression_controls import LastTokens, hidden_directions, random_features, shuffled_r2
from ontogeny.compmech.regression_ridge import CONSTANT, FoldedRidge
from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive

_CONTROLS = ("activations", "untrained", "random_projection", "next_token_law")
_TARGETS = ("belief", "next_token_law", "hidden")

Array = Float[np.ndarray, "_ _"]


def regress_beliefs(
    activations: Numbers,
    beliefs: Numbers,
    groups: Groups,
    weights: Numbers | None = None,
    untrained: Numbers | None = None,
    next_token_laws: Numbers | None = None,
    config: BeliefRegressionConfig | None = None,
) -> BeliefRegression:
    """How well beliefs are read from activations by an affine map, on contexts the map has not seen.

    R² = 1 − Σ w |b − b̂|² / Σ w |b − b̄|² over distinct contexts, b̂ from ridge regression on the other folds, its
    penalty chosen among them by folds again. Rows of one prefix are one context (their activations averaged), so that
    no context is on both sides of a fold.

    Beside it stand, through the same folds: the network before training; a random projection of the tokens with as
    many columns; the next-token law, as a rival predictor and as a rival target; the last n tokens for n = 1, 2, …;
    beliefs shuffled between distinct contexts, with a p-value; the number of columns against that of contexts; and
    R² of the hidden part, the belief projected on the directions that leave the next-token law as it is.

    Args (arrays, tensors or lists):
        activations: (row, column), of any site, layer and position, or several side by side. Columns are not rescaled,
            so that the penalty spares those of large variance.
        beliefs: (row, state), the exact ones; the entries of those of a generalised process may have any sign.
        groups: the prefix of every row: tokens (row, position), negative where there is none, or one sequence of
            tokens a row. Ids (row,) serve as well, without the controls that need tokens.
        weights: (row,), the probability of the row's prefix, counted once for a prefix of many rows. By default a
            prefix weighs as much as it has rows: right for samples, uniform for a list of all contexts.
        untrained: (row, column), activations of the same network before training. Left out, it is printed as missing.
        next_token_laws: (row, token), the exact ones, linear in the beliefs. Left out, they are printed as missing.
        config: folds, shuffles, longest ending and seed, by default those of `BeliefRegressionConfig`.

    Raises:
        InvalidArgument: for arrays of other shapes, values that are not finite, weights that are negative, beliefs,
            laws or weights that differ between rows of one prefix, beliefs that do not vary, laws that are not linear
            in them, and fewer than two distinct contexts a fold.

    When not to trust it: contexts that end alike have almost the same belief and activations, so that a held-out
    context has near twins in the fit: what counts is R² beyond the last n tokens, not R² itself. Where the belief is
    linear in the next-token law (mess3), any network that predicts well has it. The weights of short prefixes are
    large: with them R² is mostly that of a few contexts. The p-value speaks against no relation at all, and is as
    small for an untrained network.

    Source: Shai et al. (arXiv 2405.15943); shuffled beliefs, endings and laws as rivals as in
    arXiv 2609.17376. Grouping by prefix, the hidden part and the count of columns are this library's own.
    """
    config = BeliefRegressionConfig() if config is None else config
    if not isinstance(config, BeliefRegressionConfig):
        raise InvalidArgument("config", expected="a BeliefRegressionConfig", found=arguments.show(config))
    activations = arguments.real_matrix("activations", activations)
    beliefs = arguments.real_matrix("beliefs", beliefs, len(activations))
    if untrained is not None:
        untrained = arguments.real_matrix("untrained", untrained, len(activations))
    if next_token_laws is not None:
        next_token_laws = arguments.real_matrix("next_token_laws", next_token_laws, len(activations))
    contexts = distinct_contexts(groups, weights, len(activations))
    if len(contexts.rows) < 2 * config.num_folds:
        expected = f"at least {2 * config.num_folds} distinct contexts for {config.num_folds} folds"
        raise InvalidArgument("groups", expected=expected, found=str(len(contexts.rows)))
    x, targets = contexts.mean_of("activations", activations), _targets(beliefs, next_token_laws, contexts)
    predictors = {"activations": x}
    if untrained is not None:
        predictors["untrained"] = contexts.mean_of("untrained", untrained)
    if contexts.tokens is not None:
        predictors["random_projection"] = random_features(
            contexts.tokens, x.shape[1], derive(config.seed, "random projection")
        )
    if "next_token_law" in targets:
        predictors["next_token_law"] = targets["next_token_law"]
    return _regress(predictors, targets, contexts, config)


class _Score(NamedTuple):
    """Held-out and in-sample R² by target, and the number of columns."""

    r2: dict[str, float]
    in_sample_r2: dict[str, float]
    columns: int


def _regress(
    predictors: dict[str, np.ndarray],
    targets: dict[str, np.ndarray],
    contexts: Contexts,
    config: BeliefRegressionConfig,
) -> BeliefRegression:
    size, belief = len(contexts.rows), targets["belief"]
    folds = np.random.default_rng(derive(config.seed, "folds")).permutation(np.arange(size) % config.num_folds)
    ridges = {name: FoldedRidge(x, contexts.weights, folds) for name, x in predictors.items()}
    scores = {name: _score(ridge, targets, predictors[name].shape[1]) for name, ridge in ridges.items()}
    scores |= _score_endings(contexts, folds, targets, config.max_last_tokens)
    ridge, unweighted = ridges["activations"], FoldedRidge(predictors["activations"], np.ones(size), folds)
    penalty = ridge.held_out(belief[:, None]).penalty[:, 0]
    return BeliefRegression(
        scores=_tabulate(scores, targets),
        unweighted_r2=float(unweighted.held_out(belief[:, None]).r2[0]),
        shuffled_r2=shuffled_r2(unweighted, belief, config.num_permutations, derive(config.seed, "shuffles")),
        predicted=ridge.predict(belief, penalty),
        rows=contexts.rows,
        weights=contexts.weights,
        readout=ridge.readout(belief),
        config=config,
    )


def _targets(beliefs: Array, laws: Array | None, contexts: Contexts) -> dict[str, np.ndarray]:
    """Of every distinct context: the belief and, if laws are given, the law and the part of the belief hidden to it."""
    belief = contexts.value_of("beliefs", beliefs)
    if np.var(belief, axis=0).max() <= CONSTANT:
        raise InvalidArgument("beliefs", expected="beliefs that differ between contexts", found="the same everywhere")
    if laws is None:
        return {"belief": belief}
    law = contexts.value_of("next_token_laws", laws)
    hidden = belief @ hidden_directions(belief, law, contexts.weights)
    return {"belief": belief, "next_token_law": law} | ({"hidden": hidden} if hidden.shape[1] else {})


def _score(ridge: FoldedRidge, targets: dict[str, np.ndarray], columns: int) -> _Score:
    return _Score(
        {name: float(ridge.held_out(target[:, None]).r2[0]) for name, target in targets.items()},
        {name: float(ridge.in_sample(target[:, None])[0]) for name, target in targets.items()},
        columns,
    )


def _score_endings(
    contexts: Contexts, folds: Int[np.ndarray, " context"], targets: dict[str, np.ndarray], most: int
) -> dict[str, _Score]:
    """The rivals "last_1", "last_2", …, as far as there are tokens."""
    tokens, weights = contexts.tokens, contexts.weights
    if tokens is None:
        return {}
    tables = {name: LastTokens(tokens, weights, folds, target) for name, target in targets.items()}
    scores = {}
    for n in range(1, min(most, tokens.shape[1]) + 1):
        for table in tables.values():
            table.advance()
        pairs = {name: table.r2() for name, table in tables.items()}
        held_out, in_sample = ({name: pair[i] for name, pair in pairs.items()} for i in range(2))
        scores[f"last_{n}"] = _Score(held_out, in_sample, tables["belief"].num_endings)
    return scores


def _tabulate(scores: dict[str, _Score], targets: dict[str, np.ndarray]) -> xr.Dataset:
    """All predictors and targets in a fixed order, NaN and 0 columns for what was not given."""
    names = [*_CONTROLS, *(name for name in scores if name not in _CONTROLS)]
    absent = _Score({}, {}, 0)
    rows = [scores.get(name, absent) for name in names]
    return xr.Dataset(
        {
            "r2": (("predictor", "target"), [[row.r2.get(name, np.nan) for name in _TARGETS] for row in rows]),
            "in_sample_r2": (
                ("predictor", "target"),
                [[row.in_sample_r2.get(name, np.nan) for name in _TARGETS] for row in rows],
            ),
            "columns": ("predictor", [row.columns for row in rows]),
            "dimensions": ("target", [targets[name].shape[1] if name in targets else 0 for name in _TARGETS]),
        },
        coords={"predictor": names, "target": list(_TARGETS)},
    )
