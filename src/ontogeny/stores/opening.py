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
    """Open the checkpoints of a training run, wherever they are. Nothing in a file is executed.

    A checkpoint on disk is a `torch.save` or safetensors file, or a folder. A folder may come from `save_pretrained` or
    the transformers Trainer, sharded or not; or hold a PEFT adapter; or come from `torch.distributed.checkpoint`. The
    weights are found among the optimizer's state and anything else that was saved. `load_into` explains how names are
    matched to a module.

    Args:
        source: a folder with one series of checkpoints (`checkpoint-10`, `step20`, `epoch=0-step=30.ckpt`), directly or
            in its subfolder `checkpoints` (see `find_series`); a pattern with `{N}` for the step and `*` for anything
            else that varies, such as `"out/checkpoint-{N}"` or `"weights/model_{N}.pt"`; one file, or a folder of
            `save_pretrained` and the like, which is step 0; a list of state dicts (steps 0, 1, …) or a mapping from
            step to state dict.
        key: the entry with the weights, such as "ema" or "state_dict". A dotted key descends further, and selects by
            prefix within a state dict ("state_dict.student"). Default: found automatically; ambiguity raises.
        load: reads a checkpoint instead: a function from its path to a state dict, or to a dict that contains one.

    Raises:
        InvalidArgument: if nothing is found, or several series, whose patterns are listed; or if the state dicts of two
            steps are the same tensors in memory. Content is read only when a step is loaded.
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


_IN_MEMORY = "[model.state_dict()] with the state dict of each module, or the folder or pattern of files"


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
        "with the step in their names",
        found=f"{source} without any" if path.exists() else f"{source}, which does not exist",
        instead='a pattern with {N} for the step, such as "checkpoint-{N}" or "model_{N}.pt"'
        + (f", or {' or '.join(single)} for one checkpoint" if single else ""),
    )


def _refuse_aliases(weights: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Refuse two steps whose floating-point tensors all share memory.

    `model.state_dict()` is not a copy: without one, every step shows the last weights. Steps that share some of
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
                expected="state dicts that do not share tensors",
                found=f"steps {seen[places]} and {step} with all tensors in the same memory",
                instead="{name: tensor.clone() for name, tensor in model.state_dict().items()} where each is taken",
            )
        seen[places] = step
