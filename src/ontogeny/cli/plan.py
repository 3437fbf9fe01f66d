"""The plan of a measurement: its settings, its jobs, and the largest number of gradients."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from ontogeny.cli.given import Given
from ontogeny.core.errors import InvalidArgument
from ontogeny.measurement import LLC, Behaviour, Losses, Measurement
from ontogeny.measurement.choice import NUM_PILOTS, PILOT
from ontogeny.measurement.quantities import WHOLE
from ontogeny.measurement.search import MOST_TRIALS
from ontogeny.measurement.trajectory import MAIN, curve_sampler
from ontogeny.models import restrict
from ontogeny.sampling import Calibrated, Fixed, LocalPosterior, PosteriorConfig, forecast
from ontogeny.sampling.costs import duration
from ontogeny.stores import Checkpoints, HubCheckpoints
from ontogeny.studies import override

_WITH_OPTIONS = ("nbeta", "localization", "device", "sampler.budget", "sampler.error")


class SamplingSettings(PosteriorConfig):
    """What `--set` can change: settings of the posterior by name, and the sampler's as `sampler.error=0.02`."""

    sampler: Calibrated | Fixed = Field(default_factory=Calibrated)

    @property
    def posterior(self) -> PosteriorConfig:
        """The settings without the sampler."""
        return PosteriorConfig(**self.model_dump(exclude={"sampler"}))


def settings_for_curve(given: Given, pairs: dict[str, str]) -> SamplingSettings:
    """The settings of `ontogeny.measure`, with overrides."""
    size = sum(parameter.numel() for parameter in given.model_fn().parameters())
    return _overridden(given, curve_sampler(size), pairs)


def settings_for_one(given: Given, pairs: dict[str, str]) -> SamplingSettings:
    """The settings of `ontogeny.estimate_llc`, with overrides."""
    return _overridden(given, Calibrated(), pairs)


def _overridden(given: Given, default: Calibrated, pairs: dict[str, str]) -> SamplingSettings:
    """The file's or default sampler, changed in kind if `sampler` says so, with all other settings applied."""
    kinds = {"calibrated": default, "fixed": Fixed()}
    kind = pairs.get("sampler")
    if kind is not None and kind not in kinds:
        raise InvalidArgument(
            "--set", expected="sampler=calibrated or sampler=fixed", found=f"sampler={kind}", instead="sampler=fixed"
        )
    sampler = kinds[kind] if kind else given.sampler or default
    rest = {name: value for name, value in pairs.items() if name != "sampler"}
    try:
        return override(SamplingSettings(sampler=sampler), rest)
    except InvalidArgument as error:
        name = error.found.partition("=")[0]
        option = f"--{name.removeprefix('sampler.')}" if name in _WITH_OPTIONS else "--set"
        raise InvalidArgument(option, expected=error.expected, found=error.found, instead=error.instead) from error


def jobs(steps: Sequence[int], given: Given, settings: SamplingSettings) -> list[str]:
    """Every job by name, including those already in the store."""
    named = {MAIN: given.samples, **(given.datasets or {})}
    model = given.model_fn()
    wanted = [WHOLE] if given.components is None else given.components
    restrictions = {name: None if name == WHOLE else restrict(model, name) for name in wanted}
    asked: list[Measurement] = [
        Losses(named, given.loss_fn),
        LLC(named, given.loss_fn, settings.posterior, settings.sampler, restrictions),
        *([Behaviour(given.behaviour)] if given.behaviour else []),
    ]
    cells = [(each, cell) for each in asked for cell in each.cells()]
    return [f"step {step}: {each.name} {cell.name}".rstrip() for step in steps for each, cell in cells]


def summary(steps: Sequence[int], given: Given, settings: SamplingSettings) -> Iterator[str]:
    """The numbers of checkpoints, jobs and per-sample gradients, one fact per line."""
    count, span = len(steps), f"steps {steps[0]} to {steps[-1]}"
    yield f"{count} checkpoints, {span}: {len(jobs(steps, given, settings))} jobs"
    each, parts = gradients(settings), 1 if given.components is None else len(given.components)
    whole = each * count * parts * (1 + len(given.datasets or {}))
    yield f"at most {each:,} per-sample gradients per coefficient, {whole:,} in all"
    if settings.nbeta is None or settings.localization is None:
        pilots = min(NUM_PILOTS, count)
        most = pilots * (MOST_TRIALS + 1) * int(PILOT[0] * each)
        yield f"first, nβ and γ are chosen at {pilots} pilot checkpoints, with at most {most:,} more"


def forecasts(steps: Sequence[int], given: Given, settings: SamplingSettings) -> Iterator[str]:
    """Time and memory of all coefficients on this device, from a few steps of the chains of each component.

    Raises:
        InvalidArgument: if there is no memory for them.
    """
    model, total, peak = given.model_fn(), 0.0, 0
    for name in [WHOLE] if given.components is None else given.components:
        part = None if name == WHOLE else name
        options = settings.posterior.options()
        posterior = LocalPosterior(model, given.samples, given.loss_fn, restriction=part, **options)
        one = forecast(posterior, settings.sampler)
        one.require_fit()
        total, peak = total + one.seconds, max(peak, one.memory)
        yield f"{name}: {one} for each coefficient"
    seconds = total * len(steps) * (1 + len(given.datasets or {}))
    yield f"all coefficients: {duration(seconds)} on one process, {peak / 1e9:.3g} GB for each process"


def of_the_hub(run: Checkpoints) -> Iterator[str]:
    """What a series on a hub would cost to fetch, what it lacks, and what else the repository holds."""
    if not isinstance(run, HubCheckpoints):
        return
    yield f"to fetch: {run.size / 1e9:,.3g} GB, with at most {run.most_on_disk / 1e9:,.3g} GB on disk at a time"
    if run.missing:
        shown = [f"{step} ({why})" for step, why in list(run.missing.items())[:10]]
        yield f"missing: {', '.join(shown)}" + (f" and {len(run.missing) - 10} more" if len(run.missing) > 10 else "")
    if run.others:
        yield "other series: " + ", ".join(f"{source} ({count})" for source, count in run.others.items())


def gradients(settings: SamplingSettings) -> int:
    """The largest number of per-sample gradients for one coefficient."""
    sampler = settings.sampler
    if isinstance(sampler, Calibrated):
        return sampler.budget or curve_sampler(1).budget or 0
    steps = sampler.num_warmup + sampler.num_draws * sampler.thinning
    return sampler.num_chains * steps * (settings.batch_size or 256)
