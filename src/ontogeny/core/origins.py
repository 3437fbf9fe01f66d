"""Whether a module is a library's, identified by name and version, or the user's."""

import functools
import importlib.metadata
import importlib.util
import sys
from pathlib import Path


def library_of(module: str) -> str | None:
    """What identifies the library that `module` belongs to, such as "torch 2.13.0"; None for the user's own code.

    Libraries are the standard library, ontogeny, and everything in the package folders. Build variants such as `+cpu`
    are not distinguished, and the standard library has no version here. The studies of ontogeny count as the user's
    code: when a recipe changes, what it made is made again.
    """
    top = module.partition(".")[0]
    if top == "ontogeny":
        if module.startswith("ontogeny.studies."):
            return None
        return f"ontogeny {own_version()}"
    if top in ("", "__main__", "__mp_main__"):
        return None
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return "the standard library"
    place = _place(top)
    return _version(top) if place is not None and _is_installed(place) else None


def own_version() -> str:
    """`ontogeny.__version__`, without importing the package, which would be an import upwards."""
    return sys.modules["ontogeny"].__version__


def _place(top: str) -> Path | None:
    """The folder of the package or module `top`."""
    module = sys.modules.get(top)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    file = getattr(module, "__file__", None) or (spec.origin if spec and spec.has_location else None)
    if file:
        return Path(file).parent.parent if Path(file).stem == "__init__" else Path(file).parent
    folders = list(spec.submodule_search_locations or ()) if spec else []  # a package without `__init__`
    return Path(folders[0]).parent if folders else None


@functools.cache
def _is_installed(place: Path) -> bool:
    # pip leaves a `.dist-info` next to what it installs, but not next to editable packages
    return bool({"site-packages", "dist-packages"} & set(place.parts)) or any(place.glob("*.dist-info"))


@functools.cache
def _version(top: str) -> str:
    try:
        version = importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, [])
        version = importlib.metadata.version(names[0]) if names else "of unknown version"
    return f"{top} {version.partition('+')[0]}"
