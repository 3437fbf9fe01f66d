"""A stranger's page: every kind of block in a dozen lines, and what a page refuses."""

import re
from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go
import pytest
import xarray as xr

from ontogeny.core.errors import InvalidArgument
from ontogeny.reports import (
    Choice,
    Column,
    Entry,
    Facts,
    Figure,
    Heading,
    Page,
    Panel,
    Prose,
    Table,
    Tag,
    TokenView,
    insert_after,
    literal,
    rendering,
    write_page,
)
from ontogeny.reports.rendering import marked

SNIPPET = xr.Dataset(
    {"attention": (("component", "query", "key"), [[[1.0, 0.0], [0.5, 0.5]]])},
    coords={"component": ["L0H0"], "token": ("query", ["a", "b"])},
)


@pytest.fixture
def figure() -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="mine"), layout={"height": 200})


def test_a_stranger_makes_a_page_of_every_block(figure: go.Figure, tmp_path: Path) -> None:
    blocks = [
        Prose("Read **this** beside [the rest](#rest).", "lead"),
        Figure(figure, "A line", ["Blue is ", Tag("A", "blue"), "."]),
        Choice({"first": figure, "second": figure}, "Two lines", of="Line"),
        Heading("In numbers"),
        Table(["name", "value"], [["a", 0.123456], ["b", 2]], "Two values.", "Values"),
        Facts({"width": "64"}, {"width": "d"}, {"width": "of the model"}),
        TokenView(SNIPPET, "One head."),
    ]
    page = Page("Mine", panels=[Panel("own", "My panel", blocks), Panel("empty", "Nothing", [])], command="make it")
    html = write_page(tmp_path / "page.html", page).read_text(encoding="utf-8")
    assert re.findall(r'<section id="([^"]+)">', html) == ["own", "reproduce"]
    for shown in (
        *('Read <b>this</b> beside <a href="#rest">the rest</a>.', 'Blue is <span class="tag blue">A</span>.'),
        *('data-figure="own"', 'data-figure="own-2" data-of="Line"', '"label":"second"', "<h3>In numbers</h3>"),
        *(
            '<th scope="row">a</th>',
            '<td class="number">0.123</td>',
            '<td class="number">2</td>',
            "<b>d</b> width",
            "of the model",
            "make it",
        ),
        *('data-tokens="own-3"', 'aria-label="Two lines"'),
    ):
        assert shown in html, shown


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_a_figure_of_no_style_in_that_of_the_page(
    width: int, figure: go.Figure, in_browser: Callable[[Path, int], str], tmp_path: Path
) -> None:
    plain = go.Figure([go.Bar(x=["a", "b"], y=[1, 2], name="one"), go.Bar(x=["a", "b"], y=[2, 1], name="two")])
    blocks = [Figure(plain, "Bars"), Figure(figure, "A line"), TokenView(SNIPPET), TokenView(SNIPPET)]
    dom = in_browser(write_page(tmp_path / "page.html", Page("Mine", panels=[Panel("own", "Own", blocks)])), width)
    assert "data-errors" not in dom.partition("<body>")[0]
    assert dom.count('data-drawn="true"') == 4
    assert dom.count('class="legendtext"') == 2
    assert dom.count("</code> attends") == 2
    assert dom.count('data-save="csv"') == 2
    payload = re.findall(r'id="data-own">(.*?)</script>', dom)[0]
    assert "Liberation Sans" in payload
    assert '"height":320' in payload
    assert plain.layout.height is None


def test_a_page_without_figures_has_no_plotly(tmp_path: Path) -> None:
    page = Page("Words", panels=[Panel("a", "A", [Prose("Only this.")])])
    html = write_page(tmp_path / "page.html", page).read_text(encoding="utf-8")
    assert len(html) < 40_000
    assert "Only this." in html
    assert "reproduce" not in html


def test_prose_is_bold_and_linked_and_nothing_else() -> None:
    assert marked("**a <b>** [b](#c) [d](javascript:e) <i>") == (
        '<b>a &lt;b&gt;</b> <a href="#c">b</a> [d](javascript:e) &lt;i&gt;'
    )
    assert marked('[x](https://a.b/c?d=1&e) [y](https://a"b)') == (
        '<a href="https://a.b/c?d=1&amp;e">x</a> [y](https://a&#34;b)'
    )
    assert marked("** alone") == "** alone"
    assert marked(["a", Tag("<b>", "poor")]) == 'a<span class="tag poor">&lt;b&gt;</span>'


@pytest.mark.parametrize("text", ["**a**", r"\*", r"a\\**b**", "[x](#y)", "*[]\\", "plain", "**"])
def test_literal_words_stay_as_they_are(text: str) -> None:
    assert marked(f"**{literal(text)}**") == f"<b>{text}</b>"
    assert marked(literal(text)) == text


def test_ids_and_names_are_addresses_that_stand_there_once(figure: go.Figure) -> None:
    def panel(name: str, *names: str) -> Panel:
        return Panel(name, "A", [Figure(figure, "a line", name=each) for each in names])

    for panels in (
        [panel("a"), panel("a")],
        [panel("reproduce")],
        [panel("a b")],
        [panel("")],
        [panel("a", "x", "x")],
        [panel("a", "b"), panel("b", "")],
        [panel("a", "x y")],
        [Panel("a", "A", [Table(["x"], [[Entry("1", anchor="a")]])])],
    ):
        with pytest.raises(InvalidArgument, match="`panels`"):
            Page("Twice", panels=panels)
    Page("Once", panels=[panel("a", "", "", "x"), panel("b", "")])


def test_what_cannot_be_shown_is_refused(figure: go.Figure, tmp_path: Path) -> None:
    for block, argument in ((Choice({}, "none"), "figures"), (Figure(figure, " "), "alt")):
        with pytest.raises(InvalidArgument, match=f"`{argument}`"):
            Page("Empty", panels=[Panel("a", "A", [block])])
    ragged = Page("Ragged", panels=[Panel("a", "A", [Table(["x", Column("y")], [["1", "2"], ["3"]])])])
    with pytest.raises(InvalidArgument, match=r"`rows`: expected 2 cells .* found 1"):
        write_page(tmp_path / "page.html", ragged)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidArgument, match="`after`"):
        insert_after([Panel("a", "A", [])], "b", [])


def test_a_page_appears_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "page.html", []
    write_page(path, Page("Old"))
    replace = rendering.os.replace

    def watched(source: Path, target: Path) -> None:
        seen.append((Path(source).read_text(encoding="utf-8"), Path(target).read_text(encoding="utf-8")))
        replace(source, target)

    monkeypatch.setattr(rendering.os, "replace", watched)
    write_page(path, Page("New"))
    ((new, old),) = seen
    assert "<h1>Old</h1>" in old
    assert "<h1>New</h1>" in new
    assert path.read_text(encoding="utf-8") == new

    def killed(source: Path, target: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(rendering.os, "replace", killed)
    with pytest.raises(OSError, match="no room"):
        write_page(path, Page("Lost"))
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == new
