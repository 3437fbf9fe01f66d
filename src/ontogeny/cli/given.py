"""The inputs of a command: a user's own Python file, or a Hugging Face model's folder and a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ontogeny.core.errors import InvalidArgument
from ontogeny.core.user_files import load_file

MODULE = "ontogeny_setup"
NEEDED = ("model_fn", "data", "loss_fn")


@dataclass(frozen=True)
class Given:
    """Model, data and loss, and the optional definitions of a file.

    Attributes:
        model_fn: makes the module that weights are loaded into.
        data, loss_fn, num_samples: see `ontogeny.LocalPosterior`.
        datasets, components, behaviour, sampler: see `ontogeny.measure`.
        roles, fine_tuned_on: see `ontogeny.compare`.
    """

    model_fn: Callable[[], Any]
    data: Any
    loss_fn: Callable[[Any, Any], Any]
    num_samples: int | None = None
    datasets: Mapping[str, Any] | None = None
    components: Sequence[str] | None = None
    behaviour: Callable[[Any], Any] | None = None
    sampler: Any = None
    roles: Any = None
    fine_tuned_on: Any = None

    @property
    def samples(self) -> Any:
        """The data, with the number of samples if the file gives it."""
        from ontogeny.core.samples import Samples

        return self.data if self.num_samples is None else Samples.of(self.data, self.num_samples)

    def including(
        self, texts: Sequence[str] | None, components: Sequence[str] | None, weights: Path, context: int | None
    ) -> "Given":
        """Add texts `NAME=FILE` as further datasets, and select these components if any are named."""
        split = [text.partition("=") for text in texts or []]
        for name, equals, file in split:
            if not equals or not Path(file).is_file():
                found = f"{name}{equals}{file}" + (", which is not a file" if equals else "")
                raise InvalidArgument("--dataset", expected="NAME=FILE", found=found, instead="--dataset code=code.txt")
        more = {name: read_given(Path(file), weights, context).samples for name, _, file in split}
        datasets = {**(self.datasets or {}), **more} or None
        return replace(self, datasets=datasets, components=components or self.components)


def read_given(path: Path, weights: Path | None = None, context: int | None = None) -> Given:
    """Read a Python file's definitions; any other file is a text for the causal language model in the folder `weights`.

    Raises:
        InvalidArgument: for a file that does not exist, fails (naming the line), or lacks a definition.
    """
    if not path.is_file():
        found = f"{path}, which is a folder" if path.is_dir() else f"{path}, which does not exist"
        raise InvalidArgument(
            "SETUP",
            expected="a Python file, or a text file with a Hugging Face model's folder",
            found=found,
            instead="the path of a file that defines model_fn(), data and loss_fn",
        )
    if path.suffix == ".py":
        return _from_file(path)
    from ontogeny.cli.hugging_face import from_text

    return from_text(path, weights, context)


def read_model(path: Path) -> Any:
    """The network of a setup file or of a Hugging Face model's folder."""
    if path.is_dir():
        from ontogeny.cli.hugging_face import model_of

        return model_of(path)
    return read_given(path).model_fn()


def _from_file(path: Path) -> Given:
    module = load_file(path, MODULE, "SETUP")
    if missing := [name for name in NEEDED if not hasattr(module, name)]:
        raise InvalidArgument(
            "SETUP",
            expected="model_fn, data and loss_fn",
            found=f"{path} without {', '.join(missing)}",
            instead="def model_fn(): ..., data = (inputs, targets), loss_fn = og.losses.cross_entropy",
        )
    known = {field.name: getattr(module, field.name) for field in fields(Given) if hasattr(module, field.name)}
    make = known["model_fn"]
    if not callable(make) or (hasattr(make, "state_dict") and not isinstance(make, type)):  # a module itself
        raise InvalidArgument(
            "SETUP",
            expected="model_fn, a function without arguments that makes the module",
            found=f"model_fn = {type(make).__name__}",
            instead="def model_fn(): return ...",
        )
    return Given(**known)
