"""Settings and numbers of any kind are taken, or refused in one line of our own that names the argument."""

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ontogeny as og
from ontogeny.core.errors import InvalidArgument
from ontogeny.models import TransformerConfig

X, Y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
ODD = [
    None,
    True,
    "",
    "1e-4",
    "../..",
    b"1",
    [],
    [1.0],
    {},
    (),
    object(),
    int,
    math.nan,
    math.inf,
    -math.inf,
    1j,
    0,
    -1,
]
SCALARS = [np.float32(0.5), np.int64(3), np.nan, np.array(2.0), np.array([1.0, 2.0]), torch.tensor(1.0), torch.ones(2)]
VALUES = st.sampled_from([*ODD, *SCALARS]) | st.floats() | st.integers(-3, 9) | st.integers() | st.text(max_size=4)

KERNELS = (og.SGLD, og.SGHMC, og.SGNHT, og.MALA, og.HMC, og.MCLMC, og.RMSPropSGLD)
CONFIGS = (og.Calibrated, og.Fixed, og.PosteriorConfig, og.TrainingConfig, TransformerConfig)
NEEDED: dict[Any, dict[str, Any]] = {
    og.MCLMC: {"step_size": 1e-4, "decoherence": 1.0},
    og.TrainingConfig: {"num_steps": 2},
    TransformerConfig: {"vocabulary_size": 5, "context_length": 4},
}
COUNTS = ("num_chains", "num_draws", "num_warmup", "thinning")
NUMBERS = ("nbeta", "localization", "batch_size", "pass_size", "num_samples")


def refused(call: Any, *names: str) -> bool:
    """Whether an error names one of the arguments in one line; any error of another kind fails."""
    try:
        call()
    except InvalidArgument as error:
        found = error
    else:
        return False
    assert "\n" not in str(found)
    assert {found.argument, found.argument.split(".")[0]} & set(names)
    return True


def check_kernel(kind: Any, name: str, value: Any) -> None:
    arguments: dict[str, Any] = NEEDED.get(kind, {"step_size": 1e-4}) | {name: value}
    if not refused(lambda: kind(**arguments), name):
        assert (torch.as_tensor(value) > 0).all() if name != "scale" or value is not None else True


def check_config(kind: Any, name: str, value: Any) -> None:
    arguments: dict[str, Any] = NEEDED.get(kind, {}) | {name: value}
    if not refused(lambda: kind(**arguments), name, "num_heads", "kernel"):
        assert name in kind.model_fields


def check_posterior(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"nbeta": 1.0} | {name: value}
    refused(lambda: og.LocalPosterior(nn.Linear(3, 2), (X, Y), og.losses.cross_entropy, **arguments), name, "data")


def check_counts(name: str, value: Any) -> None:
    if isinstance(value, int) and value > 5:
        return  # would be drawn
    posterior = og.LocalPosterior(nn.Linear(3, 2), (X, Y), og.losses.cross_entropy, probed=True)
    arguments: dict[str, Any] = {"num_chains": 1, "num_draws": 1, "num_warmup": 0} | {name: value}
    refused(lambda: og.sample(posterior, og.SGLD(1e-6), **arguments), name)


def of_kernels() -> st.SearchStrategy[Any]:
    return st.sampled_from(KERNELS).flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from([field.name for field in fields(kind)]))
    )


def of_configs() -> st.SearchStrategy[Any]:
    return st.sampled_from(CONFIGS).flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from([*kind.model_fields, "lerning_rate", "a.b"]))
    )


CALLS = st.one_of(
    st.tuples(st.just(check_kernel), of_kernels()),
    st.tuples(st.just(check_config), of_configs()),
    st.tuples(st.just(check_posterior), st.sampled_from(NUMBERS).map(lambda name: (name,))),
    st.tuples(st.just(check_counts), st.sampled_from(COUNTS).map(lambda name: (name,))),
)


@given(call=CALLS, value=VALUES)
@settings(max_examples=200)
def test_a_setting_is_taken_or_refused_by_name(call: Any, value: Any) -> None:
    check, place = call
    check(*place, value)


@pytest.mark.slow
@given(call=CALLS, value=VALUES)
@settings(max_examples=3000)
def test_many_settings_are_taken_or_refused_by_name(call: Any, value: Any) -> None:
    check, place = call
    check(*place, value)
