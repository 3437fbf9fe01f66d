"""The learning coefficients of a trajectory as a table, and the ones that a report shows first."""

import pandas as pd
import xarray as xr

from ontogeny.core.outcome import Outcome
from ontogeny.core.runs import runs_of

WHOLE = "all"  # the component that is the whole network
_COLUMNS = {
    **{"llc": "llc", "llc_mcse": "mcse"},
    **{"llc_complexity": "complexity", "llc_complexity_mcse": "complexity_mcse"},
    **{"llc_descent": "descent", "llc_descent_mcse": "descent_mcse"},
    **{"llc_withheld": "withheld", "llc_withheld_mcse": "withheld_mcse"},
    **{"llc_rhat": "rhat", "llc_ess": "ess", "llc_gradients": "gradients", "llc_outcome": "outcome"},
}
_KEYS = ("step", "component", "dataset")


def estimates(trajectory: xr.Dataset) -> pd.DataFrame:
    """Every estimate, one row each.

    Columns: step, component, dataset, what `measure` records of a coefficient (without its prefix `llc_`), and

    - `run`: the label of the run, empty in a trajectory of one;
    - `shown`, `shown_mcse`: the quantity drawn in curves: the complexity if the trajectory has it, else the LLC;
    - `converged`: whether the estimate can be trusted as it stands;
    - `hollow`: whether it is drawn hollow: every estimate that did not converge in a trajectory with verdicts, and none
      in one without.

    Values not recorded are NaN, and outcomes not recorded the empty string. Entries without value and outcome give no
    row.
    """
    runs = runs_of(trajectory)
    tables = {label: _made(run) for label, run in runs.items()} if "llc" in trajectory else {}
    tables = {label: table.assign(run=label) for label, table in tables.items() if len(table)}
    if not tables:
        names = [*_KEYS, *_COLUMNS.values(), "run", "shown", "shown_mcse", "converged", "hollow"]
        return pd.DataFrame(columns=names)
    table = pd.concat(tables.values(), ignore_index=True)
    shown = "complexity" if has_complexity(trajectory) else "llc"
    table["shown"] = table[shown]
    table["shown_mcse"] = table["complexity_mcse" if shown == "complexity" else "mcse"]
    table["converged"] = table.outcome == Outcome.CONVERGED.value
    table["hollow"] = ~table.converged & (table.outcome != "").any()
    return table


def _made(run: xr.Dataset) -> pd.DataFrame:
    """The estimates of one run."""
    variables = run[[name for name in _COLUMNS if name in run]]
    table = variables.to_dataframe().reset_index().rename(columns=_COLUMNS)
    table = table.reindex(columns=[*_KEYS, *_COLUMNS.values()])
    for name, default in (("component", WHOLE), ("dataset", ""), ("outcome", "")):
        table[name] = table[name].astype(object).where(table[name].notna(), default).astype(str)
    made = table.llc.notna() | table.outcome.isin([outcome.value for outcome in Outcome])
    return table[made].reset_index(drop=True)


def by_run(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The estimates of each run, by its label."""
    return {label: table[table.run == label] for label in dict.fromkeys(table.run)}


def has_complexity(trajectory: xr.Dataset) -> bool:
    """Whether complexity and descent were recorded separately. Trajectories of earlier versions do not have them."""
    return "llc_complexity" in trajectory and bool(trajectory["llc_complexity"].notnull().any())


def quantity(trajectory: xr.Dataset) -> str:
    """The name of the curves of coefficients: "complexity", or "LLC" if it was not recorded."""
    return "complexity" if has_complexity(trajectory) else "LLC"


def main_estimates(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the whole network, or else of the first component, on the first dataset."""
    if table.empty:
        return table
    component = WHOLE if (table.component == WHOLE).any() else table.component.iloc[0]
    return table[(table.component == component) & (table.dataset == table.dataset.iloc[0])]


def main(values: xr.DataArray) -> xr.DataArray:
    """The same selection for any variable: the whole network, the first dataset or distribution."""
    if "component" in values.dims:
        names = [str(name) for name in values.component.values]
        values = values.isel(component=names.index(WHOLE) if WHOLE in names else 0)
    return values.isel({dim: 0 for dim in ("dataset", "distribution") if dim in values.dims})
