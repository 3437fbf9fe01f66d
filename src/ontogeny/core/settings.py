"""Frozen, validated settings, shared by calls, TOML files and flags. Errors name the wrong setting."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument

_SETTING = "a setting of"
# In place of `Self`, which beartype does not take in a method.
Own = TypeVar("Own", bound="Settings")


class Settings(BaseModel):
    """Base of every config. Unknown names are errors, and every error is an `InvalidArgument`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, *unnamed: Any, **values: Any) -> None:
        if unnamed:
            kind, first = type(self).__name__, next(iter(type(self).model_fields), "name")
            given = arguments.show(unnamed[0])
            raise InvalidArgument(kind, expected="settings by name", found=given, instead=f"{kind}({first}=...)")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), error) from None

    @classmethod
    def model_validate(cls: type[Own], obj: Any, **options: Any) -> Own:
        """As pydantic's, refused in the same way as a call."""
        try:
            return super().model_validate(obj, **options)  # pyrefly: ignore[bad-return]
        except ValidationError as error:
            raise _refusal(cls, error) from None


def _refusal(kind: type[BaseModel], error: ValidationError) -> InvalidArgument:
    """The first error, in our own words if it comes from one of our validators."""
    first = min(error.errors(), key=lambda each: (_is_of_another_kind(each), each["type"] == "missing"))
    where = ".".join(str(part) for part in first["loc"] if not str(part)[:1].isupper())  # but for names of classes
    said = _said(first)
    if isinstance(said, InvalidArgument):
        inside = where.rpartition(".")[2] == said.argument
        place = where if inside else ".".join(filter(None, (where, said.argument)))
        if place == said.argument:
            return said
        return InvalidArgument(place, expected=said.expected, found=said.found, instead=said.instead)
    if first["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        instead = (difflib.get_close_matches(where, known, n=1, cutoff=0) or [""])[0]
        return InvalidArgument(where, expected=f"{_SETTING} {kind.__name__}", found=repr(where), instead=instead)
    if first["type"] == "missing":
        return InvalidArgument(where, expected="a value", found="none", instead=f"{kind.__name__}({where}=...)")
    expected = first["msg"].removeprefix("Input should be ")
    return InvalidArgument(where, expected=expected, found=arguments.show(first["input"]))


def _said(error: Mapping[str, Any]) -> Any:
    return error.get("ctx", {}).get("error")


def _is_of_another_kind(error: Mapping[str, Any]) -> bool:
    """Whether an error comes from an alternative that was not meant and does not know a name."""
    said = _said(error)
    return isinstance(said, InvalidArgument) and said.expected.startswith(_SETTING)
