"""Sampling C chains of P weights one after another holds (C + 2)·P of them, two gradients, and little else."""

import json
import os
import subprocess
import sys

import pytest

# Peaks of resident memory, in bytes. Linux's peak of this program alone, which the parent's memory is no part of.
MEASURE = """
import json, sys
import torch
import ontogeny as og

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

class Wide(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first, self.second = (torch.nn.Linear(size, size, bias=False) for _ in range(2))

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))

def run(size, num_chains):
    model, data = Wide(size), (torch.ones(4, size), torch.ones(4, size))
    posterior = og.LocalPosterior(model, data, og.losses.mse)
    sampled = {"num_draws": 2, "num_warmup": 1, "observables": {"probe": data}, "vectorized": False}
    return posterior.num_parameters, og.sample(posterior, og.SGLD(1e-12), num_chains=num_chains, **sampled)

torch.set_num_threads(1)
run(8, 2)
before = peak()
size, num_chains = map(int, sys.argv[1:])
num_parameters, draws = run(size, num_chains)
assert (draws["sample_stats"]["distance"] > 0)[:, 1:].all()
print(json.dumps([num_parameters, peak() - before]))
"""
SLACK = 6e6  # bytes: activations and what is imported late


def weights_held(num_chains: int, size: int = 2000) -> float:
    """Growth of the peak, in copies of the weights."""
    command = [sys.executable, "-c", MEASURE, str(size), str(num_chains)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is freed goes back to the system at once
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    num_parameters, growth = json.loads(result.stdout)
    assert num_parameters == 2 * size**2
    return (growth - SLACK) / (4 * num_parameters)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_chains_cost_their_weights_and_no_more() -> None:
    few, many = weights_held(2), weights_held(8)
    assert few < 2 + 2 + 2
    assert many < 8 + 2 + 2
    assert (many - few) / 6 == pytest.approx(1.0, abs=0.02)
