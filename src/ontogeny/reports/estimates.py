"""The learning coefficients of a trajectory as a table, and which of them a report shows first."""

import pandas as pd
import xarray as xr

from ontogeny.core.outcome import Outcome

_COLUMNS = {"llc": "llc", "llc_mcse": "mcse", "llc_rhat": "rhat", "llc_ess": "ess", "llc_outcome": "outcome"}
WHOLE = "all"  # the component that is the whole network


def estimates(trajectory: xr.Dataset) -> pd.DataFrame:
    """Every estimate that was made, one row each: step, component, dataset, llc, mcse, rhat, ess, outcome.

    What was not recorded is NaN; an outcome that was not recorded is the empty string. Places of the trajectory where
    nothing was estimated (no value and no outcome) give no row.
    """
    names = [*["step", "component", "dataset"], *_COLUMNS.values()]
    if "llc" not in trajectory:
        return pd.DataFrame(columns=names)
    variables = trajectory[[name for name in _COLUMNS if name in trajectory]]
    table = variables.to_dataframe().reset_index().rename(columns=_COLUMNS).reindex(columns=names)
    for name, default in (("component", WHOLE), ("dataset", ""), ("outcome", "")):
        table[name] = table[name].astype(object).where(table[name].notna(), default).astype(str)
    made = table.llc.notna() | table.outcome.isin([outcome.value for outcome in Outcome])
    return table[made].reset_index(drop=True)


def main_estimates(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the whole network (else of the first component) on the main dataset (the first)."""
    if table.empty:
        return table
    component = WHOLE if (table.component == WHOLE).any() else table.component.iloc[0]
    return table[(table.component == component) & (table.dataset == table.dataset.iloc[0])]


def main(values: xr.DataArray) -> xr.DataArray:
    """The same choice for any variable: the whole network, the first dataset or distribution."""
    if "component" in values.dims:
        names = [str(name) for name in values.component.values]
        values = values.isel(component=names.index(WHOLE) if WHOLE in names else 0)
    return values.isel({dim: 0 for dim in ("dataset", "distribution") if dim in values.dims})


def trusted(table: pd.DataFrame) -> pd.Series:
    """Which estimates are to be trusted as they stand: those that converged."""
    return table.outcome.isin([Outcome.CONVERGED.value, Outcome.LOCALIZED.value])
