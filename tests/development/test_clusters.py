"""Signatures: curves of two kinds are told apart, curves of one kind are not, and labels are tested within layers."""

import numpy as np
import pytest
import xarray as xr

import ontogeny as og
from ontogeny.development import SignatureConfig, signatures

STEPS = np.array([0, *np.unique(np.geomspace(1, 1000, 25).round().astype(int))])
NAMES = [f"L{layer}H{head}" for layer in range(2) for head in range(6)]
FEW = SignatureConfig(num_resamples=10, num_permutations=99)
KINDS = {name: "rising" if int(name[-1]) % 2 else "peaked" for name in NAMES}


def trajectory(seed: int = 0, error: float = 0.05, kinds: dict[str, str] = KINDS) -> xr.Dataset:
    """Curves that rise, or rise and fall; a scale of its own for each; and the whole network."""
    rng, x = np.random.default_rng(seed), np.log(STEPS + 1) / np.log(1001)
    shapes = {"rising": x, "peaked": np.sin(np.pi * x)}
    scales = rng.uniform(1, 9, len(NAMES))[:, None]
    curves = scales * np.stack([shapes[kinds[name]] + error * rng.normal(size=len(x)) for name in NAMES])
    values = np.concatenate([curves.sum(0, keepdims=True), curves])[None].transpose(2, 1, 0)
    errors = error * np.broadcast_to(np.concatenate([scales[:1], scales]), (len(NAMES) + 1, len(x)))
    return xr.Dataset(
        {
            "llc": (("step", "component", "dataset"), values),
            "llc_mcse": (("step", "component", "dataset"), errors[None].transpose(2, 1, 0)),
        },
        coords={"step": STEPS, "component": ["all", *NAMES], "dataset": ["data"]},
    )


@pytest.mark.parametrize("method", ["k-means", "hierarchical"])
def test_two_kinds_of_curves_are_two_clusters(method: str) -> None:
    found = signatures(
        trajectory(), KINDS, config=SignatureConfig(method=method, num_resamples=10, num_permutations=199)
    )
    assert found.attrs["chosen"] == 2
    assert found.attrs["agreement"] == 1
    assert found.attrs["p_value"] < 0.01
    assert abs(found.attrs["null_mean"]) < 0.1
    assert found["member"].values.tolist() == [f"0/{name}" for name in NAMES]
    assert float(found["stability"].sel(num_clusters=2)) > 0.9


@pytest.mark.slow
def test_scales_do_not_matter_and_do_without_normalization() -> None:
    plain = signatures(trajectory(), KINDS, config=SignatureConfig(normalization="none", num_resamples=20))
    assert plain.attrs["agreement"] < 0.7


@pytest.mark.slow
def test_labels_that_have_nothing_to_do_with_the_curves_agree_by_chance() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(30):
        labels = {name: str(kind) for name, kind in zip(NAMES, rng.permutation([0, 1] * 6), strict=True)}
        config = SignatureConfig(
            method="hierarchical", num_resamples=10, num_permutations=99, max_clusters=2, seed=seed
        )
        p_values.append(signatures(trajectory(seed), labels, config=config).attrs["p_value"])
    assert np.mean(np.array(p_values) <= 0.1) < 0.25


def test_labels_that_only_name_the_layer_have_no_evidence() -> None:
    """Curves that differ by layer agree with labels that do; permuted within layers, so does the null."""
    by_layer = {name: "rising" if name.startswith("L0") else "peaked" for name in NAMES}
    found = signatures(trajectory(kinds=by_layer), by_layer, config=FEW)
    assert found.attrs["agreement"] == 1
    assert found.attrs["p_value"] == 1


def test_curves_of_one_kind_have_no_stable_groups() -> None:
    same = dict.fromkeys(NAMES, "rising")
    found = signatures(trajectory(kinds=same), config=SignatureConfig(num_resamples=15))
    apart = signatures(trajectory(), config=SignatureConfig(num_resamples=15))
    assert found["stability"].max() < 0.6 < apart["stability"].max()


@pytest.mark.slow
def test_runs_are_pooled_on_common_steps() -> None:
    runs = [trajectory(0), trajectory(1).isel(step=slice(0, 20))]
    found = signatures(runs, [KINDS, KINDS], config=SignatureConfig(num_resamples=10))
    assert found.sizes["member"] == 24
    assert found["at"].values[-1] <= STEPS[19]
    assert found.attrs["agreement"] > 0.8


def judged(spoiled: dict[str, list[int]], outcome: str) -> xr.Dataset:
    """The trajectory with verdicts: these checkpoints of these components failed, with values far off."""
    run = trajectory()
    verdicts = np.full(run["llc"].shape, "converged", dtype=object)
    values = run["llc"].values.copy()
    for name, places in spoiled.items():
        component = run["component"].values.tolist().index(name)
        verdicts[places, component], values[places, component] = outcome, -300.0
    return run.assign(llc=(run["llc"].dims, values), llc_outcome=(run["llc"].dims, verdicts))


def test_estimates_that_did_not_converge_make_no_curve() -> None:
    found = signatures(judged({"L0H0": [5, 6], "L1H3": [9]}, "not_a_minimum"), KINDS, config=FEW)
    assert found.attrs["agreement"] == 1
    assert found.attrs["excluded_members"] == []
    assert np.abs(found["curve"]).max() < 5


def test_a_component_with_few_usable_estimates_is_left_out_and_listed() -> None:
    found = signatures(judged({"L0H0": list(range(1, 20))}, "not_converged"), KINDS, config=FEW)
    assert found.attrs["excluded_members"] == ["0/L0H0"]
    assert found.attrs["excluded_outcome"] == ["19 not_converged"]
    assert found["member"].values.tolist() == [f"0/{name}" for name in NAMES[1:]]
    with pytest.raises(og.InvalidArgument, match=r"found 0 of 12 \(left out: 228 diverged\)"):
        signatures(judged({name: list(range(1, 20)) for name in NAMES}, "diverged"), KINDS, config=FEW)


def test_no_curve_is_extrapolated() -> None:
    found = signatures(judged({"L0H0": [1, 2, 3], "L1H0": [len(STEPS) - 1]}, "not_a_minimum"), config=FEW)
    assert found["at"].values[[0, -1]] == pytest.approx([STEPS[4], STEPS[-2]])


def test_the_complexity_is_clustered_where_it_was_measured() -> None:
    run = trajectory()
    same = trajectory(kinds=dict.fromkeys(NAMES, "rising"))["llc"]
    apart = run.assign(llc=same, llc_complexity=run["llc"], llc_complexity_mcse=run["llc_mcse"])
    assert signatures(apart, KINDS, config=FEW).attrs["agreement"] == 1
    by_value = signatures(apart, KINDS, config=FEW.model_copy(update={"coefficient": "llc"}))
    assert by_value.attrs["coefficient"] == "llc"
    assert by_value.attrs["agreement"] < 0.7


def test_wrong_use_is_named() -> None:
    with pytest.raises(og.InvalidArgument, match="at least 4 components"):
        signatures(trajectory(), components=["L0H0", "L0H1"])
    with pytest.raises(og.InvalidArgument, match="components of the trajectory"):
        signatures(trajectory(), components=["L7H0"])
    with pytest.raises(og.InvalidArgument, match="a label for every component"):
        signatures(trajectory(), {"L0H0": "a"})
    with pytest.raises(og.InvalidArgument, match="at least two types"):
        signatures(trajectory(), dict.fromkeys(NAMES, "a"))
