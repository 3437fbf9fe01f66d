"""The checkpoints of a training run, wherever they are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.stores.checkpoints import Checkpoints, DirectoryCheckpoints, FileCheckpoints, MemoryCheckpoints
from ontogeny.stores.entries import state_dict_in
from ontogeny.stores.grid import on_grid
from ontogeny.stores.hub_opening import SCHEME, Hub, open_hub
from ontogeny.stores.layouts import SUFFIXES, is_checkpoint, weights_in
from ontogeny.stores.series import find_series, paths_by_step


def open_checkpoints(
    source: str | Path | Sequence[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]],
    *,
    key: str | None = None,
    load: Callable[[Path], Any] | None = None,
    every: str | int | None = None,
    keep: str = "last",
    pickle: bool = False,
    hub: Hub | None = None,
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
            step to state dict; or "hf://organisation/name", a series on a Hugging Face hub.
        key: the entry with the weights, such as "ema" or "state_dict". A dotted key descends further, and selects by
            prefix within a state dict ("state_dict.student"). Default: found automatically; ambiguity raises.
        load: reads a checkpoint instead: a function from its path to a state dict, or to a dict that contains one.
        every: takes the checkpoints nearest to a grid: "log:24" or "linear:24" for so many, always with the first and
            the last, or a number of which steps are multiples. Default: all.
        keep: of a series on a hub, what stays on disk: "none" of it, the "last" checkpoints, or "all". Unless all are
            kept, at most two are on disk at a time.
        pickle: of a series on a hub, whether revisions without safetensors are taken too.
        hub: address and cache of the hub, and what becomes of revisions that moved; default `Hub()`.

    A series on a hub is listed, put on the grid and checked for weights before anything is downloaded. Its revisions
    are branches, tags, commits, or folders and files within one revision. Lines of training are told apart: a source
    opens the longest, and `@` names another ("hf://allenai/OLMo-2-1124-7B@stage2-ingredient1"), a pattern of names
    ("@step{N}-tokens*B"), or one revision. `run.others` lists the other lines, `run.missing` the steps without a
    revision or without weights, `run.tokens` the tokens by step where they are known.

    Raises:
        InvalidArgument: if nothing is found, or several series, whose patterns are listed; or if the state dicts of two
            steps are the same tensors in memory; or if revisions moved since they were first opened. Content is read
            only when a step is loaded.
        HubUnreachable: if the hub does not answer.
    """
    if load is not None and not callable(load):
        raise InvalidArgument("load", expected="a function from a path to a state dict", found=repr(load))
    if isinstance(source, str) and source.startswith(SCHEME):
        return open_hub(source, every, keep, pickle, hub or Hub(), key, load)
    if pickle or hub is not None:
        name = "pickle" if pickle else "hub"
        raise InvalidArgument(
            name, expected='a source on a hub, "hf://…"', found=arguments.show(source), instead=f"no {name}="
        )
    if isinstance(source, (str, Path)):
        run = _on_disk(source, key, load)
        run.steps = on_grid(run.steps, every)
        return run
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
    taken = on_grid(list(weights), every)
    return MemoryCheckpoints({step: weights[step] for step in taken})


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
