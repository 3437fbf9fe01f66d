"""The forms in which people hold their data, and those in which training leaves weights behind."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

Columns = dict[str, Tensor]


class Indexed(Dataset[Any]):
    """A map-style dataset of tuples."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> Any:
        row = tuple(column[index] for column in self.columns.values())
        return row if len(row) > 1 else row[0]


class Streamed(IterableDataset[Any]):
    """The same without numbers."""

    def __init__(self, columns: Columns) -> None:
        self.samples = Indexed(columns)

    def __iter__(self) -> Iterator[Any]:
        return (self.samples[index] for index in range(len(self.samples)))


def _plain(columns: Columns) -> Any:
    found = tuple(columns.values())
    return found if len(found) > 1 else found[0]


def _arrays(columns: Columns) -> Any:
    found = tuple(
        column.float().numpy() if column.is_floating_point() else column.numpy() for column in columns.values()
    )
    return found if len(found) > 1 else found[0]


def _rows(columns: Columns) -> list[dict[str, Any]]:
    return [{name: column[i] for name, column in columns.items()} for i in range(len(next(iter(columns.values()))))]


def _hugging_face(columns: Columns) -> Any:
    import datasets

    return datasets.Dataset.from_dict({name: column.tolist() for name, column in columns.items()})


def _encoding(columns: Columns) -> Any:
    import transformers

    return transformers.BatchEncoding(columns)


DATA: dict[str, Callable[[Columns], Any]] = {
    "tensors": _plain,
    "arrays": _arrays,
    "dict": lambda columns: columns,
    "rows": _rows,
    "map-style": Indexed,
    "loader": lambda columns: DataLoader(Indexed(columns), 5, shuffle=True),
    "tensor loader": lambda columns: DataLoader(TensorDataset(*columns.values()), 7),
    "loader of rows": lambda columns: DataLoader(_rows(columns), 4),  # type: ignore[arg-type]
    "datasets": _hugging_face,
    "datasets with format": lambda columns: _hugging_face(columns).with_format("torch"),
    "encoding": _encoding,
    "stream": Streamed,
}


def _saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def _prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _averaged(model: nn.Module) -> dict[str, Tensor]:
    return torch.optim.swa_utils.AveragedModel(model).state_dict()


def _distributed(model: nn.Module, folder: Path) -> str:
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        dcp.save({"model": model.state_dict()}, checkpoint_id=folder / "step3")
    return str(folder / "step{N}")


def _own_names(model: nn.Module, folder: Path) -> str:
    state = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
    (folder / "steps").mkdir()
    save_file(state, folder / "steps" / "step3.safetensors")
    return str(folder / "steps")


def _pretrained(model: Any, folder: Path, **options: Any) -> str:
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder / "checkpoint-3", **options)
    else:
        (folder / "checkpoint-3").mkdir()
        torch.save(model.state_dict(), folder / "checkpoint-3" / "pytorch_model.bin")
    return str(folder)


def _optimizer(model: nn.Module) -> dict[str, Any]:
    return torch.optim.Adam(model.parameters()).state_dict()


# model, empty folder -> what `open_checkpoints` is given
LAYOUTS: dict[str, Callable[[Any, Path], Any]] = {
    "in memory": lambda model, folder: {3: {name: tensor.clone() for name, tensor in model.state_dict().items()}},
    "state dict": lambda model, folder: _saved(model.state_dict(), folder / "model_3.pt").parent,
    "safetensors": _own_names,
    "nanoGPT": lambda model, folder: (
        _saved(
            {
                "model": _prefixed(model.state_dict(), "_orig_mod."),
                "optimizer": _optimizer(model),
                "iter_num": 3,
                "config": {"lr": 0.1},
            },
            folder / "ckpt_3.pt",
        ).parent
    ),
    "tutorial": lambda model, folder: (
        _saved(
            {"epoch": 3, "model_state_dict": model.state_dict(), "optimizer_state_dict": _optimizer(model)},
            folder / "checkpoint_3.tar.pt",
        ).parent
        / "checkpoint_{N}.tar.pt"
    ),
    "Lightning": lambda model, folder: (
        _saved(
            {"epoch": 0, "global_step": 3, "state_dict": _prefixed(model.state_dict(), "net."), "hyper_parameters": {}},
            folder / "epoch=0-step=3.ckpt",
        ).parent
    ),
    "parallel": lambda model, folder: (
        _saved(_prefixed(model.state_dict(), "module."), folder / "model_3.pth").parent / "model_{N}.pth"
    ),
    "averaged": lambda model, folder: _saved(_averaged(model), folder / "ema_3.pt").parent / "ema_{N}.pt",
    "pretrained": _pretrained,
    "in shards": lambda model, folder: _pretrained(model, folder, max_shard_size="1KB"),
    "distributed": _distributed,
}
