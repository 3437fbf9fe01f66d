"""Values of the libraries of data and models, by content: torch, NumPy, pandas, xarray, pydantic.

A library that is not loaded is not imported, because none of its values can exist.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ontogeny.core.digests import Node, Uncovered, combined, leaf


def describe_library_value(value: Any) -> Node | bytes | None:
    """A value of one of these libraries as a node or digest; None for anything else."""
    for library, describe in _DESCRIBED.items():
        module = sys.modules.get(library)
        if module is not None and (described := describe(value, module)) is not None:
            return described
    return None


def _torch(value: Any, torch: Any) -> Node | bytes | None:
    if isinstance(value, torch.Tensor):
        return _tensor(value.detach(), torch)
    if isinstance(value, torch.nn.Module):
        return _torch_module(value, torch)
    if type(value) is torch.utils.data.TensorDataset:  # at once; other datasets are read item by item
        return Node(b"TensorDataset", value.tensors)
    if isinstance(value, (torch.dtype, torch.device, torch.layout, torch.memory_format)):
        return leaf("torch", repr(value))
    return None


def _tensor(tensor: Any, torch: Any) -> Node | bytes:
    if tensor.is_meta:
        raise Uncovered("a tensor on the meta device, which has no numbers")
    if tensor.layout is not torch.strided:
        dense = tensor.to_sparse_coo().coalesce()
        return Node(repr(("sparse", tuple(tensor.shape))).encode(), (dense.indices(), dense.values()))
    try:
        plain = tensor.cpu().resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise Uncovered(f"a tensor that cannot be read ({error})") from error
    return _buffer(("tensor", str(tensor.dtype), tuple(tensor.shape)), plain)


def _torch_module(module: Any, torch: Any) -> Node:
    """Class, weights, which of them are frozen, and every attribute that is not bookkeeping of `nn.Module`."""
    inner = getattr(module, "_orig_mod", None)  # of torch.compile
    if isinstance(inner, torch.nn.Module):
        return Node(b"compiled module", (inner,))
    books = vars(torch.nn.Module())
    attributes = {name: value for name, value in vars(module).items() if name not in books}
    weights = dict(module._parameters)
    frozen = {name: weight is not None and not weight.requires_grad for name, weight in weights.items()}
    parts = list(module._modules.items())  # in order, which determines what a Sequential computes
    return Node(b"torch module", (type(module), weights, frozen, dict(module._buffers), parts, attributes))


def _numpy(value: Any, numpy: Any) -> Node | bytes | None:
    if isinstance(value, numpy.dtype):
        return leaf("numpy dtype", repr(value))
    if not isinstance(value, (numpy.ndarray, numpy.generic)) or isinstance(value, numpy.ma.MaskedArray):
        return None
    kind = "array" if isinstance(value, numpy.ndarray) else "scalar"
    label = (kind, repr(value.dtype), value.shape)
    if value.dtype.hasobject or value.dtype.kind == "T":  # memory holds pointers, not the values
        return Node(repr(label).encode(), value.reshape(-1).tolist())
    return _buffer(label, numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8))


def _pandas(value: Any, pandas: Any) -> Node | None:
    if isinstance(value, pandas.DataFrame):
        columns = [value.iloc[:, place] for place in range(value.shape[1])]
        return Node(b"DataFrame", (value.columns, value.index, columns, value.attrs))
    if isinstance(value, pandas.Series):
        return Node(b"Series", (value.name, value.index, repr(value.dtype), value.to_numpy(), value.attrs))
    if isinstance(value, pandas.Index):
        return Node(b"Index", (list(value.names), repr(value.dtype), value.to_numpy()))
    return None


def _xarray(value: Any, xarray: Any) -> Node | None:
    if isinstance(value, xarray.DataTree):
        return Node(b"DataTree", (dict(value.to_dict()),))
    if isinstance(value, xarray.Dataset):
        return Node(b"Dataset", (dict(value.variables), set(value.coords), value.attrs))
    if isinstance(value, xarray.DataArray):
        coords = {name: coord.variable for name, coord in value.coords.items()}
        return Node(b"DataArray", (value.name, value.variable, coords))
    if isinstance(value, xarray.Variable):
        return Node(b"Variable", (value.dims, value.to_numpy(), value.attrs))
    return None


def _pydantic(value: Any, pydantic: Any) -> Node | None:
    if not isinstance(value, pydantic.BaseModel):
        return None
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    return Node(b"pydantic", (type(value), fields, value.model_extra, value.__pydantic_private__))


def _buffer(label: tuple[Any, ...], content: Any) -> bytes:
    return combined(repr(label).encode(), [hashlib.sha256(content).digest()])


_DESCRIBED: Mapping[str, Callable[[Any, Any], Node | bytes | None]] = {
    "torch": _torch,
    "numpy": _numpy,
    "pandas": _pandas,
    "xarray": _xarray,
    "pydantic": _pydantic,
}
