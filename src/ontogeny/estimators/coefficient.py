"""The learning coefficient from draws, with its Monte Carlo error and its verdict."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ontogeny.core.draws import SamplingSettings, settings_of
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.notebook import table
from ontogeny.core.outcome import Outcome
from ontogeny.estimators.diagnostics import Diagnostics, diagnose, verdict_of, verdict_on_draws
from ontogeny.stores import read_tree, write_tree

_NORMAL_95 = 1.959964
_TELLING = 0.05  # share of the value


@dataclass(frozen=True)
class Estimate:
    """A learning coefficient, or a difference of two, with its error and verdict.

    Away from a minimum the value mixes two things: value = complexity - descent. The complexity nβ E[L - T] is how far
    the posterior's mean loss lies above T, the tangent of the loss at the minimum ŵ of the localised loss near w*; the
    descent nβ (L(w*) - E[T]) is how far the tangent lies below the loss at w*. At a minimum the descent is 0. For a
    quadratic loss of curvatures h and gradients g at w*, the complexity is ½ Σ nβh/(nβh+γ) and the descent
    ½ (nβ)² Σ g² (nβh+2γ)/(nβh+γ)².

    Attributes:
        value: λ̂, dimensionless.
        mcse: Monte Carlo standard error of `value`. It includes that of the baseline L(w*) and a quarter of the bias
            that was subtracted.
        rhat: rank-normalised split R-hat over chains; 1 means agreement.
        ess: bulk effective sample size of the paired loss trace.
        outcome, advice: the verdict, and a sentence on what to do unless it is `converged`.
        complexity, complexity_mcse, descent, descent_mcse: see above. NaN where no descent from w* was made, as in
            `og.sample` with a bare kernel.
        withheld, withheld_mcse: lower bound on the share of the complexity that the localization removes, and its
            error. This is not a failure of sampling: it says what the number means (see `Diagnostics`).
        settings: all settings (`SamplingSettings`); None for a difference.
        diagnostics: the numbers behind the verdict (`Diagnostics`); None for a difference.
        draws: what it was computed from (see `ontogeny.core.draws`); None for a difference.
        sampled: the verdict on the draws alone, wherever their center lies. It applies to the complexity.
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
    complexity: float = math.nan
    complexity_mcse: float = math.nan
    descent: float = math.nan
    descent_mcse: float = math.nan
    withheld: float = math.nan
    withheld_mcse: float = math.nan
    sampled: Outcome = Outcome.CONVERGED

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval from the Monte Carlo error. It does not cover the bias of chains that have not converged."""
        half = _NORMAL_95 * self.mcse
        return self.value - half, self.value + half

    def __str__(self) -> str:
        half = _NORMAL_95 * self.mcse
        verdict = self.outcome.value.replace("_", " ")
        text = f"LLC {self.value:.4g} ± {half:.2g} (95%), {verdict}: R-hat {self.rhat:.3f}, ESS {self.ess:.0f}"
        if abs(self.descent) > _TELLING * abs(self.complexity):
            text += f", complexity {self.complexity:.4g} ± {_NORMAL_95 * self.complexity_mcse:.2g}"
            text += f" less descent {self.descent:.4g} ± {_NORMAL_95 * self.descent_mcse:.2g}"
        if self.withheld > max(_TELLING, 2 * self.withheld_mcse):
            text += f", γ takes {self.withheld:.0%} or more"
        if self.settings:
            s = self.settings
            text += f" [nβ {s.nbeta:.4g}, γ {s.localization:g}, ε {s.step_size:g}, n {s.num_samples}, "
            text += f"{s.num_parameters:,} free weights]"
        return text

    def _repr_html_(self) -> str:
        low, high = self.interval
        facts = [
            ("LLC", f"{self.value:.4g}, 95 % interval {low:.4g} to {high:.4g}"),
            ("verdict", f"{self.outcome.value.replace('_', ' ')}. {self.advice}".rstrip(". ") + "."),
            ("complexity", f"{self.complexity:.4g} ± {_NORMAL_95 * self.complexity_mcse:.2g}"),
            ("descent", f"{self.descent:.4g} ± {_NORMAL_95 * self.descent_mcse:.2g}"),
            ("chains", f"R-hat {self.rhat:.3f}, ESS {self.ess:.0f}"),
        ]
        if self.settings:
            s = self.settings
            facts.append(
                (
                    "posterior",
                    f"nβ {s.nbeta:.4g}, γ {s.localization:g}, n {s.num_samples:,}, {s.num_parameters:,} free weights",
                )
            )
            facts.append(("cost", f"{s.gradient_evaluations:,} per-sample gradients"))
        return table((), facts)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Difference of two estimates at the same settings, with the worse of the two verdicts.

        Errors of independent draws add in quadrature. Draws with the same seed share the noise of their chains, so
        their errors are added linearly. That is right for full dependence and too wide otherwise.

        Raises:
            InvalidArgument: unless both have the same nβ, γ and n. Values at different settings are not comparable.
        """
        one_seed = self._check_comparable(other)
        add = float.__add__ if one_seed else math.hypot
        worst = max(self, other, key=lambda estimate: list(Outcome).index(estimate.outcome))
        return Estimate(
            value=self.value - other.value,
            mcse=add(float(self.mcse), float(other.mcse)),
            rhat=float(np.maximum(self.rhat, other.rhat)),  # NaN if either is
            ess=float(np.minimum(self.ess, other.ess)),
            outcome=worst.outcome,
            advice=worst.advice,
            complexity=self.complexity - other.complexity,
            complexity_mcse=add(float(self.complexity_mcse), float(other.complexity_mcse)),
            descent=self.descent - other.descent,
            descent_mcse=add(float(self.descent_mcse), float(other.descent_mcse)),
            sampled=max(self.sampled, other.sampled, key=list(Outcome).index),
        )

    def _check_comparable(self, other: "Estimate") -> bool:
        """Whether both used the same seed. Differences have no settings to compare."""
        if self.settings is None or other.settings is None:
            return False
        names = {"nbeta": "nβ", "localization": "γ", "num_samples": "n"}
        pairs = {shown: (getattr(self.settings, name), getattr(other.settings, name)) for name, shown in names.items()}
        unequal = [f"{shown} {one:g} and {two:g}" for shown, (one, two) in pairs.items() if one != two]
        if unequal:
            raise InvalidArgument(
                "other",
                expected="an estimate at the same nβ, γ and n",
                found=", ".join(unequal),
                instead="estimate_llc(..., nbeta=..., localization=...) with the same values for both",
            )
        return self.settings.seed == other.settings.seed

    def to_frame(self) -> pd.DataFrame:
        """One row: value, error, diagnostics, verdict and settings."""
        numbers = {"value": self.value, "mcse": self.mcse, "low": self.interval[0], "high": self.interval[1]}
        split = ("complexity", "complexity_mcse", "descent", "descent_mcse", "withheld", "withheld_mcse")
        numbers |= {name: getattr(self, name) for name in split}
        verdict = {"rhat": self.rhat, "ess": self.ess, "outcome": self.outcome.value, "advice": self.advice}
        return pd.DataFrame([numbers | verdict | (vars(self.settings) if self.settings else {})])

    def save(self, path: str | Path) -> Path:
        """Write to a Zarr folder that `og.load` reads back. A difference has no draws and cannot be saved."""
        if self.draws is None:
            raise ValueError("a difference of estimates has no draws to save: save both estimates")
        return write_tree(Path(path), self.draws)


