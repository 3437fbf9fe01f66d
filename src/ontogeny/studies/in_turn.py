"""Networks that differ before training and are trained as instances."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ontogeny.core.errors import InvalidArgument


class InTurn:
    """What `Workspace.train_instances` calls as often as there are networks: each call makes the next.

    Args:
        makers: of the networks, one each.

    Raises:
        InvalidArgument: when it is called more often than there are makers.
    """

    def __init__(self, makers: Sequence[Callable[[], nn.Module]]) -> None:
        self.makers, self._made = tuple(makers), 0

    def __fingerprint__(self) -> tuple[Any, ...]:
        return self.makers

    def __call__(self) -> nn.Module:
        if self._made == len(self.makers):
            raise InvalidArgument("makers", expected="one for each network", found=f"{self._made}")
        self._made += 1
        return self.makers[self._made - 1]()
