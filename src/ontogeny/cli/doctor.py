"""Diagnosis of this machine: versions, hardware, and what is optional."""

import importlib.metadata
import os
import platform
from typing import Any, NamedTuple


class Extra(NamedTuple):
    """Packages that `pip install "ontogeny[NAME]"` adds, and what they are for."""

    packages: tuple[str, ...]
    purpose: str


EXTRAS = {
    "hf": Extra(("filelock", "huggingface-hub", "transformers"), "series and models of a Hugging Face hub, Trainer"),
    "data": Extra(("datasets",), "text of a Hugging Face hub"),
    "lightning": Extra(("lightning",), "checkpoints on a schedule from Lightning"),
    "ray": Extra(("ray",), "jobs on a Ray cluster"),
    "paper": Extra(("matplotlib",), "figures for papers, as vector PDF"),
}
CORE = ("torch", "numpy", "xarray", "zarr", "arviz-base", "arviz-stats", "scikit-learn", "plotly")


def diagnose() -> dict[str, Any]:
    """Facts about this machine by name; `optional` has those about each extra."""
    import torch

    return {
        "ontogeny": _version("ontogeny"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in CORE},
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "optional": {name: _about(name, extra) for name, extra in EXTRAS.items()},
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """The same for people, one fact a line."""
    packages = [f"  {name} {version or 'missing'}" for name, version in facts["packages"].items()]
    optional = []
    for name, about in facts["optional"].items():
        missing = f"missing {', '.join(about['missing'])}; {about['get']}" if about["missing"] else "installed"
        optional.append(f"  {name} ({about['purpose']}): {missing}")
    return [
        f"ontogeny {facts['ontogeny']}, Python {facts['python']}, {facts['machine']}",
        *packages,
        f"cores: {facts['cores']} ({facts['threads']} threads used by torch)",
        f"GPU: {', '.join(facts['gpus']) or 'none that torch can use'}",
        "optional:",
        *optional,
    ]


def _about(name: str, extra: Extra) -> dict[str, Any]:
    versions = {package: _version(package) for package in extra.packages}
    missing = [package for package, version in versions.items() if version is None]
    get = f'pip install "ontogeny[{name}]"'
    return {"purpose": extra.purpose, "packages": versions, "missing": missing, "get": get}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
