"""The state of a fit on disk: tensors and a JSON header in one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ase_schnet.runtime.files import write_whole

HEADER = "ase_schnet_checkpoint"


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write a checkpoint; a kill or a full disk leaves the old one or the new one. Raises CannotWrite."""
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}
    # not save_file of safetensors: its errors are not OSErrors
    write_whole(path, save(tensors, metadata={HEADER: json.dumps(header)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Return tensors (on the CPU) and header. Raises ValueError for a file that is not a whole checkpoint."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()[HEADER])


def load_header(path: Path) -> dict:
    """Return the header alone. Raises ValueError as `load_checkpoint` does."""
    with _opened(path) as file:
        return json.loads(file.metadata()[HEADER])


@contextmanager
def _opened(path: Path) -> Iterator:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            if HEADER not in (file.metadata() or {}):
                raise ValueError(f"{path} is not a checkpoint; delete it")
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable checkpoint ({error}); delete it") from None


def nested(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `prefix.` put before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unnested(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with names that begin with `prefix.`, without it."""
    start = prefix + "."
    return {k[len(start) :]: t for k, t in tensors.items() if k.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments and step counts of an optimiser, by parameter and name."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        # a copy: the optimiser writes into the tensor that it gets, and this one may be restored again
        state.setdefault(int(index), {})[name] = tensor.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
