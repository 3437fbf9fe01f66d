"""The house is as CONTRIBUTING says, its files are short, and nothing in it belongs to one machine."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ontogeny"
ROOMS = sorted(path for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py")))

TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".cff", ".html", ".jinja", ".css", ".js"}
NAMED = {"Makefile", "run"}  # text by name
FOLDERS = ("src", "tests", "benchmarks", "examples", "docs", ".ci")
# Taken apart so that this file does not find itself.
MACHINE_PATHS = [f"/{folder}/" for folder in ("work", "root", "tmp", "home", "Users")]


def sources() -> list[Path]:
    """Every text that belongs to the project: the files at the root and all below the folders."""
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    below = [path for path in below if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    return [
        path for path in [*ROOT.iterdir(), *below] if path.is_file() and (path.suffix in TEXT or path.name in NAMED)
    ]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_states_its_responsibility(room: Path) -> None:
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))


def test_the_map_in_contributing_shows_the_rooms_that_there_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \d \| `(\w+)` \|", text, re.MULTILINE)) == [room.name for room in ROOMS]


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {re.split(r"[\[><=]", line)[0] for line in requirements}
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    libraries = {name.split(".")[0] for name in imported} - sys.stdlib_module_names - {"ontogeny"}
    distributions = packages_distributions()
    names = {distributions.get(name, [name])[0].lower().replace("_", "-") for name in libraries}
    assert "torch" in names
    assert names <= declared


def test_no_source_file_is_longer_than_400_lines() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix in TEXT]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_source_names_a_place_on_one_machine() -> None:
    files = sources()
    assert len(files) > 20
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        for word in MACHINE_PATHS
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []
