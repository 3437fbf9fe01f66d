"""Prepared text on disk: an entry is whole and unchanged, or it is refused."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ontogeny.core.errors import CorruptFile

TOKENS, TOKENIZER, INFO, CHECKSUMS = "tokens.safetensors", "tokenizer.json", "info.json", "SHA256SUMS"


def write_entry(entry: Path, tensors: dict[str, Tensor], tokenizer: str, info: dict[str, Any]) -> None:
    """Store one corpus under the folder `entry`, which appears at once or not at all.

    If another process has written the same entry meanwhile, that one stays.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=entry.parent))
    try:
        save_file(tensors, building / TOKENS)
        (building / TOKENIZER).write_text(tokenizer, encoding="utf-8")
        (building / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        sums = [f"{_sha256(building / name)}  {name}\n" for name in (TOKENS, TOKENIZER, INFO)]
        (building / CHECKSUMS).write_text("".join(sums), encoding="utf-8")
        os.replace(building, entry)
    except OSError:
        if not entry.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def read_entry(entry: Path) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """What `write_entry` stored: tensors, the tokenizer and the description.

    Raises:
        CorruptFile: naming the file and what is wrong with it.
    """
    try:
        sums = (entry / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, _, name in (line.partition("  ") for line in sums)}
        if set(expected) != {TOKENS, TOKENIZER, INFO}:
            raise CorruptFile(f"{entry / CHECKSUMS}: does not list the files of an entry")
        for name, digest in expected.items():
            if _sha256(entry / name) != digest:
                raise CorruptFile(f"{entry / name}: its checksum is not the one in {CHECKSUMS}")
        info = json.loads((entry / INFO).read_text(encoding="utf-8"))
        return load_file(entry / TOKENS), (entry / TOKENIZER).read_text(encoding="utf-8"), info
    except (OSError, ValueError, SafetensorError) as error:
        raise CorruptFile(f"{entry}: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
