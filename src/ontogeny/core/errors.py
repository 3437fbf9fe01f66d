"""Errors for wrong use. Each names the argument, what was expected, what was found and what to write instead."""


class OntogenyError(Exception):
    """Base of every error that ontogeny raises deliberately."""


class InvalidArgument(OntogenyError, ValueError):
    """An unusable argument.

    Args:
        argument: name of the argument, as the caller writes it.
        expected: what would have been accepted.
        found: what was given.
        instead: what to write instead, as a sentence or a call.
    """

    def __init__(self, argument: str, *, expected: str, found: str, instead: str = "") -> None:
        self.argument, self.expected, self.found, self.instead = argument, expected, found, instead
        advice = f" Write instead: {instead}" if instead else ""
        super().__init__(f"`{argument}`: expected {expected}, found {found}.{advice}")


class CorruptFile(OntogenyError):
    """A stored file that is damaged, truncated or not of the type its name says. The message contains the path."""


class EstimateNotTrusted(OntogenyError):
    """Raised under `strict=True` for an estimate that did not converge; the estimate is in `.estimate`."""

    def __init__(self, message: str, estimate: object) -> None:
        self.estimate = estimate
        super().__init__(message)
