"""What errors of this room say to write instead."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch as patch_of

import pytest
from tests.advice import Mistake, follow, mistakes

from ontogeny.cli.app import app
from ontogeny.cli.given import Given, read_given
from ontogeny.cli.hugging_face import from_text
from ontogeny.cli.options import pairs
from ontogeny.cli.plan import settings_for_one

FOLDER = Path()  # of the mistake at hand
SETUP = """
import torch
import ontogeny as og
def model_fn(): return torch.nn.Linear(3, 2)
data, loss_fn = (torch.zeros(4, 3), torch.zeros(4).long()), og.losses.cross_entropy
"""


def written(content: str | bytes, name: str = "setup.py") -> Path:
    path = FOLDER / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def given(content: str) -> Given:
    return read_given(written(content))


def including(option: str) -> Given:
    option = option.removeprefix("--dataset ")
    (FOLDER / "model").mkdir(exist_ok=True)
    return given(SETUP).including([option], None, language_model(), 8)


def language_model(tokenizer: bool = True, config: bool = True, broken: bool = False) -> Path:
    """A folder as transformers leaves one."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = FOLDER / f"model-{tokenizer}-{config}-{broken}"
    folder.mkdir(exist_ok=True)
    if config:
        shape = {"n_layer": 1, "n_head": 2, "n_embd": 8, "vocab_size": 9, "n_positions": 16}
        transformers.GPT2Config(**shape).save_pretrained(folder)
    if tokenizer:
        words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="b"))
        words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="b").save_pretrained(folder)
    if broken:
        (folder / "tokenizer.json").write_text(json.dumps({"version": "9.9"}))
    return folder


def shell(line: str) -> bool:
    """Run `ontogeny …` in this process, on small checkpoints in the folder; names in capitals stand for paths there."""
    import torch

    for step in (1, 2):
        torch.manual_seed(step)
        torch.save(torch.nn.Linear(3, 2).state_dict(), FOLDER / f"model_{step}.pt")
    written(SETUP)
    paths = {"CHECKPOINTS": "model_{N}.pt", "SETUP": "setup.py", "OUT": "out", "OTHERS": "other"}
    words = [str(FOLDER / paths[word]) if word in paths else word for word in line.split()]
    if words[1] == "measure":
        words += ["--nbeta", "5", "--localization", "10", "--set", "sampler=fixed", "--jobs", "1"]
        words += ["--set", "sampler.num_chains=2", "--set", "sampler.num_draws=2", "--set", "sampler.num_warmup=2"]
    with patch_of("sys.argv", words):
        return app(words[1:], standalone_mode=False) in (None, 0)


def text(content: str | bytes = "a b " * 40, weights: Path | None = None, context: int | None = 8) -> Given:
    return from_text(written(content, "text.txt"), weights or language_model(), context)


def without_transformers(patch: pytest.MonkeyPatch, *, installed: bool) -> Given:
    with patch.context() as here:
        if not installed:
            here.setitem(sys.modules, "transformers", None)
        return text(weights=FOLDER) if not installed else text()


def options(argument: str) -> Any:
    return pairs([argument.removeprefix("--set ")])


def asked(argument: str) -> Any:
    return settings_for_one(given(SETUP), options(argument))


def fixed(kernel: str) -> Any:
    return settings_for_one(given(SETUP), {"sampler": "fixed", "sampler.kernel": kernel})


GIVEN = "cli/given.py:"
FOLDERS = "cli/hugging_face.py:"
NAMELESS = SETUP.replace("def model_fn(): return", "model_fn =")

# fmt: off
MISTAKES = (
    (GIVEN + "Given.including", "including('code')", "--dataset", "--dataset code=code.txt",
     "(written('a b ' * 40, 'code.txt'), including('ADVICE'))"),
    (GIVEN + "read_given", "read_given(FOLDER / 'nothing.py')", "SETUP",
     "the path of a file that defines model_fn(), data and loss_fn", "given(SETUP)"),
    ("cli/shards.py:_command", "shell('ontogeny gather OUT')", "OUT",
     "ontogeny measure CHECKPOINTS SETUP --shard 1/4 --out OUT, before ontogeny gather OUT",
     "shell('ADVICE'.split(', before ')[0]) and shell('ontogeny gather OUT --rerun')"),
    ("cli/shards.py:_merge", "shell('ontogeny gather OUT OTHERS')", "OTHERS",
     "the folder that --out named for the shard",
     "shell('ontogeny measure CHECKPOINTS SETUP --out OTHERS') and shell('ontogeny gather OUT OTHERS')"),
    (GIVEN + "_from_file", "given('import torch')", "SETUP", "loss_fn = og.losses.cross_entropy", "given(SETUP)"),
    (GIVEN + "_from_file#2", "given(NAMELESS)", "SETUP", "def model_fn(): return ...", "given(SETUP)"),
    (FOLDERS + "from_text", "text(context=99)", "--context", "--context 16", "text(context=int('ADVICE'[10:]))"),
    (FOLDERS + "_described", "without_transformers(patch, installed=False)", "SETUP", 'pip install "ontogeny[hf]"',
     "without_transformers(patch, installed=True)"),
    (FOLDERS + "_described#2", "text(weights=language_model(config=False))", "WEIGHTS", "a setup file",
     "given(SETUP)"),
    (FOLDERS + "_tokens", "text(weights=language_model(tokenizer=False))", "WEIGHTS", "tokenizer.save_pretrained(",
     "text(weights=language_model())"),
    (FOLDERS + "_tokens#2", "text(weights=language_model(broken=True))", "WEIGHTS", "or a setup file", "given(SETUP)"),
    (FOLDERS + "_tokens#3", "text(b'\\xff\\xfe')", "SETUP", "a setup file (.py)", "given(SETUP)"),
    (FOLDERS + "_tokens#4", "text('a b')", "SETUP", "a longer text", "text('a b ' * 12)"),
    (FOLDERS + "_tokens#4", "text('a b ' * 6)", "SETUP", "a smaller --context", "text('a b ' * 6, context=4)"),
    ("cli/options.py:pairs", "options('nbeta')", "--set", "--set nbeta=…", "options('--set nbeta=3')"),
    ("cli/plan.py:_overridden", "asked('sampler=mala')", "--set", "sampler=fixed", "asked('ADVICE')"),
    ("cli/plan.py:_overridden#2", "fixed('{name = \"SGL\"}')", "--set", '{"name": "SGLD", "step_size": 1e-4}',
     "fixed('{name = \"SGLD\", step_size = 1e-4}')"),
)
# fmt: on


@mistakes(*MISTAKES)
def test_advice(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    follow(mistake, globals() | {"patch": monkeypatch})
