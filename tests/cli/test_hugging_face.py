"""A Hugging Face model's folder and a text file are enough."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ontogeny.stores import read_tree

transformers = pytest.importorskip("transformers")
Command = Callable[..., tuple[int, str, str]]
TEXT = "the house that the network lives in is the house that the data built. " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of a small GPT-2 with its tokenizer, and a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    place = tmp_path_factory.mktemp("trainer")
    tokenizer = Tokenizer(models.BPE(unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=60, special_tokens=["?"]))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")
    shape = transformers.GPT2Config(vocab_size=60, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    for step in (10, 20):
        torch.manual_seed(step)
        transformers.GPT2LMHeadModel(shape).save_pretrained(place / f"checkpoint-{step}")
        fast.save_pretrained(place / f"checkpoint-{step}")
    (place / "text.txt").write_text(TEXT, encoding="utf-8")
    return place


def test_llc_of_a_folder_and_a_text(ontogeny: Command, folder: Path) -> None:
    few = ["--nbeta", "5", "--budget", "2000"]
    code, output, errors = ontogeny("llc", folder / "checkpoint-20", folder / "text.txt", *few)
    assert code == 0, errors
    assert re.search(r"LLC .*nβ 5.*free weights", output)


def test_measure_of_a_run_s_folder_and_a_text(ontogeny: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(TEXT[::-1], encoding="utf-8")
    few = ["--nbeta", "5", "--localization", "10", "--jobs", "1", "--context", "8", "--set", "sampler=fixed"]
    few += [part for name in ("num_chains", "num_draws", "num_warmup") for part in ("--set", f"sampler.{name}=4")]
    more = ["--dataset", f"other={tmp_path}/other.txt", "--out", tmp_path / "out"]
    code, _, errors = ontogeny("measure", folder, folder / "text.txt", *few, *more)
    assert code == 0, errors
    found = read_tree(tmp_path / "out" / "trajectory.zarr").to_dataset()
    assert found["step"].values.tolist() == [10, 20]
    assert found["dataset"].values.tolist() == ["data", "other"]
    model = transformers.GPT2LMHeadModel.from_pretrained(folder / "checkpoint-10").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "checkpoint-10")
    numbers = torch.tensor(tokenizer(TEXT)["input_ids"])
    rows = numbers[: len(numbers) // 8 * 8].view(-1, 8)
    with torch.no_grad():
        expected = model(rows, labels=rows).loss.item()
    assert found["loss"].sel(step=10, dataset="data").item() == pytest.approx(expected, rel=1e-4)


def test_components_of_a_folder(ontogeny: Command, folder: Path) -> None:
    code, output, _ = ontogeny("components", folder)
    assert code == 0
    assert "transformer.wte.weight" in output


def test_what_is_missing_is_named(ontogeny: Command, folder: Path, tmp_path: Path) -> None:
    shape = transformers.GPT2Config(vocab_size=60, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(shape).save_pretrained(tmp_path / "bare")
    (tmp_path / "short.txt").write_text("the house", encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa" * 10)
    for arguments, told in (
        ([tmp_path / "bare", folder / "text.txt"], r"no tokenizer files .*tokenizer\.save_pretrained"),
        ([tmp_path, folder / "text.txt", "--context", "8"], "no tokenizer files"),
        ([folder / "checkpoint-20", tmp_path / "short.txt"], "a text of at least 48 tokens"),
        ([folder / "checkpoint-20", tmp_path / "bytes.txt"], "a text file in UTF-8"),
        ([folder / "checkpoint-20", folder / "text.txt", "--context", "64"], "2 to 16 tokens"),
        ([folder / "text.txt", folder / "text.txt"], "no config.json"),
    ):
        code, _, errors = ontogeny("llc", *arguments)
        assert code == 2
        assert re.search(told, errors), errors
