"""What a rigid scan moves: one piece, as a whole, by exactly what was asked."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import InputError
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from factory import random_model
from scan_cases import CCOH, HCCO, ethanol

from ase_schnet import SchNetCalculator
from ase_schnet.bonds import fragment_of
from ase_schnet.modelfile import save_model
from ase_schnet.scan import scan_angle, scan_dihedral, scan_distance, scan_map
from ase_schnet.scan.coordinate import Coordinate

TURN = np.arange(-180.0, 181.0, 15.0)


def bonds_and_angles(atoms):
    """Every bond length (Å) and every angle between two bonds (°), in a fixed order."""
    cutoffs = natural_cutoffs(ethanol(), mult=1.2)
    neighbours = build_neighbor_list(ethanol(), cutoffs, self_interaction=False, bothways=True)
    partners = [sorted(neighbours.get_neighbors(k)[0]) for k in range(len(atoms))]
    lengths = [atoms.get_distance(i, j) for i in range(len(atoms)) for j in partners[i]]
    angles = [
        atoms.get_angle(i, j, k)
        for j in range(len(atoms))
        for i in partners[j]
        for k in partners[j]
        if i < k
    ]
    assert len(lengths) == 16
    assert len(angles) == 13
    return np.array(lengths), np.array(angles)


@pytest.mark.parametrize("indices", [CCOH, HCCO, CCOH[::-1]])
def test_a_rigid_dihedral_scan_keeps_every_bond_and_every_angle(indices):
    atoms = ethanol()
    result = scan_dihedral(atoms, *indices, TURN)
    lengths, angles = bonds_and_angles(atoms)
    for value, frame in zip(TURN, result.frames, strict=True):
        now = bonds_and_angles(frame)
        np.testing.assert_allclose(now[0], lengths, atol=1e-12)
        np.testing.assert_allclose(now[1], angles, atol=1e-10)
        assert (frame.get_dihedral(*indices) - value + 180) % 360 - 180 == pytest.approx(
            0, abs=1e-9
        )
    np.testing.assert_allclose(result.frames[-1].positions, result.frames[0].positions, atol=1e-12)
    assert result.coordinate_name.endswith("dihedral (°)")
    assert result.unit == "°"


def test_a_rigid_angle_scan_keeps_every_bond_and_bends_in_the_plane():
    atoms = ethanol()
    values = [60.0, 109.0, 150.0, 180.0]
    result = scan_angle(atoms, 0, 1, 2, values)
    lengths, _ = bonds_and_angles(atoms)
    normal = np.cross(
        atoms.positions[0] - atoms.positions[1], atoms.positions[2] - atoms.positions[1]
    )
    for value, frame in zip(values, result.frames, strict=True):
        np.testing.assert_allclose(bonds_and_angles(frame)[0], lengths, atol=1e-12)
        assert frame.get_angle(0, 1, 2) == pytest.approx(value, abs=1e-5)
        assert (frame.positions[2] - frame.positions[1]) @ normal == pytest.approx(0, abs=1e-12)
    moved = np.abs(result.frames[0].positions - atoms.positions).sum(axis=1) > 1e-9
    assert np.flatnonzero(moved).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("scan", "indices", "values"),
    [
        (scan_distance, (1, 2), np.linspace(1.2, 2.4, 301)),
        (scan_angle, (0, 1, 2), np.linspace(80, 150, 301)),
        (scan_dihedral, CCOH, np.linspace(0, 360, 301)),
    ],
)
def test_the_work_of_the_forces_along_a_rigid_scan_is_the_energy_difference(
    scan, indices, values, tmp_path
):
    """−∫ F·dr = ΔE, with the frames' own forces; trapezoids of 301 points."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(save_model(tmp_path / "model", random_model()))
    result = scan(atoms, *indices, values)
    positions = np.array([frame.positions for frame in result.frames])  # (P, N, 3)
    forces = []
    for frame in result.frames:
        frame.calc = atoms.calc
        forces.append(frame.get_forces())
    tangent = np.gradient(positions, axis=0, edge_order=2)  # (P, N, 3) per point
    power = -(np.array(forces) * tangent).sum(axis=(1, 2))
    work = np.concatenate([[0], np.cumsum((power[1:] + power[:-1]) / 2)])
    change = result.energies_eV - result.energies_eV[0]
    assert np.ptp(change) > 0.005
    np.testing.assert_allclose(work, change, atol=2e-3 * np.ptp(change))


def test_a_dihedral_has_the_sign_of_iupac():
    """Looking from the second atom to the third, the far end turns clockwise: butane's g+."""
    atoms = Atoms("C4", [(1, 0, 0), (0, 0, 0), (0, 0, 1.5), (1, 0, 1.5)])
    atoms.calc = LennardJones()
    frame = scan_dihedral(atoms, 0, 1, 2, 3, [60.0], moving=[3]).frames[0]
    expected = [np.cos(np.pi / 3), np.sin(np.pi / 3), 1.5]  # seen from below, towards +z
    np.testing.assert_allclose(frame.positions[3], expected, atol=1e-12)


# --- what moves ---------------------------------------------------------------------------------


def test_fragment_of_ethanol_is_what_hangs_on_the_far_end():
    atoms = ethanol()
    assert fragment_of(atoms, 2, 3) == [3]
    assert fragment_of(atoms, 3, 2) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert fragment_of(atoms, 1, 2) == [2, 3]
    assert fragment_of(atoms, 1, 0) == [0, 6, 7, 8]


