"""Layouts of a checkpoint on disk: one file, shards with an index, a PEFT adapter, or distributed shards."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.stores.distributed import METADATA, read_distributed
from ontogeny.stores.entries import Weights, state_dict_in
from ontogeny.stores.reading import one_line, read_file

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar")
ADAPTER_CONFIG = "adapter_config.json"
# Prefixes of the names of other files that trainers save with the weights.
_FSDP = "pytorch_model_fsdp"  # the folder in which accelerate keeps distributed shards
_BESIDE = (
    "optim",
    "scheduler",
    "scaler",
    "sampler",
    "dataloader",
    "rng_state",
    "random_states",
    "training_args",
    _FSDP,
)
_WHOLE = ("model.safetensors", "pytorch_model.bin", "consolidated.safetensors")
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")


class Adapter(Weights):
    """The weights of a PEFT adapter alone, with the `config` used in training."""

    def __init__(self, weights: Weights, config: dict[str, Any]) -> None:
        super().__init__(weights)
        self.config = config


class NoWeights(InvalidArgument):
    """A folder without weights."""


class Layout(NamedTuple):
    """A checkpoint's files.

    Attributes:
        files: files of weights, all of which are read.
        table: the index of shards, the configuration of an adapter, or the metadata of distributed shards.
    """

    files: tuple[Path, ...]
    table: Path | None = None


def read_weights(path: Path, key: str | None = None) -> Weights:
    """Read the state dict of one checkpoint, a file or a folder, without executing anything in it.

    Args:
        key: the entry with the weights (see `state_dict_in`); default: found automatically.

    Raises:
        CorruptFile: if a file is damaged, truncated or missing. The message names it.
        InvalidArgument: if there is no state dict, or several and none has a usual name.
    """
    layout = find_layout(path)
    table = layout.table
    if table is None:
        return state_dict_in(read_file(layout.files[0]), key, layout.files[0].name)
    if table.name == METADATA:
        return read_distributed(table.parent, key)
    if table.name == ADAPTER_CONFIG:
        return Adapter(state_dict_in(read_file(layout.files[0]), key, layout.files[0].name), _json(table))
    return state_dict_in(_read_shards(table), key, table.name)


def files_of(path: Path) -> list[Path]:
    """Every file that `read_weights` reads."""
    layout = find_layout(path)
    return [*layout.files, *([layout.table] if layout.table else [])]


def find_layout(path: Path) -> Layout:
    """Find the files of weights in a folder. A file is its own layout, and an index stands for its shards.

    Raises:
        NoWeights: for a folder without any.
        InvalidArgument: for a folder with several candidates.
    """
    if not path.is_dir():
        return _shards(path) if path.name.endswith(".index.json") else Layout((path,))
    for place in (path, *sorted(path.glob(f"{_FSDP}*"))):
        if (place / METADATA).is_file():
            return Layout(tuple(sorted(place.glob("*.distcp"))), place / METADATA)
    if (path / ADAPTER_CONFIG).is_file():
        adapters = [file for file in map(path.joinpath, _ADAPTERS) if file.is_file()]
        return Layout((_only(path, adapters or weights_in(path)),), path / ADAPTER_CONFIG)
    found = weights_in(path)
    indices = sorted(path.glob("*.index.json"))
    if len(found) != 1 and indices:
        return _shards(_only(path, indices))
    return Layout((_only(path, found),))


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is itself one checkpoint, judging by the names that libraries use."""
    try:
        layout = find_layout(folder)
    except NoWeights:
        return False
    return folder.is_dir() and (layout.table is not None or layout.files[0].name in _WHOLE)


def weights_in(folder: Path) -> list[Path]:
    """Files of weights, of the first kind present. Names used only for weights come first."""
    for patterns in (("*.safetensors",), ("pytorch_model.bin",), ("*.pt", "*.pth", "*.pth.tar", "*.bin", "*.ckpt")):
        files = sorted(file for pattern in patterns for file in folder.glob(pattern) if not is_beside(file))
        if files:
            return files
    return []


def is_beside(path: Path) -> bool:
    """Whether a name is that of a file or folder which trainers save with the weights or inside a checkpoint."""
    return path.name.startswith(_BESIDE)


def _only(folder: Path, files: list[Path]) -> Path:
    if len(files) == 1:
        return files[0]
    expected = f"one weights file in {folder}"
    if not files:
        raise NoWeights("source", expected=expected, found="none")
    raise InvalidArgument(
        "source",
        expected=expected,
        found=", ".join(file.name for file in files[:6]),
        instead=f'a pattern or path that names the file, such as ".../{files[0].name}"',
    )


def _shards(index: Path) -> Layout:
    return Layout(tuple(sorted({index.parent / name for name in _weight_map(index).values()})), index)


def _weight_map(index: Path) -> dict[str, str]:
    """Weight name -> shard, from the index."""
    said = _json(index).get("weight_map")
    if not isinstance(said, dict) or not said or not all(isinstance(name, str) for name in said.values()):
        raise CorruptFile(f"{index}: damaged; it has no weight_map from weight names to file names")
    for name in said.values():
        if Path(name).name != name or "\\" in name or not name.isprintable():
            raise CorruptFile(f"{index}: names a file outside its folder, {name!r}")
        if not (index.parent / name).is_file():
            raise CorruptFile(f"{index.parent / name}: missing, although {index.name} names it")
    return said


def _read_shards(index: Path) -> Weights:
    weights: dict[str, Tensor] = {}
    places = _weight_map(index)
    for file in sorted(set(places.values())):
        content = state_dict_in(read_file(index.parent / file), None, file)
        wanted = [name for name, place in places.items() if place == file]
        if missing := [name for name in wanted if name not in content]:
            raise CorruptFile(f"{index.parent / file}: {missing[0]} is missing, although {index.name} lists it there")
        weights |= {name: content[name] for name in wanted}
    return weights


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{path}: cannot be read as JSON ({one_line(error)})") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path}: not a JSON object")
    return content
