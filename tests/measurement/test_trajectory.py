"""A run is measured at every checkpoint, with the numbers of its posteriors, and nothing of the caller's changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.measurement.counted import (
    CALLS,
    POSTERIOR,
    SAMPLER,
    STEPS,
    Data,
    behaviour,
    counted_loss,
    loss_calls,
    make_model,
    measure,
)
from torch import Tensor, nn

from ontogeny.core import losses
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.outcome import Outcome
from ontogeny.core.seeds import derive
from ontogeny.estimators import llc
from ontogeny.execution import Processes, Serial
from ontogeny.sampling import SGLD, Fixed, LocalPosterior, PosteriorConfig
from ontogeny.stores import Checkpoints, MemoryCheckpoints


def test_the_result_is_a_trajectory(run: Checkpoints, data: Data) -> None:
    found = measure(
        run,
        make_model,
        data,
        losses.cross_entropy,
        components=["all", "0 | 2.bias", "*.weight"],
        datasets={"first": (data[0][:40], data[1][:40])},
        behaviour=behaviour,
        sampler=SAMPLER,
        steps=[0, 3],
    )
    assert found.step.values.tolist() == [0, 3]
    assert found.component.values.tolist() == ["all", "0 | 2.bias", "*.weight"]
    assert found.dataset.values.tolist() == ["data", "first"]
    each, trace = ("step", "component", "dataset"), {"chain": 2}
    dims = {name: dict(zip(found[name].dims, found[name].shape, strict=True)) for name in found.data_vars}
    sizes = {"step": 2, "component": 3, "dataset": 2}
    shared = ("complexity", "complexity_mcse", "descent", "descent_mcse", "withheld", "withheld_mcse", "gradients")
    for name in ("llc", *(f"llc_{each}" for each in ("mcse", "rhat", "ess", "outcome", *shared))):
        assert set(found[name].dims) == set(each), name
        assert dims.pop(name) == sizes
    assert dims == {
        "loss": {"step": 2, "dataset": 2},
        "loss_sem": {"step": 2, "dataset": 2},
        "llc_trace": sizes | trace | {"draw": 200},  # those that were not drawn are NaN
        "llc_warmup_trace": sizes | trace | {"warmup_draw": 100},
        "outputs": {"step": 2, "output": 20},
        "ngram_entropy": {"order": 1},  # a reference line has no steps
        "icl_score": {"step": 2},
        "llc_nbeta": {"step": 2},  # one value for all, kept where trajectories are joined
        "llc_localization": {"step": 2},
    }
    assert f'"nbeta": {float(found.llc_nbeta[1])}' in found.attrs["settings"]
    np.testing.assert_allclose(found.llc_trace.mean(["chain", "draw"]), found.llc, rtol=1e-5)
    assert set(found.llc_outcome.values.flat) <= {outcome.value for outcome in Outcome} - {"diverged"}
    assert found.attrs["settings"].startswith("{")
    assert '"localization": 10.0' in found.attrs["settings"]


def test_the_loss_is_that_of_the_checkpoint(run: Checkpoints, data: Data) -> None:
    found = measure(run, make_model, data, losses.cross_entropy, components=[])
    for step in STEPS:
        model = make_model()
        model.load_state_dict(run.load(step))
        with torch.no_grad():
            expected = losses.cross_entropy(model, data)
        assert float(found.loss.sel(step=step, dataset="data")) == pytest.approx(float(expected.mean()), rel=1e-5)
        sem = float(expected.std()) / 80**0.5
        assert float(found.loss_sem.sel(step=step, dataset="data")) == pytest.approx(sem, rel=1e-4)
    assert set(found.data_vars) == {"loss", "loss_sem"}
    assert float(found.loss[-1, 0]) < float(found.loss[0, 0]) - 0.3


def test_a_coefficient_is_that_of_the_posterior_at_the_checkpoint(run: Checkpoints, data: Data) -> None:
    found = measure(run, make_model, data, losses.cross_entropy, components=["0"], sampler=SAMPLER, steps=[3])
    model = make_model()
    model.load_state_dict(run.load(3))
    posterior = LocalPosterior(model, data, losses.cross_entropy, restriction="0", **POSTERIOR.options())
    assert float(found.llc.squeeze()) == llc(SAMPLER.draw(posterior, seed=derive(0, "0", "data", 3))).value


def test_steps_are_a_subset_in_order(run: Checkpoints, data: Data) -> None:
    def measured(steps: list[int] | None) -> xr.Dataset:
        return measure(run, make_model, data, losses.cross_entropy, sampler=SAMPLER, steps=steps)

    found = measured([30, 0, 0])
    assert found.step.values.tolist() == [0, 30]
    xr.testing.assert_identical(measured(None).sel(step=[0, 30]), found)


def test_nothing_that_was_passed_in_is_changed(run: Checkpoints, data: Data) -> None:
    """A model that `model_fn` returns again and again comes back with its own weights and modes."""
    model = nn.Sequential(*make_model(), nn.Dropout(0.5))
    model[0].eval()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    before = [run.checksum(step) for step in STEPS], data[0].clone(), torch.get_rng_state()
    found = measure(run, lambda: model, data, losses.cross_entropy, sampler=SAMPLER)
    xr.testing.assert_identical(found, measure(run, make_model, data, losses.cross_entropy, sampler=SAMPLER))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [run.checksum(step) for step in STEPS] == before[0]
    assert torch.equal(data[0], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.slow
def test_who_runs_the_jobs_does_not_matter(run: Checkpoints, data: Data) -> None:
    options: dict[str, Any] = {"behaviour": behaviour, "components": ["all", "2"], "sampler": SAMPLER}
    found = [
        measure(run, make_model, data, losses.cross_entropy, executor=executor, **options)
        for executor in (Serial(), Processes(2))
    ]
    xr.testing.assert_identical(*found)


def test_settings_that_are_given_in_full_are_not_tried_out(run: Checkpoints, data: Data) -> None:
    sampler = SAMPLER.model_copy(update={"num_draws": 2, "num_warmup": 1})
    calls = loss_calls(lambda: measure(run, make_model, data, counted_loss, sampler=sampler, steps=[3]))
    assert calls < 200  # a calibration takes thousands


class Guarded(nn.Module):
    """One weight, at the edge of a region without a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + torch.where(self.weight > 1, torch.nan, 0.0)


