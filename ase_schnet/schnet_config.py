"""The shape of a SchNet in plain numbers: what a model file says of its network.

Both halves of the package build the same network from a :class:`SchNetConfig`; nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

MAX_ELEMENTS = 100  # rows of the embedding: atomic numbers 0..99
LOG2 = math.log(2.0)  # what the shifted softplus takes from the softplus
# exp(-40) = 4e-18 is below the grain of float64 beside 1. Smaller Gaussians are set to zero: left alone
# they become denormal numbers in float32, on which processors are some hundred times slower.
SMALLEST_EXPONENT = -40.0
ENVELOPES = ("cosine", "mollifier", "none")
ACTIVATIONS = ("ssp", "silu")


@dataclass(frozen=True)
class SchNetConfig:
    """Hold everything that fixes the shape of the network.

    Attributes
    ----------
    n_atom_basis
        Width of the atomic features.
    n_filters
        Width of the convolution.
    n_interactions
        Number of interaction blocks.
    n_rbf
        Number K of Gaussians exp(−γ (d − μ_k)²) = exp(−(d − μ_k)² / 2σ_k²) of a distance d.
    cutoff
        Å. Pairs farther apart do not see each other.
    gamma
        γ in Å⁻², of all Gaussians. ``widths`` takes its place where it is given.
    envelope
        Cutoff function, a factor on the filters: "cosine", ½ (cos(π d/cutoff) + 1); "mollifier",
        exp(1 − 1/(1 − (d/cutoff)²)); or "none", a step at the cutoff, so that energy is not conserved.
    centres
        μ_k in Å, K of them. None: one every cutoff/K from 0 Å.
    widths
        σ_k in Å, K of them. None: all of 1/√(2γ).
    trainable_gaussians
        Each interaction block has its own centres and widths, which are weights: tensors of the model file,
        named ``gaussians.<block>.centres`` and ``.widths``. Training starts them from those above.
    activation
        Function behind the hidden layers of filters and blocks: "ssp" (shifted softplus) or "silu".
    readout_widths
        Widths of the hidden layers between the last features and the atomic energy; may be empty.
    readout_activation
        Function behind those layers: "ssp" or "silu".
    dropout
        Share of the hidden units of blocks (behind ``atomwise_mid``) and of the readout that training leaves
        out at random, for each atom anew at every step. None is left out in validation, in the running
        average, or by a finished model. Filters have no dropout.
    """

    n_atom_basis: int = 64
    n_filters: int = 64
    n_interactions: int = 3
    n_rbf: int = 50
    cutoff: float = 5.0
    gamma: float = 10.0
    envelope: str = "cosine"
    centres: tuple[float, ...] | None = None
    widths: tuple[float, ...] | None = None
    trainable_gaussians: bool = False
    activation: str = "ssp"
    readout_widths: tuple[int, ...] = (32,)
    readout_activation: str = "ssp"
    dropout: float = 0.0

    def _require(self, name: str, kind: type | tuple[type, ...], what: str) -> None:
        value = getattr(self, name)
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(self, name, value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"SchNetConfig.{name} must be {what}, got {value!r}")

    def __post_init__(self):
        for name in ("centres", "widths", "readout_widths"):  # lists, as JSON has them; arrays
            if getattr(self, name) is not None:
                values = tuple(np.atleast_1d(np.asarray(getattr(self, name))).tolist())
                object.__setattr__(self, name, values)
        for name in ("n_atom_basis", "n_filters", "n_interactions", "n_rbf"):
            self._require(name, int, "a whole number")
        for name in ("cutoff", "gamma", "dropout"):
            self._require(name, (int, float), "a number")
        self._require("trainable_gaussians", bool, "True or False")
        for name in ("n_atom_basis", "n_filters", "n_interactions", "n_rbf", "cutoff", "gamma"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"SchNetConfig.{name} must be positive, got {getattr(self, name)}")
        known = {
            "envelope": ENVELOPES,
            "activation": ACTIVATIONS,
            "readout_activation": ACTIVATIONS,
        }
        for name, names in known.items():
            if getattr(self, name) not in names:
                wanted = ", ".join(map(repr, names))
                raise ValueError(
                    f"SchNetConfig.{name} must be one of {wanted}, got {getattr(self, name)!r}"
                )
        for name in ("centres", "widths"):
            values = getattr(self, name)
            if values is not None and (len(values) != self.n_rbf or not np.isfinite(values).all()):
                raise ValueError(
                    f"SchNetConfig.{name} must be {self.n_rbf} finite numbers (n_rbf), got {values}"
                )
        if self.widths is not None and min(self.widths) <= 0:
            raise ValueError(f"SchNetConfig.widths must be positive, got {self.widths}")
        if not all(isinstance(n, int) and n > 0 for n in self.readout_widths):
            raise ValueError(
                f"SchNetConfig.readout_widths must be positive whole numbers, got {self.readout_widths}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"SchNetConfig.dropout must be at least 0 and below 1, got {self.dropout}"
            )

    @classmethod
    def from_dict(cls, config: Mapping) -> SchNetConfig:
        """Return the configuration of a model file; what an old file does not say has its default.

        Raises
        ------
        ValueError
            If there is a field that this version does not know, or a value that it does not allow.
        """
        odd = sorted(set(config) - {f.name for f in fields(cls)})
        if odd:
            raise ValueError(f"the network has {', '.join(odd)}, unknown to this ase_schnet")
        return cls(**config)

    def to_dict(self) -> dict:
        """Return all fields in plain types, ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def gaussians(self) -> tuple[np.ndarray, np.ndarray]:
        """Return centres μ in Å and exponents γ in Å⁻² of the Gaussians, (K,) both."""
        if self.centres is None:
            centres = np.arange(self.n_rbf) * (self.cutoff / self.n_rbf)
        else:
            centres = np.array(self.centres)
        if self.widths is None:
            return centres, np.full(self.n_rbf, float(self.gamma))
        return centres, 0.5 / np.array(self.widths) ** 2

    @property
    def readout_layers(self) -> list[str]:
        """Return the names of the dense layers from the last features to the atomic energy."""
        hidden = len(self.readout_widths)
        first = ["readout_in"] if hidden else []
        return [*first, *(f"readout_mid.{k}" for k in range(hidden - 1)), "readout_out"]

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor of one member: what a model file must hold, no more."""
        basis, filters = self.n_atom_basis, self.n_filters
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (MAX_ELEMENTS, basis)}

        def dense(name: str, n_in: int, n_out: int) -> None:
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (n_out, n_in), (n_out,)

        for t in range(self.n_interactions):
            dense(f"interactions.{t}.atomwise_in", basis, filters)
            dense(f"interactions.{t}.cfconv.filter_in", self.n_rbf, filters)
            dense(f"interactions.{t}.cfconv.filter_out", filters, filters)
            dense(f"interactions.{t}.atomwise_mid", filters, basis)
            dense(f"interactions.{t}.atomwise_out", basis, basis)
            if self.trainable_gaussians:
                shapes[f"gaussians.{t}.centres"] = shapes[f"gaussians.{t}.widths"] = (self.n_rbf,)
        widths = pairwise((basis, *self.readout_widths, 1))
        for name, (n_in, n_out) in zip(self.readout_layers, widths, strict=True):
            dense(name, n_in, n_out)
        return shapes


PRESETS = {
    # 13 345, 116 225 and 874 817 parameters (docs/sources.md, network and its presets)
    "small": SchNetConfig(32, 32, n_interactions=1, n_rbf=150, cutoff=15.0),
    "default": SchNetConfig(64, 64, n_interactions=3, n_rbf=300, cutoff=30.0),
    "large": SchNetConfig(128, 128, n_interactions=6, n_rbf=600, cutoff=60.0),
    # for practical use: a short cutoff, so that cost grows linearly with the number of atoms, and wide
    # Gaussians, so that filters are smooth, which makes errors smaller (benchmarks/accuracy.md)
    "fast": SchNetConfig(64, 64, n_interactions=3, n_rbf=32, cutoff=5.0, gamma=4.0),
    "accurate": SchNetConfig(128, 128, n_interactions=3, n_rbf=32, cutoff=5.0, gamma=4.0),
    # the augmentation paper's (docs/sources.md): Gaussians as wide as they are far apart, at the beginning
    "nff": SchNetConfig(
        256,
        256,
        n_interactions=3,
        n_rbf=32,
        cutoff=5.0,
        gamma=0.5 * (32 / 5.0) ** 2,
        trainable_gaussians=True,
        dropout=0.2,
    ),
}