@pytest.mark.parametrize(
    ("indices", "moving"),
    [
        (CCOH, (2, 3)),  # the oxygen lies on the axis
        ((3, 2, 1, 0), (0, 1, 4, 5, 6, 7, 8)),
        ((0, 1, 2), (2, 3)),
        ((1, 0, 6), (6,)),
        ((4, 1, 5, 0), (0,)),  # improper: all three hang on C1
        ((3, 0, 6), (6,)),
        ((0, 3), (3,)),  # no bond
    ],
)
def test_what_moves_is_what_hangs_beyond_the_cut_bond(indices, moving):
    assert Coordinate.of(ethanol(), indices).moving == moving


@pytest.mark.parametrize("indices", [(0, 1), (0, 1, 2), (0, 1, 2, 3)])
def test_in_a_ring_the_last_atom_moves_alone(indices):
    assert Coordinate.of(molecule("C6H6"), indices).moving == indices[-1:]


def test_moving_overrides_the_fragment():
    result = scan_distance(ethanol(), 2, 3, [1.5], moving=np.array([3, 0]))
    shift = result.frames[0].positions - ethanol().positions
    assert np.flatnonzero(np.abs(shift).sum(axis=1)).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("indices", "moving", "message"),
    [
        (CCOH, [2], "moving must hold 3 .which moves. and not 0"),
        (CCOH, [0, 3], "moving must hold 3 .which moves. and not 0"),
        ((0, 1, 2), [1], "moving must hold 2"),
        ((0, 1, 2), [2, 9], "atom 9 does not exist"),
    ],
)
def test_moving_must_hold_the_last_and_not_the_first(indices, moving, message):
    with pytest.raises(ValueError, match=message):
        Coordinate.of(ethanol(), indices, moving)


def test_fixed_atoms_do_not_move():
    atoms = ethanol()
    atoms.set_constraint(FixAtoms([2, 8]))
    with pytest.raises(ValueError, match="O2 would have to move but is fixed"):
        scan_dihedral(atoms, *CCOH, [60.0])
    assert scan_dihedral(atoms, *CCOH, [60.0], moving=[3]).frames[0].constraints


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ((0, 1, 1), "an angle needs three different atoms, not 0, 1, 1"),
        ((0, 1, 2, 0), "a dihedral needs four different atoms, not 0, 1, 2, 0"),
        ((0, 1, 2, 9), "atom 9 does not exist: the structure has atoms 0 to 8"),
        ((0,), "two atoms .distance., three .angle. or four .dihedral."),
    ],
)
def test_indices_that_make_no_coordinate(indices, message):
    with pytest.raises(ValueError, match=message):
        Coordinate.of(ethanol(), indices)


@pytest.mark.parametrize("indices", [(0, 1, 2), (0, 1, 2, 3), (3, 2, 1, 0)])
def test_three_atoms_in_a_line_have_no_plane(indices):
    atoms = Atoms("CCCH", [(0, 0, 0), (0, 0, 1.2), (0, 0, 2.4), (0, 1, 3)])
    with pytest.raises(ValueError, match=r"lie in a line: there is no plane to turn in"):
        Coordinate.of(atoms, indices)


@pytest.mark.parametrize(
    ("scan", "indices", "values", "message"),
    [
        (scan_angle, (0, 1, 2), [0.0, 90.0], "angles must be positive and finite"),
        (scan_angle, (0, 1, 2), [181.0], "angles must be at most 180°, not 181"),
        (scan_dihedral, CCOH, [np.nan], "dihedrals must be finite"),
        (scan_dihedral, CCOH, [], "at least one dihedral"),
    ],
)
def test_values_that_make_no_scan(scan, indices, values, message):
    with pytest.raises(ValueError, match=message):
        scan(ethanol(), *indices, values)


def test_a_point_at_which_atoms_lie_in_a_line_has_no_dihedral_and_no_energy():
    """At C-C-O of 180° the dihedral about C-O has no value; the points before are kept."""
    angles, turns = [120.0, 150.0, 180.0], [60.0, 180.0]
    for first, second in (((0, 1, 2), CCOH), (CCOH, (0, 1, 2))):
        axes = (angles, turns) if first == (0, 1, 2) else (turns, angles)
        with pytest.warns(UserWarning, match="no energy at .* lie in a line"):
            result = scan_map(ethanol(), first, axes[0], second, axes[1])
        energies = result.energies_eV if first == (0, 1, 2) else result.energies_eV.T
        assert np.isfinite(energies[:2]).all()
        assert np.isnan(energies[2]).all()


def test_a_structure_that_the_calculator_refuses_is_a_gap_unless_it_is_the_first(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(save_model(tmp_path / "model", random_model()))
    with (
        pytest.warns(UserWarning, match="far below any bond length"),
        pytest.warns(UserWarning, match="no energy at .* in the same place"),
    ):
        result = scan_distance(atoms, 1, 0, [1e-9, 1.4, 1.5])
    assert np.isnan(result.energies_eV).tolist() == [True, False, False]
    atoms.numbers[0] = 92
    with pytest.raises(InputError, match="U"):
        scan_distance(atoms, 1, 0, [1.4, 1.5])
