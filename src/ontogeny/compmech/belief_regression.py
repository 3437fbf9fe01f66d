"""Beliefs read from activations by held-out linear regression, beside everything that could explain it away."""

import numpy as np
from jaxtyping import Float

from ontogeny.core import arguments
from ontogeny.core.arguments import Numbers
from ontogeny.core.errors import InvalidArgument
from ontogeny.probes import Groups, Probe, ProbeConfig, fit_probe_to_contexts, folded_contexts
from ontogeny.probes.fit import checked

_NOT_LINEAR = 1e-3  # standard deviations of the law; single precision leaves about a hundredth of it
_ZERO = 1e-5  # of singular values, relative to the greatest


def regress_beliefs(
    activations: Numbers,
    beliefs: Numbers,
    groups: Groups,
    weights: Numbers | None = None,
    untrained: Numbers | None = None,
    next_token_laws: Numbers | None = None,
    config: ProbeConfig | None = None,
) -> Probe:
    """A probe for beliefs: how well an affine map reads them from activations, on contexts that it has not seen.

    It is `ontogeny.probes.fit_probe` with its controls and the next-token law as a rival. The targets are "belief";
    "next_token_law"; and "hidden", the belief projected on the directions that leave the law as it is.

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
        config: folds, shuffles, longest ending and seed, by default those of `ProbeConfig`.

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
    config = checked(config)
    activations = arguments.real_matrix("activations", activations)
    size = len(activations)
    beliefs = arguments.real_matrix("beliefs", beliefs, size)
    if untrained is not None:
        untrained = arguments.real_matrix("untrained", untrained, size)
    if next_token_laws is not None:
        next_token_laws = arguments.real_matrix("next_token_laws", next_token_laws, size)
    contexts = folded_contexts(groups, weights, size, config)
    x, belief = contexts.mean_of("activations", activations), contexts.varying("beliefs", beliefs)
    law = hidden = None
    if next_token_laws is not None:
        law = contexts.value_of("next_token_laws", next_token_laws)
        hidden = belief @ hidden_directions(belief, law, contexts.weights)
    return fit_probe_to_contexts(
        contexts,
        x,
        {"belief": belief, "next_token_law": law, "hidden": hidden if hidden is not None and hidden.size else None},
        None if untrained is None else contexts.mean_of("untrained", untrained),
        {"next_token_law": law},
        config,
    )


def hidden_directions(
    beliefs: Float[np.ndarray, "context state"],
    laws: Float[np.ndarray, "context token"],
    weights: Float[np.ndarray, " context"],
) -> Float[np.ndarray, "state hidden"]:
    """Orthonormal directions in which beliefs vary and the next-token law does not: the kernel of the emission matrix.

    The law is linear in the belief, law = belief · E. Of E only what acts on differences of beliefs that occur is
    known and needed. There are none for mess3, whose law determines the belief, and three for RRXOR.

    Raises:
        InvalidArgument: for laws that are not linear in the beliefs.
    """
    root = np.sqrt(weights / weights.sum())[:, None]
    y, law = (root * (array - root[:, 0] ** 2 @ array) for array in (beliefs, laws))
    _, sizes, basis = np.linalg.svd(y, full_matrices=False)
    basis = basis[sizes > _ZERO * sizes[0]].T
    emission, *_ = np.linalg.lstsq(y @ basis, law, rcond=None)
    missed = np.linalg.norm(law - y @ basis @ emission)
    if missed > _NOT_LINEAR * np.linalg.norm(law):
        raise InvalidArgument(
            "next_token_laws",
            expected="the exact laws of these beliefs, which are linear in them",
            found=f"laws of which {missed / np.linalg.norm(law):.1%} of a standard deviation is not",
            instead="cm.next_token_law(process, beliefs)",
        )
    left, sizes, _ = np.linalg.svd(emission, full_matrices=True)
    rank = int((sizes > _ZERO * max(float(sizes[0]), 1.0)).sum())
    return basis @ left[:, rank:]
