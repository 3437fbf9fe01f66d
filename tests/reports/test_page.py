"""The page is one file that loads nothing, shows what there is, and trusts no string."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.made_up_run import Content

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import write_page
from ontogeny.reports.rendering import plotly_script

PANELS = [
    *("loss-llc", "stages", "claims", "refined", "behaviour", "heads"),
    *("trajectory", "attention", "diagnostics", "settings", "reproduce"),
]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Seen(HTMLParser):
    """What a browser would see: sections, addresses, scripts, tags and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.sections += [named["id"] or ""] if tag == "section" else []
        self.addresses += [named[key] or "" for key in ("src", "href", "action", "data", "srcset") if key in named]

    def handle_data(self, data: str) -> None:
        if self.get_starttag_text() != "<script>":
            self.text += data


def written(content: Content, folder: Path) -> str:
    return write_page(folder / "deep" / "report.html", content.page()).read_text(encoding="utf-8")


def payload(html: str, identifier: str) -> object:
    found = re.search(rf'<script type="application/json" id="{identifier}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_every_panel_is_there_in_order_and_linked(content: Content, tmp_path: Path) -> None:
    page = Seen(written(content, tmp_path))
    assert page.sections == PANELS
    assert {f"#{panel}" for panel in PANELS} <= set(page.addresses)
    assert len(page.ids) == len(set(page.ids))
    for fact in ("A small language model learns Python", "171 of 174", "nβ", "24,576", "needs the standard preset"):
        assert fact in page.text


def test_nothing_is_loaded_from_elsewhere(content: Content, tmp_path: Path) -> None:
    html = written(content, tmp_path)
    assert html.count(plotly_script()) == 1
    assert not re.search(r'(src|href)="https?://', html)
    own = html.replace(plotly_script(), "")
    assert all(address.startswith("#") for address in Seen(own).addresses)
    assert "link" not in Seen(own).tags
    assert not re.search(r"https?://|@import|url\(", own)
    assert "default-src 'none'" in own


def test_hostile_strings_stay_text(content: Content, tmp_path: Path) -> None:
    snippet = xr.Dataset(
        {"attention": (("component", "query", "key"), [[[1.0]]])},
        coords={"component": [HOSTILE], "token": ("query", [HOSTILE]), "key_token": ("key", [HOSTILE])},
    )
    hostile = Content(
        title=HOSTILE,
        trajectory=content.trajectory.assign_coords(dataset=[HOSTILE, "b", "c"], component=[HOSTILE]),
        stages=content.stages,
        pca=content.pca,
        claims=[{"id": HOSTILE, "title": HOSTILE, "note": HOSTILE, "status": HOSTILE, "source": HOSTILE}],
        snippet=snippet,
        facts={HOSTILE: HOSTILE},
        command=HOSTILE,
        controls={HOSTILE: content.trajectory},
    )
    harmless, attacked = Seen(written(content, tmp_path)), Seen(written(hostile, tmp_path))
    assert "img" not in attacked.tags
    assert attacked.tags.count("script") == harmless.tags.count("script")
    assert attacked.text.count(HOSTILE) >= 8


VARIABLES = [
    "loss",
    "llc",
    "icl_score",
    "ngram_cross_entropy",
    "head_score",
    "repeated_gain",
    "loss_by_position",
    "test_loss",
]


@pytest.mark.parametrize("variable", [*VARIABLES, "outputs"])
def test_a_trajectory_of_one_variable_is_shown(variable: str, content: Content, tmp_path: Path) -> None:
    trajectory = content.trajectory[[variable]]
    trajectory.attrs = {}
    page = Seen(written(Content("Only a part", trajectory), tmp_path))
    panels = {"loss": ["loss-llc", "behaviour"], "llc": ["loss-llc", "refined", "diagnostics"]}
    panels |= {"head_score": ["heads"], "outputs": []}
    assert page.sections == panels.get(variable, ["behaviour"])


@pytest.mark.parametrize("missing", ["llc_mcse", "llc_outcome", "llc_trace", "llc_warmup_trace", "loss_sem", "loss"])
def test_a_missing_variable_removes_no_more_than_itself(missing: str, content: Content, tmp_path: Path) -> None:
    page = Seen(written(replace(content, trajectory=content.trajectory.drop_vars(missing)), tmp_path))
    assert page.sections == PANELS


@pytest.mark.parametrize("missing", ["stages", "pca", "snippet"])
def test_a_missing_part_leaves_out_its_panel(missing: str, content: Content, tmp_path: Path) -> None:
    lesser = {
        "stages": replace(content, stages=None),
        "pca": replace(content, pca=None),
        "snippet": replace(content, snippet=None),
    }
    page = Seen(written(lesser[missing], tmp_path))
    gone = {"stages": "stages", "pca": "trajectory", "snippet": "attention"}[missing]
    assert page.sections == [panel for panel in PANELS if panel != gone]


def test_a_single_checkpoint_makes_a_report(content: Content, tmp_path: Path) -> None:
    alone = Content("One", content.trajectory.isel(step=[30]))
    assert "At step" in Seen(written(alone, tmp_path)).text


def test_a_trajectory_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="trajectory"):
        write_page(tmp_path / "report.html", Content("Nothing", xr.Dataset()).page())
    assert not (tmp_path / "report.html").exists()


def test_the_figures_in_the_page_are_small(content: Content, tmp_path: Path) -> None:
    html = written(content, tmp_path)
    for name in ("loss-llc", "behaviour", "heads", "trajectory", "traces"):
        choices = payload(html, f"data-{name}")
        assert isinstance(choices, list)
        assert choices[0]["figure"]["data"]
    assert len(html) - len(plotly_script()) < 2_000_000


def test_attention_survives_packing(content: Content, tmp_path: Path) -> None:
    assert content.snippet is not None
    view = payload(written(content, tmp_path), "data-attention")
    assert isinstance(view, dict)
    assert view["tokens"] == list(content.snippet.token.values)
    assert view["losses"][0] is None
    weights = np.frombuffer(base64.b64decode(view["components"][10]["weights"]), np.uint8).reshape(24, 24) / 255
    assert np.abs(weights - content.snippet.attention.values[10]).max() <= 0.5 / 255 + 1e-9
