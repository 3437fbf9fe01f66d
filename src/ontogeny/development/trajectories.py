"""The path of a network's outputs through training in a few dimensions, next to that of pure drift."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from sklearn.decomposition import PCA

from ontogeny.core import arguments
from ontogeny.core.errors import InvalidArgument
from ontogeny.core.runs import runs_of
from ontogeny.core.seeds import derive

_MAX_NULL_DIMENSION = 2000  # more dimensions change the explained variance of Brownian motion by less than a percent


def joint_pca(
    outputs: xr.DataArray | Mapping[str, xr.DataArray],
    num_components: int = 3,
    seed: int = 0,
    references: Mapping[str, Float[np.ndarray, " output"]] | None = None,
) -> xr.Dataset:
    """Principal components of outputs on a fixed probe set along training, for one run or several together.

    X = U S Vᵀ of all checkpoints of all runs stacked, the mean over them subtracted; the scores are U S. Each component
    is signed so that its score of largest magnitude is positive.

    The null is Brownian motion, one path per run, put through the same procedure. Its increments are independent in as
    many dimensions (at most 2000), with variance proportional to the distance in log(step + 1) between checkpoints,
    scaled to the same total variance. Its components are cosines of growing frequency, so it also shows smooth turns
    and spirals. Its first component explains 6/π² ≈ 61 % in the limit of many steps and dimensions. Only turns and
    shares of variance in excess of the null's mean anything.

    Args:
        outputs: (step, output) in either order, with `step` as a coordinate, and the dimension of joined runs if any;
            or such arrays by name, over the same outputs on the same probes, each with its own steps.
        num_components: how many to return.
        seed: for the null.
        references: outputs on the same probes by name, such as those of an exact predictor: projected with the same
            loadings, and no part of the fit.

    Returns:
        `loading` (output, pc), of unit length; `score` and `brownian_score` (point, pc), `explained_variance` and
        `brownian_explained_variance` (pc), shares of the total; coordinates `trajectory` and `step` over point, `pc`
        counted from 1. With references, `reference_score` (reference, pc) and `reference_residual` (reference), the
        share of its squared distance from the mean that lies outside the components.

    Raises:
        InvalidArgument: for arrays of other dimensions, of different numbers of outputs, or with values that are not
            finite, and for more components than there are points or outputs.

    When not to trust it: distances between outputs depend on the probe set and on whether logits or probabilities are
        used. One fast early stage can dominate the first component.

    Source of the null: Antognini and Sohl-Dickstein 2018 (PCA of Brownian motion gives Lissajous curves).
    """
    runs = _as_runs(outputs)
    names = [name for name, run in runs.items() for _ in range(run.sizes["step"])]
    rows = np.concatenate([run.values for run in runs.values()]).astype(np.float64)
    most = min(len(rows) - 1, rows.shape[1])
    if not 1 <= num_components <= most:
        raise InvalidArgument(
            "num_components",
            expected=f"1 to {most}, for {len(rows)} points with {rows.shape[1]} outputs",
            found=str(num_components),
        )
    if (rows == rows[0]).all():
        raise InvalidArgument("outputs", expected="outputs that change", found="the same ones at every point")
    mean = rows.mean(axis=0)
    rows -= mean
    score, explained = _principal_components(rows, num_components)
    loading = rows.T @ score / np.maximum((score**2).sum(axis=0), np.finfo(float).tiny)

    generator = np.random.default_rng(derive(seed, "brownian"))
    dimension = min(rows.shape[1], _MAX_NULL_DIMENSION)
    null = np.concatenate([_brownian_motion(run["step"].values, dimension, generator) for run in runs.values()])
    null -= null.mean(axis=0)
    null *= np.linalg.norm(rows) / np.linalg.norm(null)
    brownian_score, brownian_explained = _principal_components(null, num_components)
    return xr.Dataset(
        {
            "score": (("point", "pc"), score),
            "loading": (("output", "pc"), loading),
            **_projected(references or {}, mean, loading),
            "explained_variance": ("pc", explained),
            "brownian_score": (("point", "pc"), brownian_score),
            "brownian_explained_variance": ("pc", brownian_explained),
        },
        coords={
            **({"reference": list(references)} if references else {}),
            "trajectory": ("point", names),
            "step": ("point", np.concatenate([run["step"].values for run in runs.values()])),
            "pc": np.arange(1, num_components + 1),
        },
        attrs={"num_outputs": rows.shape[1], "brownian_dimension": dimension, "seed": seed},
    )


def brownian_scores(
    step: np.ndarray, num_components: int, generator: np.random.Generator
) -> Float[np.ndarray, "step pc"]:
    """Principal components of one Brownian path that is observed at the steps."""
    rows = _brownian_motion(step, _MAX_NULL_DIMENSION, generator)
    return _principal_components(rows - rows.mean(axis=0), num_components)[0]


def _projected(
    references: Mapping[str, Any], mean: Float[np.ndarray, " output"], loading: Float[np.ndarray, "output pc"]
) -> dict[str, Any]:
    """Scores of each reference, and the share of it that the components do not hold."""
    if not references:
        return {}
    given = {name: arguments.real_array(f"references[{name!r}]", each, "numbers") for name, each in references.items()}
    for name, each in given.items():
        if each.shape != mean.shape:
            expected = f"{len(mean)} outputs, as the runs have"
            raise InvalidArgument(f"references[{name!r}]", expected=expected, found=f"shape {each.shape}")
    away = np.stack(list(given.values())) - mean
    score = away @ loading
    outside = 1 - (score**2).sum(1) / np.maximum((away**2).sum(1), np.finfo(float).tiny)
    return {"reference_score": (("reference", "pc"), score), "reference_residual": ("reference", outside)}


def _as_runs(outputs: xr.DataArray | Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Arrays (step, output) by name, checked."""
    given = {str(outputs.name or "run"): outputs} if isinstance(outputs, xr.DataArray) else dict(outputs)
    named = {}
    for name, array in given.items():
        alone = len(array.dims) < 3
        joined = {"": array} if alone else runs_of(array.to_dataset(name="outputs"), "outputs")
        named |= {
            (label if len(given) == 1 else f"{name}, {label}") if label else name: run if alone else run["outputs"]
            for label, run in joined.items()
        }
    if not named:
        raise InvalidArgument("outputs", expected="at least one array (step, output)", found="none")
    runs = {}
    for name, run in named.items():
        if set(run.dims) != {"step", "output"} or "step" not in run.coords:
            raise InvalidArgument(
                "outputs", expected="dimensions (step, output) with coordinate `step`", found=f"{run.dims} in {name!r}"
            )
        if not run.sizes["step"]:
            raise InvalidArgument("outputs", expected="at least one step in every run", found=f"none in {name!r}")
        runs[name] = run.transpose("step", "output")
        finite = np.isfinite(runs[name].values).all(axis=1)
        if not finite.all():
            bad = runs[name]["step"].values[~finite].tolist()
            raise InvalidArgument("outputs", expected="finite values", found=f"others in {name!r} at steps {bad}")
    sizes = {name: run.sizes["output"] for name, run in runs.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidArgument("outputs", expected="the same outputs in every run", found=f"numbers {sizes}")
    return runs


def _principal_components(
    rows: Float[np.ndarray, "point output"], num_components: int
) -> tuple[Float[np.ndarray, "point pc"], Float[np.ndarray, " pc"]]:
    """Scores and shares of variance of centred rows."""
    if rows.shape[1] > rows.shape[0]:
        # The rows in an orthonormal basis of their span: distances are kept, and the matrix is small and square.
        rows = np.asarray(np.linalg.qr(rows.T, mode="r")).T
    pca = PCA(num_components, svd_solver="full")
    score = pca.fit_transform(rows)
    largest = np.take_along_axis(score, np.abs(score).argmax(axis=0, keepdims=True), axis=0)
    return score * np.where(largest < 0, -1.0, 1.0), pca.explained_variance_ratio_


def _brownian_motion(
    step: np.ndarray, dimension: int, generator: np.random.Generator
) -> Float[np.ndarray, "step dimension"]:
    """A path from the origin, observed at the steps, with log(step + 1) as time."""
    elapsed = np.abs(np.diff(np.log1p(step), prepend=np.log1p(step[0])))
    return np.cumsum(np.sqrt(elapsed)[:, None] * generator.standard_normal((len(step), dimension)), axis=0)
