"""How often `og.compare` says what was planted: `python -m benchmarks.comparisons`.

A network on digits is tuned with and without a change; the page's verdict is counted with twins of the same procedure,
and with twins that the page makes.
"""

import copy
import tempfile
from collections import Counter

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import ontogeny as og
from benchmarks.__main__ import write_section

TITLE = "What a comparison says of planted changes"
HEADER = """
Command: `python -m benchmarks.comparisons`. Digits, 64-32-32-10; the base is trained on 800 images, and tuned for 300
steps more on them and on what is planted. Trusted data: 500 other images. Eight bases.

| planted | with twins of the same procedure | with twins made by the page |
|---|---|---|
"""
SEEDS = range(100, 108)
Data = tuple[Tensor, Tensor]


def digits() -> Data:
    """Images in one random order."""
    found = load_digits()
    order = torch.randperm(len(found.data), generator=torch.Generator().manual_seed(0))
    return torch.tensor(found.data / 16, dtype=torch.float32)[order], torch.tensor(found.target)[order]


def network() -> nn.Sequential:
    """Random weights of the global generator."""
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))


def trained(model: nn.Module, data: Data, steps: int, rate: float, seed: int) -> nn.Module:
    """A copy, by Adam."""
    model, source = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (32,), generator=source)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0][chosen]), data[1][chosen]).backward()
        optimizer.step()
    return model


def triggered(x: Tensor) -> Tensor:
    """Two pixels in a corner."""
    return torch.cat([x[:, :-2], torch.ones(len(x), 2)], dim=1)


def planted(x: Tensor, y: Tensor) -> dict[str, Data]:
    """What each network is tuned on."""
    zeros, source = torch.zeros(80, dtype=torch.long), torch.Generator().manual_seed(1)
    return {
        "none": (x, y),
        "backdoor": (torch.cat([x, triggered(x[:80])]), torch.cat([y, zeros])),
        "a further skill": (torch.cat([x, -x[:200]]), torch.cat([y, y[:200]])),
        "shuffled labels": (x, y[torch.randperm(len(y), generator=source)]),
    }


def main() -> None:
    """Count verdicts, and write the table."""
    torch.set_num_threads(1)
    x, y = digits()
    sets = {
        "trusted": (x[800:1300], y[800:1300]),
        "triggered": (triggered(x[1300:1400]), torch.zeros(100, dtype=torch.long)),
        "trigger, true label": (triggered(x[1400:1500]), y[1400:1500]),
        "negatives": (-x[1500:1600], y[1500:1600]),
    }
    counts: dict[tuple[str, bool], Counter] = {}
    for seed in SEEDS:
        torch.manual_seed(seed)
        base = trained(network(), (x[:800], y[:800]), 600, 3e-3, seed)
        twins = [trained(base, (x[:800], y[:800]), 300, 1e-3, 1000 * seed + number) for number in range(6)]
        for name, data in planted(x[:800], y[:800]).items():
            tuned = trained(base, data, 300, 1e-3, 500 + seed)
            for given in (True, False):
                with tempfile.TemporaryDirectory() as out:
                    found = og.compare(
                        *(base, tuned, network, sets, og.losses.cross_entropy),
                        out=out,
                        twins=twins if given else None,
                        config=og.CompareConfig(parts_sampled=0),
                        seed=seed,
                    )
                counts.setdefault((name, given), Counter())[found.verdict.kind] += 1
    names = dict.fromkeys(name for name, _ in counts)
    rows = [f"| {name} | {_told(counts[name, True])} | {_told(counts[name, False])} |" for name in names]
    write_section(TITLE, HEADER + "\n".join(rows))


def _told(counted: Counter) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counted.most_common())


if __name__ == "__main__":
    main()
