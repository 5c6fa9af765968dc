"""A dipole or polarizability model: rotate to the axes of the molecule, predict there, rotate back.

The method is that of Martinka et al., doi:10.1063/5.0230176 (docs/sources.md, rotate, predict, rotate).

All members of the ensemble share the basis, so that a prediction costs one set of Gaussians. Nothing here
needs more than numpy; `fit.fit_rpr` makes such models. They are stored as arrays (for safetensors) and a
dictionary of JSON types: `arrays`, `card`, `from_parts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from ase_schnet.bonds import BROKEN_BOND, STRETCHED_BOND
from ase_schnet.dipole.basis import VOIGT, Basis
from ase_schnet.dipole.frame import FRAMES
from ase_schnet.dipole.symmetry import bonds, orders_like
from ase_schnet.uncertainty.committee import committee_mean_std

RANKS = {"dipole": 1, "polarizability": 2}
UNITS = {"dipole": "e*Ang", "polarizability": "e^2*Ang^2/eV"}
#: Format by the frame: a reader of format 1 takes every model for one in the followed axes.
FORMATS = {"followed": 1, "inertia": 2}
BLOCK = 64  # structures at a time: their Gaussians should stay in the cache
_STORED = ("masses", "orders", "reference", "distances", "centres")


class Value(NamedTuple):
    """Hold the prediction of an ensemble: (3,) e·Å for a dipole, (3, 3) e²Å²/eV for a polarizability."""

    mean: np.ndarray
    std: np.ndarray  # of the members, ddof = 1
    members: np.ndarray  # (M, ...)


@dataclass(frozen=True, eq=False)
class RotatePredictRotate:
    """Predict one quantity of one molecule, with its atoms in one order, by M members.

    Attributes
    ----------
    quantity
        "dipole" or "polarizability".
    numbers
        Atomic numbers in the order of training, (N,).
    basis
        The functions.
    coefficients, linear
        Of the members, (m, A, M) and (B, M); see `Basis`.
    charge
        Total charge, e. The dipole is always about the centre of mass, also for an ion.
    training
        Record of the training, JSON types.
    """

    quantity: str
    numbers: np.ndarray
    basis: Basis
    coefficients: np.ndarray
    linear: np.ndarray
    charge: int = 0
    training: dict = field(default_factory=dict)

    def __post_init__(self):
        # the layout that files have: products of other layouts differ in the last bits
        for name in ("coefficients", "linear"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)))

    @property
    def n_members(self) -> int:
        """Number M of members."""
        return self.linear.shape[1]

    @property
    def symbols(self) -> str:
        """The symbols of the atoms in their order, such as "COHHHH"."""
        return "".join(chemical_symbols[z] for z in self.numbers)

    @cached_property
    def _bonded(self) -> np.ndarray:
        """Table of the bonds of the typical structure, (N, N)."""
        distances = np.zeros((len(self.numbers), len(self.numbers)))
        distances[np.triu_indices(len(self.numbers), 1)] = self.basis.distances
        return bonds(self.numbers, distances + distances.T)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pair indices (2, P), and limits (P,) of the squared distance, Å², for bonds as in training."""
        i, j = np.triu_indices(len(self.numbers), 1)
        length = covalent_radii[self.numbers[i]] + covalent_radii[self.numbers[j]]
        bonded = self._bonded[i, j]
        low = np.where(bonded, 0.0, (STRETCHED_BOND * length) ** 2)
        high = np.where(bonded, (BROKEN_BOND * length) ** 2, np.inf)
        return np.stack([i, j]), low, high

    def order_of(
        self, numbers: np.ndarray, positions: np.ndarray, guess: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the order in which atoms are those of the model, (N,), found by their bonds; None: no order.

        If several orders have the same bonds, they are exchanges of the model and give the same value. If the
        model knows no exchanges, their values would differ, and only the order of training is accepted.

        Parameters
        ----------
        numbers
            Atomic numbers, (N,).
        positions
            (N, 3) Å.
        guess
            The order to try before searching; None: that of training.
        """
        if len(numbers) != len(self.numbers):
            return None
        guess = np.arange(len(numbers)) if guess is None else guess
        if self._has_its_bonds(numbers[guess], positions[guess]):
            return guess
        distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
        near, reach = bonds(numbers, distances), bonds(numbers, distances, BROKEN_BOND)
        orders = orders_like(numbers, near, reach, self.numbers, self._bonded)
        found = list(islice(orders, 2))
        ambiguous = len(found) > 1 and len(self.basis.orders) == 1
        return np.array(found[0]) if found and not ambiguous else None

    def _has_its_bonds(self, numbers: np.ndarray, positions: np.ndarray) -> bool:
        (i, j), low, high = self._pairs
        vectors = positions[i] - positions[j]
        d2 = np.einsum("pa,pa->p", vectors, vectors)
        return bool((numbers == self.numbers).all() and (d2 >= low).all() and (d2 < high).all())

    def require(self, numbers: np.ndarray, pbc: bool = False) -> None:
        """Raise ValueError for other atoms, another order of them, or a periodic structure."""
        if pbc:
            raise ValueError(f"the {self.quantity} model is for a molecule: set pbc to False")
        if not np.array_equal(numbers, self.numbers):
            given = "".join(chemical_symbols[z] for z in numbers)
            same = sorted(numbers) == sorted(self.numbers)
            cure = "reorder the atoms" if same else "it can predict this molecule only"
            raise ValueError(
                f"the {self.quantity} model was trained on atoms {self.symbols}, not {given}: {cure}"
            )

    def predict(self, positions: np.ndarray) -> Value:
        """Return mean, std and members at positions (N, 3) in Å; place and orientation are free."""
        members = self.predict_many(positions[None])[:, 0]
        return Value(*committee_mean_std(members), members)

    def predict_many(self, positions: np.ndarray) -> np.ndarray:
        """Return the values of the members for positions (S, N, 3) in Å: (M, S, 3) or (M, S, 3, 3)."""
        blocks = [
            self.basis.expand(positions[k : k + BLOCK], self.coefficients, self.linear)
            for k in range(0, len(positions), BLOCK)
        ]
        values = np.concatenate(blocks).transpose(2, 0, 1)  # (M, S, K)
        return values if self.basis.rank == 1 else full_tensor(values)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays for a safetensors file, all contiguous."""
        stored = {name: np.ascontiguousarray(getattr(self.basis, name)) for name in _STORED}
        return {
            **stored,
            "numbers": np.ascontiguousarray(self.numbers, dtype=np.int64),
            "coefficients": np.ascontiguousarray(self.coefficients),
            "linear": np.ascontiguousarray(self.linear),
        }

    def card(self) -> dict:
        """Return everything that is not an array, for a JSON file."""
        return {
            "format_version": FORMATS[self.basis.frame],
            "frame": self.basis.frame,
            "quantity": self.quantity,
            "units": UNITS[self.quantity],
            "origin": "centre of mass",
            "charge": self.charge,
            "atoms": self.symbols,
            "n_members": self.n_members,
            "stiffness_per_amu_Ang2": float(self.basis.stiffness),
            "width": float(self.basis.width),
            "training": self.training,
        }

    @classmethod
    def from_parts(cls, arrays: dict[str, np.ndarray], card: dict) -> RotatePredictRotate:
        """Return the model of its `arrays` and `card`.

        Raises
        ------
        ValueError
            For a newer format, an unknown quantity, or arrays that are missing, not finite or of shapes that
            contradict each other.
        """
        frame = card.get("frame", "followed")  # older cards do not say it
        known = FORMATS.get(frame) == card.get("format_version")
        if not known or card.get("quantity") not in RANKS:
            raise ValueError(
                f"a {card.get('quantity')} model of format {card.get('format_version')} in the frame "
                f"{frame!r}: this version reads formats 1 and 2 of {' and '.join(RANKS)}, in the frames "
                f"{' and '.join(FRAMES)}"
            )
        missing = {*_STORED, "numbers", "coefficients", "linear"} - set(arrays)
        if missing:
            raise ValueError(f"the {card['quantity']} model lacks {', '.join(sorted(missing))}")
        basis = Basis(
            **{name: arrays[name] for name in _STORED},
            stiffness=card["stiffness_per_amu_Ang2"],
            width=card["width"],
            rank=RANKS[card["quantity"]],
            frame=frame,
        )
        model = cls(
            card["quantity"],
            arrays["numbers"],
            basis,
            arrays["coefficients"],
            arrays["linear"],
            card["charge"],
            card["training"],
        )
        model._check()
        return model

    def _check(self) -> None:
        """Check all shapes, which follow from those of `numbers`, `centres` and `linear`."""
        n, m, b = len(self.numbers), len(self.basis.centres), self.basis
        n_linear = len(self.linear)
        shapes = {
            "masses": (b.masses, (n,)),
            "orders": (b.orders, (len(b.orders), n)),
            "reference": (b.reference, (n, 3)),
            "distances": (b.distances, (n * (n - 1) // 2,)),
            "centres": (b.centres, (m, 3 * n + n * (n - 1) // 2)),
            "coefficients": (self.coefficients, (m, b.n_per_centre, self.n_members)),
            "linear": (self.linear, (n_linear, self.n_members)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} of the {self.quantity} model is not finite numbers of shape {shape}"
                )


def full_tensor(components: np.ndarray) -> np.ndarray:
    """Return symmetric tensors (..., 3, 3) of their six components (..., 6) in Voigt order."""
    tensor = np.empty((*components.shape[:-1], 3, 3))
    tensor[..., VOIGT[0], VOIGT[1]] = components
    tensor[..., VOIGT[1], VOIGT[0]] = components
    return tensor
