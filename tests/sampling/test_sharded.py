"""A network divided over processes by FSDP2 has the draws of the same network in one process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from tests.sampling.sharded_draws import drawn, network

from ontogeny.stores import load_into, open_checkpoints

pytest.importorskip("transformers")
ROUNDING = 1e-5  # of sums over processes, relative
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform != "linux", reason="gloo processes on one machine"),
]


def divided(out: Path, count: int, *arguments: str) -> dict[str, np.ndarray]:
    """The draws of so many processes."""
    script = Path(__file__).with_name("sharded_draws.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, str(script), str(out), *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as found:
        return dict(found)


def agree(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=ROUNDING, atol=2e-6, err_msg=name)
    assert one["loss_difference"].std() > 1e-4


CASES = [(2, "neox", "all", "fixed"), (4, "neox", "L1H0", "fixed"), (2, "llama", "L1H0", "hamiltonian")]
CASES += [(4, "llama", "all", "fixed"), (1, "neox", "all", "fixed")]


@pytest.mark.parametrize(("count", "name", "part", "sampler"), CASES)
def test_draws_are_those_of_one_process(count: int, name: str, part: str, sampler: str, tmp_path: Path) -> None:
    alone = drawn(network(name), None if part == "all" else part, sampler)
    agree(alone, divided(tmp_path / "out.npz", count, name, part, sampler))


def test_a_calibrated_sampler_runs_on_a_divided_network(tmp_path: Path) -> None:
    """Its choices depend on many sums, whose rounding grows along the chains: values agree, not draws."""
    alone = drawn(network("neox"), "L1H0", "calibrated")
    found = divided(tmp_path / "out.npz", 2, "neox", "L1H0", "calibrated")
    assert np.isfinite(found["loss_difference"]).all()
    np.testing.assert_allclose(found["distance"].mean(), alone["distance"].mean(), rtol=0.1)


def test_checkpoints_of_divided_networks_are_read_into_divided_ones_and_into_whole_ones(tmp_path: Path) -> None:
    model = network("neox")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    dcp.save(dict(model.state_dict()), checkpoint_id=str(tmp_path / "step-1"), no_dist=True)
    arguments = ("neox", "L1H0", "fixed", str(tmp_path))
    agree(drawn(model, "L1H0", "fixed"), divided(tmp_path / "out.npz", 2, *arguments))
    copy: Any = network("neox")
    load_into(copy, open_checkpoints(tmp_path).load(2))
    assert all(torch.equal(each, copy.state_dict()[name]) for name, each in model.state_dict().items())
