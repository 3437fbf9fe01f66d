"""Effects of ablations by kind of token, with errors that cover what is true and fail where tokens are not alike."""

import numpy as np
import xarray as xr

from ontogeny.circuits import effects_by_kind

DIMS = ("sequence", "position")
RNG = np.random.default_rng(0)


def made(offset: float, sequences: int = 60) -> tuple[xr.Dataset, xr.DataArray, xr.DataArray]:
    """Effects with an offset on one kind, and sequences that differ as wholes."""
    kind = RNG.random((sequences, 20)) < 0.3
    values = RNG.standard_normal((sequences, 20)) + RNG.standard_normal((sequences, 1)) + offset * kind
    effects = xr.Dataset({"effect": (("part", *DIMS), values[None])}, {"part": ["L0H0"]})
    kinds = xr.DataArray(np.stack([kind, np.zeros_like(kind)]), {"kind": ["one", "none"]}, ("kind", *DIMS))
    return effects, kinds.astype(float), xr.DataArray((~kind).astype(float), dims=DIMS)


def test_the_difference_is_found_within_its_error_and_the_error_is_the_spread() -> None:
    found = [effects_by_kind(*made(0.4)).sel(part="L0H0", kind="one") for _ in range(80)]
    values, errors = (np.array([float(each[name]) for each in found]) for name in ("effect", "error"))
    assert abs(values.mean() - 0.4) < 4 * values.std(ddof=1) / np.sqrt(80)
    assert 0.8 < errors.mean() / values.std(ddof=1) < 1.25


def test_a_kind_without_tokens_has_no_effect_to_speak_of() -> None:
    found = effects_by_kind(*made(0.4))
    assert np.isnan(found["effect"].sel(kind="none")).all()
    assert np.isnan(found["error"].sel(kind="none")).all()
    assert found["tokens"].sel(kind="none") == 0
