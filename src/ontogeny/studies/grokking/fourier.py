"""What a network computes of a + b, by frequencies: progress measures along training.

The logits of all pairs, averaged over the pairs of one sum, are a function of s = a + b mod p. Its discrete Fourier
components at k = 1, …, (p-1)/2 are its frequencies. With the key frequencies alone the logits give the restricted loss;
without them, the excluded loss (in the manner of Nanda et al., 2301.05217).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from ontogeny.studies.grokking.addition import Rows, all_pairs

KEY_SHARE = 0.95  # of the energy of the function of the sum, which the key frequencies have together


@dataclass(frozen=True)
class Progress:
    """A behaviour for `measure`.

    | variable | meaning |
    |---|---|
    | `train_loss`, `test_loss`, `train_accuracy`, `test_accuracy` | on the pairs trained on, and on the others |
    | `restricted_loss` | on all pairs, of the logits' mean and key frequencies alone |
    | `excluded_loss` | on the pairs that are trained on, of the logits without the key frequencies |
    | `sum_share` | share of the logits' variance over pairs that is a function of a + b |
    | `embedding_spectrum` (frequency) | share of each frequency in the embedding's variance over tokens |
    | `sum_spectrum` (frequency) | share of each frequency in the function of the sum |
    | `norm`, `embedding_norm`, `other_norm` | of all weights, of the embedding, and of the others |

    Args:
        modulus: p, odd.
        rows, rest: pairs and labels that are trained on, and the others.
        keys: the key frequencies.
    """

    modulus: int
    rows: Rows
    rest: Rows
    keys: tuple[int, ...] = ()

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> xr.Dataset:
        found = dict[str, object]()
        for name, (pairs, labels) in (("train", self.rows), ("test", self.rest)):
            logits = model(pairs)
            found[f"{name}_loss"] = float(F.cross_entropy(logits, labels))
            found[f"{name}_accuracy"] = float((logits.argmax(-1) == labels).double().mean())
        pairs, labels = all_pairs(self.modulus)
        logits = centred_logits(model, self.modulus)
        by_sum, sums = of_sum(logits, self.modulus), labels
        key = at_frequencies(by_sum, self.keys)
        restricted = logits.mean(0) + key[sums]
        found["restricted_loss"] = float(F.cross_entropy(restricted, labels))
        trained = self.rows[0] @ torch.tensor([self.modulus, 1])
        found["excluded_loss"] = float(F.cross_entropy((logits - key[sums])[trained], self.rows[1]))
        spread = (logits - logits.mean(0)).square().mean()
        found["sum_share"] = float((by_sum - by_sum.mean(0)).square().mean() / spread)
        found["sum_spectrum"] = ("frequency", spectrum(by_sum).numpy())
        embedding = model.get_parameter("embed").double()
        found["embedding_spectrum"] = ("frequency", spectrum(embedding).numpy())
        squared = {name: float(weight.square().sum()) for name, weight in model.named_parameters()}
        found["norm"] = sum(squared.values()) ** 0.5
        found["embedding_norm"] = squared["embed"] ** 0.5
        found["other_norm"] = (sum(squared.values()) - squared["embed"]) ** 0.5
        return xr.Dataset(found, coords={"frequency": range(1, self.modulus // 2 + 1)})


def centred_logits(model: nn.Module, modulus: int) -> Float[Tensor, "pair class"]:
    """The logits of all pairs in order, less their mean over classes, which no probability depends on."""
    logits = model(all_pairs(modulus)[0]).double()
    return logits - logits.mean(1, keepdim=True)


def of_sum(logits: Float[Tensor, "pair class"], modulus: int) -> Float[Tensor, "sum class"]:
    """The mean of the logits over the pairs of each sum, of all pairs in order."""
    _, sums = all_pairs(modulus)
    return torch.zeros(modulus, logits.shape[1], dtype=logits.dtype).index_add_(0, sums, logits) / modulus


def at_frequencies(values: Float[Tensor, "place class"], keys: Sequence[int]) -> Float[Tensor, "place class"]:
    """The Fourier components of `values` over its places at these frequencies, without the mean."""
    waves = torch.fft.rfft(values, dim=0)
    kept = torch.zeros_like(waves)
    kept[list(keys)] = waves[list(keys)]
    return torch.fft.irfft(kept, n=len(values), dim=0)


def spectrum(values: Float[Tensor, "place column"]) -> Float[Tensor, " frequency"]:
    """The share of each frequency k = 1, …, (p-1)/2 in the variance over places."""
    energy = torch.fft.rfft(values, dim=0)[1:].abs().square().sum(1)
    return energy / energy.sum()


def key_frequencies(model: nn.Module, modulus: int) -> tuple[int, ...]:
    """The fewest frequencies that have 95 % of the variance of the function of the sum."""
    with torch.no_grad():
        share = spectrum(of_sum(centred_logits(model, modulus), modulus))
    order = share.argsort(descending=True)
    count = int((share[order].cumsum(0) < KEY_SHARE).sum()) + 1
    return tuple(sorted((order[:count] + 1).tolist()))
