"""Random bits by address: what stands at one does not depend on what was drawn before."""

import numpy as np
from jaxtyping import UInt64

_AT_ONCE = 4  # words that one value of the counter gives


class Words:
    """Random words of 64 bits, each a function of (key, chain, step, draw, block) and its place there, and of no state.

    They are those of Philox 4x64-10, a cipher of 128 bits of key over a counter of 256 bits: `key` and `chain` are the
    key; step, block and draw are parts of the counter. Steps of one length lie one after another, so that many are
    drawn at once as fast as one, and are the same alone. One object serves one thread.

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
            chain, draw, block: ≥ 0; addresses that differ have unrelated words.
            step: the first step, ≥ 0.
            length: words of each step: the same wherever this key, chain, draw and block are asked for, since steps of
                another length lie elsewhere.
            steps: how many.
        """
        stride = -(-length // _AT_ONCE)
        self._address["key"][:] = key, chain
        self._address["counter"][:] = step * stride, block, draw, 0
        self._bits.state = self._state
        return self._bits.random_raw(steps * stride * _AT_ONCE).reshape(steps, -1)[:, :length]
