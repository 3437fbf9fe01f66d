"""A transformer whose induction circuit is written by hand: what measures of circuits must find, and nothing else."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.seeds import generator
from ontogeny.models import Transformer, TransformerConfig

_RAISED = 8.0  # what the logit of the token attended to gains
_OTHERS = 0.02  # size of the weights of heads without a task


@dataclass(frozen=True)
class InductionTransformer:
    """Two layers of attention alone, no norms, in which one head of each layer has a task and all others are random.

    Head `previous_token` of layer 0 writes the token before each position into coordinates of its own. Head `induction`
    of layer 1 attends to where these hold the present token, so to what followed it earlier, and raises that token's
    logit. The two meet in the induction head's keys. The stream is one-hot: token, previous token; positions enter
    queries and keys alone. As the first position has no other to attend to, it takes itself for its previous token; the
    induction head does not attend there.

    Args:
        vocabulary_size: V.
        context_length: n. A head is as wide as it must be, the larger of V + 1 and n.
        num_heads: in each layer.
        sharpness: score of the key that a head looks for, above all others; attention to it is within n e^-sharpness
            of 1.
        seed: of the random heads.

    Attributes:
        previous_token, induction: names of the two heads, `"L0H1"` and `"L1H2"`.
    """

    vocabulary_size: int = 31
    context_length: int = 32
    num_heads: int = 4
    sharpness: float = 16.0
    seed: int = 0

    previous_token = "L0H1"
    induction = "L1H2"

    def __post_init__(self) -> None:
        if self.num_heads < 3:
            raise InvalidArgument(
                "num_heads",
                expected="three heads or more: the two of the circuit have numbers 1 and 2",
                found=str(self.num_heads),
                instead="num_heads=3",
            )

    @property
    def d_head(self) -> int:
        return max(self.vocabulary_size + 1, self.context_length)

    def model(self) -> Transformer:
        """A new network with these weights."""
        size, length, width = self.vocabulary_size, self.context_length, self.num_heads * self.d_head
        config = TransformerConfig(
            vocabulary_size=size,
            context_length=length,
            d_model=width,
            num_heads=self.num_heads,
            normalization="none",
        )
        source = generator(self.seed, "induction")
        model = Transformer(config, source)
        state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
        for name, tensor in state.items():
            if name.rpartition(".")[2] in ("W_Q", "W_K", "W_V", "W_O"):
                tensor.normal_(0, _OTHERS, generator=source)
        present, previous, position = slice(size), slice(size, 2 * size), slice(2 * size, 2 * size + length)
        state["embed.W_E"][:, present] = state["unembed.W_U"][present] = torch.eye(size)
        state["pos_embed.W_pos"][:, position] = torch.eye(length)
        root = (self.sharpness * self.d_head**0.5) ** 0.5

        def cleared(layer: int, head: int) -> list[Tensor]:
            own = [state[f"blocks.{layer}.attn.{name}"][head] for name in ("W_Q", "W_K", "W_V", "W_O")]
            return [each.zero_() for each in own]

        query, key, value, output = cleared(0, 1)
        query[position, :length] = root * torch.eye(length).roll(-1, dims=1)  # position i asks for i - 1
        key[position, :length] = root * torch.eye(length)
        value[present, :size], output[:size, previous] = torch.eye(size), torch.eye(size)
        query, key, value, output = cleared(1, 2)
        query[present, :size], key[previous, :size] = root * torch.eye(size), root * torch.eye(size)
        state["blocks.1.attn.b_Q"][2, size] = -root  # every query turns from the first position
        key[position.start, size] = root
        value[present, :size], output[:size, present] = torch.eye(size), _RAISED * torch.eye(size)
        model.load_state_dict(state)
        return model
