"""How much later heads read of what earlier heads write: composition scores and their null distribution."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.circuits.low_rank import LowRank
from ontogeny.circuits.products import ov_circuit, qk_circuit
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.models import heads

_INPUTS = ("Q", "K", "V")

_BLOCK = 2**24  # random numbers held at once
_ROUNDING = 1e-6


@torch.no_grad()
def composition(
    model: nn.Module, input: str, *, fold_norm: bool = False, count: int = 1999, seed: int = 0
) -> xr.DataArray:
    """Composition score of every earlier with every later head: |A B| / (|A| |B|) in Frobenius norms.

    A = W_V W_O of the earlier head, and B is what the later head makes of its input: W_Q W_Kᵀ for `"Q"`, W_K W_Qᵀ for
    `"K"`, W_V W_O for `"V"`. The score is 1 if the earlier head writes just one direction and the later reads just that
    one.

    **Baseline.** If the later head were turned at random against the earlier one, by a rotation of the stream drawn
    uniformly, the mean square of the score would be exactly 1/d_model, whatever the two heads' singular values. Elhage
    et al. 2021 subtract the baseline; here it is not subtracted. The p-value of a pair is the share of `count` random
    rotations that give as large a score, the observation counted among them.

    Not to be trusted as a test of whether a *trained* network has a circuit: its heads all read and write the few
    directions that its embedding uses, so that most pairs are above the baseline. Compare pairs with one another, and
    take the path away with `ablate_path`.

    Args:
        model: any module with heads.
        input: which input of the later head.
        fold_norm: fold norms into what the later head reads; see `qk_circuit`.
        count: random rotations.
        seed: of the rotations. All pairs are compared with the same ones.

    Returns:
        (layer_from, head_from, layer_to, head_to), NaN where `layer_to` is not after `layer_from` or there is no such
        head. Coordinates of the same dimensions: `p_value`, uncorrected for the number of pairs, and `null_mean`,
        `null_std` under rotations. Attributes: `input`, `baseline` 1/√d_model, `d_model`, `note` (under rotary
        positions the products of Q and K hold at distance zero).

    Raises:
        InvalidArgument: for another input, a network of one layer, and for Q or K of heads that normalise queries or
            keys.
    """
    left, right, places, note = _factors(model, input, fold_norm)
    products = [torch.linalg.matrix_norm(each @ right.left_core) for each in left.right_core]  # one sender at a time
    scores = torch.stack(products) / (left.norm[:, None] * right.norm)
    at_least, total, square = torch.zeros_like(scores), torch.zeros_like(scores), torch.zeros_like(scores)
    # |A R B|² = Σ_ij a_i² C_ij² b_j² in singular values a and b, where C is a corner of a random rotation
    for corners in _corners(left.width, left.rank, right.rank, count, seed):
        drawn = torch.einsum("ai,nij,bj->nab", left.shares, corners.to(left.shares), right.shares).sqrt()
        at_least += (drawn >= scores - _ROUNDING).sum(0)
        total, square = total + drawn.sum(0), square + drawn.square().sum(0)
    mean = total / count
    tables = {
        "score": scores,
        "p_value": torch.where(scores.isnan(), scores, (at_least + 1) / (count + 1)),  # a head of zeros has neither
        "null_mean": mean,
        "null_std": (square / count - mean.square()).clamp(min=0).sqrt(),
    }
    dims = ("layer_from", "head_from", "layer_to", "head_to")
    placed = {name: _placed(each.double().cpu().numpy(), places) for name, each in tables.items()}
    layers = sorted({layer for layer, _ in places})
    numbers = {dim: layers if dim.startswith("layer") else np.arange(placed["score"].shape[1]) for dim in dims}
    others = {name: (dims, each) for name, each in placed.items() if name != "score"}
    attrs = {"input": input, "baseline": left.width**-0.5, "d_model": left.width, "note": note}
    return xr.DataArray(placed["score"], numbers | others, dims, name=f"{input}-composition", attrs=attrs)


@torch.no_grad()
def composition_null(
    model: nn.Module,
    input: str,
    sender: str,
    receiver: str,
    *,
    fold_norm: bool = False,
    count: int = 1999,
    seed: int = 0,
) -> Float[np.ndarray, " rotation"]:
    """Scores of one pair under random rotations of the later head against the earlier; see `composition`.

    For `nulls.simulated("random rotations", score, drawn)`, and to draw the distribution.
    """
    sent, read = _Side.of([ov_circuit(model, sender)]), _Side.of([_reader(model, input, receiver, fold_norm)])
    corners = _corners(sent.width, sent.rank, read.rank, count, seed)
    blocks = [torch.einsum("i,nij,j->n", sent.shares[0], each.to(sent.shares), read.shares[0]) for each in corners]
    return torch.cat(blocks).sqrt().cpu().numpy()


class _Side:
    """Matrices by small factors: of A = U S Vᵀ, S Vᵀ of its outputs and U S of its inputs, which hold all norms."""

    def __init__(self, left_core: Tensor, right_core: Tensor, values: Tensor) -> None:
        self.left_core, self.right_core = left_core, right_core
        self.norm = values.square().sum(-1).sqrt()
        self.shares = values.square() / self.norm.square()[:, None]
        self.width, self.rank = left_core.shape[1], values.shape[1]

    @staticmethod
    def of(matrices: list[LowRank]) -> "_Side":
        left = torch.linalg.qr(torch.stack([each.left for each in matrices]))
        right = torch.linalg.qr(torch.stack([each.right.mT for each in matrices]))
        u, values, vh = torch.linalg.svd(left.R @ right.R.mT, full_matrices=False)
        return _Side(left.Q @ (u * values[:, None]), (values[..., None] * vh) @ right.Q.mT, values)


def _factors(model: nn.Module, input: str, fold_norm: bool) -> tuple[_Side, _Side, list[tuple[int, int]], str]:
    """The heads as writers and as readers, in one order, with their layers and numbers."""
    if input not in _INPUTS:
        raise InvalidArgument("input", expected="'Q', 'K' or 'V'", found=repr(input), instead="'K'")
    found = heads(model)
    if len({head.layer for head in found}) < 2:
        name = type(model).__name__
        raise InvalidArgument(
            "model", expected="two layers with heads or more", found=f"{name} with {len(found)} heads"
        )
    written = [ov_circuit(model, head.name) for head in found]
    read = [_reader(model, input, head.name, fold_norm) for head in found]
    return _Side.of(written), _Side.of(read), [(head.layer, head.index) for head in found], read[0].note


def _placed(table: Float[np.ndarray, "sender receiver"], places: list[tuple[int, int]]) -> np.ndarray:
    """The table by layers and heads; NaN where the receiver is not later, or there is no such head."""
    layers = sorted({layer for layer, _ in places})
    size = (len(layers), 1 + max(index for _, index in places))
    result = np.full(size * 2, np.nan)
    for (one, first), row in zip(places, table, strict=True):
        for (other, second), value in zip(places, row, strict=True):
            if other > one:
                result[layers.index(one), first, layers.index(other), second] = value
    return result


def _reader(model: nn.Module, input: str, head: str, fold_norm: bool) -> LowRank:
    if input == "V":
        return ov_circuit(model, head, fold_norm=fold_norm)
    product = qk_circuit(model, head, fold_norm=fold_norm)
    return product.T if input == "K" else product


def _corners(width: int, rows: int, columns: int, count: int, seed: int) -> list[Float[Tensor, "some row column"]]:
    """The squares of the first rows and columns of random rotations: of frames that are uniform on the sphere."""
    source = generator(seed, "composition", width, rows, columns)
    at_once = max(1, _BLOCK // (width * columns))
    sizes = [min(at_once, count - start) for start in range(0, count, at_once)]
    frames = (torch.linalg.qr(torch.randn(size, width, columns, generator=source)).Q for size in sizes)
    return [frame[:, :rows].square() for frame in frames]
