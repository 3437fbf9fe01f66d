"""What is measured of a regression transformer at every checkpoint, beside its learning coefficient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import derive
from ontogeny.data import LinearRegressionTask
from ontogeny.models import RegressionTransformer, run_with_cache

IN, OUT = "in", "out"  # of the distribution that a network is trained on, or of Gaussian tasks
RIDGE, DMMSE = "ridge", "dmmse"

Batch = tuple[Tensor, Tensor]


def squared_error(model: RegressionTransformer, batch: Batch) -> Float[Tensor, "sequence pair"]:
    """(ŷₖ − yₖ)² at every pair: the loss that is trained."""
    x, y = batch
    return (model(x, y) - y).square()


@dataclass(frozen=True)
class Nats:
    """Σₖ (ŷₖ − yₖ)²/2σ² of each sequence: minus the log likelihood of its labels, up to a constant.

    The loss of every learning coefficient here, so that nβ counts sequences.
    """

    noise_variance: float

    def __call__(self, model: RegressionTransformer, batch: Batch) -> Float[Tensor, " sequence"]:
        return squared_error(model, batch).sum(-1) / (2 * self.noise_variance)


@dataclass(frozen=True)
class Probe:
    """Sequences with the predictions of the exact predictors on them; ridge stands for dMMSE at infinite diversity.

    Args:
        task: whose predictors they are.
        sequences: of that task, or of another one with as long inputs.

    Raises:
        InvalidArgument: for sequences of another dimension than the task's.
    """

    task: LinearRegressionTask
    sequences: Batch

    def __post_init__(self) -> None:
        self.task.ridge(*(part[:1] for part in self.sequences))  # which refuses other sequences by name

    @property
    def references(self) -> dict[str, Float[Tensor, "sequence pair"]]:
        ridge = self.task.ridge(*self.sequences)
        return {RIDGE: ridge, DMMSE: ridge if self.task.tasks is None else self.task.dmmse(*self.sequences)}


@dataclass(frozen=True)
class RegressionBehaviour:
    """A behaviour for `measure`, of a network that was trained on one task.

    | variable | meaning |
    |---|---|
    | `loss_by_position` (distribution, pair) | mean squared error at each pair |
    | `distance` (reference, distribution) | mean of (ŷₖ − gₖ)² over pairs, g a predictor of the task |
    | `ridge_by_sequence`, `dmmse_by_sequence` (sequence) | the same for each sequence of Gaussian tasks |
    | `icl_by_sequence` (sequence) | squared error at the last pair minus that at the first |
    | `squared_by_sequence` (sequence) | mean of ŷₖ² over pairs: 0 for the predictor that knows the task prior alone |
    | `error_by_input_scale`, `error_by_task_scale` (scale) | squared error relative to that of the prediction 0, on
    Gaussian tasks whose inputs, or tasks, are so much larger |
    | `singular_values` (matrix, singular) | of the token and the position embedding, relative to the largest |
    | `unembedding_collapsed` | share of the entries of the unembedding, times the last gain, below `small` of the
    largest |
    | `gain_collapsed` (norm) | share of the gains of each LayerNorm whose size is below `small` |
    | `attention_entropy`, `attention_variability` (layer, head) | of the patterns, in nats, averaged over queries; half
    the mean absolute difference of a sequence's pattern from the mean pattern, summed over keys |
    | `outputs` (output) | predictions on the sequences of Gaussian tasks, for trajectory PCA |

    Args:
        probes: distribution -> `Probe`, `in` and `out`.
        scaled: kind ("input", "task") -> scale -> sequences.
        small: below which a gain or an entry counts as collapsed.
        watched: sequences that attention is read on.
    """

    probes: Mapping[str, Probe]
    scaled: Mapping[str, Mapping[float, Batch]]
    small: float = 0.1
    watched: int = 64

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        if not isinstance(model, RegressionTransformer):
            expected, found = "an ontogeny.models.RegressionTransformer", type(model).__name__
            raise InvalidArgument("model_fn", expected=expected, found=found)
        predicted = {name: _predicted(model, probe.sequences) for name, probe in self.probes.items()}
        losses = {name: (predicted[name] - probe.sequences[1]).square() for name, probe in self.probes.items()}
        away = {
            name: {
                reference: (predicted[name] - values).square().mean(1) for reference, values in probe.references.items()
            }
            for name, probe in self.probes.items()
        }
        distance = [[float(away[name][reference].mean()) for name in self.probes] for reference in (RIDGE, DMMSE)]
        variables = {
            "loss_by_position": (("distribution", "pair"), _stacked(losses[name].mean(0) for name in self.probes)),
            "distance": (("reference", "distribution"), np.array(distance)),
            "ridge_by_sequence": ("sequence", away[OUT][RIDGE].numpy()),
            "dmmse_by_sequence": ("sequence", away[OUT][DMMSE].numpy()),
            "icl_by_sequence": ("sequence", (losses[OUT][:, -1] - losses[OUT][:, 0]).numpy()),
            "squared_by_sequence": ("sequence", predicted[OUT].square().mean(1).numpy()),
            "outputs": ("output", predicted[OUT].flatten().numpy()),
            **{
                f"error_by_{kind}_scale": ("scale", [_relative_error(model, each) for each in by.values()])
                for kind, by in self.scaled.items()
            },
            **self._weights(model),
            **self._attention(model),
        }
        scales = list(next(iter(self.scaled.values()))) if self.scaled else []
        coords = {"distribution": list(self.probes), "reference": [RIDGE, DMMSE], "scale": scales}
        return xr.Dataset(variables, coords | {"matrix": ["tokens", "positions"], "norm": _norms(model)})

    def _weights(self, model: RegressionTransformer) -> dict[str, tuple[object, object]]:
        matrices = [model.embed.W_E, model.pos_embed.W_pos]
        spectra = [torch.linalg.svdvals(matrix.double()).cpu() for matrix in matrices]
        size = min(len(spectrum) for spectrum in spectra)
        gains = [model.get_submodule(name).w.abs() for name in _norms(model)]  # type: ignore[union-attr]
        read = (model.unembed.W_U[:, 0] * gains[-1]).abs()
        return {
            "singular_values": (("matrix", "singular"), _stacked((each / each[0])[:size] for each in spectra)),
            "unembedding_collapsed": ((), float((read < self.small * read.max()).double().mean())),
            "gain_collapsed": ("norm", [float((each < self.small).double().mean()) for each in gains]),
        }

    def _attention(self, model: RegressionTransformer) -> dict[str, tuple[object, object]]:
        names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(len(model.blocks))]
        if not names:
            return {}
        x, y = (part[: self.watched].to(model.embed.W_E.device) for part in self.probes[OUT].sequences)
        _, cache = run_with_cache(model, x, y, names=names)
        patterns = torch.stack([cache[name].cpu() for name in names])  # layer, sequence, head, query, key
        entropy = torch.special.entr(patterns).sum(-1).mean((1, 3))
        differing = (patterns - patterns.mean(1, keepdim=True)).abs().sum(-1).mean((1, 3)) / 2
        dims = ("layer", "head")
        return {"attention_entropy": (dims, entropy.numpy()), "attention_variability": (dims, differing.numpy())}


def behaviour_of(
    task: LinearRegressionTask, num_sequences: int, scales: Sequence[float], seed: int
) -> RegressionBehaviour:
    """The behaviour for a network trained on a task; sequences of Gaussian tasks are the same for equal seeds."""
    gaussian = task.model_copy(update={"task_diversity": None})
    probes = {
        IN: Probe(task, task.sample(num_sequences, derive(seed, IN))),
        OUT: Probe(task, gaussian.sample(num_sequences, seed)),
    }
    scaled = {
        kind: {
            scale: gaussian.model_copy(update={f"{kind}_scale": scale}).sample(num_sequences, seed) for scale in scales
        }
        for kind in ("input", "task")
    }
    return RegressionBehaviour(probes, scaled)


def _predicted(model: RegressionTransformer, batch: Batch) -> Float[Tensor, "sequence pair"]:
    return model(*(part.to(model.embed.W_E.device) for part in batch)).cpu()


def _relative_error(model: RegressionTransformer, batch: Batch) -> float:
    return float((_predicted(model, batch) - batch[1]).square().sum() / batch[1].square().sum())


def _norms(model: RegressionTransformer) -> list[str]:
    each = [f"blocks.{layer}.{name}" for layer, block in enumerate(model.blocks) for name in ("ln1", "ln2")]
    there = dict(model.named_modules())
    return [name for name in each if there.get(name) is not None] + ["ln_final"]


def _stacked(rows: object) -> np.ndarray:
    return torch.stack(list(rows)).numpy()  # type: ignore[call-overload]
