"""Byte-level byte-pair encoding of one corpus: any text can be encoded, and decodes to itself."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Int16
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ontogeny.core.errors import InvalidArgument

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
SMALLEST = 256  # tokens: bytes, the end of a text, and a few merges

# Byte-level tokens are written in visible characters, one for each byte: itself where it is a visible character of
# Latin-1, otherwise the next character from 256 on.
_VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]
_BYTE_OF = {chr(byte): byte for byte in _VISIBLE} | {chr(256 + index): byte for index, byte in enumerate(_HIDDEN)}
_NEVER_IN_UTF8 = {0xC0, 0xC1, *range(0xF5, 0x100)}
_ALPHABET = [character for character, byte in _BYTE_OF.items() if byte not in _NEVER_IN_UTF8]

_PRINTABLE = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥"})
_BATCH = 64


def train_tokenizer(texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
    """Learn the merges of byte-pair encoding from `texts`; the same texts give the same tokenizer.

    Args:
        texts: the training documents.
        vocabulary_size: 256 to 5000 tokens: `<|endoftext|>`, which is token 0, the 243 bytes that occur in UTF-8, and
            merges.

    Raises:
        InvalidArgument: if the texts are too small for so many tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=[END_OF_TEXT], initial_alphabet=_ALPHABET, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    most = tokenizer.get_vocab_size()
    if most < vocabulary_size:
        raise InvalidArgument(
            "vocabulary_size",
            expected="a vocabulary that the corpus can fill",
            found=f"{vocabulary_size} for a corpus that yields {most} tokens",
            instead=f"vocabulary_size={most}, or more text" if most >= SMALLEST else "more text",
        )
    return _as_plain_text(tokenizer)


def load_tokenizer(serialized: str) -> Tokenizer:
    """The tokenizer that `Tokenizer.to_str` wrote."""
    return _as_plain_text(Tokenizer.from_str(serialized))


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Int16[np.ndarray, " token"]]:
    """Token ids of each text, in order."""
    for start in range(0, len(texts), _BATCH):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + _BATCH]):
            yield np.array(encoding.ids, dtype=np.int16)


def token_strings(tokenizer: Tokenizer, ids: Iterable[int]) -> list[str]:
    """Each token's own text made visible: space "·", newline "⏎", tab "⇥", a part of a character its bytes."""
    return [_visible(tokenizer.id_to_token(token) or "") for token in ids]


def _visible(token: str) -> str:
    if token == END_OF_TEXT:
        return token
    text = bytes(_BYTE_OF[character] for character in token).decode("utf-8", errors="backslashreplace")
    return text.translate(_PRINTABLE)


def _as_plain_text(tokenizer: Tokenizer) -> Tokenizer:
    """Let a document that contains the letters `<|endoftext|>` keep them as letters; the setting is not serialized."""
    tokenizer.encode_special_tokens = True
    return tokenizer
