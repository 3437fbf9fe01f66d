"""Importing has no effects and costs little; public names are what they are, however they are reached."""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ontogeny

HEAVY = {
    *("torch", "plotly", "sklearn", "scipy", "xarray", "pandas", "zarr", "arviz_base", "arviz_stats", "tokenizers"),
    *("safetensors", "transformers", "datasets", "ray"),
}

# The audit hook sees every write, connection and child process from here on; state is what they might leave behind.
WATCH = """
import json, logging, os, random, sys, threading, warnings

seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def watch(event, arguments):
    effect = event.startswith(("socket.", "subprocess.", "shutil.", "os.mkdir", "os.rename", "os.remove"))
    if effect or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
        seen.append(f"{event} {arguments[0]!r}")

def state():
    handlers, threads = list(logging.root.handlers), threading.active_count()
    return dict(os.environ), random.getstate(), list(warnings.filters), handlers, threads

before = state()
sys.addaudithook(watch)
"""
TELL = """
print(json.dumps({"seen": seen, "unchanged": state() == before, "modules": sorted(sys.modules)}))
"""


def in_new_process(code: str, folder: Path) -> dict[str, Any]:
    """What `code` did in a fresh interpreter, by the audit hook."""
    command = [sys.executable, "-B", "-c", WATCH + code + TELL]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_importing_the_package_has_no_effects(tmp_path: Path) -> None:
    told = in_new_process("import ontogeny\n", tmp_path)
    assert told["seen"] == []
    assert told["unchanged"]
    assert HEAVY.isdisjoint(told["modules"])


@pytest.mark.parametrize("code", ["open('made', 'w').close()\n", "import socket; socket.socket()\n"])
def test_the_watch_sees_writes_and_connections(code: str, tmp_path: Path) -> None:
    assert len(in_new_process(code, tmp_path)["seen"]) == 1


@pytest.mark.parametrize("code", ["os.environ['A'] = 'b'\n", "random.seed(0)\n", "warnings.simplefilter('ignore')\n"])
def test_the_watch_sees_changed_state(code: str, tmp_path: Path) -> None:
    assert not in_new_process(code, tmp_path)["unchanged"]


@pytest.mark.parametrize("arguments", [["--help"], ["study", "--help"]])
def test_help_needs_no_heavy_library(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
from ontogeny.cli import main
sys.argv = ["ontogeny", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    told = in_new_process(code, tmp_path)
    assert told["seen"] == []
    assert HEAVY.isdisjoint(told["modules"])


def test_public_names_are_the_same_object_however_often_they_are_reached() -> None:
    """Importing a module sets an attribute on its package, which must never replace a public name."""
    assert len(set(ontogeny.__all__)) == len(ontogeny.__all__) > 0
    first = {name: getattr(ontogeny, name) for name in ontogeny.__all__}
    for module in pkgutil.walk_packages(ontogeny.__path__, "ontogeny."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name, value in first.items():
        assert getattr(ontogeny, name) is value, name
    assert set(ontogeny.__all__) <= set(dir(ontogeny))


def test_no_module_bears_the_name_of_what_its_room_exports() -> None:
    for room in pkgutil.iter_modules(ontogeny.__path__, "ontogeny."):
        package = importlib.import_module(room.name)
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            found = getattr(package, module.name, None)
            assert found is None or isinstance(found, ModuleType), f"{room.name}.{module.name}"


def test_every_public_name_is_documented() -> None:
    for name in ontogeny.__all__:
        value = getattr(ontogeny, name)
        if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), name


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(ontogeny, "no_such_name")  # noqa: B009  (a plain attribute is the type checker's to refuse)
