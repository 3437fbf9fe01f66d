"""Peak memory of sampling the 3.1M-parameter transformer over that of its forward and backward pass."""

import json
import subprocess
import sys

CHAINS = 4
_MEASURE = """
import json, sys, torch
from benchmarks.sampler import _floor, transformer_case
from ontogeny import SGLD, LocalPosterior, losses, sample

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

torch.set_num_threads(2)
imported = peak()
chains = int(sys.argv[2])
model, data, loss_fn, batch_size, _ = transformer_case(chains, losses.next_token)
if sys.argv[1] == "floor":
    _floor(model, data, loss_fn, batch_size, 1, 3)()
else:
    posterior = LocalPosterior(model, data, loss_fn, nbeta=30.0, localization=100.0, batch_size=batch_size)
    sample(posterior, SGLD(1e-6), num_chains=chains, num_draws=3, num_warmup=0)
weights = sum(parameter.numel() for parameter in model.parameters()) * 4 / 2**20
print(json.dumps([peak() - imported, weights]))
"""


def measure() -> str:
    """One line: megabytes of the floor and of sampling, imports subtracted, and the difference in copies of weights."""
    found = {}
    for name in ("floor", "sampling"):
        command = [sys.executable, "-c", _MEASURE, name, str(CHAINS)]
        found[name], weights = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    more = (found["sampling"] - found["floor"]) / weights
    return (
        f"Peak memory, imports subtracted: floor by our loss {found['floor']:.0f} MB, {CHAINS}"
        f" chains {found['sampling']:.0f} MB,"
        f" which is {more:.1f} copies of the {weights:.1f} MB of weights more, {more / CHAINS:.2f} a chain."
    )


if __name__ == "__main__":
    print(measure())  # noqa: T201 - the result
