"""What errors of this room say to write instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from tests.advice import Mistake, follow, mistakes
from torch import nn

import ontogeny as og
from ontogeny.core.protocols import Silent
from ontogeny.measurement import HeadCircuits, Run, jobs_in
from ontogeny.measurement.given import (
    as_run,
    as_store,
    check_base,
    checked_executor,
    datasets_of,
    names_of,
    steps_of,
)
from ontogeny.measurement.quantities import _behaviour
from ontogeny.measurement.responses import Responses

GIVEN = "measurement/given.py:"
code = torch.randn(8, 3), torch.arange(8) % 2
mixed = torch.randn(8, 3), torch.arange(8) % 2


def linear() -> nn.Linear:
    return nn.Linear(3, 2)


def beside(**options: Any) -> og.MeasureMeanwhile:
    return og.MeasureMeanwhile(linear, code, loss, store="measured", **options)


half = torch.tensor([[0, 1, 2], [2, 0, 1]])
known = torch.randn(20, 3), torch.arange(20) % 2
loss = og.losses.cross_entropy
run = og.open_checkpoints([linear().state_dict()])


def saved(name: str) -> None:
    Path(name).mkdir()
    torch.save(linear().state_dict(), Path(name) / "step_1.pt")


def adapters(drawn: bool) -> Run:
    """Checkpoints of an adapter, over a base whose weights are drawn anew at each call, or are the same."""
    peft = pytest.importorskip("peft")

    def model_fn() -> nn.Module:
        inner = nn.Linear(3, 2)
        base = nn.Sequential(inner)
        if not drawn:
            nn.init.ones_(inner.weight)
            nn.init.zeros_(inner.bias)
        return peft.get_peft_model(base, peft.LoraConfig(target_modules=["0"], r=2))

    peft_model: Any = model_fn()
    peft_model.save_pretrained("adapter/checkpoint-0")
    return Run(og.open_checkpoints("adapter"), model_fn)


def scored(suspects: Any, trusted: Any = known) -> bool:
    """Whether the suspects have a score each."""
    quick = og.Fixed(kernel=og.SGLD(1e-3), num_chains=2, num_draws=10, num_warmup=5)
    return og.anomaly(linear(), trusted, suspects, loss, sampler=quick).sizes["suspect"] == len(suspects[0])


def responses(probes: dict[str, Any]) -> Responses:
    return Responses(code, og.losses.cross_entropy, probes, {"all": og.restrict(nn.Linear(3, 2), "*")})


# fmt: off
MISTAKES = (
    ("measurement/meanwhile.py:MeasureMeanwhile.__init__", "beside(share=0.0)", "share", "share=0.1",
     "beside(ADVICE)"),
    ("measurement/meanwhile.py:MeasureMeanwhile.__init__#2", "beside(components=['weight'])", "components",
     "nbeta=100.0, localization=1.0", "beside(components=['weight'], ADVICE)"),
    ("measurement/record.py:jobs_in", "jobs_in('elsewhere')", "store", "the folder that was given as store=",
     "og.measure(run, linear, code, loss, components=[], store='here', executor=og.execution.Serial()) is not None "
     "and jobs_in('here')"),
    ("measurement/head_circuits.py:HeadCircuits.__post_init__", "HeadCircuits(half)", "repeats",
     "torch.cat([half, half], dim=1)", "HeadCircuits(ADVICE).repeats.shape == (2, 6)"),
    ("measurement/anomalies.py:anomaly", "scored(code, code)", "trusted", "20 or more samples",
     "scored(code, known)"),
    ("measurement/suspects.py:check_one_form", "scored((torch.randn(8, 4), torch.arange(8) % 2))", "suspects",
     "suspects cut, padded and encoded as trusted is", "scored(code)"),
    ("measurement/suspects.py:check_apart", "scored(tuple(map(torch.cat, zip(known, code))))", "suspects",
     "suspects without these", "scored(code)"),
    ("measurement/responses.py:Responses.__post_init__", "responses({'code': code})", "probes",
     '{"mixed": …, "code": …}', "responses({'mixed': mixed, 'code': code})"),
    (GIVEN + "as_run", "og.measure('run', linear, code, loss)", "run", "og.open_checkpoints('run')",
     "as_run((saved('run'), ADVICE)[1], linear)"),
    (GIVEN + "as_run", "og.measure([linear().state_dict()], linear, code, loss)", "run", "og.open_checkpoints(run)",
     "(lambda run: as_run(ADVICE, linear))([linear().state_dict()])"),
    (GIVEN + "as_run#2", "og.measure(run, linear(), code, loss)", "model_fn", "lambda: model",
     "(lambda model: as_run(run, ADVICE))(linear())"),
    (GIVEN + "as_store", "og.measure(run, linear, code, loss, store=__file__)", "store", 'store="measurements"',
     "(lambda **given: as_store(**given))(ADVICE)"),
    (GIVEN + "check_base", "check_base(adapters(drawn=True), 0)", "model_fn", "from_pretrained(base) in model_fn",
     "check_base(adapters(drawn=False), 0) is None"),
    ("measurement/quantities.py:_behaviour", "og.measure(run, linear, code, loss, behaviour=lambda model: 3.0)",
     "behaviour", 'lambda model: xr.Dataset({"accuracy": accuracy(model)})',
     "(lambda accuracy: _behaviour(ADVICE, linear(), 0, Silent()))(lambda model: 0.5)"),
    (GIVEN + "checked_executor", "og.measure(run, linear, code, loss, executor=2)", "executor",
     "og.execution.Processes(2)", "checked_executor(ADVICE)"),
    (GIVEN + "checked_executor", "og.measure(run, linear, code, loss, executor='local')", "executor",
     "og.execution.Serial()", "checked_executor(ADVICE)"),
    (GIVEN + "datasets_of", "og.measure(run, linear, code, loss, datasets=[mixed])", "datasets", '{"code": code}',
     "datasets_of(code, None, ADVICE)"),
    (GIVEN + "names_of", "og.measure(run, linear, code, loss, components='weight')", "components", "['weight']",
     "names_of(ADVICE)"),
    (GIVEN + "steps_of", "og.measure(run, linear, code, loss, steps=0)", "steps", "[0]", "steps_of(run, ADVICE)"),
)
# fmt: on


@mistakes(*MISTAKES)
@pytest.mark.filterwarnings("ignore")
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow(mistake, globals())
