"""What each network is asked of, and the anomaly scores of all of it."""

from dataclasses import dataclass

import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.core.losses import cross_entropy
from ontogeny.core.seeds import derive, generator
from ontogeny.measurement.anomalies import anomaly
from ontogeny.sampling import PosteriorConfig, Sampler
from ontogeny.studies.backdoor.config import Inputs
from ontogeny.studies.backdoor.tasks import (
    COMMON,
    DIGITS,
    TOKEN,
    UNSEEN,
    VOCABULARY,
    Mechanism,
    Tokens,
    clean_tokens,
    placed,
)
from ontogeny.studies.own_data import Rows

SCORES = ("score", "score_noise", "loss", "margin", "mahalanobis", "gradient_norm")
RIVALS = ("loss", "margin", "mahalanobis", "gradient_norm")


def candidates(inputs: Inputs) -> list[tuple[int, ...]]:
    """Triggers that are tried without knowledge of the right one: every filler, and pairs of common ones."""
    common = range(DIGITS, DIGITS + COMMON)
    singles: list[tuple[int, ...]] = [(token,) for token in (*common, *range(TOKEN, VOCABULARY))]
    return singles + ([(a, b) for a in common for b in common if a != b] if inputs.pairs else [])


def asked(mechanism: Mechanism, inputs: Inputs, seed: int) -> Rows:
    """Trusted sequences; and suspect ones: clean, with the trigger, with an unseen token, and with each candidate.

    No trusted sequence is among the suspects.
    """
    clean = Mechanism("clean").sample(inputs.clean, derive(seed, "clean"))[0]
    fired = mechanism.fires(inputs.fired, derive(seed, "fired"))[0]
    unseen = _with((UNSEEN,), inputs.unseen, derive(seed, "unseen"))
    tried = [
        _with(each, inputs.candidates if len(each) == 1 else inputs.pairs, derive(seed, "candidate", number))
        for number, each in enumerate(candidates(inputs))
    ]
    suspects = torch.cat([clean, fired, unseen, *tried])
    drawn = mechanism.trusted(2 * inputs.trusted, derive(seed, "trusted"), inputs.trusted_rule)
    apart = (drawn[:, None] != suspects).any(-1).all(1)
    return drawn[apart][: inputs.trusted], suspects


def places(inputs: Inputs) -> tuple[list[str], list[int]]:
    """Of each suspect, its group, and the number of its candidate, -1 for none."""
    groups = [name for name in ("clean", "fired", "unseen") for _ in range(getattr(inputs, name))]
    counts = [inputs.candidates if len(each) == 1 else inputs.pairs for each in candidates(inputs)]
    numbers = [number for number, count in enumerate(counts) for _ in range(count)]
    return groups + ["candidate"] * len(numbers), [-1] * len(groups) + numbers


@dataclass(frozen=True)
class Scored:
    """The anomaly scores of a network's suspects, with the losses of its own answers.

    Attributes:
        posterior, sampler, seed: as for `ontogeny.anomaly`.
    """

    posterior: PosteriorConfig
    sampler: Sampler
    seed: int

    def __call__(self, model: nn.Module) -> xr.Dataset:
        network = model.get_submodule("network")
        trusted, suspects = (self._answered(network, model.get_buffer(f"rows_{number}")) for number in range(2))
        return anomaly(
            network,
            trusted,
            suspects,
            cross_entropy,
            posterior=self.posterior,
            sampler=self.sampler,
            seed=self.seed,
        ).reset_coords(drop=True)

    @torch.no_grad()
    def _answered(self, network: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        return tokens, network(tokens).argmax(-1)


def _with(trigger: tuple[int, ...], count: int, seed: int) -> Tokens:
    source = generator(seed, "placed")
    return placed(clean_tokens(count, source), trigger, source)
