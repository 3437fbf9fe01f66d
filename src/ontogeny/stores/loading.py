"""Loading a checkpoint into a module, with what files leave out because it is tied to something that they hold."""

from collections.abc import Mapping

from torch import Tensor, nn


def load_into(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """`model.load_state_dict(weights)`, where tied weights need to be there under one of their names only.

    Hugging Face's `save_pretrained`, for one, writes `transformer.wte.weight` and leaves `lm_head.weight` out.

    Raises:
        RuntimeError: as torch raises it, for weights that do not fit.
    """
    own = model.state_dict()
    known = {_place(own[name]): weights[name] for name in own.keys() & weights.keys()}
    left_out = {name: _place(tensor) for name, tensor in own.items() if name not in weights}
    tied = {name: known[place] for name, place in left_out.items() if place in known}
    model.load_state_dict({**weights, **tied})


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
