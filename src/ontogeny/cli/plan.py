"""What a measurement will do, before it does it: its settings, its jobs, and the gradients that these may take."""

from collections.abc import Iterator

from pydantic import Field

from ontogeny.cli.setup_file import GivenSetup
from ontogeny.measurement import LLC, Behaviour, Losses, Measurement
from ontogeny.measurement.choice import MOST_TRIALS, NUM_PILOTS, PILOT
from ontogeny.measurement.trajectory import MAIN, curve_sampler
from ontogeny.sampling import Calibrated, Fixed, PosteriorConfig
from ontogeny.stores import Checkpoints
from ontogeny.studies import override


class SamplingSettings(PosteriorConfig):
    """What `--set` can change: nβ, γ and the like by name, and the sampler's settings as `sampler.error=0.02`."""

    sampler: Calibrated | Fixed = Field(default_factory=Calibrated)

    @property
    def posterior(self) -> PosteriorConfig:
        """Without the sampler."""
        return PosteriorConfig(**self.model_dump(exclude={"sampler"}))


def settings_for_curve(given: GivenSetup, pairs: dict[str, str]) -> SamplingSettings:
    """Those of `ontogeny.measure`, with overrides."""
    size = sum(parameter.numel() for parameter in given.model_fn().parameters())
    return override(SamplingSettings(sampler=curve_sampler(size)), pairs)


def settings_for_one(pairs: dict[str, str]) -> SamplingSettings:
    """Those of `ontogeny.estimate_llc`, with overrides."""
    return override(SamplingSettings(), pairs)


def jobs(run: Checkpoints, given: GivenSetup, settings: SamplingSettings) -> list[str]:
    """Every job by name; those that the store holds are read instead."""
    named = {MAIN: given.data}
    asked: list[Measurement] = [
        Losses(named, given.loss_fn),
        LLC(named, given.loss_fn, settings.posterior, settings.sampler),
        *([Behaviour(given.behaviour)] if given.behaviour else []),
    ]
    parts = [(each, part) for each in asked for part in each.parts()]
    return [f"step {step}: {each.name} {part.name}".rstrip() for step in run.steps for each, part in parts]


def summary(run: Checkpoints, given: GivenSetup, settings: SamplingSettings) -> Iterator[str]:
    """How many checkpoints, jobs and per-sample gradients, one fact a line."""
    count, span = len(run.steps), f"steps {run.steps[0]} to {run.steps[-1]}"
    yield f"{count} checkpoints, {span}: {len(jobs(run, given, settings))} jobs"
    each = gradients(settings)
    yield f"at most {each:,} per-sample gradients a coefficient, {each * count:,} in all"
    if settings.nbeta is None or settings.localization is None:
        pilots = min(NUM_PILOTS, count)
        most = pilots * (MOST_TRIALS + 1) * int(PILOT[0] * each)
        yield f"before, nβ and γ are chosen at {pilots} pilot checkpoints, by at most {most:,} more"


def gradients(settings: SamplingSettings) -> int:
    """Per-sample gradients that one coefficient may take."""
    sampler = settings.sampler
    if isinstance(sampler, Calibrated):
        return sampler.budget or curve_sampler(1).budget or 0
    steps = sampler.num_warmup + sampler.num_draws * sampler.thinning
    return sampler.num_chains * steps * (settings.batch_size or 256)
