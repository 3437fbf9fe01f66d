"""Draws that are streamed to disk are those in memory, and what was drawn before a crash is there after it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import ontogeny as og
from ontogeny.core.draws import settings_of
from ontogeny.core.losses import LossFn, mse
from ontogeny.stores import ZarrSink, read_tree

NUM_CHAINS, NUM_WARMUP, NUM_DRAWS = 2, 3, 70  # draws on both sides of a chunk's end
PROBE = torch.ones(3, 4), torch.ones(3, 1)


def run(loss: LossFn = mse, **changes: Any) -> xr.DataTree:
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    data = torch.randn(20, 4, generator=generator), torch.randn(20, 1, generator=generator)
    settings: dict[str, Any] = {"num_chains": NUM_CHAINS, "num_draws": NUM_DRAWS, "num_warmup": NUM_WARMUP}
    settings |= {"observables": {"probe": PROBE}, "vectorized": False} | changes
    return og.sample(og.LocalPosterior(model, data, loss, batch_size=4), og.SGLD(1e-3), **settings)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_warmup": 0, "num_draws": 1},
        *(pytest.param(more, marks=pytest.mark.slow) for more in ({}, {"observables": None})),
    ],
)
def test_a_streamed_run_is_the_one_in_memory(changes: dict[str, Any], tmp_path: Path) -> None:
    in_memory = run(**changes)
    streamed = run(sink=ZarrSink(tmp_path / "draws"), **changes)
    xr.testing.assert_identical(streamed, in_memory)
    xr.testing.assert_identical(read_tree(tmp_path / "draws", partial=True), in_memory)
    assert settings_of(streamed) == settings_of(in_memory)


@pytest.mark.slow
def test_what_was_drawn_before_a_crash_is_on_disk(tmp_path: Path) -> None:
    steps_before = 50
    calls = []

    def failing(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        losses = mse(model, batch)
        losses.register_hook(count)
        return losses

    def count(gradient: Tensor) -> None:
        calls.append(len(gradient))  # some steps take their minibatch in two halves
        if sum(calls) > steps_before * NUM_CHAINS * 4 + 3:  # three samples are probed
            raise MemoryError

    with pytest.raises(MemoryError):
        run(failing, sink=ZarrSink(tmp_path / "draws"))
    left, whole, done = read_tree(tmp_path / "draws", partial=True), run(), steps_before - NUM_WARMUP
    for group in ("posterior", "sample_stats"):
        for name in {str(name) for name in whole[group].data_vars} - {
            "failed_at",
            "heat",
            "half_loss",
            "heat_along",
            "heat_held",
            "half_virial",
        }:
            found, expected = np.asarray(left[group][name]), np.asarray(whole[group][name])
            assert np.isfinite(expected).all()
            np.testing.assert_array_equal(found[:, :done], expected[:, :done])
            assert np.isnan(found[:, done:]).all()
    for group in ("warmup_posterior", "warmup_sample_stats", "constant_data"):
        xr.testing.assert_identical(left[group].dataset, whole[group].dataset)


@pytest.mark.slow
def test_a_sink_replaces_what_was_in_its_place(tmp_path: Path) -> None:
    run(sink=ZarrSink(tmp_path / "draws"), num_chains=3)
    second = run(sink=ZarrSink(tmp_path / "draws"), num_draws=5, observables=None)
    xr.testing.assert_identical(read_tree(tmp_path / "draws", partial=True), second)
    assert "constant_data" not in second.children
