"""The pages of the gallery in a real browser, without a network, at two widths: all is drawn, and nothing overflows."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ontogeny.reports.rendering import plotly_script
from ontogeny.studies.study import MODULES

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
PAGES = sorted(GALLERY.glob("*.html"))
WIDTHS, HEIGHT = (1280, 400), 3000

# The page tells the window around it where its figures are. A frame is as narrow as it is told to be; a window is not.
TELLS = """
<script>
addEventListener("load", async () => {
  const root = document.documentElement;
  const figures = [...document.querySelectorAll(".plot")];
  while (!root.dataset.drawn) await new Promise((done) => setTimeout(done, 50));
  await new Promise((done) => setTimeout(done, 500));
  const boxes = figures.map((figure) => figure.getBoundingClientRect());
  parent.postMessage(JSON.stringify({
    errors: root.dataset.errors ?? "", drawn: figures.filter((figure) => figure.querySelector(".main-svg")).length,
    figures: figures.length, overflow: root.scrollWidth - root.clientWidth, width: root.clientWidth,
    boxes: boxes.map(({ left, top, right, bottom }) => [left, top, right, bottom].map(Math.round)),
  }), "*");
});
</script>
"""
FRAMES = """<!doctype html><title>frames</title><style>* { margin: 0; border: 0 } body { display: flex }</style>
<script>addEventListener("message", ({ data }) => {
  const found = document.documentElement.dataset;
  found.told = `${found.told ?? ""}${data}\\n`;
});</script>
"""


def test_the_gallery_lists_its_pages() -> None:
    listed = re.findall(r"\]\(([\w-]+)\.html\)", (GALLERY / "index.md").read_text(encoding="utf-8"))
    assert sorted(set(listed)) == sorted(page.stem for page in PAGES)
    studies = {module.replace("_", "-") for module in MODULES}
    assert {name.removesuffix("-planted").removesuffix("-standard") for name in listed} <= studies


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_drawn_at_two_widths(page: Path, in_browser: Callable[..., str], tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    html = page.read_text(encoding="utf-8")
    assert '<script src="plotly.min.js"></script>' in html
    (tmp_path / "page.html").write_text(html.replace("</body>\n</html>", f"{TELLS}</body></html>"), encoding="utf-8")
    (tmp_path / "plotly.min.js").write_text(plotly_script(), encoding="utf-8")
    frames = [f'<iframe src="page.html" style="flex: none; width: {w}px; height: {HEIGHT}px"></iframe>' for w in WIDTHS]
    (tmp_path / "frames.html").write_text(FRAMES + "\n".join(frames), encoding="utf-8")
    picture = tmp_path / "picture.png"
    dom = in_browser(tmp_path / "frames.html", sum(WIDTHS), HEIGHT, picture)
    told = re.search(r'data-told="([^"]*)"', dom)
    assert told is not None
    found = sorted(map(json.loads, unescape(told[1]).splitlines()), key=lambda each: -each["width"])
    assert len(found) == len(WIDTHS)
    pixels = image.imread(picture)[..., :3]
    for width, each, left in zip(WIDTHS, found, (0, WIDTHS[0]), strict=True):
        check(each, width, pixels[:, left : left + width])


def check(found: dict[str, Any], width: int, pixels: np.ndarray) -> None:
    """All figures were drawn within this width, and none of those in the picture is blank."""
    assert found["errors"] == ""
    assert found["drawn"] == found["figures"]
    assert found["overflow"] == 0
    assert found["width"] in (width, width - 15)  # with a scroll bar
    assert pixels[:400].std() > 0.02  # the heading
    for left, top, right, bottom in found["boxes"]:
        assert 0 <= left < right <= width
        if bottom <= len(pixels):
            shown = (pixels[top:bottom, left:right] * 255).astype(int).reshape(-1, 3)
            assert len(np.unique(shown, axis=0)) > 20, "a figure is blank"
