"""A transformer that predicts the labels of a sequence of pairs (x, y), for in-context regression.

Garg et al. (2208.01066); Raventós et al. (2306.15063).
"""

import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings
from ontogeny.models.transformer import Embed, Transformer, TransformerConfig


class RegressionConfig(Settings):
    """Shape of a `RegressionTransformer`.

    Attributes:
        dimension: D, of the inputs x.
        num_pairs: K, the longest sequence.
        num_layers, d_model, num_heads, d_mlp: as for `TransformerConfig`.
    """

    dimension: PositiveInt
    num_pairs: PositiveInt
    num_layers: NonNegativeInt = 2
    d_model: PositiveInt = 64
    num_heads: PositiveInt = 4
    d_mlp: NonNegativeInt = 64

    @property
    def transformer(self) -> TransformerConfig:
        """That of the transformer: 2K − 1 tokens, a single output, learned positions in the stream, LayerNorm."""
        return TransformerConfig(
            vocabulary_size=1,
            context_length=2 * self.num_pairs - 1,
            num_layers=self.num_layers,
            d_model=self.d_model,
            num_heads=self.num_heads,
            d_mlp=self.d_mlp,
            positions="learned",
        )


class VectorEmbed(Embed):
    """Linear embedding `W_E` (v, d) of tokens that are vectors of v numbers."""

    def __init__(self, size: int, d_model: int, generator: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.W_E = nn.Parameter(torch.randn(size, d_model, generator=generator) / size**0.5)

    def forward(self, tokens: Float[Tensor, "batch position size"]) -> Float[Tensor, "batch position model"]:
        return tokens @ self.W_E


class RegressionTransformer(Transformer):
    """Inputs x (batch, pair, D) and labels y (batch, pair) to predictions ŷ (batch, pair).

    The tokens are (0, x₁), (y₁, 0), (0, x₂), …, (0, x_K), vectors of D + 1 numbers. ŷₖ is the output at the token of
    xₖ, which sees the first k − 1 pairs and xₖ; the last label is no token. Blocks and names are those of
    `Transformer`.

    Args:
        config: its shape.
        generator: source of the initial weights.

    Raises:
        InvalidArgument: on a forward pass with inputs of another dimension than D, more than K pairs, or labels of
            another shape.
    """

    def __init__(self, config: RegressionConfig, generator: torch.Generator) -> None:
        super().__init__(config.transformer, generator)
        self.regression = config
        self.embed = VectorEmbed(config.dimension + 1, config.d_model, generator)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch pair dimension"], y: Float[Tensor, "batch pair"]
    ) -> Float[Tensor, "batch pair"]:
        """Predictions of y, each from the pairs before it."""
        _check(self.regression, x, y)
        pairs = torch.stack([nn.functional.pad(x, (1, 0)), nn.functional.pad(y[..., None], (0, x.shape[-1]))], dim=2)
        return self.after_embedding(self.embed(pairs.flatten(1, 2)[:, :-1]))[:, ::2, 0]


def _check(config: RegressionConfig, x: Tensor, y: Tensor) -> None:
    if x.ndim != 3 or x.shape[2] != config.dimension or not 1 <= x.shape[1] <= config.num_pairs:
        raise InvalidArgument(
            "x",
            expected=f"inputs (batch, pair, {config.dimension}) with at most {config.num_pairs} pairs",
            found=f"{tuple(x.shape)}",
        )
    if y.shape != x.shape[:2]:
        raise InvalidArgument("y", expected=f"labels {tuple(x.shape[:2])} for these x", found=f"{tuple(y.shape)}")
