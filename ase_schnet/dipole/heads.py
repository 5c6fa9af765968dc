"""The property heads of a model directory, asked for a structure: dipole and polarizability."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError

from ase_schnet.dipole.rpr import RotatePredictRotate
from ase_schnet.dipole.store import load_heads
from ase_schnet.uncertainty.committee import committee_mean_std


class PropertyHeads:
    """Hold the property heads of a model directory and predict their quantities for a structure.

    Each head describes one molecule. It is used for structures of that molecule with the bonds of its
    training data, in any order of the atoms.

    Parameters
    ----------
    directory
        The model directory; it may have no heads.
    member
        Predict what this member of each head does, counted from 0, and no standard deviation; of a head
        without that member the mean. None: mean and standard deviation of all.

    Attributes
    ----------
    quantities
        Names of what the heads predict: "dipole", "polarizability".
    """

    def __init__(self, directory: str | Path, member: int | None = None):
        self._directory, self._member = directory, member
        self._heads = load_heads(directory)
        self.quantities = tuple(self._heads)
        self._orders: dict[str, np.ndarray | None] = {}
        self._masses: np.ndarray | None = None  # about whose centre the last dipole of an ion was

    def changes(self, results: Container[str], atoms: Atoms) -> list[str]:
        """Return "masses" if the dipole of an ion among results is about the centre of other isotopes."""
        if self._masses is None or "dipole" not in results:
            return []
        return [] if np.array_equal(self._masses, atoms.get_masses()) else ["masses"]

    def applicable(self, atoms: Atoms) -> tuple[str, ...]:
        """Return the quantities that can be predicted for `atoms`."""
        return tuple(q for q in self.quantities if self._order(q, atoms) is not None)

    def predict(self, quantity: str, atoms: Atoms) -> dict[str, np.ndarray]:
        """Return a quantity and its standard deviation under the names of ``calc.results``.

        A dipole (3,) is in e·Å about the centre of mass, which of an ion is that of its isotopes; a
        polarizability (3, 3) is in e²Å²/eV.

        Raises
        ------
        InputError
            `atoms` are another molecule, periodic, or have other bonds.
        """
        order = self._order(quantity, atoms)
        if order is None:
            head = self._heads[quantity]
            raise InputError(
                f"the {quantity} of model {str(self._directory)!r} is known for one molecule only: "
                f"{head.symbols} with the bonds of its training data. {atoms.symbols} is another molecule, "
                "periodic, or has broken bonds"
            )
        masses = atoms.arrays.get("masses")
        (values,) = self._values(quantity, atoms.positions[order][None], [_at(masses, order)])
        if quantity == "dipole" and self._heads[quantity].charge:
            self._masses = atoms.get_masses()
        return values

    def predict_applicable(
        self,
        structures: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
        masses: Sequence[np.ndarray | None],
    ) -> list[dict[str, np.ndarray]]:
        """Return what `predict` does of all quantities that are known for each of several structures.

        Parameters
        ----------
        structures
            Atomic numbers (N,), positions (N, 3) in Å and periodic directions (3,) of each.
        masses
            Of each, (N,) amu; None: those of the elements.
        """
        found: list[dict[str, np.ndarray]] = [{} for _ in structures]
        for quantity in self.quantities:
            orders = [self._order_of(quantity, *structure) for structure in structures]
            known = [s for s, order in enumerate(orders) if order is not None]
            if known:
                positions = np.stack([structures[s][1][orders[s]] for s in known])
                theirs = [_at(masses[s], orders[s]) for s in known]
                for s, values in zip(known, self._values(quantity, positions, theirs), strict=True):
                    found[s] |= values
        return found

    def _values(
        self, quantity: str, positions: np.ndarray, masses: Sequence[np.ndarray | None]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield a quantity and its std at positions (S, N, 3) in the order of the head."""
        head = self._heads[quantity]
        members = head.predict_many(positions)  # (M, S, ...)
        for s in range(len(positions)):
            if quantity == "dipole" and head.charge and masses[s] is not None:
                members[:, s] += head.charge * _off_centre(positions[s], head, masses[s])
            mean, std = committee_mean_std(members[:, s])
            if self._member is None:
                yield {
                    quantity: np.ascontiguousarray(mean),
                    f"{quantity}_std": np.ascontiguousarray(std),
                }
            else:
                there = self._member < len(members)
                own = members[self._member, s] if there else mean
                yield {quantity: np.ascontiguousarray(own)}

    def _order(self, quantity: str, atoms: Atoms) -> np.ndarray | None:
        return self._order_of(quantity, atoms.numbers, atoms.positions, atoms.pbc)

    def _order_of(
        self, quantity: str, numbers: np.ndarray, positions: np.ndarray, pbc: np.ndarray
    ) -> np.ndarray | None:
        """Return the order in which the atoms are those of the head, (N,); None where they are not."""
        if pbc.any():
            return None
        guess = self._orders.get(quantity)  # dynamics does not shuffle its atoms
        order = self._heads[quantity].order_of(numbers, positions, guess)
        self._orders[quantity] = order
        return order


def _at(masses: np.ndarray | None, order: np.ndarray | None) -> np.ndarray | None:
    return None if masses is None else masses[order]


def _off_centre(positions: np.ndarray, head: RotatePredictRotate, masses: np.ndarray) -> np.ndarray:
    """Return the centre of mass that a head knows less that of other isotopes (3,), Å."""
    known = head.basis.masses
    return known @ positions / known.sum() - masses @ positions / masses.sum()
