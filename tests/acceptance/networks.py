"""Networks as people have them, each with raw data and the mean loss that its own forward pass gives on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ontogeny as og

N = 24


@dataclass(frozen=True)
class Known:
    """A network, its data by name, a loss for them, and what the mean loss is when all is read aright.

    Attributes:
        make: makes the network, with random weights that depend on the seed.
        columns: name -> tensor, one row a sample; inputs first.
        loss_fn: what the user passes to ontogeny.
        direct: the mean loss by the network's own means.
    """

    make: Callable[[], nn.Module]
    columns: dict[str, Tensor]
    loss_fn: Callable[..., Tensor]
    direct: Callable[[nn.Module], float]


def _numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def _labels(high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(high))


def regression(make: Callable[[], nn.Module], x: Tensor, outputs: int = 1) -> Known:
    """Squared error."""
    y = _numbers(N, outputs)
    dtype = next(make().parameters()).dtype

    def direct(model: nn.Module) -> float:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        inputs = x.to(wide) if x.is_floating_point() else x
        return (model.to(wide)(inputs) - y.to(wide)).square().sum(1).mean().item()

    return Known(make, {"x": x.to(dtype) if x.is_floating_point() else x, "labels": y.to(dtype)}, og.losses.mse, direct)


def classification(make: Callable[[], nn.Module], x: Tensor, classes: int = 4) -> Known:
    """Cross-entropy."""
    y = _labels(classes, N)
    return Known(
        make, {"x": x, "labels": y}, og.losses.cross_entropy, lambda model: F.cross_entropy(model(x), y).item()
    )


def language(make: Callable[[], nn.Module], vocabulary: int = 20, context: int = 8) -> Known:
    """The next token, for networks of Hugging Face, which have a loss of their own."""
    tokens = _labels(vocabulary, N, context)

    def direct(model: Any) -> float:
        return model(input_ids=tokens, labels=tokens).loss.item()

    return Known(make, {"input_ids": tokens}, og.losses.next_token, direct)


class Recurrent(nn.Module):
    """Words to one number."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(20, 6), nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens))[0][:, -1])


class Encoder(nn.Module):
    """Attention over padded words."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.embed, self.body, self.head = nn.Embedding(20, 8), nn.TransformerEncoder(layer, 1), nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens), src_key_padding_mask=tokens == 0).mean(1))


def _encoder() -> Known:
    tokens = _labels(20, N, 8) + 1
    tokens = tokens.clamp(max=19)
    tokens[::3, 5:] = 0
    known = classification(Encoder, tokens)

    def direct(model: nn.Module) -> float:
        with torch.enable_grad():  # without gradients torch takes another path, which gives other numbers
            return F.cross_entropy(model(tokens), known.columns["labels"]).item()

    return Known(known.make, known.columns, known.loss_fn, direct)


def _convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(48, 4)
    )


def _dense() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1))


def _tied() -> nn.Module:
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second, nn.Linear(5, 1))


def _hugging_face(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers as tf

        ends: dict[str, Any] = {"vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
        shape: dict[str, Any] = {
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        }
        shape |= {"max_position_embeddings": 8, **ends}
        config = {
            "gpt2": lambda: tf.GPT2Config(n_positions=8, n_embd=8, n_layer=1, n_head=2, **ends),
            "gpt_neox": lambda: tf.GPTNeoXConfig(**shape),
            "llama": lambda: tf.LlamaConfig(**shape),
            "mixtral": lambda: tf.MixtralConfig(num_key_value_heads=1, num_local_experts=2, **shape),
        }[name]()
        return tf.AutoModelForCausalLM.from_config(config)

    return make


NETWORKS: dict[str, Callable[[], Known]] = {
    "dense": lambda: regression(_dense, _numbers(N, 5)),
    "dense in double precision": lambda: regression(lambda: _dense().double(), _numbers(N, 5)),
    "dense in half precision": lambda: regression(lambda: _dense().bfloat16(), _numbers(N, 5).bfloat16()),
    "tied": lambda: regression(_tied, _numbers(N, 5)),
    "convolution": lambda: classification(_convolution, _numbers(N, 1, 6, 6)),
    "recurrent": lambda: regression(Recurrent, _labels(20, N, 7)),
    "encoder": _encoder,
    **{name: lambda name=name: language(_hugging_face(name)) for name in ("gpt2", "gpt_neox", "llama", "mixtral")},
}