def load(path: str | Path) -> Estimate:
    """Load the estimate saved at `path`, recomputed from its draws."""
    return llc(read_tree(Path(path)))


def llc(draws: xr.DataTree) -> Estimate:
    """λ̂ = nβ (E[L(w)] - L(w*)) - b, with losses at w and w* on the same samples and without warm-up.

    b is the bias from finite steps and minibatches, as the kernel predicts it for a quadratic loss (`inflation` in the
    draws: see the kernels). The value is that of the posterior at the given nβ and γ. It tends to the learning
    coefficient only as nβ grows and γ falls. Diverged chains are left out, and the outcome says so.

    Args:
        draws: from `ontogeny.sample`.

    Returns:
        The estimate, with its Monte Carlo error from the effective sample size over chains and draws (arviz-stats), its
        `Diagnostics` and the resulting verdict.

    References:
        Lau et al., arXiv 2308.12108, section 4; Vehtari et al. 2021 for R-hat and ESS.
    """
    settings = settings_of(draws)
    if settings.num_parameters == 0:  # nothing moved
        return Estimate(0.0, 0.0, math.nan, math.nan, Outcome.CONVERGED, "", settings, None, draws, *(0.0,) * 6)
    failed_at = np.asarray(draws["sample_stats"]["failed_at"], dtype=np.float64)
    found = diagnose(draws)
    failed = not np.isnan(failed_at).all()
    outcome = verdict_of(found, failed)
    advice = outcome.advice
    if outcome is Outcome.DIVERGED and settings.not_finite:
        advice = f"The loss at w* is not finite for {settings.not_finite}: correct these samples, or leave them out."
        if settings.not_finite.endswith("weights"):
            advice = f"w* is not finite in {settings.not_finite}: take a checkpoint from before training diverged."
    elif outcome is Outcome.DIVERGED:
        which = ", ".join(
            f"chain {chain} at step {step:.0f}" for chain, step in enumerate(failed_at) if not math.isnan(step)
        )
        advice += f" ({which}; the value comes from the other {int(np.isnan(failed_at).sum())} chains.)"
    split = (found.complexity, found.complexity_mcse, found.descent, found.descent_mcse)
    share = (found.withheld, found.withheld_mcse)
    numbers = (found.value, found.mcse, found.rhat, found.ess)
    return Estimate(*numbers, outcome, advice, settings, found, draws, *split, *share, verdict_on_draws(found, failed))
