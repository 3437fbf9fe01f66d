"""A planted language in the form of text: what is done with a corpus can be done with it."""

from tokenizers import Tokenizer, models

from ontogeny.core.seeds import derive
from ontogeny.data.planted import PlantedLanguage
from ontogeny.data.text import MIXED, Distributions, TextData


def planted_text(language: PlantedLanguage, num_train: int, num_validation: int, seed: int = 0) -> TextData:
    """Sequences of a planted language, of one distribution, `mixed`.

    Words are called `w0`, `w1`, …, the brackets of the first kind `(0` and `)0`.

    Args:
        language: whose `length` is that of a sequence.
        num_train, num_validation: sequences, drawn independently.
        seed: of the sequences.
    """
    words = [f"w{number}" for number in range(language.words)]
    brackets = [f"{side}{kind}" for side in "()" for kind in range(language.bracket_kinds)]
    vocabulary = {name: token for token, name in enumerate(words + brackets)}
    splits = {"train": num_train, "validation": num_validation}
    train, validation = (
        Distributions({MIXED: language.sample(many, derive(seed, "planted text", name))})
        for name, many in splits.items()
    )
    info = {
        "config": {"vocabulary_size": language.vocabulary_size, "context_length": language.length},
        "sequences": {f"{name}/{MIXED}": many for name, many in splits.items()},
        "language": language.model_dump(mode="json"),
    }
    return TextData(Tokenizer(models.WordLevel(vocabulary, unk_token=words[0])), train, validation, info)
