"""Diagnosis of this machine: versions, hardware, and optional packages."""

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator

OPTIONAL = {
    "transformers": ("hf", "models of the Hugging Face hub"),
    "datasets": ("data", "text of the Hugging Face hub"),
}


def diagnose() -> Iterator[str]:
    """Lines of text, one fact each."""
    machine = f"{platform.system()} {platform.machine()}"
    yield f"ontogeny {_version('ontogeny')}, Python {platform.python_version()}, {machine}"
    for name in ("torch", "numpy", "xarray", "zarr", "arviz-stats", "scikit-learn", "plotly"):
        yield f"  {name} {_version(name)}"
    import torch

    yield f"cores: {os.cpu_count()} ({torch.get_num_threads()} threads used by torch)"
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    yield f"GPU: {', '.join(gpus) if gpus else 'none that torch can use'}"
    for name, (extra, purpose) in OPTIONAL.items():
        there = importlib.util.find_spec(name) is not None
        yield f'optional {name}: {"installed" if there else "missing"} ({purpose}; pip install "ontogeny[{extra}]")'


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
