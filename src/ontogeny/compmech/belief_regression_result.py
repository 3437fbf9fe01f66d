"""A belief regression's R² beside every control."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from ontogeny.compmech.belief_regression_settings import BeliefRegressionConfig
from ontogeny.compmech.regression_readout import Readout

_EXACT = 1e-6  # 1 − R² of a map that is linear up to rounding
_TITLES = {
    "activations": "activations",
    "untrained": "untrained network",
    "random_projection": "random projection",
    "next_token_law": "next-token law",
}


@dataclass(frozen=True, eq=False)
class BeliefRegression:
    """What `regress_beliefs` found; `print` shows it whole.

    Attributes:
        scores: `r2` (held out) and `in_sample_r2` (least squares) over predictor and target, `columns` over predictor
            and `dimensions` over target, 0 for those that were not given. Predictors: "activations", "untrained",
            "random_projection", "next_token_law", "last_1", "last_2", …; their columns, or for the last n tokens the
            endings that occur. Targets: "belief", "next_token_law", "hidden" (what of the belief the law cannot see).
        unweighted_r2: held out, with every distinct context counted once; what the shuffles compare with.
        shuffled_r2: (permutation,), the same for beliefs shuffled between distinct contexts.
        predicted: (context, state), the held-out belief of every distinct context.
        rows: (context,), the first row of each, so that `beliefs[rows]` stands beside `predicted`.
        weights: (context,), summing to 1.
        readout: the fit to all contexts, for pictures and for steering; its own R² is not held out.
        config: the settings.
    """

    scores: xr.Dataset
    unweighted_r2: float
    shuffled_r2: Float[np.ndarray, " permutation"]
    predicted: Float[np.ndarray, "context state"]
    rows: Int[np.ndarray, " context"]
    weights: Float[np.ndarray, " context"]
    readout: Readout
    config: BeliefRegressionConfig

    @property
    def r2(self) -> float:
        """Held-out R² of the beliefs from the activations, weighted."""
        return float(self.scores["r2"].sel(predictor="activations", target="belief"))

    @property
    def p_value(self) -> float:
        """(1 + the number of shuffles that do as well) / (1 + the number of shuffles)."""
        return float((1 + (self.shuffled_r2 >= self.unweighted_r2).sum()) / (1 + len(self.shuffled_r2)))

    @property
    def num_contexts(self) -> int:
        """How many distinct prefixes of positive weight there are."""
        return len(self.rows)

    @property
    def effective_contexts(self) -> float:
        """1 / Σ w²: as many contexts of equal weight would leave R² as uncertain."""
        return float(1 / (self.weights**2).sum())

    @property
    def too_many_columns(self) -> bool:
        """Whether there is a column for every two distinct contexts: such a fit can follow any target."""
        return 2 * int(self.scores["columns"].sel(predictor="activations")) >= self.num_contexts

    @property
    def overtaken_by(self) -> int | None:
        """The least n whose last n tokens tell the belief at least as well as the activations, both held out."""
        for name, r2 in zip(
            self.scores["predictor"].values, self.scores["r2"].sel(target="belief").values, strict=True
        ):
            if name.startswith("last_") and r2 >= self.r2:
                return int(name.removeprefix("last_"))
        return None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the R² must know, in sentences."""
        columns = int(self.scores["columns"].sel(predictor="activations"))
        found = []
        if self.too_many_columns:
            found.append(
                f"Warning: {columns} columns for {self.num_contexts} distinct contexts can fit any target; "
                "take fewer columns or more contexts."
            )
        if float(self.scores["in_sample_r2"].sel(predictor="next_token_law", target="belief")) > 1 - _EXACT:
            found.append("The belief is linear in the next-token law: its R² is no evidence of more than that law.")
        most = sum(str(name).startswith("last_") for name in self.scores["predictor"].values)
        if most:
            found.append(
                f"Not overtaken by the {_tokens(most)}{' or fewer' * (most > 1)}."
                if self.overtaken_by is None
                else f"Overtaken by the {_tokens(self.overtaken_by)}."
            )
        return tuple(found)

    def to_dataset(self) -> xr.Dataset:
        """`scores` with the shuffles and the verdicts; `overtaken_by` is NaN where no rival does."""
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
        columns = int(self.scores["columns"].sel(predictor="activations"))
        head = (
            f"R² of {self.num_contexts} distinct contexts (weighed as {self.effective_contexts:.0f} equal ones), "
            f"held out in {self.config.num_folds} folds, {columns} columns"
        )
        rows = [_line("predictor", "belief", "in sample", "law", "hidden part")]
        rows += [self._row(str(name)) for name in self.scores["predictor"].values]
        if len(rows) == 1 + len(_TITLES):
            rows.append(_line("last tokens", "not given"))
        high = np.quantile(self.shuffled_r2, 0.95)
        shuffled = (
            f"shuffled beliefs (contexts unweighted): {self.shuffled_r2.mean():.4f}, 95 % below {high:.4f}, against "
            f"{self.unweighted_r2:.4f}: p = {self.p_value:.2g} ({len(self.shuffled_r2)} shuffles)"
        )
        return "\n".join([head, *rows, shuffled, *self.remarks])

    def _row(self, name: str) -> str:
        title = _TITLES.get(name) or _tokens(int(name.removeprefix("last_")))
        scores = self.scores.sel(predictor=name)
        if scores["columns"] == 0:
            return _line(title, "not given")
        held_out, dimensions = scores["r2"], scores["dimensions"]
        law, hidden = (
            f"{float(held_out.sel(target=target)):.4f}" if dimensions.sel(target=target) else "–"
            for target in ("next_token_law", "hidden")
        )
        in_sample = float(scores["in_sample_r2"].sel(target="belief"))
        return _line(title, f"{float(held_out.sel(target='belief')):.4f}", f"({in_sample:.4f})", law, hidden)


def _tokens(n: int) -> str:
    return "last token" if n == 1 else f"last {n} tokens"


def _line(title: str, *cells: str) -> str:
    return f"{title:20}" + "".join(f"{cell:>12}" for cell in cells)
