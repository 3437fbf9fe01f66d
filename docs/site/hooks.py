"""What the site has besides docs/*.md: reference pages of every room, recipes from scripts, files of the project."""

import ast
import re
from importlib.metadata import files as files_of
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ontogeny"
COPIED = ("examples/digits.py", "examples/on_ray.py", "examples/shards.sbatch")
PAGES = {"benchmarks/RESULTS.md": "benchmarks.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
# A link from a page of docs/ to a file of the project that is no page: shown as its path.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./(?:\.\./)?((?:src|benchmarks|tests)/[^)]+)\)")


def on_config(config: Any) -> Any:
    """Entries for the pages that are listed by what there is."""
    listed = {
        "Reference": ["reference/index.md", *(f"reference/{room}.md" for room in rooms())],
        "Decisions": [f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("*.md"))],
    }
    config.nav = _with_lists(config.nav, listed)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add pages and files that do not lie in docs/."""
    for name in COPIED:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_from_root(text)))
    files.append(File.generated(config, "reference/index.md", content=_overview()))
    for room in rooms():
        files.append(File.generated(config, f"reference/{room}.md", content=_room(room)))
    for script in sorted((ROOT / "docs" / "recipes").glob("*.py")):
        content = page_of(script.read_text(encoding="utf-8"))
        files.append(File.generated(config, f"recipes/{script.stem}.md", content=content))
    files.append(File.generated(config, "gallery/plotly.min.js", abs_src_path=str(_plotly())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that leave docs/: to copies of examples, and otherwise to no page."""
    if "](../examples/" in markdown and "/" not in page.file.src_uri:
        markdown = markdown.replace("](../examples/", "](examples/")
    return _OUTSIDE.sub(r"`\2`", markdown)


def page_of(script: str) -> str:
    """A script with cells, `# %%` and `# %% [markdown]`, as Markdown."""
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()))
        elif body.strip():
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def rooms() -> list[str]:
    """Every room whose names others may use, in alphabetical order."""
    found = [path.parent.name for path in sorted(PACKAGE.glob("*/__init__.py"))]
    return sorted({room for room in found if room != "cli" and exports(room)} | {"core"})


def exports(room: str) -> dict[str, str]:
    """The public names of a room -> where each is defined, from its `__init__`; of core, what `ontogeny` exports."""
    if room == "core":
        own = {name: place for name, place in top().items() if place.startswith("ontogeny.core.")}
        return own | {"losses": "ontogeny.core.losses"}
    inner = _imports(PACKAGE / "__init__.py", f"ontogeny.{room}")
    deeper = {name: place for name, place in inner.items() if place.count(".") > 2}
    return dict(sorted((_imports(PACKAGE / room / "__init__.py", f"ontogeny.{room}") | deeper).items()))


def top() -> dict[str, str]:
    """The names of `ontogeny` itself -> where each is defined."""
    found = {}
    for name, place in _imports(PACKAGE / "__init__.py", "ontogeny").items():
        room = place.split(".")[1]
        found[name] = exports(room).get(name, place) if room != "core" and place.count(".") == 2 else place
    return found


def _with_lists(entries: list[Any], listed: dict[str, list[str]]) -> list[Any]:
    """A navigation in which entries of these names have their lists."""
    found = []
    for entry in entries:
        (name, value), *_ = entry.items()
        inner = _with_lists(value, listed) if isinstance(value, list) and isinstance(value[0], dict) else value
        found.append({name: listed.get(name, inner)})
    return found


def _imports(path: Path, inside: str) -> dict[str, str]:
    """Names that a module imports from below `inside`."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and (node.module + ".").startswith(inside + "."):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: place for name, place in sorted(found.items()) if not name.startswith("_")}


def _plotly() -> Path:
    """plotly.js of the installed plotly, which the pages of the gallery share."""
    (script,) = (path for path in files_of("plotly") or [] if path.name == "plotly.min.js")
    return Path(str(script.locate()))


def _overview() -> str:
    rows = [_row(name, place) for name, place in sorted(top().items())]
    table = "\n".join(("| name | defined in |", "|---|---|", *rows))
    links = "\n".join(f"- [`ontogeny.{room}`]({room}.md): {_responsibility(room)}" for room in rooms())
    return f"# Reference\n\n`import ontogeny as og` has these names:\n\n{table}\n\nRooms with more:\n\n{links}\n"


def _row(name: str, place: str) -> str:
    link = f"[`og.{name}`]({name}.md)" if place == f"ontogeny.{name}" else f"[`og.{name}`][{place}]"
    return f"| {link} | `{place.rpartition('.')[0]}` |"


def _responsibility(room: str) -> str:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0]


def _room(room: str) -> str:
    names = "\n\n".join(f"::: {place}" for place in exports(room).values())
    return f"# ontogeny.{room}\n\n{_responsibility(room)}\n\n{names}\n"


def _from_root(text: str) -> str:
    """Links of a page at the root, as seen from docs/; others lose their targets."""
    text = text.replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)([^)]+?)(?<!\.md)\)", r"\1", text)
