"""All members of a SchNet ensemble at once, on the CPU or a GPU, with hand-written forces.

The members' weights are stacked, so that each dense layer is one batched product. The forces come from
the adjoint written out below, not from autograd: no graph is kept, and the training half of the house,
which does use autograd, is an independent check of this one.

Reading order: `evaluate` -> `_forward` (SchNet, arXiv:1706.08566, section 3) -> `_backward`, which walks
the same lines upwards. Shapes: M members, N atoms, P pairs, B features, F filters, K Gaussians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from ase_schnet.inference.prediction import (
    COINCIDENT,
    ONE_THREAD_BELOW,
    AtomsCoincideError,
    Prediction,
    Structure,
)
from ase_schnet.inference.repulsion import Repulsion, softened_distances
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.schnet_config import LOG2, SMALLEST_EXPONENT


def _silu_slope(x: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate + x * (gate - gate * gate)


class _Activation(NamedTuple):
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


_ACTIVATIONS = {
    "ssp": _Activation(lambda x: softplus(x) - LOG2, torch.sigmoid),
    "silu": _Activation(silu, _silu_slope),
}


class _Layer(NamedTuple):
    """Hold what `_backward` needs from one interaction block."""

    features: Tensor  # (M, N, F) after atomwise_in
    filters: Tensor  # (M, P, F)
    filter_slopes: Tensor  # (M, P, F) dW/dd
    mid: Tensor  # (M, N, B) before the activation


class TorchEnsemble:
    """Evaluate a :class:`TrainedModel`.

    Parameters
    ----------
    model
        The ensemble.
    device
        "cpu", "cuda", "cuda:1", or "auto" (a GPU when there is one).
    dtype
        "float64" or "float32", the precision of the network. Distances are taken in float64 and total
        energies added up in float64 whatever it is.
    repulsion
        "zbl", a repulsion below the distances seen in training, or None (see `repulsion.py`).
    """

    def __init__(
        self,
        model: TrainedModel,
        device: str = "cpu",
        dtype: str = "float64",
        repulsion: str | None = None,
    ):
        self.model, self.device, self.dtype = model, torch_device(device), dtype
        self._config = model.network
        self.repulsion = None if repulsion is None else Repulsion(repulsion, model)
        self._real = _torch_dtype(dtype)
        self._weights = {name: self._to_device(w) for name, w in model.weights.items()}
        self._scale = self._to_device(model.scale)  # (M,)
        self._element_scale = (
            None if model.element_scale is None else self._to_device(model.element_scale)
        )
        self._activation = _ACTIVATIONS[self._config.activation]
        self._readout_activation = _ACTIVATIONS[self._config.readout_activation]
        self._centres, self._gammas = map(self._to_device, self._config.gaussians())  # (K,)

    def __reduce__(self):
        kind = self.repulsion and self.repulsion.kind
        return (TorchEnsemble, (self.model, str(self.device), self.dtype, kind))

    def evaluate(self, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs) -> Prediction:
        """Return energies in eV, forces in eV/Å and virials in eV of every member; see :class:`Engine`."""
        vectors = pairs.vectors(np.asarray(positions))  # (P, 3) float64
        squares = (vectors**2).sum(axis=1)
        if len(squares) and squares.min() < COINCIDENT**2:
            k = squares.argmin()
            raise AtomsCoincideError(int(pairs.idx_i[k]), int(pairs.idx_j[k]))
        close = squares < self._config.cutoff**2
        vectors, distances = vectors[close], np.sqrt(squares[close])
        seen, rates = distances, None  # what the network is shown of them, and its derivative
        if self.repulsion is not None:
            seen, rates = softened_distances(
                distances, self.repulsion.onset_of(numbers, pairs)[close]
            )
        with torch.inference_mode(), threads_for(len(numbers)):
            i, j, z = (
                torch.from_numpy(np.asarray(index, dtype=np.int64)).to(self.device)
                for index in (pairs.idx_i[close], pairs.idx_j[close], numbers)
            )
            atomic, hidden, layers = self._forward(z, self._to_device(seen), i, j)
            slopes = self._backward(z, hidden, layers, i, j)  # (M, P)
            scale = self._scale[:, None].to(torch.float64)
            atomic = atomic.to(torch.float64) * scale
            if self._element_scale is not None:
                atomic *= self._element_scale[:, z].to(torch.float64)
            atomic = atomic.cpu().numpy()
            slopes = slopes.to(torch.float64) * scale
            v = torch.from_numpy(vectors).to(self.device)
            if rates is not None:
                slopes *= torch.from_numpy(rates).to(self.device)
            d = torch.from_numpy(distances).to(self.device)
            per_pair = (slopes / d)[:, :, None] * v  # (M, P, 3), on atom i
            forces = per_pair.new_zeros((len(per_pair), len(numbers), 3))
            forces.index_add_(1, i, per_pair).index_add_(1, j, -per_pair)
            virials = -torch.einsum("mpa,pb->mab", per_pair, v)
        atomic_energies = atomic + self.model.energy_shift[:, numbers]  # (M, N)
        prediction = Prediction(
            atomic_energies.sum(axis=1),
            atomic_energies,
            forces.cpu().numpy(),
            virials.cpu().numpy(),
        )
        if self.repulsion is not None:
            self.repulsion.add_to(prediction, numbers, positions, pairs)
        return prediction

    def evaluate_many(
        self, structures: Iterable[Structure]
    ) -> Iterator[Prediction | AtomsCoincideError]:
        """Yield the answer of each structure, one after the other; see :class:`Engine`."""
        for structure in structures:
            try:
                answer = self.evaluate(*structure)
            except AtomsCoincideError as error:
                answer = error
            yield answer

    def _forward(
        self, z: Tensor, d: Tensor, i: Tensor, j: Tensor
    ) -> tuple[Tensor, list[Tensor], list[_Layer]]:
        """Return unit-free atomic energies (M, N), the readout's hidden layers, and the blocks' layers."""
        value, slope = self._activation
        envelope, envelope_slope = self._envelope(d)  # (P, 1)
        x = self._weights["embedding.weight"][:, z]  # (M, N, F)
        layers = []
        for t in range(self._config.n_interactions):
            block = f"interactions.{t}."
            if t == 0 or self._config.trainable_gaussians:
                rbf, rbf_slope = self._gaussians(t, d)  # (P, K), or (M, P, K)
            hidden = self._dense(block + "cfconv.filter_in", rbf)  # (M, P, F)
            hidden_slope = slope(hidden) * self._product(block + "cfconv.filter_in", rbf_slope)
            raw = self._dense(block + "cfconv.filter_out", value(hidden))
            raw_slope = self._product(block + "cfconv.filter_out", hidden_slope)
            filters = raw * envelope
            filter_slopes = raw_slope * envelope + raw * envelope_slope
            features = self._dense(block + "atomwise_in", x)
            y = torch.zeros_like(features)
            y.index_add_(1, i, features[:, j] * filters).index_add_(1, j, features[:, i] * filters)
            mid = self._dense(block + "atomwise_mid", y)
            x = x + self._dense(block + "atomwise_out", value(mid))
            layers.append(_Layer(features, filters, filter_slopes, mid))
        *names, last = self._config.readout_layers
        hidden = []
        for name in names:
            hidden.append(self._dense(name, x))  # (M, N, H)
            x = self._readout_activation.value(hidden[-1])
        return self._dense(last, x)[..., 0], hidden, layers

    def _backward(
        self, z: Tensor, hidden: list[Tensor], layers: list[_Layer], i: Tensor, j: Tensor
    ) -> Tensor:
        """Return dE/dd of every pair, (M, P), unit-free energy per Å."""
        *names, last = self._config.readout_layers
        x_bar = self._weights[f"{last}.weight"]  # (M, 1, H), the same for all atoms
        if self._element_scale is not None:
            x_bar = x_bar * self._element_scale[:, z, None]
        for name, layer in zip(reversed(names), reversed(hidden), strict=True):
            x_bar = self._adjoint(name, self._readout_activation.slope(layer) * x_bar)
        slopes = x_bar.new_zeros((len(x_bar), len(i)))
        for t, layer in reversed(list(enumerate(layers))):
            block = f"interactions.{t}."
            mid_bar = self._activation.slope(layer.mid) * self._adjoint(
                block + "atomwise_out", x_bar
            )
            y_bar = self._adjoint(block + "atomwise_mid", mid_bar)
            y_i, y_j = y_bar[:, i], y_bar[:, j]  # (M, P, F)
            both = y_i * layer.features[:, j] + y_j * layer.features[:, i]
            slopes += (both * layer.filter_slopes).sum(dim=-1)
            if t > 0:  # the embedding does not depend on the distances
                bar = torch.zeros_like(y_bar)
                bar.index_add_(1, j, y_i * layer.filters).index_add_(1, i, y_j * layer.filters)
                x_bar = x_bar + self._adjoint(block + "atomwise_in", bar)
        return slopes

    def _gaussians(self, t: int, d: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and slopes of the Gaussians of block t, (P, K), or (M, P, K) of each member."""
        centres, gammas = self._centres, self._gammas
        if self._config.trainable_gaussians:
            centres = self._weights[f"gaussians.{t}.centres"][:, None]
            gammas = 0.5 / self._weights[f"gaussians.{t}.widths"][:, None] ** 2
        offsets = d[:, None] - centres
        exponent = -gammas * offsets**2
        rbf = torch.exp(exponent.masked_fill(exponent < SMALLEST_EXPONENT, -math.inf))
        return rbf, -2.0 * gammas * offsets * rbf

    def _envelope(self, d: Tensor) -> tuple[Tensor, Tensor]:
        """Return value and slope of the cutoff function, (P, 1) each; every d is below the cutoff here."""
        cutoff = self._config.cutoff
        if self._config.envelope == "none":
            return torch.ones_like(d)[:, None], torch.zeros_like(d)[:, None]
        if self._config.envelope == "mollifier":
            rest = (1.0 - (d / cutoff) ** 2).clamp(min=1e-3)  # e⁻¹⁰⁰⁰ is 0
            value = torch.exp(1.0 - 1.0 / rest)
            slope = -2.0 * d / (cutoff * rest) ** 2 * value
            return value[:, None], slope[:, None]
        k = math.pi / cutoff
        return 0.5 * (torch.cos(k * d) + 1.0)[:, None], (-0.5 * k * torch.sin(k * d))[:, None]

    def _product(self, name: str, x: Tensor) -> Tensor:
        """Return x Wᵀ of every member."""
        return x @ self._weights[name + ".weight"].mT

    def _dense(self, name: str, x: Tensor) -> Tensor:
        """Return x Wᵀ + b of every member."""
        return self._product(name, x) + self._weights[name + ".bias"][:, None]

    def _adjoint(self, name: str, x_bar: Tensor) -> Tensor:
        """Return x̄ W of every member: the gradient at a dense layer's input."""
        return x_bar @ self._weights[name + ".weight"]

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self._real, device=self.device)


@contextmanager
def threads_for(n_atoms: int) -> Iterator[None]:
    """Let torch use one thread for a small system, and the caller's number again afterwards.

    A molecule's matrices are too small to share: two threads are slower than one, most of all on a busy
    machine.
    """
    threads = torch.get_num_threads()
    if n_atoms >= ONE_THREAD_BELOW or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_device(device: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU when there is one. Raise ValueError for any other."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device is 'cpu', 'cuda', 'cuda:1' or 'auto', got {device!r}")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch finds no GPU; use device='cpu'")
    return chosen


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is 'float64' or 'float32', got {dtype!r}")
    return torch.float64 if dtype == "float64" else torch.float32
