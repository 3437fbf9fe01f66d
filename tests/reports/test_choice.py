"""The figure of the choice of temperature: every pilot, the chosen setting, and no fright of what is not a number."""

import numpy as np
import pytest
import xarray as xr

from ontogeny.reports import fig_choice


def points(figure, panel: int) -> list:
    axis = f"x{panel + 1 if panel else ''}"
    return [trace for trace in figure.data if trace.xaxis == axis and trace.mode == "markers" and trace.customdata]


def test_every_pilot_is_drawn_in_each_panel(choice: xr.Dataset) -> None:
    figure = fig_choice(choice)
    for panel, values in enumerate(
        (choice.complexity, choice.descent / choice.complexity, choice.rise / choice.attrs["loss_gain"])
    ):
        drawn = points(figure, panel)
        assert [trace.name for trace in drawn] == ["step 10", "step 400", "step 6k"]
        for trace, row in zip(drawn, values.transpose("pilot", "trial").values, strict=True):
            assert np.allclose(trace.y, row[np.isfinite(row)])
    assert [len(trace.x) for trace in points(figure, 0)] == [5, 6, 6]
    assert "complexity –" not in "".join(points(figure, 0)[0].customdata)


def test_the_chosen_setting_is_marked_in_each_panel(choice: xr.Dataset) -> None:
    figure = fig_choice(choice)
    assert [line.x0 for line in figure.layout.shapes] == [choice.attrs["nbeta"]] * 3
    sizes = points(figure, 1)[1].marker.size
    assert [i for i, size in enumerate(sizes) if size == max(sizes)] == [2]
    assert figure.layout.xaxis.title.text == "nβ"


def test_the_axis_is_what_was_varied(choice: xr.Dataset) -> None:
    gamma = np.geomspace(1, 100, 6)
    by_gamma = choice.assign(nbeta=200 + 0 * choice.nbeta, localization=("trial", gamma))
    figure = fig_choice(by_gamma.assign_attrs(localization=float(gamma[1])))
    assert figure.layout.xaxis.title.text == "localization γ"
    assert np.allclose(points(figure, 0)[1].x, gamma)
    both = fig_choice(choice.assign(localization=("trial", gamma[::-1])))
    assert both.layout.xaxis.title.text == "nβ / γ"
    together = fig_choice(choice.assign(localization=choice.nbeta / 10))
    assert together.layout.xaxis.title.text == "nβ (γ in proportion)"
    by_pilot = choice.assign(nbeta=choice.nbeta * xr.DataArray([1.0, 2.0, 3.0], dims="pilot"))
    assert np.allclose(points(fig_choice(by_pilot), 0)[2].x, 3 * choice.nbeta)


@pytest.mark.parametrize("lost", ["complexity", "descent", "rise", "nbeta", "everything", "attributes", "zero gain"])
def test_what_is_not_a_number_is_left_out(lost: str, choice: xr.Dataset) -> None:
    names = list(choice.data_vars) if lost == "everything" else [lost] if lost in choice else []
    spoiled = choice.assign({name: np.nan * choice[name] for name in names})
    spoiled.attrs = {} if lost == "attributes" else choice.attrs | ({"loss_gain": 0.0} if lost == "zero gain" else {})
    figure = fig_choice(spoiled)
    assert len(figure.layout.shapes) == (0 if lost == "attributes" else 3)
    assert "NaN" not in figure.to_json()
    if lost in ("attributes", "zero gain"):
        assert figure.layout.annotations[2].text == "<b>Rise of the loss (nats)</b>"


def test_drawing_changes_nothing(choice: xr.Dataset) -> None:
    before = choice.copy(deep=True)
    fig_choice(choice)
    xr.testing.assert_identical(choice, before)
