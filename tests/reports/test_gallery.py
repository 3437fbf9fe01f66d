"""The pages of the gallery in a real browser, without a network, at two widths: all is drawn, and nothing overflows."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from ontogeny.reports.rendering import plotly_script
from ontogeny.studies.study import MODULES

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
PAGES = sorted(GALLERY.glob("*.html"))
HEIGHT = 6000

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
FRAME = """<!doctype html><title>frame</title><style>* {{ margin: 0; border: 0; display: block }}</style>
<script>addEventListener("message", (told) => {{ document.documentElement.dataset.told = told.data; }});</script>
<iframe src="page.html" style="width: {width}px; height: {height}px"></iframe>
"""


def test_the_gallery_lists_its_pages() -> None:
    listed = re.findall(r"\]\(([\w-]+)\.html\)", (GALLERY / "index.md").read_text(encoding="utf-8"))
    assert sorted(set(listed)) == [page.stem for page in PAGES]
    studies = {module.replace("_", "-") for module in MODULES} | {"language-planted"}
    assert set(listed) <= studies


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_drawn(page: Path, width: int, in_browser: Callable[..., str], tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    html = page.read_text(encoding="utf-8")
    assert '<script src="plotly.min.js"></script>' in html
    (tmp_path / "page.html").write_text(html.replace("</body>\n</html>", f"{TELLS}</body></html>"), encoding="utf-8")
    (tmp_path / "plotly.min.js").write_text(plotly_script(), encoding="utf-8")
    frame, picture = tmp_path / "frame.html", tmp_path / "picture.png"
    frame.write_text(FRAME.format(width=width, height=HEIGHT), encoding="utf-8")
    dom = in_browser(frame, max(width, 500), HEIGHT, picture)
    told = re.search(r'data-told="([^"]*)"', dom)
    assert told is not None
    found = json.loads(unescape(told[1]))
    assert found["errors"] == ""
    assert found["drawn"] == found["figures"]
    assert found["overflow"] == 0
    assert found["width"] in (width, width - 15)  # with a scroll bar
    pixels = image.imread(picture)[..., :3]
    assert pixels.shape[1] == max(width, 500)
    assert pixels[:400, :width].std() > 0.02  # the heading
    inside = [box for box in found["boxes"] if box[3] <= min(HEIGHT, len(pixels)) and box[2] > box[0]]
    for left, top, right, bottom in inside:
        assert right <= width
        colours = np.unique((pixels[top:bottom, left:right] * 255).astype(int).reshape(-1, 3), axis=0)
        assert len(colours) > 20, "a figure is blank"
