"""Networks, data and checkpoints as people have them, all the way through `og.measure`: the right number, each time.

Right is the mean loss that the network's own forward pass gives on the raw data, before anything was saved or wrapped.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.acceptance.forms import DATA, LAYOUTS
from tests.acceptance.networks import NETWORKS, N

import ontogeny as og
from ontogeny.core.samples import Samples
from ontogeny.execution import Serial

FEW = og.Fixed(kernel=og.SGLD(1e-6), num_chains=1, num_draws=2, num_warmup=0)
HUGGING_FACE = ("gpt2", "gpt_neox", "llama", "mixtral")


def _table() -> list[tuple[str, str, str]]:
    """Every network under every layout, the forms of data in turn; and every form of data once more in memory."""
    forms = itertools.cycle(DATA)
    rows = [(name, next(forms), layout) for name in NETWORKS for layout in LAYOUTS]
    return rows + [(name, form, "in memory") for name in ("dense", "encoder", "gpt2") for form in DATA]


# One of five rows is enough for every day: each network, each form and each layout is among them.
ROWS = list(dict.fromkeys(_table()))
QUICK = ROWS[::5]
MARKED = [pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow) for row in ROWS]


def test_the_rows_of_every_day_leave_nothing_out() -> None:
    for column, known in enumerate((NETWORKS, DATA, LAYOUTS)):
        assert {row[column] for row in QUICK} == set(known)


@pytest.mark.parametrize(("network", "form", "layout"), MARKED)
def test_the_loss_is_that_of_the_network_itself(network: str, form: str, layout: str, tmp_path: Path) -> None:
    if network in HUGGING_FACE:
        pytest.importorskip("transformers")
    torch.manual_seed(1)
    known = NETWORKS[network]()
    model = known.make()
    source = LAYOUTS[layout](model, tmp_path)
    with torch.no_grad():
        expected = known.direct(model.eval())
    data: Any = DATA[form](dict(known.columns))
    run = og.open_checkpoints(source if isinstance(source, dict) else str(source))
    assert run.steps == [3]
    found = og.measure(
        run,
        known.make,
        Samples(data, N) if form == "stream" else data,
        known.loss_fn,
        nbeta=3.0,
        localization=1.0,
        sampler=FEW,
        executor=Serial(),
    )
    tolerance = 2e-2 if "half" in network else 1e-4
    assert found["loss"].item() == pytest.approx(expected, rel=tolerance)
    assert found["llc_trace"].notnull().any()
