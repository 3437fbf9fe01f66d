"""Keys of measured cells: equal if and only if everything that determines the result is equal."""

from typing import Any

from ontogeny.core.fingerprint import fingerprint


class Keys:
    """Fingerprints of the inputs of many cells. Each shared object is read once.

    A large dataset is an input of every cell, so its fingerprint is computed once and cached by identity. The objects
    themselves are kept alive, so that no identity is reused.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def of(self, *inputs: Any) -> str:
        """One key for all inputs. Tuples are unpacked, so that shared objects inside them are found."""
        return fingerprint([self._one(each) for each in inputs])

    def _one(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._one(each) for each in value]
        if isinstance(value, (str, int, float, bool, type(None))):
            return [type(value).__name__, value]
        if id(value) not in self._known:
            self._known[id(value)] = (value, fingerprint(value))
        return self._known[id(value)][1]
