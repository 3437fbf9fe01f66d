"""The files of weights in one revision of a repository, or why it has none that are read."""

import re
from collections.abc import Sequence
from pathlib import Path

from ontogeny.stores.layouts import ADAPTER_CONFIG, is_beside
from ontogeny.stores.repository import HubFile

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.\w+")
# Names that hold a model's weights if there are several files, the preferred first.
_USUAL = ("model.safetensors", "adapter_model.safetensors", "pytorch_model.bin", "adapter_model.bin")
_SAFE, _PICKLED = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")


def weights_among(files: Sequence[HubFile], inside: str, pickle: bool) -> list[HubFile] | str:
    """The files to fetch for a checkpoint: its weights, whole or in shards with their index, and its configuration.

    Args:
        files: of the commit.
        inside: folder or file of the checkpoint; empty for the top of the repository.
        pickle: whether files of pickle are taken where there is no safetensors.

    Returns:
        The files, or a phrase that says why there are none.
    """
    if any(file.path == inside for file in files):
        here = [file for file in files if file.path == inside]
    else:
        here = [file for file in files if file.path.rpartition("/")[0] == inside]
    named = {file.path.rpartition("/")[2]: file for file in here}
    safe = _chosen(named, _SAFE)
    found = safe if safe else _chosen(named, _PICKLED)
    if isinstance(found, str):
        return found
    if not found:
        return f"no weights ({_shown(list(named))})"
    if not safe and not pickle:
        return f"weights as pickle only ({_shown(found)})"
    described = [name for name in ("config.json", ADAPTER_CONFIG) if name in named]
    return [named[name] for name in [*found, *described]]


def _chosen(named: dict[str, HubFile], suffixes: tuple[str, ...]) -> list[str] | str:
    """Names of the weights of one kind; none, or a phrase about shards that are missing."""
    there = [name for name in named if name.endswith(suffixes) and not is_beside(Path(name))]
    shards = [match for name in there if (match := _SHARD.fullmatch(name))]
    whole = [name for name in there if not _SHARD.fullmatch(name)]
    usual = [name for name in _USUAL if name in whole]
    if usual or len(whole) == 1:
        return (usual or whole)[:1]
    if shards:
        first = shards[0][1]
        mine = [match for match in shards if match[1] == first]
        index = [name for name in named if name.startswith(first) and name.endswith(".index.json")]
        lacking = int(mine[0][3]) - len(mine)
        if lacking or not index:
            return f"{lacking} of {int(mine[0][3])} shards missing" if lacking else "shards without an index"
        return [*sorted(match.string for match in mine), index[0]]
    if whole:
        return f"several files of weights ({_shown(whole)})"
    return []


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "no files"
