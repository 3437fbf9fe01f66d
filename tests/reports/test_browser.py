"""The page opened from disk in a real browser, without a network: everything draws, answers and stays inside."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.made_up_run import Content

from ontogeny.reports import write_page

# Uses the page like a reader, and writes down what it found where the test can read it.
VISIT = """
<script>
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
window.addEventListener("load", async () => {
  const found = document.documentElement.dataset;
  while (!found.drawn) await wait(50);
  const title = () => getComputedStyle(document.querySelector("#heads .gtitle, #heads .annotation-text")).fill;
  const before = title();
  document.querySelector("#theme").click();
  document.querySelector("#theme").click();
  await wait(500);
  found.themed = `${found.theme} ${before !== title()}`;
  const traces = () => document.querySelector("[data-figure=traces]").data[0].y.bdata;
  const last = traces();
  document.querySelector(".choices input").click();
  await wait(500);
  found.chosen = String(last !== traces());
  document.querySelector(".tokens").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  found.query = document.querySelector(".tokens .query").textContent;
  document.querySelectorAll(".thumbnails button")[10].click();
  found.readout = document.querySelector(".readout").textContent;
  found.overflow = String(document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const drawer = document.querySelector("[data-figure=behaviour] .nsewdrag");
  const box = drawer.getBoundingClientRect();
  const place = { clientX: box.left + box.width / 2, clientY: box.top + 40, bubbles: true, view: window };
  for (const kind of ["mouseover", "mousemove"]) drawer.dispatchEvent(new MouseEvent(kind, place));
  await wait(300);
  found.cursors = String(document.querySelectorAll(".step-cursor").length);
  found.visited = "true";
});
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_and_works_every_panel(
    width: int, content: Content, in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    path = write_page(tmp_path / "report.html", content.page())
    html = path.read_text(encoding="utf-8")
    path.write_text(html.replace("</body>\n</html>", f"{VISIT}</body></html>"), encoding="utf-8")
    dom = in_browser(path, width)
    root = re.search(r"<html[^>]*>", dom)
    assert root is not None
    found = dict(re.findall(r'data-([a-z]+)="([^"]*)"', root[0]))
    assert "errors" not in found, found["errors"]
    assert found["visited"] == "true"
    assert found["drawn"] == "7"
    assert dom.count('data-drawn="true"') == 8  # the figures, and the attention view
    assert len(re.findall(r'class="main-svg"', dom)) >= 14
    assert found["themed"] == "dark true"
    assert found["chosen"] == "true"
    assert found["query"] == "·word"
    assert found["readout"].startswith("L1H2 (induction)")
    assert found["overflow"] == "0"
    assert int(found["cursors"]) >= 9
