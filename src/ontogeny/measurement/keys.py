"""Keys of measured parts: equal if and only if all that decides the number is equal."""

from typing import Any

from ontogeny.core.fingerprint import fingerprint


class Keys:
    """Fingerprints of the inputs of many parts, each object that several share read once.

    A large dataset stands in the inputs of every part; its fingerprint is taken once and kept by identity, while the
    objects themselves are held, so that no identity is used twice.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def of(self, *inputs: Any) -> str:
        """One key for all inputs; tuples are taken apart, so that what is shared in them is found."""
        return fingerprint([self._one(each) for each in inputs])

    def _one(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._one(each) for each in value]
        if isinstance(value, (str, int, float, bool, type(None))):
            return [type(value).__name__, value]
        if id(value) not in self._known:
            self._known[id(value)] = (value, fingerprint(value))
        return self._known[id(value)][1]
