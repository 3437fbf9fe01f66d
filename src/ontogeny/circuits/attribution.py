"""What each part adds to the logits directly, with no layer between."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor, nn

from ontogeny.circuits.ends import unembedding
from ontogeny.circuits.stream import written
from ontogeny.core.errors import InvalidArgument

_EXACT = 1e-3  # of the largest logit


@torch.no_grad()
def logit_attribution(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    targets: Int[Tensor, "sequence position"] | None = None,
) -> xr.Dataset:
    """Direct contributions to the logits, which sum to them.

    The logits are s n(x) g W_U + b with x the sum of what all parts write (`norms.Norm`). With the scale s of the final
    norm held at its value, each part's share is s n(c) g W_U. That a part's share is large does not say that the logit
    would change by it if the part were taken away: later parts and s answer (`ablate`).

    Args:
        model: any network whose layers add what attention and MLP return to the stream.
        tokens: without padding.
        targets: one token at each position, whose logits alone are attributed; default every token of the vocabulary,
            which takes components × tokens × vocabulary numbers.

    Returns:
        `contribution` (component, sequence, position[, token]) and `logits`, the network's own, to which it sums over
        components up to rounding. Components: `embed`; by layer its heads, `L0.attn.bias` and `L0.mlp`; `other`, what
        else enters the stream, as learned positions do; `bias`, of the final norm and the unembedding.

    Raises:
        InvalidArgument: for networks of another form, as those that normalise what they add or that bend their logits.
    """
    run = written(model, tokens)
    matrix, bias = unembedding(model)
    constant = bias if run.norm is None else bias + run.norm.bias @ matrix
    logits = run.logits
    if targets is not None:
        constant, matrix = constant[targets], matrix[:, targets]
        logits = logits.gather(-1, targets[..., None])[..., 0]
    equation = "spd,dv->spv" if targets is None else "spd,dsp->sp"
    parts = {name: torch.einsum(equation, run.read(part), matrix) for name, part in run.parts.items()}
    parts["bias"] = constant.expand_as(logits)
    found = torch.stack(list(parts.values()))
    if not (found.sum(0) - logits).abs().max() <= _EXACT * run.logits.abs().max():
        raise InvalidArgument(
            "model",
            expected="logits that are affine in the final norm's output",
            found=f"{type(model).__name__}, whose logits are scaled, capped or made in another way",
            instead="circuits.ablate(model, name), and the change of the logits",
        )
    dims = ("sequence", "position", "token")[: logits.ndim]
    coords = {"component": list(parts), **{dim: np.arange(size) for dim, size in zip(dims, logits.shape, strict=True)}}
    data = {"contribution": (("component", *dims), found.cpu().numpy()), "logits": (dims, logits.cpu().numpy())}
    return xr.Dataset(data, coords)
