"""A small transformer one can read in a sitting, with TransformerLens hook names and weight layouts.

Attention-only or with MLPs, any depth; positions learned and added to the stream, or "shortformer": added to the inputs
of queries and keys alone, so that no position ever enters the residual stream (Press et al. 2021; used by Hoogland et
al., 2402.02364).
Dimensions in comments: b batch, p position, d model, h head, e head width, v vocabulary.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.settings import Settings


class TransformerConfig(Settings):
    """Shape and initialisation of a `Transformer`.

    Attributes:
        d_mlp: width of the MLPs; 0 leaves them out (attention-only).
        positions: `shortformer` adds learned positions to the inputs of queries and keys only, `learned` to the stream.
        normalization: `layer` puts a LayerNorm before each block's parts and before the unembedding.
        smeared_keys: whether a head's key at a position is mixed with that at the position before, in a share that the
            head learns: k_j = σ(a) k_j + (1 - σ(a)) k_(j-1) (Olsson et al., 2209.11895). A single layer can then learn
            induction. The shares `smear` belong to no head in `components`.
        init_std: standard deviation of embeddings and positions; other matrices use 1/sqrt(fan-in).
    """

    vocabulary_size: PositiveInt
    context_length: PositiveInt
    num_layers: NonNegativeInt = 2
    d_model: PositiveInt = 128
    num_heads: PositiveInt = 8
    d_mlp: NonNegativeInt = 0
    positions: Literal["shortformer", "learned"] = "shortformer"
    normalization: Literal["layer", "none"] = "layer"
    smeared_keys: bool = False
    init_std: float = 0.5

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TransformerConfig":
        if self.d_model % self.num_heads:
            raise InvalidArgument(
                "num_heads",
                expected=f"a divisor of d_model={self.d_model}",
                found=str(self.num_heads),
                instead=f"d_model={self.num_heads * max(1, self.d_model // self.num_heads)}",
            )
        return self

    @property
    def d_head(self) -> int:
        return self.d_model // self.num_heads


class HookPoint(nn.Identity):
    """A named place in the forward pass where an activation can be read or replaced (see `interventions`)."""

    @property
    def watched(self) -> bool:
        return bool(self._forward_hooks or self._forward_pre_hooks)


class LayerNorm(nn.Module):
    """LayerNorm with gain `w` and bias `b`; `hook_normalized` sees its input centred and scaled, before gain and
    bias.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(width))
        self.b = nn.Parameter(torch.zeros(width))
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        if self.hook_normalized.watched:
            return self.hook_normalized(F.layer_norm(x, x.shape[-1:])) * self.w + self.b
        return F.layer_norm(x, x.shape[-1:], self.w, self.b)


class Attention(nn.Module):
    """Causal multi-head attention; weights per head, `W_Q` (h, d, e) and `W_O` (h, e, d)."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        heads, width, d_head = config.num_heads, config.d_model, config.d_head
        self.W_Q, self.W_K, self.W_V = (
            _matrix(heads, width, d_head, fan_in=width, generator=generator) for _ in range(3)
        )
        self.b_Q, self.b_K, self.b_V = (nn.Parameter(torch.zeros(heads, d_head)) for _ in range(3))
        self.W_O = _matrix(heads, d_head, width, fan_in=width, generator=generator)
        self.b_O = nn.Parameter(torch.zeros(width))
        self.smear = nn.Parameter(torch.zeros(heads)) if config.smeared_keys else None
        self.hook_q, self.hook_k, self.hook_v, self.hook_z = (HookPoint() for _ in range(4))
        self.hook_attn_scores, self.hook_pattern, self.hook_result = (HookPoint() for _ in range(3))

    def forward(self, query_key_input: Tensor, value_input: Tensor) -> Tensor:
        q = self.hook_q(_per_head(query_key_input, self.W_Q, self.b_Q))  # b p h e
        k = self.hook_k(self._smeared(_per_head(query_key_input, self.W_K, self.b_K)))
        v = self.hook_v(_per_head(value_input, self.W_V, self.b_V))
        z = self.hook_z(self._mix(q, k, v))  # b p h e
        if self.hook_result.watched:  # the heads' own outputs are only formed when somebody looks
            return self.hook_result(torch.einsum("bphe,hed->bphd", z, self.W_O)).sum(dim=2) + self.b_O
        return _affine(z.flatten(2), self.W_O.flatten(0, 1), self.b_O)

    def _smeared(self, k: Tensor) -> Tensor:
        """Each key mixed with the one before; the first has none before it."""
        if self.smear is None:
            return k
        before = torch.cat([k[:, :1], k[:, :-1]], dim=1)
        return torch.lerp(before, k, self.smear.sigmoid()[:, None])

    def _mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # b h p e
        if not (self.hook_attn_scores.watched or self.hook_pattern.watched):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # b h query key
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = self.hook_attn_scores(scores.masked_fill(future, -torch.inf))
        return (self.hook_pattern(scores.softmax(dim=-1)) @ v).transpose(1, 2)


class MLP(nn.Module):
    """Two layers with GELU between, `W_in` (d, m) and `W_out` (m, d)."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.W_in = _matrix(config.d_model, config.d_mlp, fan_in=config.d_model, generator=generator)
        self.b_in = nn.Parameter(torch.zeros(config.d_mlp))
        self.W_out = _matrix(config.d_mlp, config.d_model, fan_in=config.d_mlp, generator=generator)
        self.b_out = nn.Parameter(torch.zeros(config.d_model))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hook_post(F.gelu(self.hook_pre(_affine(x, self.W_in, self.b_in))))
        return _affine(hidden, self.W_out, self.b_out)


