"""A probe's R² beside every rival and control."""

import math
import re
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from ontogeny.probes.config import ProbeConfig
from ontogeny.probes.readout import Readout

CONTROLS = ("untrained", "random_projection")
_EXACT = 1e-6  # 1 − R² of a map that is linear up to rounding
_TITLES = {"untrained": "untrained network"}


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe found; `print` shows it whole.

    Attributes:
        scores: `r2` (held out) and `in_sample_r2` (least squares) over predictor and target, `columns` over predictor
            and `dimensions` over target, 0 for those that were not given. Predictors: "activations", "untrained",
            "random_projection", the rivals by name, "last_1", "last_2", …; their columns, or for the last n tokens
            the endings that occur. Targets by name; what is told below is told of the first.
        unweighted_r2: held out, with every distinct context counted once; what the shuffles compare with.
        shuffled_r2: (permutation,), the same for targets shuffled between distinct contexts.
        predicted: (context, dimension), the held-out target of every distinct context.
        rows: (context,), the first row of each, so that `target[rows]` stands beside `predicted`.
        weights: (context,), summing to 1.
        readout: the fit to all contexts, for pictures and for steering; its own R² is not held out.
        config: the settings.
    """

    scores: xr.Dataset
    unweighted_r2: float
    shuffled_r2: Float[np.ndarray, " permutation"]
    predicted: Float[np.ndarray, "context dimension"]
    rows: Int[np.ndarray, " context"]
    weights: Float[np.ndarray, " context"]
    readout: Readout
    config: ProbeConfig

    @property
    def target(self) -> str:
        """The first target's name."""
        return str(self.scores["target"].values[0])

    @property
    def r2(self) -> float:
        """Held-out R² of the target from the activations, weighted."""
        return float(self.scores["r2"].sel(predictor="activations", target=self.target))

    @property
    def p_value(self) -> float:
        """(1 + the number of shuffles that do as well) / (1 + the number of shuffles)."""
        return float((1 + (self.shuffled_r2 >= self.unweighted_r2).sum()) / (1 + len(self.shuffled_r2)))

    @property
    def num_contexts(self) -> int:
        """How many distinct contexts of positive weight there are."""
        return len(self.rows)

    @property
    def effective_contexts(self) -> float:
        """1 / Σ w²: as many contexts of equal weight would leave R² as uncertain."""
        return float(1 / (self.weights**2).sum())

    @property
    def too_many_columns(self) -> bool:
        """Whether there is a column for every two distinct contexts: such a fit can follow any target."""
        return 2 * self._columns("activations") >= self.num_contexts

    @property
    def rivals_ahead(self) -> tuple[str, ...]:
        """The predictors, the last tokens apart, that tell the target at least as well as the activations, held out."""
        return tuple(name for name, r2 in self._others().items() if ending(name) is None and r2 >= self.r2)

    @property
    def overtaken_by(self) -> int | None:
        """The least n whose last n tokens tell the target at least as well as the activations, both held out."""
        return next((n for name, r2 in self._others().items() if (n := ending(name)) and r2 >= self.r2), None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the R² must know, in sentences."""
        found, exact = [], [name for name in self._others() if self._is_exact(name)]
        if self.too_many_columns:
            found.append(
                f"Warning: {self._columns('activations')} columns for {self.num_contexts} distinct contexts can fit "
                "any target; take fewer columns or more contexts."
            )
        for name in exact:
            found.append(f"The {_title(self.target)} is linear in the {_title(name)}: its R² is no evidence of more.")
        for name in self.rivals_ahead:
            if name not in exact:
                found.append(f"Overtaken by the {_title(name)}.")
        most = sum(ending(name) is not None for name in self._others())
        if most:
            found.append(
                f"Not overtaken by the {_tokens(most)}{' or fewer' * (most > 1)}."
                if self.overtaken_by is None
                else f"Overtaken by the {_tokens(self.overtaken_by)}."
            )
        return tuple(found)

    def to_dataset(self) -> xr.Dataset:
        """`scores` with the shuffles and the verdicts; `overtaken_by` is NaN where no ending does."""
        overtaken_by = math.nan if self.overtaken_by is None else float(self.overtaken_by)
        return self.scores.assign(
            shuffled_r2=("permutation", self.shuffled_r2),
            unweighted_r2=self.unweighted_r2,
            p_value=self.p_value,
            overtaken_by=overtaken_by,
            too_many_columns=self.too_many_columns,
            num_contexts=self.num_contexts,
            effective_contexts=self.effective_contexts,
        ).assign_attrs(settings=self.config.model_dump_json())

    def __str__(self) -> str:
        head = (
            f"R² of {self.num_contexts} distinct contexts (weighed as {self.effective_contexts:.0f} equal ones), "
            f"held out in {self.config.num_folds} folds, {self._columns('activations')} columns"
        )
        targets = [str(name) for name in self.scores["target"].values]
        rows = [_line("predictor", self.target.replace("_", " "), "in sample", *map(_title, targets[1:]))]
        names = [str(name) for name in self.scores["predictor"].values]
        rows += [self._row(name, targets) for name in names]
        if not any(map(ending, names)):
            rows.append(_line("last tokens", "not given"))
        high = np.quantile(self.shuffled_r2, 0.95)
        shuffled = (
            f"shuffled {_title(self.target)} (contexts unweighted): {self.shuffled_r2.mean():.4f}, 95 % below "
            f"{high:.4f}, against {self.unweighted_r2:.4f}: p = {self.p_value:.2g} ({len(self.shuffled_r2)} shuffles)"
        )
        return "\n".join([head, *rows, shuffled, *self.remarks])

    def _row(self, name: str, targets: list[str]) -> str:
        scores = self.scores.sel(predictor=name)
        if scores["columns"] == 0:
            return _line(_title(name), "not given")
        r2, *others = (
            f"{float(scores['r2'].sel(target=target)):.4f}" if scores["dimensions"].sel(target=target) else "–"
            for target in targets
        )
        in_sample = float(scores["in_sample_r2"].sel(target=self.target))
        return _line(_title(name), r2, f"({in_sample:.4f})", *others)

    def _columns(self, name: str) -> int:
        return int(self.scores["columns"].sel(predictor=name))

    def _others(self) -> dict[str, float]:
        """Held-out R² of the target from every predictor but the activations."""
        r2 = self.scores["r2"].sel(target=self.target)
        return {str(name): float(value) for name, value in zip(r2["predictor"].values[1:], r2.values[1:], strict=True)}

    def _is_exact(self, name: str) -> bool:
        """Whether the target is linear in a rival up to rounding, and not for want of contexts."""
        in_sample = float(self.scores["in_sample_r2"].sel(predictor=name, target=self.target))
        known = name not in CONTROLS and ending(name) is None
        return known and in_sample > 1 - _EXACT and 2 * self._columns(name) < self.num_contexts


def ending(predictor: str) -> int | None:
    """N of a predictor "last_n"."""
    found = re.fullmatch(r"last_([1-9]\d*)", predictor)
    return int(found[1]) if found else None


def _title(name: str) -> str:
    n = ending(name)
    return _tokens(n) if n else _TITLES.get(name) or name.replace("_", " ")


def _tokens(n: int) -> str:
    return "last token" if n == 1 else f"last {n} tokens"


def _line(title: str, *cells: str) -> str:
    return f"{title:20}" + "".join(f"{cell:>16}" for cell in cells)
