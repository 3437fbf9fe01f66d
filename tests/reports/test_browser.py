"""The page opened from disk in a real browser, without a network: everything draws, answers and stays inside."""

import re
from collections.abc import Callable
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.made_up_run import Content

from ontogeny.reports import write_page

# Uses the page like a reader, and writes down what it found where the test can read it.
VISIT = """
<script>
// The browser's clock leaps while nothing is due. Turns of the event loop take no time of that clock.
const turn = () => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = done;
  port2.postMessage(0);
});
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
  const [made, saved, address] = [new Map(), [], URL.createObjectURL.bind(URL)];
  URL.createObjectURL = (blob) => { const url = address(blob); made.set(url, blob); return url; };
  HTMLAnchorElement.prototype.click = function () {
    found.files = `${found.files ?? ""}${this.download} `;
    saved.push(made.get(this.href));
  };
  const save = async (name, kind) => {
    const figure = document.querySelector(`[data-figure=${name}]`).closest("figure");
    const count = saved.length;
    figure.querySelector(`[data-save=${kind}]`).click();
    for (let turns = 0; saved.length === count && turns < 1e6; turns += 1) await turn();
    return saved.at(-1);
  };
  found.svg = (await (await save("traces", "svg")).text()).slice(0, 4);
  found.png = String([...new Uint8Array(await (await save("slope", "png")).arrayBuffer()).slice(1, 4)]);
  found.behaviour = await (await save("behaviour", "csv")).text();
  found.llc = await (await save("loss-llc", "csv")).text();
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
    found = {name: unescape(value) for name, value in re.findall(r'data-([a-z]+)="([^"]*)"', root[0])}
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
    assert found["svg"] == "<svg"
    assert found["png"] == ",".join(str(ord(letter)) for letter in "PNG")
    assert found["files"].split() == ["traces-step-0.svg", "slope.png", "behaviour.csv", "loss-llc.csv"]
    _check_data(pd.read_csv(StringIO(found["behaviour"])), pd.read_csv(StringIO(found["llc"])), content.trajectory)


def _check_data(behaviour: pd.DataFrame, llc: pd.DataFrame, trajectory: xr.Dataset) -> None:
    """The saved tables hold what was measured, under names."""
    scores = behaviour[behaviour.series == "score"]
    assert set(scores.panel) == {"In-context score: late minus early loss"}
    assert np.allclose(scores.x, trajectory.step)
    assert np.allclose(scores.nats, trajectory.icl_score)
    error = trajectory.icl_by_sequence.std("sequence", ddof=1) / np.sqrt(trajectory.sizes["sequence"])
    assert np.allclose(scores.high - scores.nats, 1.96 * error)
    assert np.allclose(scores.nats - scores.low, 1.96 * error)
    points = llc[llc.series == "LLC"].dropna(subset="y error")
    assert np.allclose(points["training step"], trajectory.step)
    assert np.allclose(points["y error"], 1.96 * trajectory.llc_mcse[:, 0, 0])
    outcomes = [outcome.replace("_", " ") for outcome in trajectory.llc_outcome.values[:, 0, 0]]
    assert all(f"({outcome}" in note for note, outcome in zip(points.note, outcomes, strict=True))