def test_a_chain_without_a_loss_is_an_outcome_of_its_checkpoint() -> None:
    run = MemoryCheckpoints(
        {step: {"weight": torch.tensor([value])} for step, value in {1: 0.0, 2: 0.98, 3: 0.1}.items()}
    )
    x = torch.linspace(-1, 1, 20)[:, None]
    sampler = Fixed(kernel=SGLD(1e-4), num_draws=15, num_warmup=0)
    posterior = PosteriorConfig(nbeta=20 / np.log(20), localization=1.0)
    found = measure(run, Guarded, (x, 0.3 * x), losses.mse, sampler=sampler, posterior=posterior)
    found = found.isel(draw=slice(15))
    failed = np.isnan(found.llc_trace.squeeze(["component", "dataset"])).any("draw")
    assert failed.any("chain").values.tolist() == [False, True, False]
    assert 1 <= int(failed.sel(step=2).sum()) < 4  # some chains only: the test is about those
    assert found.llc_outcome.sel(step=2).item() == "diverged"
    assert "diverged" not in found.llc_outcome.sel(step=[1, 3]).values
    assert np.isfinite(found.llc).all()
    assert np.isfinite(found.loss).all()


def test_wrong_use_is_refused_before_anything_is_measured(run: Checkpoints, data: Data, tmp_path: Path) -> None:
    def measured(**wrong: Any) -> None:
        given: dict[str, Any] = {"model_fn": make_model, "data": data, "loss_fn": counted_loss, "sampler": SAMPLER}
        measure(run, store=tmp_path / "store", behaviour=behaviour, **(given | wrong))

    for wrong, told in [
        ({"components": ["all", "3.weight"]}, r"`component`.*'3\.weight', which matches nothing.*'2\.weight'"),
        ({"steps": [3, 4]}, r"`steps`: expected steps of this run .*found 4"),
        ({"steps": []}, "`steps`"),
        ({"datasets": {"data": data}}, "`datasets`"),
        ({"data": iter([data])}, "`data`.*unknown length"),
        ({"data": (data[0][:0], data[1][:0])}, "`data`.*empty"),
        ({"model_fn": lambda: nn.Linear(64, 10)}, "`model_fn`: expected a module that fits the weights of step 0"),
    ]:
        with pytest.raises(InvalidArgument, match=told):
            measured(**wrong)
    assert CALLS["behaviour"] == 0
    assert not (tmp_path / "store").exists()
    with pytest.raises(InvalidArgument, match=r"`loss_fn`.*a scalar"):
        measured(loss_fn=lambda model, batch: counted_loss(model, batch).mean())
