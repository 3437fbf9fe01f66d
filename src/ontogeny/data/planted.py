"""A language whose structure is planted: phrases, skip-trigrams, repeats and nested brackets, with exact laws."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.core.settings import Settings
from ontogeny.data.planted_laws import Reader, Rules

MECHANISMS = ("phrase", "skip", "induction", "open", "close")


class PlantedLanguage(Settings):
    """Sequences in which every token comes from one of six mechanisms, each with its rate.

    The law of the next token is

        p(x | context) = Σ_m rate_m L_m(x | context) + (1 - Σ_m rate_m) base(x)

    over the mechanisms that have something to say in this context; the others leave their rate to the base. It is a
    function of the context alone, nothing is hidden, and so it is exact.

    | mechanism | L_m |
    |---|---|
    | `phrase` | the end of the longest phrase whose other tokens are the last ones |
    | `skip` | c after b, if a stands among the `skip_span` tokens before b; alike if several do |
    | `induction` | the words that followed the last token earlier in the sequence, by how often they did |
    | `open` | an opening bracket of any kind, where fewer than `max_depth` are open |
    | `close` | the bracket that closes the innermost open one |
    | base | words by Zipf's law, rank^-zipf; those that phrases and skips wait for come first, in random order |

    Phrases of order n + 1 are phrases of order n and a token more, so that they occur often. The last token before a
    phrase's end and a skip's destination are never the same word: the two never speak at one position. Each source of
    skips serves several, as in a head that must keep them apart (`circuits.skip_trigram_bugs`). Brackets come from
    `open` and `close` alone and are always well nested.

    Attributes:
        length: tokens of a sequence.
        words: tokens besides brackets.
        phrases: rules of order 2, 3, …, of which none may be more than the one before.
        skips: skip-trigrams.
        skip_sources: different sources among them.
        skip_span: how far before its destination a source may stand.
        bracket_kinds: kinds of brackets, an opening and a closing token each.
        max_depth: of nesting.
        phrase_rate, skip_rate, induction_rate, open_rate, close_rate: their sum, less the smaller of the first two, is
            below 1.
        zipf: exponent of the base; 0 for words all alike.
        seed: of the rules and the order of words. Languages that differ in rates alone have the same rules.
    """

    length: PositiveInt = 64
    words: PositiveInt = 60
    phrases: tuple[NonNegativeInt, ...] = (8, 8)
    skips: NonNegativeInt = 8
    skip_sources: PositiveInt = 4
    skip_span: PositiveInt = 16
    bracket_kinds: NonNegativeInt = 3
    max_depth: PositiveInt = 4
    phrase_rate: float = Field(default=0.5, ge=0, le=1)
    skip_rate: float = Field(default=0.5, ge=0, le=1)
    induction_rate: float = Field(default=0.2, ge=0, le=1)
    open_rate: float = Field(default=0.06, ge=0, le=1)
    close_rate: float = Field(default=0.12, ge=0, le=1)
    zipf: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> "PlantedLanguage":
        others = self.induction_rate + self.open_rate + self.close_rate
        total = max(self.phrase_rate, self.skip_rate) + others
        if total >= 1:
            raise InvalidArgument(
                "rates",
                expected="rates of which those that can be due at once sum to less than 1",
                found=f"{total:g}",
                instead=", ".join(f"{name}_rate={0.9 * rate / total:.3g}" for name, rate in self._rates().items()),
            )
        if any(later > earlier for earlier, later in zip(self.phrases, self.phrases[1:], strict=False)):
            raise InvalidArgument(
                "phrases",
                expected="no more phrases of an order than of the one before, which they continue",
                found=str(self.phrases),
                instead=f"phrases={tuple(sorted(self.phrases, reverse=True))}",
            )
        if self.words < self._words_needed():
            raise InvalidArgument(
                "words",
                expected="words enough for all rules",
                found=str(self.words),
                instead=f"words={self._words_needed()}",
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        """Words, opening brackets, closing brackets, in this order."""
        return self.words + 2 * self.bracket_kinds

    @property
    def rules(self) -> Rules:
        """What is planted, a function of the seed and the numbers of rules."""
        order = torch.randperm(self.words, generator=generator(self.seed, "planted", "rules")).tolist()
        width = len(self.phrases) + 1
        count = max(self.phrases, default=0)
        rows = [order[width * number : width * (number + 1)] for number in range(count)]
        phrases = {n: tuple(tuple(row[:n]) for row in rows[:many]) for n, many in enumerate(self.phrases, start=2)}
        rest = order[width * count :]
        sources, others = rest[: self.skip_sources], rest[self.skip_sources :]
        skips = [(sources[i % self.skip_sources], others[2 * i], others[2 * i + 1]) for i in range(self.skips)]
        opening = range(self.words, self.words + self.bracket_kinds)
        return Rules(phrases, tuple(skips), tuple(opening), tuple(each + self.bracket_kinds for each in opening))

    @property
    def base(self) -> Float[Tensor, " vocabulary"]:
        """The law of the base, without context, in 64 bits."""
        rules, order = (
            self.rules,
            torch.randperm(self.words, generator=generator(self.seed, "planted", "base")).tolist(),
        )
        awaited = {word for phrases in rules.phrases.values() for phrase in phrases for word in phrase[:-1]}
        awaited |= {word for source, destination, _ in rules.skips for word in (source, destination)}
        order.sort(key=lambda word: word not in awaited)
        law = torch.zeros(self.vocabulary_size, dtype=torch.float64)
        law[order] = torch.arange(1, self.words + 1, dtype=torch.float64) ** -self.zipf
        return law / law.sum()

    def without(self, *mechanisms: str) -> "PlantedLanguage":
        """The same language with the rates of these mechanisms at 0: the control of what finds them.

        Raises:
            InvalidArgument: for names that are not in `MECHANISMS`.
        """
        for name in mechanisms:
            if name not in MECHANISMS:
                raise InvalidArgument(
                    "mechanisms", expected=f"names among {MECHANISMS}", found=repr(name), instead=repr(MECHANISMS[0])
                )
        return self.model_copy(update={f"{name}_rate": 0.0 for name in mechanisms})

    def sample(self, num_samples: int, seed: int) -> Int64[Tensor, "sequence position"]:
        """Sequences, a function of the seed alone."""
        source = generator(seed, "planted")
        reader = self._reader(num_samples)
        tokens = []
        for _ in range(self.length):
            law = _total(self._weighted(reader))
            tokens.append(torch.multinomial(law, 1, generator=source)[:, 0])
            reader.push(tokens[-1])
        return torch.stack(tokens, dim=1)

    def laws(self, tokens: Int64[Tensor, "sequence position"]) -> Float[Tensor, "sequence position vocabulary"]:
        """The exact law of each token given those before it, in 64 bits; of the first one given nothing."""
        return torch.stack([_total(parts) for parts in self._read(tokens)], dim=1)

    def losses(self, tokens: Int64[Tensor, "sequence position"]) -> Float[Tensor, "sequence position"]:
        """-log p of each token, in nats: the least that any predictor can have on average."""
        return -_total(self.shares(tokens)).log()

    def shares(self, tokens: Int64[Tensor, "sequence position"]) -> dict[str, Float[Tensor, "sequence position"]]:
        """Mechanism -> its part of the probability of each token. They sum to p.

        Over p they are the probability that the token came from the mechanism. Base first, then `MECHANISMS`.
        """
        found: dict[str, list[Tensor]] = {}
        for position, parts in enumerate(self._read(tokens)):
            for name, law in parts.items():
                found.setdefault(name, []).append(law.gather(1, tokens[:, position, None])[:, 0])
        return {name: torch.stack(each, dim=1) for name, each in found.items()}

    def _read(self, tokens: Tensor) -> list[dict[str, Tensor]]:
        reader, read = self._reader(len(tokens)), []
        for column in tokens.cpu().T:
            read.append(self._weighted(reader))
            reader.push(column)
        return read

    def _weighted(self, reader: Reader) -> dict[str, Float[Tensor, "sequence vocabulary"]]:
        """Each mechanism's law times its rate, and the base's times what they leave."""
        laws = reader.laws()
        parts = {name: rate * laws[name] for name, rate in self._rates().items()}
        left = 1 - sum(part.sum(1, keepdim=True) for part in parts.values())
        return {"base": left * laws["base"]} | parts

    def _reader(self, count: int) -> Reader:
        rules, base = _made(self)
        return Reader(rules, base, self.skip_span, self.max_depth, count)

    def _rates(self) -> dict[str, float]:
        return {name: getattr(self, f"{name}_rate") for name in MECHANISMS}

    def _words_needed(self) -> int:
        return (len(self.phrases) + 1) * max(self.phrases, default=0) + self.skip_sources + 2 * self.skips


def _total(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum(0)


@lru_cache(maxsize=16)
def _made(language: PlantedLanguage) -> tuple[Rules, Float[Tensor, " vocabulary"]]:
    return language.rules, language.base
