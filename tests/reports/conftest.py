"""Fixtures of the made-up run."""

import pytest
import xarray as xr
from tests.made_up_run import (
    Content,
    full_content,
    make_choice,
    make_pca,
    make_stages,
    make_trajectory,
    taken_apart,
)


@pytest.fixture
def trajectory() -> xr.Dataset:
    return make_trajectory()


@pytest.fixture
def apart() -> xr.Dataset:
    return taken_apart(make_trajectory())


@pytest.fixture
def choice() -> xr.Dataset:
    return make_choice()


@pytest.fixture
def stages() -> xr.Dataset:
    return make_stages()


@pytest.fixture
def pca() -> xr.Dataset:
    return make_pca()


@pytest.fixture
def content() -> Content:
    return full_content()
