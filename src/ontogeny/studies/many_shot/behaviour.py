"""How networks infer a language along the context: slope and offset of their log-odds, crossings, and losses."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ontogeny.development import curves
from ontogeny.studies.many_shot.changes import crossing
from ontogeny.studies.many_shot.config import Config
from ontogeny.studies.many_shot.languages import Languages, Laws, laws
from ontogeny.studies.many_shot.reading import line, log_odds
from ontogeny.studies.many_shot.scaling_laws import LAWS, held_out

Weights = dict[str, Tensor]
Case = tuple[int, float, int]  # language, shift, number of the network
_RIDGE = 0.5
_BATCH = 500


def behaviour(
    make: Callable[[], nn.Module],
    networks: Sequence[Weights],
    cases: Sequence[Case],
    languages: Languages,
    config: Config,
    seed: int,
) -> xr.Dataset:
    """What each case's network makes of sequences of its language, over `case`.

    `offset`, `slope` and their errors: of the log-odds of the language over the exact evidence (`reading.line`);
    `slope_shuffled`: the same with tokens shuffled within each context, against the evidence in their order;
    `single_slope`, `single_offset` (case, single): of sequences one by one. `odds` and `exact_odds` (case, length):
    medians over sequences, of the network and of the exact mixture with the shifted prior. `crossing`,
    `crossing_error`: where `odds` cross zero; `expected`: n* = m/d. `loss`, `exact_loss` (case, half, length): expected
    loss under the language's own law, over each half of the sequences; `held_out` (case, law, split): error of each law
    in nats, and `exact_error`: that of the exact mixture, without a parameter.
    """
    sets = {
        language: languages.processes[language].sample(
            config.tested_sequences, config.mixture.length, seed=seed + language
        )
        for language in {language for language, _, _ in cases}
    }
    known = {language: laws(languages, words.numpy()) for language, words in sets.items()}
    each = [
        _case(
            _loaded(make, networks[number]), sets[language], known[language], languages, (language, shift), config, seed
        )
        for language, shift, number in cases
    ]
    found = xr.concat(each, "case")
    crossings = [config.mixture.crossing(language, shift) for language, shift, _ in cases]
    columns = zip(("language", "shift", "network"), zip(*cases, strict=True), strict=True)
    found = found.assign(expected=("case", crossings))
    return found.assign_coords({name: ("case", np.array(values, dtype=float)) for name, values in columns})


def _case(
    model: nn.Module,
    words: Tensor,
    known: Laws,
    languages: Languages,
    arm: tuple[int, float],
    config: Config,
    seed: int,
) -> xr.Dataset:
    language, shift = arm
    rng, weights = np.random.default_rng(seed), np.array(config.mixture.weights)
    seen, own, others, evidence = _read(model, words, known, language, weights)
    fit, odds = line(seen, own, others, evidence), log_odds(seen, own, others)
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(words.shape[1]), (len(words), 1)), axis=1))
    shuffled = words.gather(1, order)
    mixed = line(*_read(model, shuffled, laws(languages, shuffled.numpy()), language, weights)[:3], evidence)
    rows = [slice(i, i + 1) for i in range(min(config.single, len(words)))]
    single = [line(seen[i], own[i], others[i], evidence[i], _RIDGE) for i in rows]
    lengths = np.arange(1, words.shape[1])
    exact = evidence - config.mixture.against(language, shift)
    again = curves.bootstrap(lambda chosen: crossing(lengths, np.median(odds[chosen], 0)), len(odds), 199, rng)
    loss, least = _halves(own, seen), _halves(own, _mixed(known, language, weights, exact))
    splits = {"between": False, "later": True}
    errors = [[held_out(law, lengths, loss[0], loss[1], late) for late in splits.values()] for law in LAWS]
    found = {"offset": fit.offset, "slope": fit.slope, "offset_error": fit.errors[0], "slope_error": fit.errors[1]}
    found |= {"kept": fit.kept, "slope_shuffled": mixed.slope, "crossing": crossing(lengths, np.median(odds, 0))}
    found |= {"crossing_error": float(np.std(again[np.isfinite(again)])) if np.isfinite(again).any() else np.nan}
    found |= {"exact_error": float(np.sqrt(np.mean((least[1] - loss[1]) ** 2)))}
    curves_found = {"odds": np.median(odds, 0), "exact_odds": np.median(exact, 0)}
    return xr.Dataset(
        {
            **found,
            **{name: ("length", values) for name, values in curves_found.items()},
            **{name: (("half", "length"), values) for name, values in (("loss", loss), ("exact_loss", least))},
            "held_out": (("law", "split"), errors),
            "single_slope": ("single", [one.slope for one in single]),
            "single_offset": ("single", [one.offset for one in single]),
        },
        {"length": lengths, "law": list(LAWS), "split": list(splits)},
    )


@torch.no_grad()
def _read(
    model: nn.Module, words: Tensor, known: Laws, language: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """After 1, 2, … tokens, but not the last: the network's laws, the language's, those of the others, the evidence."""
    logits = torch.cat([model(part) for part in words.split(_BATCH)])
    inner = slice(1, words.shape[1])
    seen = logits.double().softmax(-1).numpy()[:, : words.shape[1] - 1]
    return (
        seen,
        known.next[:, inner, language],
        known.without(language, weights)[:, inner],
        known.against(language, weights)[:, inner],
    )


def _mixed(known: Laws, language: int, weights: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """The laws of the exact mixture at these log-odds of the language."""
    inner, share = slice(1, odds.shape[1] + 1), 1 / (1 + np.exp(-odds))[..., None]
    return share * known.next[:, inner, language] + (1 - share) * known.without(language, weights)[:, inner]


def _halves(own: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """−Σ p log q at each length, over either half of the sequences."""
    losses = -(own * np.log(seen)).sum(axis=-1)
    return np.array([part.mean(axis=0) for part in np.array_split(losses, 2)])


def _loaded(make: Callable[[], nn.Module], weights: Weights) -> nn.Module:
    model = make()
    model.load_state_dict(weights)
    return model.eval()
