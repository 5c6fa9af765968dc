"""Put a structure into LAMMPS, and take it out again.

The first vector of LAMMPS's cell lies along x and the second in the xy plane. So the structure is rotated for
it, and back again (``ase.calculators.lammps.Prism``). The tag of an atom is its ASE index plus one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism
from ase.data import chemical_symbols

from ase_schnet.lammps.reduce import GlobalPrediction

#: LAMMPS's Å/ps in one of ASE's units of velocity.
PER_PS = 1000 * units.fs


class Frame(NamedTuple):
    """Hold all atoms in their own order and orientation."""

    positions: np.ndarray  # (N, 3) Å, not wrapped
    momenta: np.ndarray  # (N, 3) ASE's units
    cell: np.ndarray  # (3, 3) Å
    results: dict[str, Any]  # under the names of ASE and of this package, eV and Å

    def place(self, atoms: Atoms) -> None:
        """Put ``atoms`` where the frame has them, with its cell and momenta."""
        atoms.set_cell(self.cell)
        atoms.positions = self.positions
        atoms.set_momenta(self.momenta)


class Box:
    """Map a structure to the orientation and the atom types of LAMMPS, and back.

    Parameters
    ----------
    atoms
        Periodic in at least one direction, with a cell of three vectors.
    triclinic
        Let LAMMPS change the shape of the cell, which it can otherwise do only for a skewed one.

    Attributes
    ----------
    elements
        Chemical symbol of each atom type; isotopes have types of their own.
    axes
        (3, 3) the structure's x, y and z, as columns, in LAMMPS; None where they are the same.
    """

    def __init__(self, atoms: Atoms, triclinic: bool = False):
        if not atoms.pbc.any():
            raise ValueError(
                "the structure is not periodic: LAMMPS is for the large and periodic, `ase-schnet md` "
                "and run_nve are for molecules"
            )
        if atoms.cell.rank < 3:
            raise ValueError("LAMMPS needs a cell of three vectors, also where it is not periodic")
        if atoms.constraints:
            raise ValueError("constraints are not carried over to LAMMPS: remove them")
        self.atoms = atoms
        self._given = atoms.cell.array.copy()
        self._prism = Prism(atoms.cell.array, atoms.pbc)
        turn = self._prism.rot_mat.T
        self.axes = None if np.array_equal(turn, np.eye(3)) else turn
        self._triclinic = triclinic or self._prism.is_skewed()
        kinds = np.stack([atoms.numbers, atoms.get_masses()], axis=1)
        kinds, self._types = np.unique(kinds, axis=0, return_inverse=True)
        self.elements = [chemical_symbols[int(z)] for z, _ in kinds]
        self._masses = kinds[:, 1]
        # (N, 3) cells by which LAMMPS moved atoms it was given
        self._wrapped: np.ndarray | None = None

    def create(self, lmp: Any) -> None:
        """Make box and atoms, with their velocities, in all processes together."""
        numbers = [f"{x:.17g}" for x in self._prism.get_lammps_prism()]
        low_high = " ".join(f"0 {x}" for x in numbers[:3])
        region = (
            f"prism {low_high} {' '.join(numbers[3:])}" if self._triclinic else f"block {low_high}"
        )
        boundary = " ".join("p" if periodic else "s" for periodic in self.atoms.pbc)
        lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                f"boundary {boundary}",
                "box tilt large",
                f"region box {region}",
                f"create_box {len(self.elements)} box",
                *(f"mass {k} {mass:.17g}" for k, mass in enumerate(self._masses, start=1)),
            ]
        )
        positions = self._prism.vector_to_lammps(self.atoms.positions)
        velocities = self._prism.vector_to_lammps(self.atoms.get_velocities()) * PER_PS
        made = lmp.create_atoms(
            len(self.atoms),
            list(range(1, len(self.atoms) + 1)),
            (self._types.ravel() + 1).tolist(),
            positions.ravel().tolist(),
            velocities.ravel().tolist(),
            shrinkexceed=True,
        )
        if lmp.get_natoms() != len(self.atoms):
            raise ValueError(
                f"LAMMPS took {made} of {len(self.atoms)} atoms: are some outside the cell?"
            )

    def gather(
        self, lmp: Any, comm: Any, answer: GlobalPrediction, cell: np.ndarray
    ) -> Frame | None:
        """Return the present frame in the first process; None in the others.

        ``cell`` (3, 3) is LAMMPS's. The first frame is where the atoms are in ``atoms``; later ones go on
        from there and are not wrapped.
        """
        n = lmp.extract_global("nlocal")
        mine = np.empty((n, 14))
        if n:
            mine[:, 0] = lmp.numpy.extract_atom("id", nelem=n)
            images = _images(lmp.numpy.extract_atom("image", nelem=n))
            mine[:, 1:4] = lmp.numpy.extract_atom("x", nelem=n, dim=3) + images @ cell
            mine[:, 4:7] = lmp.numpy.extract_atom("v", nelem=n, dim=3)
            mine[:, 7] = answer.energies
            mine[:, 8:11], mine[:, 11:] = answer.forces, answer.forces_std
        gathered = comm.gather(mine)
        if gathered is None:
            return None
        table = np.concatenate(gathered)
        table = table[np.argsort(table[:, 0])]
        back = self._prism.vector_to_ase
        if self._wrapped is None:
            away = self._prism.vector_to_lammps(self.atoms.positions) - table[:, 1:4]
            self._wrapped = np.rint(away @ np.linalg.inv(cell))
        velocities = back(table[:, 4:7]) / PER_PS
        theirs = self.cell_to_ase(cell)
        results = {
            "energy": answer.energy,
            "free_energy": answer.energy,
            "energies": table[:, 7],
            "forces": back(table[:, 8:11]),
            "stress": -self._prism.tensor2_to_ase(answer.virial) / abs(np.linalg.det(theirs)),
        }
        if answer.energy_std > 0:
            results |= {"energy_std": answer.energy_std, "forces_std": table[:, 11:]}
        return Frame(
            positions=back(table[:, 1:4] + self._wrapped @ cell),
            momenta=velocities * self.atoms.get_masses()[:, None],
            cell=theirs,
            results=results,
        )

    def cell_to_ase(self, cell: np.ndarray) -> np.ndarray:
        """Rotate the cell (3, 3) of LAMMPS back; vectors of directions that are not periodic are as given.

        There LAMMPS draws its own box together around the atoms.
        """
        return np.where(self.atoms.pbc[:, None], self._prism.vector_to_ase(cell), self._given)

    def total_momentum(self) -> np.ndarray:
        """Return the momentum of the atoms as a whole (3,), along LAMMPS's axes, in ASE's unit."""
        return self._prism.vector_to_lammps(self.atoms.get_momenta().sum(axis=0))


def _images(packed: np.ndarray) -> np.ndarray:
    """Return by how many cells each atom was moved, (n, 3), from the integers of LAMMPS."""
    bits = {4: 10, 8: 21}[packed.itemsize]
    packed = packed.astype(np.int64)
    parts = [(packed >> (k * bits)) & ((1 << bits) - 1) for k in range(3)]
    return np.stack(parts, axis=1) - (1 << (bits - 1))
