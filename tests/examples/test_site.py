"""The site: every public name is documented, every link leads somewhere, and it builds without a warning."""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import ontogeny as og

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = ("reference/", "recipes/", "benchmarks.md", "changelog.md", "contributing.md")  # by docs/site/hooks.py


def public_names() -> dict[str, object]:
    """What `ontogeny` and its rooms export, by address."""
    found = {f"ontogeny.{name}": getattr(og, name) for name in og.__all__}
    for room in pkgutil.iter_modules(og.__path__, "ontogeny."):
        module = importlib.import_module(room.name)
        if room.ispkg and room.name != "ontogeny.cli":
            names = [name for name in vars(module) if not name.startswith("_")]
            found |= {f"{room.name}.{name}": getattr(module, name) for name in names}
    return found


def test_every_public_name_is_documented() -> None:
    names = public_names()
    assert len(names) > 200
    kinds = (inspect.isclass, inspect.isroutine, inspect.ismodule)
    bare = [name for name, value in names.items() if any(kind(value) for kind in kinds) and not inspect.getdoc(value)]
    assert bare == []


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as the code host makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, anchor = urldefrag(link)
        if re.match(r"\w+:", link) or place.removeprefix("../").startswith(MADE):
            continue
        target = (page.parent / unquote(place)).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def addresses(value: type | Callable) -> set[str]:
    """A class or function by its module and the packages above, any of which may document it."""
    *parts, last = value.__module__.split(".")
    return {f"{'.'.join([*parts, last][:depth])}.{value.__qualname__}" for depth in range(1, len(parts) + 2)}


class Links(HTMLParser):
    """The targets, addresses and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {str(found[name]) for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.targets.add(str(found["href"]))
        if tag in ("script", "img", "link") and (file := found.get("src") or found.get("href")):
            self.loaded.add(file)


@pytest.mark.slow
def test_the_site_builds_offline_without_a_warning_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    for library in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(library)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # which the theme prints beside what the build has to say
    result = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in (tmp_path / "site").rglob("*.html")}
    assert len(pages) > 60
    ids = set().union(*(links.ids for links in pages.values()))
    undocumented = [
        name
        for name, value in public_names().items()
        if (inspect.isclass(value) or inspect.isroutine(value))
        and str(value.__module__).startswith("ontogeny")
        and not addresses(value) & ids
    ]
    assert undocumented == []
    for path, links in pages.items():
        if path.name == "404.html":
            continue
        for target in links.targets | links.loaded:
            place, anchor = urldefrag(target)
            if re.match(r"\w+:|//", target):
                assert target not in links.loaded, f"{path}: {target}"
                continue
            file = (path.parent / unquote(place)).resolve() if place else path
            file = file / "index.html" if file.is_dir() else file
            assert file.exists(), f"{path}: {target}"
            assert not anchor or file not in pages or unquote(anchor) in pages[file].ids, f"{path}: {target}"
