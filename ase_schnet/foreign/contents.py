"""The tensors of a network by name, and what its pickle says of its modules."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.network import Dense
from ase_schnet.foreign.records import ForeignModelError, Name, Record
from ase_schnet.foreign.values import Tensor

DEEPEST = 40  # modules in each other
#: Beginnings that wrappers put before the name of every tensor.
WRAPPERS = ("module.", "model.", "_orig_mod.", "state.")


class Contents:
    """Hold a network as its file has it; remember which tensors were used.

    Parameters
    ----------
    path
        Of the file, for messages.
    content
        What :func:`read_torch_file` found: a module, a ``state_dict``, or a dictionary with one of them.

    Attributes
    ----------
    tensors
        `Tensor` by name, as a ``state_dict`` has them.
    modules
        `Record` by name, "" for the whole; empty for a ``state_dict``, which says nothing of them.
    beside
        What the file holds besides the network: settings, versions.
    """

    def __init__(self, path: str, content: object):
        self.path = path
        self.tensors: dict[str, Tensor] = {}
        self.modules: dict[str, Record] = {}
        self.beside: dict = {}
        network = self._found(content)
        if isinstance(network, Record):
            self._add(network, "", 0)
        else:
            self.tensors = network
        self._used: set[str] = set()

    def _found(self, content: object) -> Record | dict[str, Tensor]:
        if isinstance(content, Record) and _is_module(content):
            return content
        if isinstance(content, dict):
            tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
            if len(tensors) > 3:
                return _unwrapped(tensors)
            for key in ("state_dict", "state", "model_state_dict", "model"):
                if isinstance(content.get(key), (dict, Record)):
                    self.beside = {k: v for k, v in content.items() if k != key}
                    return self._found(content[key])
        raise ForeignModelError(f"{self.path} holds no network: {content!r:.80}")

    def _add(self, module: Record, name: str, depth: int) -> None:
        if depth > DEEPEST:
            raise ForeignModelError(f"{self.path}: modules lie deeper in each other than {DEEPEST}")
        self.modules[name] = module
        before = f"{name}." if name else ""
        for kind in ("_parameters", "_buffers"):
            for key, value in dict(module.state.get(kind) or {}).items():
                if isinstance(value, Record) and value.arguments:  # of a class derived from Tensor
                    self.modules[before + key] = value
                    value = value.arguments[0]
                if isinstance(value, Tensor):
                    self.tensors[before + key] = value
        for key, value in dict(module.state.get("_modules") or {}).items():
            if isinstance(value, Record) and _is_module(value):
                self._add(value, before + key, depth + 1)

    @property
    def class_name(self) -> str:
        """Full name of the network's class; empty for a ``state_dict``."""
        return self.modules[""].kind if "" in self.modules else ""

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def array(self, name: str) -> NDArray:
        """Return a tensor in float64, and note that it was used.

        Raises
        ------
        ForeignModelError
            If there is none of that name, or it holds numbers that are not finite.
        """
        if name not in self.tensors:
            raise ForeignModelError(
                f"{self.path} has no tensor {name}, which a SchNet of its kind has"
            )
        self._used.add(name)
        array = self.tensors[name].array().astype(np.float64)
        if not np.isfinite(array).all():
            raise ForeignModelError(f"{self.path}: {name} holds numbers that are not finite")
        return array

    def number(self, name: str, default: float | None = None) -> float:
        """Return a tensor of one number; `default` where there is none."""
        if default is not None and name not in self.tensors:
            return default
        array = self.array(name)
        if array.size != 1:
            raise ForeignModelError(f"{self.path}: {name} has {array.size} numbers in place of one")
        return float(array.reshape(()))

    def dense(self, name: str) -> Dense:
        """Return a dense layer; zeros where it has no bias."""
        weight = self.array(f"{name}.weight")
        if weight.ndim != 2:
            raise ForeignModelError(f"{self.path}: {name}.weight has the shape {weight.shape}")
        bias = self.array(f"{name}.bias") if f"{name}.bias" in self else np.zeros(len(weight))
        return Dense(weight, bias)

    def count(self, beginning: str) -> int:
        """Return how many layers are numbered behind a beginning, as in "interactions.0.mlp"."""
        ends = (name[len(beginning) :] for name in self.tensors if name.startswith(beginning))
        numbers = {int(end.split(".")[0]) for end in ends if end.split(".")[0].isdigit()}
        if numbers != set(range(len(numbers))):
            raise ForeignModelError(f"{self.path}: {beginning} has the layers {sorted(numbers)}")
        return len(numbers)

    def attribute(self, module: str, name: str, default: object = None) -> object:
        """Return an attribute of a module, `default` where the file does not say it."""
        record = self.modules.get(module)
        return default if record is None else record.state.get(name, default)

    def function(self, module: str, name: str = "activation") -> str | None:
        """Return the name of a function or of a module's class that is an attribute; None: not said."""
        value = self.attribute(module, name)
        if value is None:
            value = self.modules.get(f"{module}.{name}".lstrip("."))
        if isinstance(value, Name):
            return value.full.rpartition(".")[2]
        return value.class_name if isinstance(value, Record) else None

    def require_all_used(self, ignored: Iterable[str] = ()) -> None:
        """Refuse a network with tensors that no SchNet has: it is another function.

        Parameters
        ----------
        ignored
            Beginnings of names that say the same as others, or change no energy.
        """
        ignored = tuple(ignored)
        odd = [
            name for name in self.tensors if name not in self._used and not name.startswith(ignored)
        ]
        if odd:
            more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
            raise ForeignModelError(
                f"{self.path} has {', '.join(odd[:3])}{more}, which are no part of a SchNet that can be "
                "converted"
            )


def _is_module(record: Record) -> bool:
    return isinstance(record.state, dict) and "_modules" in record.state


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without what wrappers put before their names, and without the wrappers' own."""
    for wrapper in WRAPPERS:
        inside = {k.removeprefix(wrapper): v for k, v in tensors.items() if k.startswith(wrapper)}
        if len(inside) > len(tensors) / 2:
            return _unwrapped(inside)
    return tensors
