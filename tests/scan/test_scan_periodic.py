"""Scans in a cell: bonds over the boundary, whole molecules, and what a cell does not allow."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from scan_cases import CCOH, EPSILON, R0, RHO0, dimer, ethanol

from ase_schnet.scan import scan_angle, scan_dihedral, scan_distance


def test_bond_across_a_periodic_boundary_is_scanned_the_short_way():
    atoms = Atoms("OH", [(0, 0, 0.2), (0, 0, 9.5)], cell=[10, 10, 10], pbc=True)
    atoms.calc = MorsePotential(epsilon=EPSILON, r0=R0, rho0=RHO0, rcut1=3.0, rcut2=4.0)
    result = scan_distance(atoms, 0, 1, [1.0])
    np.testing.assert_allclose(result.frames[0].positions[1], [0, 0, 9.2])


def zigzag() -> Atoms:
    """Eight carbons along x."""
    atoms = Atoms("C8", [(1.25 * k, 0.8 * (k % 2), 0) for k in range(8)])
    atoms.calc = EMT()
    return atoms


@pytest.mark.parametrize(
    ("molecule_of", "cell", "indices"),
    [
        (ethanol, 6.0, CCOH),
        (ethanol, 6.0, CCOH[::-1]),
        (ethanol, 6.0, (0, 1, 2)),
        (zigzag, 11.0, (0, 1, 2, 3)),  # reaches beyond half the cell
        (zigzag, 11.0, (0, 1, 2)),
    ],
)
def test_a_molecule_across_a_periodic_boundary_turns_as_a_whole(molecule_of, cell, indices):
    free, atoms = molecule_of(), molecule_of()
    atoms.set_cell([cell] * 3)
    atoms.pbc = True
    atoms.positions += 0.3 - free.positions.mean(axis=0)
    atoms.wrap()
    scan = scan_angle if len(indices) == 3 else scan_dihedral
    expected = scan(free, *indices, [100.0, 150.0]).frames
    for frame, one in zip(scan(atoms, *indices, [100.0, 150.0]).frames, expected, strict=True):
        between = (frame.positions - one.positions) / cell
        cells = between - between[indices[0]]
        np.testing.assert_allclose(cells, np.round(cells), atol=1e-10)
        assert np.abs(cells).max() > 0.5


def test_a_crystal_cannot_be_turned_and_a_distance_beyond_half_the_cell_not_be_had():
    atoms = bulk("Al", cubic=True).repeat((2, 1, 1))
    atoms.calc = EMT()
    whole = list(range(1, 8))
    with pytest.raises(ValueError, match="bonded to their own periodic images"):
        scan_angle(atoms, 0, 1, 2, [80.0], moving=whole)
    alone = dimer()
    alone.set_cell([6.0, 6.0, 6.0])
    alone.pbc = True
    with pytest.raises(ValueError, match=r"of 5 does not fit the periodic cell.* make 1"):
        scan_distance(alone, 0, 1, [2.0, 5.0])
