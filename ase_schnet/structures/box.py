"""Take molecules out of their periodic box, whole."""

from __future__ import annotations

import numpy as np
import vesin
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from ase_schnet.bonds import STRETCHED_BOND

#: Largest change of the energy (eV) and of the forces (eV/Å) without a box that is nothing to a calculator.
#: Such forces turn a molecule at a few cm⁻¹ at most.
UNCHANGED = 1e-4


def without_box(atoms: Atoms) -> Atoms:
    """Return the molecules without cell and periodicity, made whole where a face of the box cuts them.

    Bonds are found from covalent radii and followed across the faces. Of several molecules, the images
    nearest to the middle of all atoms are taken. A molecule that is whole already stays in place, and
    so does the first atom of the first molecule. Momenta, labels other than a stress, and all else are kept.

    Parameters
    ----------
    atoms
        Not changed.

    Raises
    ------
    ValueError
        If bonds go on from image to image, as in a crystal: there is no molecule to take out.
    """
    alone = atoms.copy()
    periodic = atoms.pbc & atoms.cell.any(1)  # a file may say periodic and have no cell
    if periodic.any() and len(atoms):
        moved = _images(atoms, periodic) @ atoms.cell.array
        alone.set_positions(atoms.positions + moved, apply_constraint=False)
    alone.cell, alone.pbc = None, False
    alone.calc = atoms.calc
    if isinstance(atoms.calc, SinglePointCalculator):
        labels = {k: v for k, v in atoms.calc.results.items() if k != "stress"}
        alone.calc = SinglePointCalculator(alone, **labels)
    return alone


def without_needless_box(atoms: Atoms) -> Atoms:
    """Return the molecules without their box if that changes neither energy nor forces, else the same atoms.

    This is what tells a molecule, which turns freely, from a crystal: the calculator, not the flag ``pbc``.

    Parameters
    ----------
    atoms
        With a calculator, which the result has too. A box that it does not do without stays.

    Raises
    ------
    Exception
        What the calculator raises for the structure in its box.
    """
    if not atoms.pbc.any():
        return atoms
    try:
        alone = without_box(atoms)
    except ValueError:  # a crystal
        return atoms
    boxed = alone.copy()  # whole: a model of molecules wants no bond across a face
    boxed.cell, boxed.pbc, boxed.calc = atoms.cell, atoms.pbc, atoms.calc
    energy, forces = _energy_and_forces(boxed)
    try:
        freely = _energy_and_forces(alone)
    except (ValueError, RuntimeError):  # a calculator of periodic systems alone
        return atoms
    changes = abs(freely[0] - energy), np.abs(freely[1] - forces).max()
    return alone if max(changes) < UNCHANGED else atoms


def _energy_and_forces(atoms: Atoms) -> tuple[float, NDArray]:
    return atoms.get_potential_energy(), atoms.get_forces(apply_constraint=False)


def _images(atoms: Atoms, periodic: NDArray) -> NDArray:
    """Return by how many cells each atom must be moved, (N, 3) whole numbers."""
    box = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=periodic)
    if np.linalg.matrix_rank(box.cell.array[periodic]) < periodic.sum():
        raise ValueError(f"the cell {box.cell.tolist()} does not span the periodic directions")
    first, second, shifts = _bonds(box)
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(box), len(box))).tocsr()
    n_molecules, molecule = connected_components(graph, directed=False)
    bonds = {(i, j): shift for i, j, shift in zip(first, second, shifts, strict=True)}
    images = np.zeros((len(box), 3), dtype=int)
    for root in np.unique(molecule, return_index=True)[1]:
        order, before = breadth_first_order(graph, root)
        for k in order[1:]:
            images[k] = images[before[k]] + bonds[before[k], k]
    endless = np.flatnonzero((images[second] - images[first] != shifts).any(axis=1))
    if len(endless):
        i, j = sorted((int(first[endless[0]]), int(second[endless[0]])))
        raise ValueError(
            f"the bond between atoms {i} and {j} goes on from image to image, as in a crystal: there is no "
            "molecule to take out of the box; keep it periodic"
        )
    if n_molecules > 1:
        places = box.cell.complete().scaled_positions(box.positions) + images
        images += _to_the_middle(places, molecule)
    return np.where(periodic, images, 0)


def _bonds(box: Atoms) -> tuple[NDArray, NDArray, NDArray]:
    """Return first and second atom of every bond, each bond twice, and the cell of the second (B, 3)."""
    radii = STRETCHED_BOND * covalent_radii[box.numbers]
    # vesin looks into every cell as wide as its cutoff: a box of vacuum has too many of the width of a bond
    roomy = np.cbrt(box.cell.complete().volume / (1000 + len(box)))
    finder = vesin.NeighborList(cutoff=max(2 * radii.max(), roomy), full_list=True)
    first, second, shifts, distances = finder.compute(
        points=box.positions, box=box.cell.array, periodic=box.pbc, quantities="ijSd"
    )
    bonded = distances < radii[first] + radii[second]
    return (
        first[bonded].astype(int),
        second[bonded].astype(int),
        shifts[bonded].astype(int),
    )


def _to_the_middle(places: NDArray, molecule: NDArray) -> NDArray:
    """Return by how many cells each molecule must be moved as a whole, (N, 3); the first stays.

    The middle is that of points on a circle, which has no faces.

    Parameters
    ----------
    places
        (N, 3) in units of the cell.
    molecule
        (N,) number of the molecule of each atom.
    """
    middle = np.angle(np.exp(2j * np.pi * places).mean(axis=0)) / (2 * np.pi)
    sizes = np.bincount(molecule)
    centres = np.stack([np.bincount(molecule, x) / sizes for x in places.T], axis=1)
    moves = -np.rint(centres - middle).astype(int)
    return (moves - moves[molecule[0]])[molecule]
