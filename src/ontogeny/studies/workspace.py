"""A seed's folder as named artefacts, each made by one step from named inputs, whole or not at all."""

import inspect
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ontogeny.core.errors import CorruptFile, InvalidArgument
from ontogeny.core.losses import LossFn
from ontogeny.core.protocols import Progress
from ontogeny.core.seeds import derive
from ontogeny.execution import Executor
from ontogeny.measurement import Measurement, Run, measure, measure_cells
from ontogeny.measurement.keys import Keys
from ontogeny.stores import Checkpoints
from ontogeny.studies import artefacts
from ontogeny.studies.findings import Findings, Missing, told_of_error, told_of_training
from ontogeny.terminal import as_progress
from ontogeny.training import TrainingConfig, are_stages, train, train_instances

_NAME = re.compile(r"[A-Za-z][\w-]*")
_RESERVED = ("measurements", "cache")


class Workspace:
    """Where one seed of a study is made: steps by name, the result of each kept under a key of all that decides it:
    the code of its function, its inputs by content, the seed, and the versions of libraries.

    A step whose result is there under its key is read instead of being made. So a study that was killed goes on where
    it was and ends with the same artefacts; a changed input or function makes its step anew, and those that it thereby
    changes. A step that raises leaves a reason in place of an artefact: it returns a `Missing`, which makes every step
    that it is handed to missing as well, and ends the study where it is used otherwise.

    Args:
        directory: the seed's own folder; see `ontogeny.studies.artefacts` for what is in it.
        seed: root of the seed tree.
        cache: folder of what seeds share, such as prepared texts; default a folder inside.
        executor: who runs the jobs of measurements; default one process a core.
        progress: a `Progress`, or True for bars in the terminal.
    """

    def __init__(
        self,
        directory: str | Path,
        seed: int = 0,
        *,
        cache: str | Path | None = None,
        executor: Executor | None = None,
        progress: Progress | bool = False,
    ) -> None:
        self.directory, self.cache = Path(directory), Path(cache or Path(directory) / "cache")
        self.executor, self.progress = executor, as_progress(progress)
        self._root, self._keys = seed, Keys()
        self._steps: dict[str, dict[str, str]] = {}
        self.errors: list[Exception] = []

    def seed(self, *path: str | int) -> int:
        """The seed at this place of the study's seed tree."""
        return derive(self._root, *path)

    def step(self, name: str, function: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
        """What `function(*inputs, **named)` returns: a Dataset, or a dict of Datasets, which appear together.

        Args:
            name: of the artefact, once a study.
            function: of its inputs alone. Global random numbers of torch are seeded for it.
            inputs, named: whatever `fingerprint` covers: artefacts, checkpoints, configs, tensors, numbers.

        Returns:
            The artefact as it is read from disk, or a `Missing`.
        """
        given = inspect.signature(function).bind(*inputs, **named).arguments
        return self._artefact(name, function, given, lambda: function(*inputs, **named))

    def measure(self, name: str, run: Checkpoints, make: Callable[[], nn.Module], *what: Any, **options: Any) -> Any:
        """What `ontogeny.measure(run, make, *what, **options)` measures along a run, its jobs kept in this folder.

        Args:
            name: of the artefact, once a study.
            run: from `train`, or `ontogeny.open_checkpoints`.
            make: makes the module that weights are loaded into.
            what: data and loss function; or a list of `Measurement`s, each of which is measured and nothing else.
            options: as for `ontogeny.measure`, such as `components`, `steps`, `posterior` and `sampler`; of a list of
                measurements, `steps` alone.

        Returns:
            The artefact, or a `Missing`.
        """
        common: dict[str, Any] = {"executor": self.executor, "progress": self.progress}
        common["store"] = self.directory / "measurements"
        if len(what) == 1 and _are_measurements(what[0]):
            given = {"run": run, "make": make, "measurements": what[0], **options}
            network = Run(run, make)
            return self._artefact(
                name,
                measure_cells,
                given,
                lambda: measure_cells(network, options.pop("steps", run.steps), what[0], **options, **common),
            )
        options.setdefault("seed", self.seed("sampler"))
        given = {"run": run, "make": make, "what": what, **options}
        return self._artefact(name, measure, given, lambda: measure(run, make, *what, **options, **common))

    def train(
        self,
        name: str,
        make: Callable[[], nn.Module],
        data: Any,
        loss: LossFn | None = None,
        training: TrainingConfig | None = None,
    ) -> Checkpoints:
        """Checkpoints of a network trained from what `make()` returns, in the folder `name`.

        Args:
            name: of the network, once a study.
            make: makes it with its initial weights. Global random numbers of torch are seeded for it.
            data, loss, training: as for `ontogeny.train`: samples or a task with loss and config, or a list of `Stage`s
                alone. The seed of every config is replaced by one of the study's seed tree, the same for all of its
                networks.

        Returns:
            The checkpoints, or a `Missing`. Of a training that diverged they are those before, and the report and the
            claims say so.
        """
        given = {"make": make, "data": data, "loss": loss, "training": training}
        return self._trained(name, train, given, make)

    def train_instances(
        self,
        name: str,
        make: Callable[[], nn.Module],
        count: int,
        data: Any,
        loss: LossFn | None = None,
        training: TrainingConfig | None = None,
    ) -> list[Checkpoints]:
        """Checkpoints of each of many small networks trained at once, as by `ontogeny.train_instances`.

        Args:
            name: of all of them together, once a study.
            make: makes each with its initial weights, called `count` times.
            count: how many.
            data: as for `train`, or a list of tasks, one for each.
            loss, training: as for `train`.

        Returns:
            A list of checkpoints, or a `Missing`.
        """
        given = {"make": make, "count": count, "data": data, "loss": loss, "training": training}
        return self._trained(name, train_instances, given, lambda: [make() for _ in range(count)])

    def _trained(
        self, name: str, function: Callable[..., Any], given: Mapping[str, Any], models: Callable[[], Any]
    ) -> Any:
        folder = self.directory / name
        given = {label: self._seeded(value) for label, value in given.items()}

        def work(key: str) -> None:
            artefacts.begin_training(folder, key)
            function(models(), given["data"], given["loss"], given["training"], folder, self.progress)

        return self._kept(
            name,
            function,
            given,
            read=lambda key: artefacts.read_training(folder, key),
            make=work,
            write=lambda _, metadata: artefacts.seal_training(folder, metadata),
        )

    def _seeded(self, given: Any) -> Any:
        """A config, or stages with theirs, with the seed of this study's trainings; anything else as it is."""
        if isinstance(given, TrainingConfig):
            return given.model_copy(update={"seed": self.seed("training")})
        if are_stages(given):
            return [replace(stage, config=self._seeded(stage.config)) for stage in given]
        return given

    def findings(self) -> Findings:
        """What was made so far."""
        return artefacts.stored_findings(self.directory)

    def timings(self) -> dict[str, float]:
        """Seconds that each step took when it was made."""
        return artefacts.timings(self.directory)

    def _artefact(
        self, name: str, function: Callable[..., Any], given: Mapping[str, Any], make: Callable[[], Any]
    ) -> Any:
        def read(key: str) -> artefacts.Artefact | None:
            if artefacts.metadata_of(artefacts.place(self.directory, name)).get("key") != key:
                return None
            try:
                return artefacts.read_artefact(self.directory, name)
            except CorruptFile as damage:
                warnings.warn(f"A stored artefact is damaged and is made anew. {damage}", stacklevel=4)
                return None

        def write(made: Any, metadata: Mapping[str, Any]) -> None:
            artefacts.write_artefact(self.directory, name, made, metadata)

        return self._kept(name, function, given, read=read, make=lambda _: make(), write=write)

    def _kept(
        self,
        name: str,
        function: Callable[..., Any],
        given: Mapping[str, Any],
        *,
        read: Callable[[str], Any],
        make: Callable[[str], Any],
        write: Callable[[Any, dict[str, Any]], None],
    ) -> Any:
        """What is read under the key of all this, made and written before if need be; what becomes of it is recorded.

        It is read back even when it was just made, so that later keys are the same whenever they are taken.
        """
        self._check_name(name)
        try:
            inputs = {label: self._keys.of(value) for label, value in sorted(given.items())}
            key = self._keys.of(name, self.seed(name), function, tuple(inputs.items()))
            kept = read(key)
            if kept is None:
                begun = time.perf_counter()
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.seed(name))
                    made = make(key)
                metadata = {"step": name, "key": key, "inputs": inputs}
                write(made, metadata | {"seconds": round(time.perf_counter() - begun, 2)})
                kept = read(key)
            self._record(name, {"state": "made", "key": key} | told_of_training(kept))
            return kept
        except Exception as error:
            self.errors.append(error)
            told = told_of_error(error)
            self._record(name, told)
            return Missing(name, told["reason"])

    def _check_name(self, name: str) -> None:
        if name in self._steps or name in _RESERVED or not _NAME.fullmatch(name):
            found = f"{name!r} twice" if name in self._steps else repr(name)
            raise InvalidArgument("name", expected="letters, digits, - and _, once a study", found=found)

    def _record(self, name: str, told: dict[str, str]) -> None:
        self._steps[name] = told
        artefacts.record_steps(self.directory, self._steps)

    def ended(self, error: Exception) -> None:
        """Record that the study itself raised, so that steps after this were not made."""
        self.errors.append(error)
        self._record("the study", told_of_error(error))


def _are_measurements(what: Any) -> bool:
    return isinstance(what, Sequence) and all(isinstance(each, Measurement) for each in what)
