"""Python files of users, loaded as modules, and the line of them that an error comes from."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ontogeny.core.errors import InvalidArgument, OntogenyError

_folders: set[Path] = set()  # of the files that were loaded; a file there may import its neighbours


def load_file(path: Path, module: str, argument: str) -> ModuleType:
    """The module that a file defines, under this name, as if it had been imported from its folder.

    Raises:
        InvalidArgument: for a file that fails, naming the line.
    """
    place = path.resolve()
    _folders.add(place.parent)
    if str(place.parent) not in sys.path:
        sys.path.insert(0, str(place.parent))
    spec = importlib.util.spec_from_file_location(module, place)
    assert spec is not None
    assert spec.loader is not None
    loaded = sys.modules[module] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        del sys.modules[module]  # it is half made
        if isinstance(error, OntogenyError):
            raise
        raise InvalidArgument(
            argument,
            expected="a Python file that runs",
            found=mistake(error) or str(error),
            instead=f"python {path}, which shows where",
        ) from error
    return loaded


def mistake(error: Exception) -> str:
    """File, line and message of an error that was raised in a file of `load_file`, or in one beside it, or in what
    they called; empty if it was raised elsewhere.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}: {error.msg}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).parent in _folders]
    if not frames:
        return ""
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"
    if isinstance(error, OntogenyError):
        return f"{place}: {error}"
    said = "".join(str(error).strip().splitlines()[-1:])
    return f"{place}: {type(error).__name__}" + f": {said}" * bool(said)
