"""Loading files of transformers whose names differ from the model's: fused or split experts, old names."""

import contextlib
import copy
import sys
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ontogeny.stores.names import Match, is_constant, unwrapped


def is_pretrained(model: nn.Module) -> bool:
    """Whether `model` is a `PreTrainedModel`, without importing transformers."""
    modeling = sys.modules.get("transformers.modeling_utils")
    return modeling is not None and isinstance(model, modeling.PreTrainedModel)


def convert(model: nn.Module, weights: Mapping[str, Tensor], found: Match) -> Match:
    """Convert weights as `from_pretrained` does, by loading them into another model of the same class.

    Args:
        found: the match by names alone; returned if transformers does no better.
    """
    import transformers

    dtype = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    given = {unwrapped(name): tensor for name, tensor in weights.items()}
    if all(name.startswith("module.") for name in given):
        given = {name.removeprefix("module."): tensor for name, tensor in given.items()}
    config: Any = copy.deepcopy(model.config)
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            loaded, info = type(model).from_pretrained(  # type: ignore[attr-defined]
                None,
                config=config,
                state_dict=given,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **{dtype: model.dtype},
            )
    except Exception:  # any failure of its loading; the match by names then gives the better message
        return found
    made = loaded.state_dict()
    if made.keys() != model.state_dict().keys():  # changed since it was built from its configuration
        return found
    different = {name: shape for name, shape, *_ in info["mismatched_keys"]}
    made |= {name: torch.empty(shape, device="meta") for name, shape in different.items() if name in made}
    missing = sorted(set(info["missing_keys"]) - different.keys())
    unexpected = sorted(name for name in info["unexpected_keys"] if not is_constant(name, given[name]))
    return Match({name: tensor for name, tensor in made.items() if name not in missing}, missing, unexpected)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Silence the report and bar that transformers prints; our own error says what is missing."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
