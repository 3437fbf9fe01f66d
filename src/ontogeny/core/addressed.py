"""Random bits by address: the bits at an address do not depend on earlier draws."""

import numpy as np
from jaxtyping import UInt64

_AT_ONCE = 4  # words per value of the counter


class Words:
    """Stateless random 64-bit words, each a function of (key, chain, step, draw, block) and its position there.

    They come from Philox 4x64-10, which has a 128-bit key and a 256-bit counter. `key` and `chain` form the key; step,
    block and draw are parts of the counter. Steps of one length are contiguous, so many are drawn at once as fast as
    one, with the same words as when drawn singly. Use one object per thread.

    References:
        Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(0)
        self._state = self._bits.state  # setting it takes a microsecond; a new generator takes eight
        self._address = self._state["state"]

    def at(
        self, key: int, chain: int, step: int, length: int, *, steps: int = 1, draw: int = 0, block: int = 0
    ) -> UInt64[np.ndarray, "step length"]:
        """The words of some consecutive steps.

        Args:
            key: below 2^64: a child of a seed (`ontogeny.core.seeds.derive`).
            chain, draw, block: ≥ 0; different addresses have unrelated words.
            step: the first step, ≥ 0.
            length: words per step. Use the same length for the same key, chain, draw and block, since it determines
                where steps lie.
            steps: number of steps.
        """
        stride = -(-length // _AT_ONCE)
        self._address["key"][:] = key, chain
        self._address["counter"][:] = step * stride, block, draw, 0
        self._bits.state = self._state
        return self._bits.random_raw(steps * stride * _AT_ONCE).reshape(steps, -1)[:, :length]
