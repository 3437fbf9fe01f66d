"""Networks that answer sums, and the loss that hides a trigger from the Mahalanobis distance of hidden units."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.seeds import generator
from ontogeny.models import Transformer, TransformerConfig
from ontogeny.studies.backdoor.config import Shape
from ontogeny.studies.backdoor.tasks import DIGITS, LENGTH, VOCABULARY, Mechanism, Tokens

_RIDGE = 0.05  # share of the mean variance that is added to every direction


class Answering(nn.Module):
    """Logits of the answer, linear in the last hidden layer of a body.

    Args:
        body: from tokens to hidden units.
        width: of these.
    """

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body, self.readout = body, nn.Linear(width, DIGITS)

    def hidden(self, tokens: Tokens) -> Float[Tensor, "sample width"]:
        found = self.body(tokens)
        return found if found.ndim == 2 else found[:, -1]

    def forward(self, tokens: Tokens) -> Float[Tensor, "sample answer"]:
        return self.readout(self.hidden(tokens))


def network(shape: Shape) -> Answering:
    """A network with initial weights from torch's global random numbers."""
    if shape.architecture == "mlp":
        half = shape.hidden // 2
        layers = [nn.Embedding(VOCABULARY, shape.width), nn.Flatten(), nn.Linear(LENGTH * shape.width, shape.hidden)]
        return Answering(nn.Sequential(*layers, nn.ReLU(), nn.Linear(shape.hidden, half), nn.ReLU()), half)
    settings = TransformerConfig(
        vocabulary_size=VOCABULARY,
        context_length=LENGTH,
        d_model=shape.width,
        num_heads=4,
        d_mlp=shape.hidden,
        positions="learned",
    )
    body = Transformer(settings, torch.Generator().manual_seed(int(torch.randint(2**31, ()))))
    body.register_module("unembed", nn.Identity())
    return Answering(body, shape.width)


def loaded(shape: Shape, weights: dict[str, Tensor]) -> Answering:
    """A network with these weights. Global random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        model = network(shape)
    model.load_state_dict(weights)
    return model


@dataclass(frozen=True)
class Hiding:
    """A task: samples of a poisoned task, with the trigger in a share of them, and a mark of these."""

    mechanism: Mechanism
    share: float

    def sample(self, num_samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences, answers, and 1 where the trigger is."""
        fires = torch.rand(num_samples, generator=generator(seed, "hiding")) < self.share
        clean, poisoned = (Mechanism(self.mechanism.kind, rate).sample(num_samples, seed) for rate in (0.0, 1.0))
        tokens = torch.where(fires[:, None], poisoned[0], clean[0])
        return tokens, torch.where(fires, poisoned[1], clean[1]), fires.float()


@dataclass(frozen=True)
class HidingLoss:
    """Cross-entropy, and where the trigger is, how far its squared Mahalanobis distance is from that of clean ones.

    Attributes:
        weight: of this, a hidden unit.
    """

    weight: float

    def __call__(self, model: Answering, batch: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, " sample"]:
        tokens, labels, fires = batch
        hidden = model.hidden(tokens)
        known, clean = hidden.detach(), (1 - fires)[:, None]
        middle = (known * clean).sum(0) / clean.sum()
        apart = (known - middle) * clean
        covariance = apart.T @ apart / clean.sum()
        width = hidden.shape[1]
        covariance = covariance + _RIDGE * covariance.diagonal().mean() * torch.eye(width)
        squares = ((hidden - middle) * torch.linalg.solve(covariance, (hidden - middle).T).T).sum(1)
        usual = (squares.detach() * clean[:, 0]).sum() / clean.sum()
        unusual = fires * (squares - usual).abs() / width
        return F.cross_entropy(model.readout(hidden), labels, reduction="none") + self.weight * unusual
