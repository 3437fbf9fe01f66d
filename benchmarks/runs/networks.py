"""Training runs as users have them: what is trained, on what, and the parts whose coefficients are asked for."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ontogeny as og
from ontogeny.compmech import process
from ontogeny.compmech.sampling import sample
from ontogeny.stores import Checkpoints

CONTEXT = 32  # of the GPT-2: of 128 tokens a gradient takes 30 ms on one core
_CHECKPOINTS = 12


@dataclass(frozen=True)
class Network:
    """What `og.measure` is given, and how its run is trained."""

    model_fn: Callable[[], nn.Module]
    data: Any
    loss_fn: Callable[..., Tensor]
    components: Sequence[str]
    train: Callable[[Path, int], Checkpoints]


def network(name: str) -> Network:
    """One of `NAMES`."""
    return NAMES[name]()


def _digits() -> Network:
    from sklearn.datasets import load_digits

    found = load_digits()
    data = torch.tensor(found.data / 16, dtype=torch.float32), torch.tensor(found.target)

    def model_fn() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    loss = og.losses.cross_entropy
    return Network(model_fn, data, loss, ["0.weight", "2"], partial(_plain, model_fn, data, loss, 200))


def _convolution() -> Network:
    from sklearn.datasets import load_digits

    found = load_digits()
    data = torch.tensor(found.images[:, None] / 16, dtype=torch.float32), torch.tensor(found.target)

    def model_fn() -> nn.Module:
        first, second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

    loss = og.losses.cross_entropy
    return Network(model_fn, data, loss, ["2"], partial(_plain, model_fn, data, loss, 300))


class Recurrent(nn.Module):
    """An LSTM that predicts the next token of a process."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(num_tokens, 16), nn.LSTM(16, 48, batch_first=True)
        self.out = nn.Linear(48, num_tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.body(self.embed(tokens))[0])


def _recurrent() -> Network:
    source = process("days_of_week")
    data, model_fn = sample(source, 4000, 16, seed=1), partial(Recurrent, source.num_tokens)
    loss = og.losses.next_token
    return Network(model_fn, data, loss, ["out"], partial(_plain, model_fn, data, loss, 1500))


def _plain(
    model_fn: Callable[[], nn.Module], data: Any, loss: Callable[..., Tensor], steps: int, folder: Path, seed: int
) -> Checkpoints:
    torch.manual_seed(seed)
    config = og.TrainingConfig(
        num_steps=steps, learning_rate=3e-3, checkpoints_log=_CHECKPOINTS, checkpoints_linear=0, seed=seed
    )
    return og.train(model_fn(), data, loss, config, folder)


def _language() -> Network:
    from ontogeny.core.protocols import Silent
    from ontogeny.core.seeds import generator
    from ontogeny.data import load_text
    from ontogeny.models import Transformer
    from ontogeny.studies.language.config import PRESETS, LanguageConfig

    config = PRESETS["quick"].config
    assert isinstance(config, LanguageConfig)
    text = load_text(config.text, Path("runs/runs/text"), Silent())
    shape = config.architecture.with_text(config.text)

    def model_fn() -> nn.Module:
        return Transformer(shape, generator(0))

    def trained(folder: Path, seed: int) -> Checkpoints:
        training = config.training.model_copy(update={"seed": seed, "checkpoints_log": _CHECKPOINTS})
        data = text.train["mixed"]
        return og.train(Transformer(shape, generator(seed)), data, og.losses.next_token, training, folder)

    return Network(model_fn, text.train["mixed"], og.losses.next_token, ["L0H0", "L1H0", "L1.attn", "unembed"], trained)


def _gpt2() -> Network:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    library = sorted(Path(os.__file__).parent.glob("*.py"))
    raw = b"".join(path.read_bytes() for path in library)[: 16_335 * CONTEXT]
    data = torch.tensor(list(raw))[: len(raw) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    shape = GPT2Config(vocab_size=256, n_positions=CONTEXT, n_embd=96, n_layer=4, n_head=4)

    def model_fn() -> nn.Module:
        return GPT2LMHeadModel(shape)

    def loss_fn(model: nn.Module, tokens: Tensor) -> Tensor:
        logits = model(tokens).logits[:, :-1].transpose(1, 2)
        return nn.functional.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(1)

    def trained(folder: Path, seed: int) -> Checkpoints:
        if not (folder / "checkpoint-480").exists():
            torch.manual_seed(seed)
            asked = TrainingArguments(
                str(folder),
                max_steps=480,
                per_device_train_batch_size=16,
                learning_rate=3e-3,
                save_steps=40,
                save_only_model=True,
                report_to=[],
                seed=seed,
                use_cpu=True,
            )
            rows = [{"input_ids": row, "labels": row} for row in data]
            Trainer(model_fn(), asked, train_dataset=rows).train()
        return og.open_checkpoints(str(folder / "checkpoint-{N}"))

    return Network(model_fn, data, loss_fn, [], trained)


NAMES: dict[str, Callable[[], Network]] = {
    "digits 64-16-10": _digits,
    "convolution": _convolution,
    "LSTM on a process": _recurrent,
    "language": _language,
    "GPT-2 by Trainer": _gpt2,
}
