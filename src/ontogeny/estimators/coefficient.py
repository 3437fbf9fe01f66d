"""The learning coefficient from draws, with its Monte Carlo error and its verdict."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.draws import SamplingSettings, settings_of
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.diagnostics import Diagnostics, diagnose, judge
from ontogeny.stores import read_tree, write_tree

_NORMAL_95 = 1.959964
_TELLING = 0.05  # share of the value


@dataclass(frozen=True)
class Estimate:
    """A learning coefficient (or a difference of two) with how far it can be trusted.

    Attributes:
        value: λ̂, dimensionless.
        mcse: Monte Carlo standard error of `value`, that of the baseline L(w*) and a quarter of the bias that was taken
            off included.
        rhat: rank-normalised split R-hat over chains; 1 is agreement.
        ess: bulk effective sample size of the paired loss trace.
        outcome, advice: the verdict, and a sentence on what to do unless it is `converged`; with any verdict, what γ
            takes of the value where the spectrum at w* says more than 5 %.
        settings: everything that was set (`SamplingSettings`), None for a difference.
        diagnostics: the numbers behind the verdict (`Diagnostics`), None for a difference.
        draws: what it was computed from (see `ontogeny.core.draws`), None for a difference.
    """

    value: float
    mcse: float
    rhat: float
    ess: float
    outcome: Outcome
    advice: str
    settings: SamplingSettings | None = None
    diagnostics: Diagnostics | None = field(default=None, repr=False, compare=False)
    draws: xr.DataTree | None = field(default=None, repr=False, compare=False)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the Monte Carlo error (not of the bias of a chain that has not converged)."""
        half = _NORMAL_95 * self.mcse
        return self.value - half, self.value + half

    def __str__(self) -> str:
        half = _NORMAL_95 * self.mcse
        verdict = self.outcome.value.replace("_", " ")
        text = f"LLC {self.value:.4g} ± {half:.2g} (95%), {verdict}: R-hat {self.rhat:.3f}, ESS {self.ess:.0f}"
        if self.diagnostics and self.diagnostics.withheld > _TELLING:
            text += f", γ takes {self.diagnostics.withheld:.0%}"
        if self.settings:
            s = self.settings
            text += f" [nβ {s.nbeta:.4g}, γ {s.localization:g}, ε {s.step_size:g}, n {s.num_samples}]"
        return text

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Difference of two independent estimates; the errors add in squares and the worse verdict stands."""
        worst = max(self, other, key=lambda estimate: list(Outcome).index(estimate.outcome))
        return Estimate(
            value=self.value - other.value,
            mcse=math.hypot(self.mcse, other.mcse),
            rhat=float(np.maximum(self.rhat, other.rhat)),  # NaN if either is
            ess=float(np.minimum(self.ess, other.ess)),
            outcome=worst.outcome,
            advice=worst.advice,
        )

    def to_frame(self) -> pd.DataFrame:
        """One row: value, error, diagnostics, verdict and settings."""
        numbers = {"value": self.value, "mcse": self.mcse, "low": self.interval[0], "high": self.interval[1]}
        verdict = {"rhat": self.rhat, "ess": self.ess, "outcome": self.outcome.value, "advice": self.advice}
        return pd.DataFrame([numbers | verdict | (vars(self.settings) if self.settings else {})])

    def save(self, path: str | Path) -> Path:
        """Write to a Zarr folder that `og.load` reads back. A difference has no draws and cannot be saved."""
        if self.draws is None:
            raise ValueError("a difference of estimates has no draws to save: save both estimates")
        return write_tree(Path(path), self.draws)


def load(path: str | Path) -> Estimate:
    """The estimate that was saved at `path`, computed again from its draws."""
    return llc(read_tree(Path(path)))


def llc(draws: xr.DataTree) -> Estimate:
    """λ̂ = nβ (E[L(w)] - L(w*)) - b, from losses at w and w* taken on the same samples; warm-up is never averaged in.

    b is what finite steps and minibatches add, as far as the kernel knows it for a quadratic loss (`inflation` in the
    draws: see the kernels). The value is that of the posterior at the settings' nβ and γ: it tends to the learning
    coefficient only as nβ grows and γ falls. Chains that left the finite numbers are not averaged in, and the outcome
    says so.

    Args:
        draws: from `ontogeny.sample`.

    Returns:
        The estimate with its Monte Carlo error from the effective sample size over chains and draws (arviz-stats), its
        `Diagnostics`, and the verdict they give.

    References:
        Lau et al., arXiv 2308.12108, section 4; Vehtari et al. 2021 for R-hat and ESS.
    """
    settings = settings_of(draws)
    if settings.num_parameters == 0:  # nothing moved
        return Estimate(0.0, 0.0, math.nan, math.nan, Outcome.CONVERGED, "", settings, None, draws)
    failed_at = np.asarray(draws["sample_stats"]["failed_at"], dtype=np.float64)
    found = diagnose(draws)
    outcome = judge(found, failed=not np.isnan(failed_at).all(), complete=settings.complete)
    advice = outcome.advice
    if outcome is Outcome.DIVERGED:
        which = ", ".join(
            f"chain {chain} at step {step:.0f}" for chain, step in enumerate(failed_at) if not math.isnan(step)
        )
        advice += f" ({which}; the value is that of the {int(np.isnan(failed_at).sum())} chains that remain.)"
    if outcome is Outcome.NOT_A_MINIMUM and math.isfinite(found.decrease):
        advice += f" (The loss can fall by {found.decrease * 100:.0f} % of the value at the local minimum.)"
    if found.withheld > _TELLING:
        advice = f"{advice} By the spectrum at w*, localization takes {found.withheld:.0%} of the value.".strip()
    return Estimate(found.value, found.mcse, found.rhat, found.ess, outcome, advice, settings, found, draws)
