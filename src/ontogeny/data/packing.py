"""From documents to sequences: what is kept for validation, what fits a bound, and tokens packed into contexts."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int16
from tokenizers import Tokenizer
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.protocols import Progress
from ontogeny.data.corpus import Document
from ontogeny.data.tokenizer import END_OF_TEXT_ID, encode


def num_bytes(documents: Sequence[Document]) -> int:
    """Size of the documents in UTF-8."""
    return sum(len(document.text.encode()) for document in documents)


def split_documents(documents: Sequence[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    """Training and validation: those documents are kept out, at least one, whose names have the lowest hashes.

    A document's part depends on the names alone, neither on their order nor on a seed.
    """
    ranked = sorted(documents, key=lambda document: hashlib.sha256(document.name.encode()).digest())
    kept_out = max(1, round(fraction * len(ranked)))
    return ranked[kept_out:], ranked[:kept_out]


def shuffled(documents: Sequence[Document], generator: torch.Generator) -> list[Document]:
    """The documents in random order."""
    return [documents[index] for index in torch.randperm(len(documents), generator=generator).tolist()]


def within(documents: Sequence[Document], limit: float) -> list[Document]:
    """Whole documents in their order, leaving out each that would bring the total above `limit` bytes."""
    chosen, total = [], 0
    for document in documents:
        size = num_bytes([document])
        if total + size <= limit:
            chosen.append(document)
            total += size
    return chosen


def token_stream(
    tokenizer: Tokenizer, documents: Sequence[Document], progress: Progress
) -> Int16[np.ndarray, " token"]:
    """The documents' tokens in one row, `<|endoftext|>` between them."""
    parts = [np.empty(0, dtype=np.int16)]
    for ids in encode(tokenizer, [document.text for document in documents]):
        parts += [ids, np.array([END_OF_TEXT_ID], dtype=np.int16)]
        progress.advance("encoding")
    return np.concatenate(parts)[:-1]


def pack(tokens: Int16[np.ndarray, " token"], context_length: int, name: str) -> Int16[Tensor, "sequence position"]:
    """Cut a row of tokens into contexts; what is left at its end is dropped.

    Raises:
        InvalidArgument: if not one context is filled; `name` tells whose tokens they are.
    """
    num_sequences = len(tokens) // context_length
    if num_sequences == 0:
        raise InvalidArgument(
            "corpus",
            expected=f"at least one context of {context_length} tokens for {name}",
            found=f"{len(tokens)} tokens",
            instead="more text, a shorter context_length or a larger max_bytes",
        )
    return torch.from_numpy(tokens[: num_sequences * context_length].reshape(num_sequences, context_length))


def mixed(parts: Sequence[Tensor], generator: torch.Generator) -> Int16[Tensor, "sequence position"]:
    """All sequences of `parts` in random order."""
    together = torch.cat(list(parts))
    return together[torch.randperm(len(together), generator=generator)]
