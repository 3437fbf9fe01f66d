"""A user's own model, data and loss, from a Python file that defines them."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ontogeny.core.errors import InvalidArgument


@dataclass(frozen=True)
class GivenSetup:
    """What a setup file defines."""

    model_fn: Callable[[], Any]
    data: Any
    loss_fn: Callable[[Any, Any], Any]
    behaviour: Callable[[Any], Any] | None


def read_setup(path: Path) -> GivenSetup:
    """Run the file, which may import its neighbours, and take `model_fn`, `data`, `loss_fn` and, if it is there,
    `behaviour` from it.
    """
    if not path.is_file():
        raise InvalidArgument("SETUP", expected="a Python file", found=f"{path}, which does not exist")
    spec = importlib.util.spec_from_file_location("ontogeny_setup", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["ontogeny_setup"] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    missing = [name for name in ("model_fn", "data", "loss_fn") if not hasattr(module, name)]
    if missing:
        raise InvalidArgument(
            "SETUP", expected="model_fn, data and loss_fn", found=f"{path} without {', '.join(missing)}"
        )
    return GivenSetup(module.model_fn, module.data, module.loss_fn, getattr(module, "behaviour", None))
