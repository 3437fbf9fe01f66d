"""Whether suspect samples can be held against trusted ones: of the same form, and not the same samples."""

import hashlib

import torch

from ontogeny.core.batches import kind, leaves
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.samples import Samples

_BLOCK = 1024  # samples that are read at a time


def check_one_form(trusted: Samples, suspects: Samples, argument: str = "suspects") -> None:
    """Refuse suspects whose samples have other parts, shapes or types of number than the trusted samples."""
    first = torch.zeros(1, dtype=torch.long)
    batches = [each.take(first) for each in (trusted, suspects)]
    forms = [
        [(path, tuple(part.shape[1:]), part.is_floating_point()) for path, part in leaves(batch)] for batch in batches
    ]
    if forms[0] != forms[1]:
        shown = [f"{kind(batch)} with {_shapes(form)}" for batch, form in zip(batches, forms, strict=True)]
        raise InvalidArgument(
            argument,
            expected=f"samples of the form of the trusted ones, {shown[0]}",
            found=shown[1],
            instead=f"{argument} cut, padded and encoded as trusted is",
        )


def check_apart(trusted: Samples, suspects: Samples) -> None:
    """Refuse suspects that are trusted samples: their losses would explain themselves."""
    known = set(_digests(trusted))
    shared = [number for number, digest in enumerate(_digests(suspects)) if digest in known]
    if shared:
        raise InvalidArgument(
            "suspects",
            expected="samples that are not among the trusted ones",
            found=f"{len(shared)} of {len(suspects)} that are, the first of them sample {shared[0]}",
            instead="suspects without these; half of the trusted samples are held out and scored in any case",
        )


def _shapes(form: list[tuple[str, tuple[int, ...], bool]]) -> str:
    return ", ".join(f"{shape} {'numbers' if floating else 'integers'}{path}" for path, shape, floating in form)


def _digests(samples: Samples) -> list[bytes]:
    """Each sample's content, in all its parts."""
    found = []
    for block in torch.arange(samples.stored).split(_BLOCK):
        parts = [part.flatten(1) if part.ndim > 1 else part[:, None] for _, part in leaves(samples.take(block))]
        rows = [part.double().contiguous().numpy() for part in parts]
        found += [hashlib.sha256(b"".join(row[at].tobytes() for row in rows)).digest() for at in range(len(block))]
    return found
