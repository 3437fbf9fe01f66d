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

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import ReportContent, write_page
from ontogeny.reports.page import _plotly

PANELS = [
    *("loss-llc", "stages", "claims", "refined", "behaviour", "heads"),
    *("trajectory", "attention", "diagnostics", "reproduce"),
]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
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


def written(content: ReportContent, folder: Path) -> str:
    return write_page(folder / "deep" / "report.html", content).read_text(encoding="utf-8")


def payload(html: str, identifier: str) -> object:
    found = re.search(rf'<script type="application/json" id="{identifier}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_every_panel_is_there_in_order_and_linked(whole_page: str) -> None:
    page = Page(whole_page)
    assert page.sections == PANELS
    assert {f"#{panel}" for panel in PANELS} <= set(page.addresses)
    assert len(page.ids) == len(set(page.ids))
    for fact in ("A small language model learns Python", "171 of 174", "nβ", "24,576", "needs the standard preset"):
        assert fact in page.text


def test_nothing_is_loaded_from_elsewhere(whole_page: str) -> None:
    html = whole_page
    assert html.count(_plotly()) == 1
    assert not re.search(r'(src|href)="https?://', html)
    own = html.replace(_plotly(), "")
    assert all(address.startswith("#") for address in Page(own).addresses)
    assert "link" not in Page(own).tags
    assert not re.search(r"https?://|@import|url\(", own)
    assert "default-src 'none'" in own


def test_hostile_strings_stay_text(content: ReportContent, whole_page: str, tmp_path: Path) -> None:
    snippet = xr.Dataset(
        {"attention": (("component", "query", "key"), [[[1.0]]])},
        coords={"component": [HOSTILE], "token": ("query", [HOSTILE]), "key_token": ("key", [HOSTILE])},
    )
    hostile = ReportContent(
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
    harmless, attacked = Page(whole_page), Page(written(hostile, tmp_path))
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
def test_a_trajectory_of_one_variable_is_shown(variable: str, content: ReportContent, tmp_path: Path) -> None:
    trajectory = content.trajectory[[variable]]
    trajectory.attrs = {}
    page = Page(written(ReportContent("Only a part", trajectory), tmp_path))
    panels = {"loss": ["loss-llc", "behaviour"], "llc": ["loss-llc", "refined", "diagnostics"]}
    panels |= {"head_score": ["heads"], "outputs": []}
    assert page.sections == panels.get(variable, ["behaviour"])


@pytest.mark.parametrize(
    "missing", [["llc_mcse"], ["llc_outcome", "llc_warmup_trace", "loss_sem"], ["llc_trace"], ["loss"]], ids=", ".join
)
def test_missing_variables_remove_no_more_than_themselves(
    missing: list[str], content: ReportContent, tmp_path: Path
) -> None:
    page = Page(written(replace(content, trajectory=content.trajectory.drop_vars(missing)), tmp_path))
    assert page.sections == PANELS


def test_missing_parts_leave_out_their_panels(content: ReportContent, tmp_path: Path) -> None:
    page = Page(written(replace(content, stages=None, snippet=None), tmp_path))
    assert page.sections == [panel for panel in PANELS if panel not in ("stages", "attention")]
    page = Page(written(replace(content, pca=None), tmp_path))
    assert page.sections == [panel for panel in PANELS if panel != "trajectory"]


def test_a_single_checkpoint_makes_a_report(content: ReportContent, tmp_path: Path) -> None:
    alone = ReportContent("One", content.trajectory.isel(step=[30]))
    assert "At step" in Page(written(alone, tmp_path)).text


def test_a_trajectory_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="trajectory"):
        write_page(tmp_path / "report.html", ReportContent("Nothing", xr.Dataset()))
    assert not (tmp_path / "report.html").exists()


def test_the_figures_in_the_page_are_small(whole_page: str) -> None:
    html = whole_page
    for name in ("loss-llc", "behaviour", "heads", "trajectory", "traces"):
        choices = payload(html, f"figure-{name}")
        assert isinstance(choices, list)
        assert choices[0]["figure"]["data"]
    assert len(html) - len(_plotly()) < 2_000_000


def test_attention_survives_packing(content: ReportContent, whole_page: str) -> None:
    assert content.snippet is not None
    view = payload(whole_page, "attention-data")
    assert isinstance(view, dict)
    assert view["tokens"] == list(content.snippet.token.values)
    assert view["losses"][0] is None
    weights = np.frombuffer(base64.b64decode(view["components"][10]["weights"]), np.uint8).reshape(24, 24) / 255
    assert np.abs(weights - content.snippet.attention.values[10]).max() <= 0.5 / 255 + 1e-9
