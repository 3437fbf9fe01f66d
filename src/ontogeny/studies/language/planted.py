"""Which head serves which mechanism of a planted language: read without knowing the language, and with its laws."""

from collections.abc import Callable

import torch
import xarray as xr
from torch import Tensor

from ontogeny.circuits import PatternRules, Replacement, effects_by_kind, token_effects, token_patterns
from ontogeny.core.losses import next_token
from ontogeny.data import PlantedLanguage, planted_text
from ontogeny.models import Transformer
from ontogeny.stores import Checkpoints
from ontogeny.studies.language.config import LanguageConfig
from ontogeny.studies.language.texts import HELD_OUT
from ontogeny.studies.language.universality import last_of
from ontogeny.studies.workspace import Workspace

MECHANISM_OF = {"induction": "induction", "bracket": "close", "skip n-gram": "skip", "n-gram": "phrase"}
"""The mechanism of the language that makes tokens of each kind."""
WITHOUT = (("skip", "induction"), ("phrase", "open", "close"))
"""Mechanisms that each control lacks: between them all."""
_REFERENCE = 4000  # sequences in which what is predictable is counted
_SURE = 0.8  # posterior probability from which a token counts as one of its mechanism

Make = Callable[[], Transformer]


def planted(work: Workspace, config: LanguageConfig, run: Checkpoints, make: Make) -> None:
    """Makes `planted`, of the network, and `planted-controls`, of networks whose languages lack half the mechanisms."""
    language = config.text.language
    work.step("planted", served, run, make, language, config.planted_sequences, config.text.seed)
    controls, languages = [], []
    for number, missing in enumerate(WITHOUT):
        other = language.without(*missing)
        text = planted_text(other, config.text.planted_sequences, HELD_OUT, config.text.seed)
        controls.append(work.train(f"without-{number}", make, text.train["mixed"], next_token, config.training))
        languages.append(other)
    work.step(
        "planted-controls", controls_served, controls, make, languages, config.planted_sequences, config.text.seed
    )


def controls_served(
    runs: list[Checkpoints], make: Make, languages: list[PlantedLanguage], count: int, seed: int
) -> xr.Dataset:
    """What is read off each control, over `network`."""
    each = [served(run, make, language, count, seed) for run, language in zip(runs, languages, strict=True)]
    return xr.concat(each, xr.Variable("network", ["without " + ", ".join(missing) for missing in WITHOUT]))


def served(run: Checkpoints, make: Make, language: PlantedLanguage, count: int, seed: int) -> xr.Dataset:
    """Effects of every head on each kind of token, by both ways, at the last checkpoint.

    The reading sorts tokens by `circuits.token_patterns`, which counts in other sequences of the language and knows
    nothing of it but which tokens are brackets, and sets heads to zero. The truth takes the tokens that surely came
    from a mechanism by the exact laws, in other sequences, and sets heads to their mean.

    Returns:
        Over (part, kind): `read_effect`, `read_error`, `true_effect`, `true_error`, in nats beyond tokens of no kind;
        over `kind`: `read_tokens`, `true_tokens`, and `planted`, whether the language has such tokens.
    """
    model = last_of(run, make)
    text = planted_text(language, _REFERENCE, 2 * count, seed)
    first, second = text.validation["mixed"].split(count)
    rules = PatternRules(delimiters(language), reach=language.skip_span + 1)
    read, truth = by_patterns(model, first, text.train["mixed"], rules), by_laws(model, second, language)
    found = {f"read_{name}": read[name] for name in read} | {f"true_{name}": truth[name] for name in truth}
    rates = [getattr(language, f"{MECHANISM_OF[str(kind)]}_rate") > 0 for kind in read["kind"].values]
    return xr.Dataset(found).assign(planted=("kind", rates))


def delimiters(language: PlantedLanguage) -> dict[int, int]:
    """Opening bracket -> closing bracket."""
    return dict(zip(language.rules.opening, language.rules.closing, strict=True))


def by_patterns(model: Transformer, tokens: Tensor, reference: Tensor, rules: PatternRules) -> xr.Dataset:
    """Effects of zeroing heads on tokens sorted by their patterns."""
    patterns = token_patterns(tokens, reference, rules)
    kind = patterns["kind"]
    # repeats of what is predictable anyway would be called induction
    counted = patterns["alone"] | (kind != "induction")
    chosen = [((kind == name) & counted).astype(float).expand_dims(kind_=[name]) for name in MECHANISM_OF]
    kinds = xr.concat(chosen, "kind_").rename(kind_="kind")
    return effects_by_kind(token_effects(model, tokens), kinds, (kind == "other").astype(float))


def by_laws(model: Transformer, tokens: Tensor, language: PlantedLanguage) -> xr.Dataset:
    """Effects of setting heads to their mean on tokens that surely came from a mechanism."""
    shares = {name: share[:, 1:] for name, share in language.shares(tokens).items()}
    total = torch.stack(list(shares.values())).sum(0)
    sure = {name: (share / total > _SURE).double().numpy() for name, share in shares.items()}
    dims, names = ("kind", "sequence", "position"), list(MECHANISM_OF)
    kinds = xr.DataArray([sure[MECHANISM_OF[name]] for name in names], {"kind": names}, dims)
    effects = token_effects(model, tokens, how=Replacement("mean"))
    return effects_by_kind(effects, kinds, xr.DataArray(sure["base"], dims=dims[1:]))
