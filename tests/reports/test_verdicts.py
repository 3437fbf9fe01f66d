"""What did not converge is hollow and counted once, the same everywhere; what is negative is explained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.made_up_run import Content

from ontogeny.reports import fig_loss_and_llc, fig_refined_llc, write_page
from ontogeny.reports.estimate_notes import converged_sentence, excluded_sentence, negative_sentence, tally
from ontogeny.reports.estimates import estimates, main_estimates
from ontogeny.reports.headlines import summary, verdict
from ontogeny.reports.tables import claim_rows, untested_sentences


def traces(figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


@pytest.mark.parametrize("outcome", ["too_few_draws", "not_a_minimum", "an outcome of another version"])
def test_an_estimate_is_converged_or_hollow_and_never_both(outcome: str, trajectory: xr.Dataset) -> None:
    trajectory.llc_outcome[10:30] = outcome
    table = estimates(trajectory)
    assert (table.converged != table.hollow).all()
    good, total = int((trajectory.llc_outcome == "converged").sum()), trajectory.llc_outcome.size
    header = verdict(trajectory, None, ())[0]
    assert header.figure == tally(table) == f"{good} of {total}"
    assert f"{60 + int(outcome == 'not_a_minimum')} {outcome.replace('_', ' ')}" in header.text
    (points,) = traces(fig_loss_and_llc(trajectory), "LLC")
    main = main_estimates(table)
    assert (np.char.endswith(points.marker.symbol.astype(str), "-open") == main.hollow.to_numpy()).all()
    hollow = traces(fig_refined_llc(trajectory), "not converged")
    assert sum(len(trace.x) for trace in hollow) == total - good


def test_estimates_that_were_never_judged_are_neither(trajectory: xr.Dataset) -> None:
    table = estimates(trajectory.drop_vars("llc_outcome"))
    assert not table.converged.any()
    assert not table.hollow.any()
    assert converged_sentence(table) == ""


def test_the_header_counts_the_parts_too_and_no_estimate_twice(trajectory: xr.Dataset) -> None:
    heads = [trajectory.assign_coords(component=[name]) for name in ("all", "L0H0", "L0H1")]
    refined = xr.concat([head[["llc", "llc_outcome"]] for head in heads], "component")
    relative = refined.sel(component=["L0H0"]).assign(llc_outcome=refined.llc_outcome.sel(component=["L0H0"]))
    (header,) = verdict(trajectory, None, (), refined=refined, others={"relative to the reference": relative})
    assert header.figure == "684 of 696"
    assert "171 of 174 of the network, 342 of 348 of its parts and 171 of 174 relative to the reference" in header.text


def test_of_many_groups_the_header_names_those_of_which_not_all_converged(trajectory: xr.Dataset) -> None:
    sound = trajectory[["llc", "llc_outcome"]].assign(llc_outcome=xr.full_like(trajectory.llc_outcome, "converged"))
    (header,) = verdict(trajectory, None, (), others={f"of M {number}": sound for number in range(5)})
    assert header.text.endswith("By group: 171 of 174 of the network and all of the others.")


def test_complexity_descent_and_value_share_an_axis(apart: xr.Dataset) -> None:
    figure = fig_loss_and_llc(apart)
    for name, variable in (("LLC", "llc"), ("descent", "llc_descent"), ("complexity", "llc_complexity")):
        points = next(trace for trace in traces(figure, name) if trace.mode == "markers")
        assert points.yaxis == "y2"
        assert np.allclose(points.y, apart[variable][:, 0, 0])
        assert (points.error_y.array is not None) == (name == "complexity")
    withheld = traces(figure, "withheld by localization")[0]
    assert withheld.yaxis == "y3"
    assert np.allclose(withheld.y, apart.llc_withheld[:, 0, 0])
    assert {"complexity", "descent", "LLC"} <= {note.text for note in figure.layout.annotations}
    assert figure.layout.xaxis.anchor == "y3"


def test_the_smoothed_curve_belongs_to_what_was_staged(apart: xr.Dataset, stages: xr.Dataset) -> None:
    for coefficient, name in (("llc_complexity", "complexity"), ("llc", "LLC")):
        figure = fig_loss_and_llc(apart, stages.assign_attrs(coefficient=coefficient))
        (smooth,) = [trace for trace in figure.data if trace.mode == "lines" and len(trace.x) == 200 and not trace.fill]
        assert smooth.name == name


def test_a_wild_estimate_is_a_triangle_at_the_edge_and_does_not_set_the_range(apart: xr.Dataset) -> None:
    plain = fig_loss_and_llc(apart).layout.yaxis2.range
    apart.llc_descent[5] = 13_000.0
    apart.llc_outcome[5] = "not_converged"
    figure = fig_loss_and_llc(apart)
    points = next(trace for trace in traces(figure, "descent") if trace.mode == "markers")
    assert points.marker.symbol[5] == "triangle-up-open"
    assert points.customdata[5] == "13,000"
    assert points.y[5] == figure.layout.yaxis2.range[1] == plain[1]


def test_a_negative_coefficient_is_explained(apart: xr.Dataset, trajectory: xr.Dataset) -> None:
    table = main_estimates(estimates(apart))
    assert (table.llc < 0).any()
    assert (table.descent > table.complexity)[table.llc < 0].all()
    assert "between 0 and 7 because descent exceeds complexity" in negative_sentence(table)
    assert negative_sentence(main_estimates(estimates(trajectory))) == ""
    trajectory.llc[2] = -3.0
    assert "at step 2: the chains reached losses below" in negative_sentence(main_estimates(estimates(trajectory)))
    assert "in 3 estimates at step 2" in negative_sentence(estimates(trajectory))


def test_the_summary_speaks_of_the_complexity_that_converged(apart: xr.Dataset) -> None:
    text = summary(apart)
    assert "the complexity rose from" in text
    assert "(steps 9 to 6,000)" in text
    assert "−" not in text
    apart.llc_outcome[:] = "not_converged"
    assert "complexity" not in summary(apart)


def test_what_the_stages_left_out_is_said(stages: xr.Dataset) -> None:
    assert excluded_sentence(stages) == ""
    found = stages.assign_attrs(excluded_outcome=["not_a_minimum"] * 3 + ["diverged"])
    assert excluded_sentence(found) == "4 estimates were left out of the fit: 3 not a minimum and 1 diverged."


def test_a_training_that_diverged_is_said_first_run_by_run(trajectory: xr.Dataset) -> None:
    along = xr.ones_like(trajectory["step"], dtype=float).reset_coords(drop=True)
    diverged = trajectory.assign(training_diverged=1234 * along)
    sentence = verdict(diverged, None, ())[0]
    assert (sentence.figure, sentence.grade) == ("Training diverged", "poor")
    assert "A loss was not finite: at step 1,234." in sentence.text
    joined = xr.concat([trajectory, diverged], "seed", data_vars="all")
    assert "A loss was not finite: seed 1 at step 1,234." in verdict(joined, None, ())[0].text
    assert all(sentence.figure != "Training diverged" for sentence in verdict(trajectory, None, ()))


def test_claims_that_were_not_tested_are_sentences_and_no_rows() -> None:
    note = "not tested at this preset: it needs longer training"
    claims = [{"id": k, "title": k, "status": "not tested", "note": note} for k in "abcd"]
    claims += [{"id": "e", "title": "e", "status": "held"}, {"id": "f", "title": "f", "status": "of old"}]
    claims += [{"id": "g", "title": "g", "status": "failed", "note": "failed: ValueError"}]
    assert [row["id"] for row in claim_rows(claims)] == ["e", "g"]  # a test that failed is shown, and not passed over
    assert untested_sentences(claims) == [
        "Four more claims were not tested (it needs longer training): “a”, “b”, “c” and “d”.",
        "One more claim was not tested: “f”.",
    ]
    assert untested_sentences(claims[:1]) == ["One claim was not tested (it needs longer training): “a”."]
    (header,) = verdict(xr.Dataset(coords={"step": [1]}), None, claims[:4])
    assert (header.figure, header.text) == ("No claim", "was tested, of 4 claims.")
    (header,) = verdict(None, None, claims[4:])
    assert (header.figure, header.grade) == ("1 of 1", "poor")
    assert header.text == "tested claims held; the test of 1 failed and 1 more was not tested."


def test_a_page_shows_decomposition_and_withheld_share_in_its_table(
    apart: xr.Dataset, choice: xr.Dataset, content: Content, tmp_path: Path
) -> None:
    page = write_page(tmp_path / "new.html", replace(content, trajectory=apart, choice=choice).page()).read_text()
    old = write_page(tmp_path / "old.html", content.page()).read_text()
    for words in (">Descent</th>", ">Withheld</th>", ">Gradients</th>", 'id="choice"', "because descent exceeds"):
        assert words in page
        assert words not in old


def test_a_variable_without_any_value_has_no_panel(content: Content, tmp_path: Path) -> None:
    empty = content.trajectory[["loss", "head_score", "icl_score"]].copy(deep=True)
    empty["head_score"][:] = np.nan
    empty["icl_score"][:] = np.nan
    page = write_page(tmp_path / "page.html", Content("Empty", empty.isel(dataset=[0])).page()).read_text()
    assert 'id="heads"' not in page
    assert 'id="behaviour"' not in page


def test_a_run_that_diverged_throughout_still_has_its_page(apart: xr.Dataset, tmp_path: Path) -> None:
    names = [name for name in apart if str(name).startswith("llc") and apart[name].dtype.kind == "f"]
    lost = apart.assign({name: np.nan * apart[name] for name in names})
    lost.llc_outcome[:] = "diverged"
    page = write_page(tmp_path / "page.html", Content("Lost", lost, unstaged="Too few.").page()).read_text()
    assert "0 of 174</strong> learning-coefficient estimates converged; 174 diverged" in page
    assert "Read no coefficient on this page as a measurement." in page
    assert "No stages" in page
    assert "Too few." in page
    assert "A chain diverged" in page


def test_what_gamma_takes_of_most_checkpoints_is_said(apart: xr.Dataset) -> None:
    """A curve at which γ confines nearly everything says little of the loss, however well it has converged."""
    for share, said in ((0.97, True), (0.5, False)):
        apart["llc_withheld"] = xr.full_like(apart["llc"], share)
        assert any("γ takes 97%" in each.figure for each in verdict(apart, None, ())) == said
