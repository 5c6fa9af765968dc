"""The names that a pickle of a model may have, and the few that become plain values: tensors, dictionaries.

All other names that are allowed are kept as records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.records import ForeignModelError, Name, Record

#: Beginnings of names that stay records: layers of torch, and the packages whose models are read.
PACKAGES = (
    *("torch.nn.", "torch.optim.", "torchmetrics.", "omegaconf.", "torch_ema."),
    *("schnetpack.", "schnetkit.", "torch_geometric.", "graph_pes.", "nff."),
    *("pytorch_lightning.", "lightning.", "lightning_fabric."),
)
_BUILTINS = ("set", "frozenset", "list", "dict", "tuple", "object", "slice", "complex")
#: Other names that occur in files of these packages.
NAMES = frozenset(
    {
        *("collections.OrderedDict", "collections.defaultdict", "functools.partial", "typing.Any"),
        *("copyreg._reconstructor", "copy_reg._reconstructor", "argparse.Namespace"),
        *(f"builtins.{kind}" for kind in _BUILTINS),
        *(f"__builtin__.{kind}" for kind in _BUILTINS),
        *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"),
        *("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
        *("torch._tensor._rebuild_from_type_v2", "torch.Tensor", "torch.Size", "torch.device"),
        *("torch._C._nn.silu", "torch._C._nn.softplus", "torch._C._nn.gelu", "torch.tanh"),
        *("torch.float16", "torch.float32", "torch.float64", "torch.int32", "torch.int64"),
        *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"),
        *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
        *("numpy.ndarray", "pathlib.PosixPath", "pathlib._local.PosixPath"),
        # modules of PyTorch Geometric hold the signatures of their functions
        *("inspect._empty", "typing.OrderedDict", "typing.Union", "typing.Optional"),
        *("__builtin__.type", "builtins.type", "__builtin__.long", "_operator.getitem"),
        "_codecs.encode",  # bytes, as old pickles have them
    }
)
#: dtype of what a storage holds; of a bfloat16, the upper half of a float32.
STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "|b1",
}


@dataclass(eq=False)
class Storage:
    """Hold the numbers that tensors are views of; they lie outside the pickle.

    Attributes
    ----------
    kind
        Name in `STORAGES`.
    key
        Name of its numbers in the file.
    size
        How many there are.
    numbers
        (size,), None until they have been read.
    """

    kind: str
    key: str
    size: int
    numbers: NDArray | None = None

    @property
    def nbytes(self) -> int:
        """How many bytes the file has for it."""
        return self.size * np.dtype(STORAGES[self.kind]).itemsize

    def fill(self, data: bytes) -> None:
        """Take the numbers from bytes of the file, of which there must be `nbytes`."""
        if len(data) != self.nbytes:
            raise ValueError(f"storage {self.key} has {len(data)} bytes in place of {self.nbytes}")
        self.numbers = np.frombuffer(data, STORAGES[self.kind])
        if self.kind == "torch.BFloat16Storage":
            self.numbers = (self.numbers.astype(np.uint32) << 16).view(np.float32)


@dataclass(eq=False)
class Tensor:
    """Hold which numbers of a storage make a tensor."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self):
        parts = (self.offset, *self.shape, *self.strides)
        if not all(type(n) is int and n >= 0 for n in parts) or len(self.shape) != len(
            self.strides
        ):
            raise ValueError(f"a tensor has the shape {self.shape} and strides {self.strides}")
        reach = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)]
        # no view beyond its storage, and none larger than it: strides of 0 would make much of little
        last = self.offset + sum(reach) if math.prod(self.shape) else 0
        if last >= max(self.storage.size, 1) or math.prod(self.shape) > self.storage.size:
            raise ValueError(f"a tensor of shape {self.shape} is larger than its storage")

    def array(self) -> NDArray:
        """Return the numbers as an array of its own."""
        numbers = self.storage.numbers
        if numbers is None:
            raise ValueError(f"storage {self.storage.key} was not read")
        steps = tuple(step * numbers.itemsize for step in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps)
        return np.array(view)


def allows(name: str) -> bool:
    """Return whether a pickle of a model may have this name."""
    return name in NAMES or name in STORAGES or name.startswith(PACKAGES)


def build(name: str, arguments: tuple) -> object:
    """Return what a "call" of an allowed name stands for: a plain value where there is one, else a record."""
    known = _BUILT.get(name)
    return Record(name, arguments) if known is None else known(*arguments)


def storage_of(identity: object) -> Storage | Name:
    """Return what lies outside a pickle, by the identity that torch gives it.

    It is a storage, or, in files of before torch 1.6, a class together with its source text, which is left.
    """
    match identity:
        case ("storage", Name(full=kind), str(key), _, int(size), *_) if kind in STORAGES:
            if size < 0:
                raise ValueError(f"storage {key} has {size} numbers")
            return Storage(kind, key, size)
        case ("module", Name() as name, *_):
            return name
        case _:
            raise ForeignModelError(
                f"it refers to {identity!r:.80}, which is no storage of numbers"
            )


def _tensor(storage: object, offset: int, shape: tuple, strides: tuple, *_: object) -> Tensor:
    if not isinstance(storage, Storage):
        raise ForeignModelError(f"a tensor is made of {storage!r:.60}")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _with_attributes(function: object, kind: object, arguments: tuple, state: object) -> object:
    """Return the tensor of a class derived from it, which torch pickles together with its attributes."""
    if not isinstance(function, Name):
        raise ForeignModelError(f"a tensor is made by {function!r:.60}")
    value = build(function.full, arguments)
    record = Record(kind.full if isinstance(kind, Name) else "torch.Tensor", (value,))
    record.state = state
    return record


def _reconstructed(kind: object, *_: object) -> Record:
    if not isinstance(kind, Name):
        raise ForeignModelError(f"an object is made of {kind!r:.60}")
    return Record(kind.full)


def _number(dtype: object, data: object = b"") -> object:
    """Return a number of numpy as one of Python; a record where it is of another kind."""
    if isinstance(dtype, Record) and isinstance(data, bytes) and dtype.arguments:
        code = dtype.arguments[0]
        if code in ("f8", "f4", "i8", "i4", "b1"):
            return np.frombuffer(data, np.dtype(code).newbyteorder("<"), count=1)[0].item()
    return Record("numpy.number", (dtype, data))


def _bytes(text: object, *encoding: object) -> object:
    """Return bytes that an old pickle has as text; a record where they are something else."""
    if isinstance(text, str) and encoding in (("latin1",), ("latin-1",)):
        return text.encode("latin-1")
    return Record("_codecs.encode", (text, *encoding))


_BUILT = {
    "collections.OrderedDict": lambda items=(): dict(items),
    "collections.defaultdict": lambda *_: {},
    "builtins.set": tuple,
    "builtins.frozenset": tuple,
    "__builtin__.set": tuple,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": _with_attributes,
    "_codecs.encode": _bytes,
    "torch.Size": tuple,
    "torch.device": lambda *parts: ":".join(map(str, parts)),
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "numpy.core.multiarray.scalar": _number,
    "numpy._core.multiarray.scalar": _number,
}
