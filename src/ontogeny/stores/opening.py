"""The checkpoints of a training run, wherever they are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.checkpoints import Checkpoints, DirectoryCheckpoints, FileCheckpoints, MemoryCheckpoints
from ontogeny.stores.entries import state_dict_in
from ontogeny.stores.layouts import SUFFIXES, is_checkpoint, weights_in
from ontogeny.stores.series import find_series, paths_by_step


def open_checkpoints(
    source: str | Path | Sequence[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]],
    *,
    key: str | None = None,
    load: Callable[[Path], Any] | None = None,
) -> Checkpoints:
    """The checkpoints of a training run, wherever they are. Nothing that stands in a file is executed.

    A checkpoint on disk is a file of `torch.save` or safetensors, or a folder: of `save_pretrained` or the Trainer of
    transformers, with shards and their index; a PEFT adapter; `torch.distributed.checkpoint`. The weights are found
    beside an optimizer's state and what else was saved. How names are fitted to a module, see `load_into`.

    Args:
        source: a folder with one series of checkpoints (`checkpoint-10`, `step20`, `epoch=0-step=30.ckpt`), itself or
            in its folder `checkpoints` (see `find_series`); a pattern with `{N}` where the step stands and `*` for
            what else varies, such as `"out/checkpoint-{N}"` or `"weights/model_{N}.pt"`; one file, or a folder
            of `save_pretrained` and the like, which is step 0; a list of state dicts (steps 0, 1, …) or a mapping from
            step to state dict.
        key: the entry that holds the weights, such as "ema" or "state_dict"; dotted, it goes further down, and takes of
            a state dict what stands under a prefix ("state_dict.student"). Default: found by itself, and refused if
            several could be meant.
        load: reads a checkpoint instead: a function of its path that returns a state dict, or a dict with one.

    Raises:
        InvalidArgument: if nothing is found there, or several series, with the pattern of each; if state dicts of two
            steps are the same tensors in memory. Content is read when a step is loaded.
    """
    if load is not None and not callable(load):
        raise InvalidArgument("load", expected="a function from a path to a state dict", found=repr(load))
    if isinstance(source, (str, Path)):
        return _on_disk(source, key, load)
    if load is not None:
        raise InvalidArgument("load", expected="files to load", found="state dicts in memory", instead="no load=")
    if not isinstance(source, (Mapping, Sequence)):
        raise InvalidArgument(
            "source",
            expected="a folder, a pattern with {N}, or state dicts",
            found=type(source).__name__,
            instead="a list, or a mapping from step to state dict",
        )
    steps = source if isinstance(source, Mapping) else dict(enumerate(source))
    if not steps:
        raise InvalidArgument("source", expected="at least one state dict", found="none", instead=_IN_MEMORY)
    for step, saved in steps.items():
        if not isinstance(saved, Mapping):
            found = f"{type(saved).__name__} at step {step!r}"
            raise InvalidArgument("source", expected="state dicts (name -> tensor)", found=found, instead=_IN_MEMORY)
        if not isinstance(step, int) or step < 0:
            raise InvalidArgument(
                "source",
                expected="steps that are whole numbers ≥ 0",
                found=repr(step),
                instead="{0: model.state_dict()} or [model.state_dict()] for one checkpoint",
            )
    weights = {step: state_dict_in(saved, key, f"step {step}") for step, saved in steps.items()}
    _refuse_aliases(weights)
    return MemoryCheckpoints(weights)


_IN_MEMORY = "[model.state_dict()] with each module's own, or the folder or pattern of files"


def _on_disk(source: str | Path, key: str | None, load: Callable[[Path], Any] | None) -> Checkpoints:
    if "{N}" in str(source):
        return FileCheckpoints(paths_by_step(str(Path(source).expanduser())), key, load)
    path = Path(source).expanduser()
    for folder in (path / "checkpoints", path):
        own = DirectoryCheckpoints(folder) if folder.is_dir() else None
        if own and own.steps and any(folder.glob("step-*.sha256")):
            if key is not None or load is not None:
                name = "key" if load is None else "load"
                raise InvalidArgument(name, expected="files of other tools", found=f"{folder}, written by ontogeny")
            return own
        if series := find_series(folder):
            return FileCheckpoints(series, key, load)
    if path.is_file() or is_checkpoint(path):
        return FileCheckpoints({0: path}, key, load)
    single = [f'"{file}"' for file in weights_in(path)[:3]]
    raise InvalidArgument(
        "source",
        expected=f"a folder with step-*.safetensors files, or with others ({', '.join(SUFFIXES)}, or folders of them) "
        "that have their step in their names",
        found=f"{source} without any" if path.exists() else f"{source}, which does not exist",
        instead='a pattern with {N} where the step stands, such as "checkpoint-{N}" or "model_{N}.pt"'
        + (f", or {' or '.join(single)} for one checkpoint" if single else ""),
    )


def _refuse_aliases(weights: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Refuse two steps all of whose floating-point tensors lie at the same places in memory.

    `model.state_dict()` is not a copy: kept as it is, every step shows the last weights. Steps that share some of
    their tensors, such as a frozen backbone, are fine.
    """
    seen: dict[frozenset[Any], int] = {}
    for step, tensors in weights.items():
        places = frozenset(
            (name, tensor.data_ptr(), tensor.shape, tensor.stride())
            for name, tensor in tensors.items()
            if tensor.is_floating_point() and tensor.layout is torch.strided and tensor.numel()
        )
        if places and places in seen:
            raise InvalidArgument(
                "source",
                expected="state dicts with tensors of their own",
                found=f"steps {seen[places]} and {step} whose tensors are the same memory",
                instead="{name: tensor.clone() for name, tensor in model.state_dict().items()} where each is taken",
            )
        seen[places] = step
