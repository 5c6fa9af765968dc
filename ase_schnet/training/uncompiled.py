"""Optimisers without torch's compiler, which nothing here asks for.

torch.optim imports it (`torch._dynamo`, 1.5 s of a core) in every process that makes an optimiser or a step,
only to tell it that these methods are not to be compiled. Below them lie the same functions unmarked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor


class Uncompiled(torch.optim.Optimizer):
    """Be an optimiser whose methods import no compiler."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class VectorOptimizer(Uncompiled):
    """Be an optimiser of whole vectors, each of which it moves by a method of its own."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step; return the loss of `closure` if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for vector in group["params"]:
                self._update(vector, group)
        return loss

    def _update(self, vector: Tensor, group: dict) -> None:
        """Move a vector by its gradient, with the settings of its group."""
        raise NotImplementedError


class Adam(Uncompiled, torch.optim.Adam):
    """Be torch's Adam, to the last bit."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step; return the loss of `closure` if there is one."""
        return inspect.unwrap(torch.optim.Adam.step)(self, closure)