class Block(nn.Module):
    """Attention, then an MLP if the network has them, each added to the residual stream."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.ln1 = _norm(config)
        self.attn = Attention(config, generator)
        self.mlp = MLP(config, generator) if config.d_mlp else None
        self.ln2 = _norm(config) if config.d_mlp else None
        self.hook_resid_pre, self.hook_resid_post, self.hook_attn_out = (HookPoint() for _ in range(3))
        if self.mlp:
            self.hook_resid_mid, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(self, x: Tensor, query_key_positions: Tensor | None) -> Tensor:
        x = self.hook_resid_pre(x)
        normal = self.ln1(x)
        query_key_input = normal if query_key_positions is None else normal + query_key_positions
        x = x + self.hook_attn_out(self.attn(query_key_input, normal))
        if self.mlp is not None and self.ln2 is not None:
            x = self.hook_resid_mid(x)
            x = x + self.hook_mlp_out(self.mlp(self.ln2(x)))
        return self.hook_resid_post(x)


class Embed(nn.Module):
    """Token embedding `W_E` (v, d)."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        shape = (config.vocabulary_size, config.d_model)
        self.W_E = nn.Parameter(config.init_std * torch.randn(shape, generator=generator))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.W_E)


class PositionEmbed(nn.Module):
    """Position embedding `W_pos` (p, d)."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        shape = (config.context_length, config.d_model)
        self.W_pos = nn.Parameter(config.init_std * torch.randn(shape, generator=generator))

    def forward(self, length: int) -> Tensor:
        return self.W_pos[:length]


class Unembed(nn.Module):
    """Unembedding `W_U` (d, v) with bias."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.W_U = _matrix(config.d_model, config.vocabulary_size, fan_in=config.d_model, generator=generator)
        self.b_U = nn.Parameter(torch.zeros(config.vocabulary_size))

    def forward(self, x: Tensor) -> Tensor:
        return _affine(x, self.W_U, self.b_U)


class Transformer(nn.Module):
    """Decoder-only transformer: tokens `(batch, position)` to logits `(batch, position, vocabulary)`.

    Args:
        config: its shape.
        generator: source of the initial weights; the global random state is neither read nor changed.

    Raises:
        InvalidArgument: on a forward pass with more positions than `context_length`.
    """

    def __init__(self, config: TransformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.embed = Embed(config, generator)
        self.pos_embed = PositionEmbed(config, generator)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()
        self.blocks = nn.ModuleList(Block(config, generator) for _ in range(config.num_layers))
        self.ln_final = _norm(config)
        self.unembed = Unembed(config, generator)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocabulary"]:
        if tokens.shape[1] > self.config.context_length:
            raise InvalidArgument(
                "tokens",
                expected=f"at most context_length={self.config.context_length} positions",
                found=f"{tokens.shape[1]}",
                instead="a longer context_length in TransformerConfig, or shorter sequences",
            )
        return self.after_embedding(self.embed(tokens))

    def after_embedding(self, x: Float[Tensor, "batch position model"]) -> Float[Tensor, "batch position vocabulary"]:
        """The pass from embedded tokens on."""
        x = self.hook_embed(x)
        positions = self.pos_embed(x.shape[1])
        if self.hook_pos_embed.watched:  # positions for every sequence, which may be replaced one by one
            positions = self.hook_pos_embed(positions.expand(len(x), -1, -1))
        shortformer = self.config.positions == "shortformer"
        if not shortformer:
            x = x + positions
        for block in self.blocks:
            x = block(x, positions if shortformer else None)
        return self.unembed(self.ln_final(x))


def _matrix(*shape: int, fan_in: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=generator) / fan_in**0.5)


def _norm(config: TransformerConfig) -> nn.Module:
    return LayerNorm(config.d_model) if config.normalization == "layer" else nn.Identity()


def _per_head(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    heads, width, d_head = weight.shape
    flat = weight.transpose(0, 1).reshape(width, heads * d_head)
    return _affine(x, flat, bias.flatten()).unflatten(-1, (heads, d_head))


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product and its bias in one run: a sum of its own would write a batch's logits to memory once more."""
    return torch.addmm(bias, x.flatten(0, -2), weight).unflatten(0, x.shape[:-1])
