"""`ontogeny measure` on a series of a hub: a text, the tokenizer and configuration from the hub, and a grid."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.hub_server import HubServer, Repo

transformers = pytest.importorskip("transformers")
Command = Callable[..., tuple[int, str, str]]
TEXT = "the house that the network lives in is the house that the data built. " * 40


def served(place: Path) -> HubServer:
    """A series of small GPT-NeoX networks, each with a tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE(unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=60, special_tokens=["?"]))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    shape = transformers.GPTNeoXConfig(
        vocab_size=60, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    repo = Repo()
    repo.add("main", lambda: {".gitattributes": b""})
    for step in (0, 1, 2, 4, 8):
        torch.manual_seed(step)
        folder = place / f"step{step}"
        transformers.GPTNeoXForCausalLM(shape).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        repo.add(folder.name, lambda folder=folder: {path.name: path.read_bytes() for path in folder.iterdir()})
    server = HubServer().start()
    server.repos["EleutherAI/tiny"] = repo
    return server


def test_a_series_on_a_hub_and_a_text(ontogeny: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = served(tmp_path / "there")
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    few = ["--nbeta", "5", "--localization", "10", "--jobs", "1", "--context", "8", "--set", "sampler=fixed"]
    few += [part for name in ("num_chains", "num_draws", "num_warmup") for part in ("--set", f"sampler.{name}=2")]
    given = ["measure", "hf://EleutherAI/tiny", tmp_path / "text.txt", "--every", "log:3", *few, "--out", tmp_path]
    code, output, errors = ontogeny(*given, "--dry-run")
    assert code == 0, errors
    assert "3 checkpoints, steps 0 to 8" in output
    assert "GB on disk at a time" in output
    assert not any(path == "model.safetensors" for _, _, path in server.sent)
    code, output, errors = ontogeny(*given)
    assert code == 0, errors
    sent = {path: 0 for _, _, path in server.sent}
    for (_, _, path), count in server.sent.items():
        sent[path] += count
    server.stop()
    assert sent["model.safetensors"] == 3
    assert (tmp_path / "report.html").exists()
