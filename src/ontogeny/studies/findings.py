"""What a seed has found: its artefacts by name, read when they are asked for; one that is missing says why."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ontogeny.core.errors import InvalidArgument, OntogenyError
from ontogeny.stores import Checkpoints


class Unavailable(OntogenyError):
    """An artefact that is not there; the message says why."""


class Missing:
    """Stands for an artefact that could not be made.

    A step that it is handed to is missing as well, and says so; any other use raises `Unavailable`.

    Args:
        name: of the artefact.
        reason: why it is missing.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason

    def _refuse(self, *_: Any) -> Any:
        raise Unavailable(f"{self.name} is missing: {self.reason}")

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return self._refuse()

    __getitem__ = __contains__ = __iter__ = __len__ = __bool__ = __call__ = _refuse
    __fingerprint__ = _refuse  # so that no key is made of it, wherever it stands among the inputs


class Findings(Mapping[str, Any]):
    """A seed's artefacts by name.

    `found["trajectory"]` is what the step of that name returned, a Dataset or a dict of Datasets, read and verified at
    the first use. `in` tells whether it is there, `why` why it is not.

    Args:
        artefacts: name -> a value, a function that reads it, or a `Missing`.

    Raises:
        Unavailable: by `[]`, for an artefact that was not made. A claim whose test needs it is then not tested.
    """

    def __init__(self, artefacts: Mapping[str, Any]) -> None:
        self._artefacts = dict(artefacts)

    def __getitem__(self, name: str) -> Any:
        if reason := self.why(name):
            raise Unavailable(reason)
        if isinstance(self._artefacts[name], _Unread):
            self._artefacts[name] = self._artefacts[name].read()
        return self._artefacts[name]

    def __contains__(self, name: object) -> bool:
        return not isinstance(self._artefacts.get(str(name), Missing("", "")), Missing)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._artefacts if name in self])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def get(self, name: str, default: Any = None) -> Any:
        """An artefact, or `default` where it is missing."""
        return default if self.why(name) else self[name]

    def why(self, name: str) -> str:
        """Why an artefact is missing; empty for one that is there."""
        if name in self:
            return ""
        value = self._artefacts.get(name)
        return f"{value.name} is missing: {value.reason}" if isinstance(value, Missing) else f"{name} was not made"


class _Unread:
    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read


def unread(read: Callable[[], Any]) -> Any:
    """An artefact of `Findings` that is read at its first use."""
    return _Unread(read)


def needed_and_found(error: InvalidArgument) -> str:
    """What an analysis needed and did not find, in words."""
    return f"it needs {error.expected}; found {error.found}".replace("`", "")


def told_of_error(error: Exception) -> dict[str, str]:
    """What became of a step that raised: missing, for want of what it needs, or failed, with the traceback."""
    if isinstance(error, Unavailable):
        return {"state": "missing", "reason": str(error)}
    if isinstance(error, InvalidArgument):
        return {"state": "missing", "reason": needed_and_found(error)}
    told = {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
    return told | {"traceback": "".join(traceback.format_exception(error))}


def told_of_training(kept: Any) -> dict[str, str]:
    """What trainings that diverged tell."""
    runs = kept if isinstance(kept, list) else [kept]
    outcomes = [run.outcome if isinstance(run, Checkpoints) else None for run in runs]
    told = [
        f"network {number}: {outcome}" if len(runs) > 1 else str(outcome)
        for number, outcome in enumerate(outcomes)
        if outcome and outcome.diverged
    ]
    return {"divergence": "; ".join(told)} if told else {}
