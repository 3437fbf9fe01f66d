"""A small recurrent network with named places to read its state, the control of studies of transformers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ontogeny.core.settings import Settings
from ontogeny.models.transformer import HookPoint


class RecurrentConfig(Settings):
    """Shape of a `RecurrentNetwork`: as many LSTM layers of one width over an embedding of the same width."""

    vocabulary_size: int
    num_layers: int = 1
    d_model: int = 64


class RecurrentNetwork(nn.Module):
    """LSTM layers: tokens `(batch, position)` to logits `(batch, position, vocabulary)`.

    `hook_embed` sees the embedded tokens, `layers.i.hook_state` the hidden state of layer i at every position.

    Args:
        config: its shape.
        generator: source of the initial weights; the global random state is neither read nor changed.
    """

    def __init__(self, config: RecurrentConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config, self.hook_embed = config, HookPoint()
        with torch.random.fork_rng(devices=[]):  # torch's modules draw initial weights from the global state
            self.embed = nn.Embedding(config.vocabulary_size, config.d_model)
            self.layers = nn.ModuleList(RecurrentLayer(config.d_model) for _ in range(config.num_layers))
            self.unembed = nn.Linear(config.d_model, config.vocabulary_size)
        with torch.no_grad():
            for parameter in self.parameters():  # uniform within 1/√width, torch's own range for LSTMs
                parameter.uniform_(-(config.d_model**-0.5), config.d_model**-0.5, generator=generator)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocabulary"]:
        x = self.hook_embed(self.embed(tokens))
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x)


class RecurrentLayer(nn.Module):
    """One LSTM layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.hook_state = HookPoint()

    def forward(self, x: Float[Tensor, "batch position width"]) -> Float[Tensor, "batch position width"]:
        return self.hook_state(self.lstm(x)[0])
