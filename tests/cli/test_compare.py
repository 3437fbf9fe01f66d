"""`ontogeny compare` on two files of weights."""

from pathlib import Path

import torch
from tests.cli.conftest import Command
from torch import nn

SETUP = """
import torch
import ontogeny as og

def model_fn():
    return torch.nn.Linear(3, 2)

x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
data = (x[:40], (x[:40, 0] > 0).long())
datasets = {"turned": (x[40:], (x[40:, 1] > 0).long())}
loss_fn = og.losses.cross_entropy
"""


def test_a_page_is_written_and_its_verdict_printed(ontogeny: Command, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text(SETUP)
    weights = {"base": [[9.0, 0, 0], [-9.0, 0, 0]], "tuned": [[0, 9.0, 0], [0, -9.0, 0]]}
    for name, rows in weights.items():
        model = nn.Linear(3, 2)
        model.load_state_dict({"weight": -torch.tensor(rows), "bias": torch.zeros(2)})
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
    files = [tmp_path / f"{name}.pt" for name in weights]
    quick = ["--set", "parts_sampled=0", "--set", "twin_steps=20", "--out", tmp_path / "out"]
    code, output, errors = ontogeny("compare", *files, tmp_path / "setup.py", *quick)
    assert code == 0, errors
    assert "change: not separable from weight noise" in output  # of six weights any six others are as far off
    assert (tmp_path / "out" / "report.html").exists()
    code, _, errors = ontogeny("compare", files[0], files[0], tmp_path / "setup.py", *quick)
    assert code == 2
    assert "`tuned`: expected other weights" in errors
