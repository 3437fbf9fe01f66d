"""Token sequences drawn from a process, in batches, on any device that torch knows."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ontogeny.compmech.matrices import Labelled, require_process
from ontogeny.core import arguments
from ontogeny.core.seeds import generator

_BATCH = 1 << 16  # sequences at a time: the working memory is flat in the number of sequences


def sample(
    process: Labelled, num_sequences: int, length: int, *, seed: int = 0, device: str | torch.device = "cpu"
) -> Int[Tensor, "sequence position"]:
    """Draw sequences token by token from Pr(x | x₁…x_t) = η_t T[x] w, with the belief η_t carried along.

    Args:
        process: HMM or GHMM; every sequence starts in its initial state.
        num_sequences, length: how many sequences of how many tokens.
        seed: equal seeds give equal tokens on the same kind of device; torch's global generators stay as they were.
        device: where to draw; float64 there.

    Returns:
        int64 tokens, shape (num_sequences, length), on `device`.

    Raises:
        InvalidArgument: for a negative number of sequences or tokens, and for a device that is not there.
    """
    require_process(process)
    num_sequences = arguments.whole_number("num_sequences", num_sequences)
    length, seed = arguments.whole_number("length", length), arguments.whole_number("seed", seed, least=None)
    device = arguments.as_device(device)
    tokens = torch.empty(num_sequences, length, dtype=torch.int64, device=device)
    matrices = torch.tensor(process.transition_matrices, device=device)
    initial = torch.tensor(process.initial, device=device)
    readout = torch.tensor(process.readout, device=device)
    rng = generator(seed, "compmech", "sample", device=device)
    for rows in tokens.split(_BATCH):
        belief = initial.expand(len(rows), -1)
        for position in range(length):
            law = belief @ readout
            rows[:, position] = _draw(law, rng)
            if position + 1 < length:
                belief = _step(belief, rows[:, position], matrices)
                belief = belief / law.gather(1, rows[:, position, None])
    return tokens


def _draw(law: Float[Tensor, "sequence token"], rng: torch.Generator) -> Int[Tensor, " sequence"]:
    """The first token whose cumulative probability exceeds a uniform number: one of probability 0 is never drawn."""
    cumulative = law.clamp(min=0).cumsum(dim=1)
    cumulative = cumulative / cumulative[:, -1:]  # exactly 1 from the last possible token on
    uniform = torch.rand(len(law), 1, dtype=law.dtype, device=law.device, generator=rng)
    return (uniform >= cumulative).sum(dim=1)


def _step(
    belief: Float[Tensor, "sequence state"],
    tokens: Int[Tensor, " sequence"],
    matrices: Float[Tensor, "token state state"],
) -> Float[Tensor, "sequence state"]:
    """η T[x] with the matrices of all tokens side by side: wasteful for large vocabularies, and then one by one."""
    count, states = matrices.shape[:2]
    if count <= 8:
        joint = belief @ matrices.permute(1, 0, 2).reshape(states, count * states)
        return joint.view(len(belief), count, states)[torch.arange(len(belief), device=belief.device), tokens]
    new = torch.empty(len(belief), states, dtype=belief.dtype, device=belief.device)
    for token in tokens.unique().tolist():
        chosen = tokens == token
        new[chosen] = belief[chosen] @ matrices[token]
    return new
