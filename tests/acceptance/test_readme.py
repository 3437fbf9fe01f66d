"""The lines that README shows for a run of Hugging Face's Trainer, run as they stand on a run that Trainer made."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import ontogeny as og

transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def dataset() -> Any:
    """A few hundred lines of small tokens, as `datasets` holds them."""
    rows = torch.randint(3, 12, (300, 1), generator=torch.Generator().manual_seed(0)) + torch.arange(6)
    return datasets.Dataset.from_dict({"input_ids": rows.tolist(), "labels": rows.tolist()})


def train(dataset: Any, folder: Path) -> None:
    pytest.importorskip("accelerate")
    torch.manual_seed(0)
    shape = transformers.GPT2Config(
        vocab_size=20, n_positions=6, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    asked = transformers.TrainingArguments(
        str(folder), max_steps=20, save_steps=10, learning_rate=1e-2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    transformers.Trainer(transformers.GPT2LMHeadModel(shape), asked, train_dataset=dataset).train()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_the_lines_for_a_run_of_trainer(dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = (block for block in blocks if "from_config" in block)
    assert len([line for line in lines.splitlines() if line.strip()]) <= 8
    monkeypatch.chdir(tmp_path)
    train(dataset, tmp_path / "out")
    few = {
        "nbeta": 5.0,
        "localization": 20.0,
        "sampler": og.Fixed(kernel=og.SGLD(1e-4), num_chains=2, num_draws=6, num_warmup=2),
    }
    whole = og.measure
    monkeypatch.setattr(og, "measure", lambda *given: whole(*given, executor=og.execution.Serial(), **few))
    found: dict[str, Any] = {"dataset": dataset}
    exec(compile(lines, "README.md", "exec"), found)
    trajectory = found["trajectory"]
    assert trajectory["step"].values.tolist() == [10, 20]
    assert trajectory["llc_complexity"].notnull().all()
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out" / "checkpoint-20").eval()
    rows = torch.tensor(dataset["input_ids"])
    with torch.no_grad():
        expected = model(input_ids=rows, labels=rows).loss.item()
    assert trajectory["loss"].sel(step=20).item() == pytest.approx(expected, rel=1e-4)
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
