"""All members of a SchNet ensemble at once, on the CPU or a GPU, with hand-written forces.

The members' weights are stacked, so that each dense layer is one batched product. The forces come from
the adjoint written out below, not from autograd: no graph is kept, and the training half of the house,
which does use autograd, is an independent check of this one.

Reading order: `evaluate` -> `_forward` (SchNet, arXiv:1706.08566, section 3) -> `_backward`, which walks
the same lines upwards. Shapes: M members, N atoms, P pairs, F features, K Gaussians.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ase_schnet.inference.prediction import COINCIDENT, AtomsCoincideError, Prediction
from ase_schnet.inference.repulsion import Repulsion, held_back
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs

ONE_THREAD_BELOW = 200  # atoms
LOG2 = math.log(2.0)
SMALLEST_EXPONENT = -40.0  # smaller Gaussians are zero: below the grain, and denormals are slow


class _Layer(NamedTuple):
    """What `_backward` needs from one interaction block."""

    features: Tensor  # (M, N, F) after atomwise_in
    filters: Tensor  # (M, P, F)
    filter_slopes: Tensor  # (M, P, F) dW/dd
    mid: Tensor  # (M, N, F) before the softplus


class TorchEnsemble:
    """Evaluates a `TrainedModel`.

    Parameters
    ----------
    model : the ensemble.
    device : "cpu", "cuda", "cuda:1", or "auto" (a GPU when there is one).
    dtype : "float64" or "float32", the precision of the network. Distances are taken in float64 and total
        energies added up in float64 whatever it is.
    repulsion : below the distances seen in training; None for none (see `repulsion.py`).
    """

    def __init__(
        self,
        model: TrainedModel,
        device: str = "cpu",
        dtype: str = "float64",
        repulsion: str | None = None,
    ):
        self.model, self.device, self.dtype = model, torch_device(device), dtype
        self.repulsion = None if repulsion is None else Repulsion(repulsion, model)
        self._real = _torch_dtype(dtype)
        self._weights = {name: self._to_device(w) for name, w in model.weights.items()}
        self._scale = self._to_device(model.scale)  # (M,)
        config = model.config
        self._centres = self._to_device(
            np.arange(config["n_rbf"]) * (config["cutoff"] / config["n_rbf"])
        )

    def __reduce__(self):
        kind = self.repulsion and self.repulsion.kind
        return (TorchEnsemble, (self.model, str(self.device), self.dtype, kind))

    def evaluate(self, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs) -> Prediction:
        """Energies and forces of every member.

        numbers (N,), positions (N, 3) in Å, `pairs` a half list; pairs beyond the cutoff do no harm.
        Raises AtomsCoincideError for two atoms nearer than 1e-6 Å.
        """
        vectors = pairs.vectors(np.asarray(positions))  # (P, 3) float64
        squares = (vectors**2).sum(axis=1)
        if len(squares) and squares.min() < COINCIDENT**2:
            k = squares.argmin()
            raise AtomsCoincideError(int(pairs.idx_i[k]), int(pairs.idx_j[k]))
        close = squares < self.model.config["cutoff"] ** 2
        vectors, distances = vectors[close], np.sqrt(squares[close])
        seen, rates = distances, None  # what the network is shown of them, and its derivative
        if self.repulsion is not None:
            seen, rates = held_back(distances, self.repulsion.onset_of(numbers, pairs)[close])
        with torch.inference_mode(), threads_for(len(numbers)):
            i, j, z = (
                torch.from_numpy(np.asarray(index, dtype=np.int64)).to(self.device)
                for index in (pairs.idx_i[close], pairs.idx_j[close], numbers)
            )
            atomic, hidden, layers = self._forward(z, self._to_device(seen), i, j)
            slopes = self._backward(hidden, layers, i, j)  # (M, P) eV/Å
            scale = self._scale[:, None].to(torch.float64)
            atomic = (atomic.to(torch.float64) * scale).cpu().numpy()
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

    def _forward(self, z: Tensor, d: Tensor, i: Tensor, j: Tensor):
        """Unit-free atomic energies (M, N), the readout's hidden layer, and the blocks' activations."""
        rbf, rbf_slope = self._gaussians(d)  # (P, K)
        envelope, envelope_slope = self._envelope(d)  # (P, 1)
        x = self._weights["embedding.weight"][:, z]  # (M, N, F)
        layers = []
        for t in range(self.model.config["n_interactions"]):
            block = f"interactions.{t}."
            hidden = self._dense(block + "cfconv.filter_in", rbf)  # (M, P, F)
            hidden_slope = torch.sigmoid(hidden) * self._product(
                block + "cfconv.filter_in", rbf_slope
            )
            raw = self._dense(block + "cfconv.filter_out", softplus(hidden) - LOG2)
            raw_slope = self._product(block + "cfconv.filter_out", hidden_slope)
            filters = raw * envelope
            filter_slopes = raw_slope * envelope + raw * envelope_slope
            features = self._dense(block + "atomwise_in", x)
            y = torch.zeros_like(features)
            y.index_add_(1, i, features[:, j] * filters).index_add_(1, j, features[:, i] * filters)
            mid = self._dense(block + "atomwise_mid", y)
            x = x + self._dense(block + "atomwise_out", softplus(mid) - LOG2)
            layers.append(_Layer(features, filters, filter_slopes, mid))
        hidden = self._dense("readout_in", x)  # (M, N, 32)
        return self._dense("readout_out", softplus(hidden) - LOG2)[..., 0], hidden, layers

    def _backward(self, hidden: Tensor, layers: list[_Layer], i: Tensor, j: Tensor) -> Tensor:
        """dE/dd of every pair, (M, P), unit-free energy per Å."""
        readout = self._weights["readout_out.weight"]  # (M, 1, 32)
        x_bar = self._adjoint("readout_in", torch.sigmoid(hidden) * readout)  # (M, N, F)
        slopes = x_bar.new_zeros((len(x_bar), len(i)))
        for t, layer in reversed(list(enumerate(layers))):
            block = f"interactions.{t}."
            mid_bar = torch.sigmoid(layer.mid) * self._adjoint(block + "atomwise_out", x_bar)
            y_bar = self._adjoint(block + "atomwise_mid", mid_bar)
            y_i, y_j = y_bar[:, i], y_bar[:, j]  # (M, P, F)
            both = y_i * layer.features[:, j] + y_j * layer.features[:, i]
            slopes += (both * layer.filter_slopes).sum(dim=-1)
            if t > 0:  # the embedding does not depend on the distances
                bar = torch.zeros_like(y_bar)
                bar.index_add_(1, j, y_i * layer.filters).index_add_(1, i, y_j * layer.filters)
                x_bar = x_bar + self._adjoint(block + "atomwise_in", bar)
        return slopes

    def _gaussians(self, d: Tensor) -> tuple[Tensor, Tensor]:
        gamma = self.model.config["gamma"]
        offsets = d[:, None] - self._centres  # (P, K)
        exponent = -gamma * offsets**2
        rbf = torch.exp(exponent.masked_fill(exponent < SMALLEST_EXPONENT, -math.inf))
        return rbf, -2.0 * gamma * offsets * rbf

    def _envelope(self, d: Tensor) -> tuple[Tensor, Tensor]:
        """Value and slope, (P, 1) each; every d is below the cutoff here."""
        if self.model.config["envelope"] == "none":
            return torch.ones_like(d)[:, None], torch.zeros_like(d)[:, None]
        k = math.pi / self.model.config["cutoff"]
        return 0.5 * (torch.cos(k * d) + 1.0)[:, None], (-0.5 * k * torch.sin(k * d))[:, None]

    def _product(self, name: str, x: Tensor) -> Tensor:
        """X Wᵀ of every member."""
        return x @ self._weights[name + ".weight"].mT

    def _dense(self, name: str, x: Tensor) -> Tensor:
        """X Wᵀ + b of every member."""
        return self._product(name, x) + self._weights[name + ".bias"][:, None]

    def _adjoint(self, name: str, x_bar: Tensor) -> Tensor:
        """x̄ W of every member: the gradient at a dense layer's input."""
        return x_bar @ self._weights[name + ".weight"]

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self._real, device=self.device)


@contextmanager
def threads_for(n_atoms: int) -> Iterator[None]:
    """One thread for a small system, the caller's number again afterwards.

    A molecule's matrices are too small to share: two threads are slower than one, and on a busy machine ten
    times slower.
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
    """The device of a name; "auto" is a GPU when there is one. Raises ValueError for any other."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device is 'cpu', 'cuda', 'cuda:1' or 'auto', got {device!r}") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch finds no GPU; use device='cpu'")
    return chosen


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is 'float64' or 'float32', got {dtype!r}")
    return torch.float64 if dtype == "float64" else torch.float32
