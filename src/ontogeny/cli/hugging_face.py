"""Reading a causal language model's folder, from `save_pretrained` or Hugging Face's Trainer, and a text."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from ontogeny.cli.given import Given
from ontogeny.core.errors import InvalidArgument

CONTEXT = 128  # tokens per sample, if the model accepts that many
_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")  # names in configs for a model's longest context
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
ASKED = "a Hugging Face model's folder with a text: config.json, weights and tokenizer files"


def from_text(text: Path, weights: Path | None, context: int | None = None) -> Given:
    """Samples of `context` tokens of the text, and the model that the folder's config describes.

    Args:
        text: a file in UTF-8.
        weights: the folder; for a training run the folder of checkpoints, or a pattern with `{N}` for the step.
        context: tokens per sample; default 128, or the model's maximum if smaller.
    """
    from ontogeny.core.losses import next_token

    folder = _described(weights)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    most = next((config[name] for name in _LENGTHS if name in config), CONTEXT)
    if context is not None and not 2 <= context <= most:
        raise InvalidArgument(
            "--context", expected=f"2 to {most} tokens", found=str(context), instead=f"--context {min(CONTEXT, most)}"
        )
    tokens = _tokens(text, folder, context or min(CONTEXT, most))
    return Given(partial(_make, json.dumps(config, sort_keys=True)), tokens, next_token)


def model_of(folder: Path) -> Any:
    """The network that a folder's config describes, with random weights."""
    return _make((_described(folder) / "config.json").read_text(encoding="utf-8"))


def _make(config: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = json.loads(config)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))


def _described(weights: Path | None) -> Path:
    """The folder with a config: the given one, or the first of a run's checkpoints."""
    try:
        import transformers  # noqa: F401  whether it is there
    except ImportError as error:
        raise InvalidArgument(
            "SETUP",
            expected="the library transformers, for a model's folder and a text",
            found="none installed",
            instead='pip install "ontogeny[hf]"',
        ) from error
    folders: list[Path] = []
    if weights is not None:
        pattern = weights.name.replace("{N}", "*")
        folders = [weights, *sorted(weights.glob("*"))] if weights.is_dir() else sorted(weights.parent.glob(pattern))
    found = [folder for folder in folders if (folder / "config.json").is_file()]
    if not found:
        elsewhere = "a text without a model's folder" if weights is None else f"no config.json in {weights}"
        raise InvalidArgument("WEIGHTS", expected=ASKED, found=elsewhere, instead="a setup file")
    return found[0]


def _tokens(text: Path, folder: Path, context: int) -> Any:
    import torch
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in _VOCABULARIES):  # else transformers makes an empty tokenizer
        raise InvalidArgument(
            "WEIGHTS",
            expected=ASKED,
            found=f"no tokenizer files in {folder}",
            instead=f'tokenizer.save_pretrained("{folder}") where the model was trained, or a setup file',
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # any error: missing files, or files unknown to this version
        raise InvalidArgument(
            "WEIGHTS",
            expected=ASKED,
            found=f"no readable tokenizer in {folder} ({str(error).splitlines()[0]})",
            instead="the version of transformers that wrote it, or a setup file",
        ) from error
    try:
        content = text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            "SETUP", expected="a text file in UTF-8", found=f"{text}, which is not one", instead="a setup file (.py)"
        ) from error
    numbers = torch.tensor(tokenizer(content, verbose=False)["input_ids"])
    count = len(numbers) // context
    if count < 3:
        raise InvalidArgument(
            "SETUP",
            expected=f"a text of at least {3 * context} tokens, three samples of {context}",
            found=f"{len(numbers)} in {text}",
            instead="a longer text, or a smaller --context",
        )
    return numbers[: count * context].view(count, context)
