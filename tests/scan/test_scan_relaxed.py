"""Relaxed scans: the coordinate is held, all else is at rest, and the profile is the lowest of its kind."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, fcc111, molecule
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixedPlane
from ase.optimize import BFGS
from scan_cases import CCOH, DISTANCES, dimer, ethanol, morse_energy, stopping_at

from ase_schnet import SchNetCalculator
from ase_schnet.scan import driver, relax, scan_angle, scan_dihedral, scan_distance
from ase_schnet.scan.coordinate import Coordinate

ROOT = Path(__file__).resolve().parents[2]
TURN = np.arange(180.0, 541.0, 30.0)
FMAX = 0.005


@pytest.fixture(scope="module")
def relaxed_ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    BFGS(atoms, logfile=None).run(fmax=FMAX)
    return atoms


@pytest.fixture(scope="module")
def turn(relaxed_ethanol):
    return scan_dihedral(relaxed_ethanol, *CCOH, TURN, relaxed=True, fmax=FMAX)


def gradient(coordinate, atoms, step=1e-4):
    """dq/dr (N, 3) by central differences of ASE's own measure."""
    slope = np.zeros((len(atoms), 3))
    for k in coordinate.indices:
        for axis in range(3):
            values = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[k, axis] += sign * step
                values.append(coordinate.measure(moved))
            slope[k, axis] = coordinate.difference(*values) / (2 * step)
    return slope


def generalised_force(coordinate, frame, calculator):
    """λ of F = λ dq/dr, eV per unit of q, and the largest force on an atom that it leaves, eV/Å."""
    atoms = frame.copy()
    atoms.calc = calculator
    forces, slope = atoms.get_forces(), gradient(coordinate, atoms)
    factor = (forces * slope).sum() / (slope**2).sum()
    return factor, np.linalg.norm(forces - factor * slope, axis=1).max()


@pytest.mark.parametrize(
    ("scan", "indices", "values", "tolerance"),
    [
        (scan_distance, (2, 3), np.linspace(0.93, 1.03, 6), 1e-6),
        (scan_angle, (0, 1, 2), np.linspace(100, 118, 6), 1e-3),
        (scan_dihedral, CCOH, np.linspace(150, 60, 6), 1e-3),
    ],
)
def test_at_every_point_the_coordinate_is_held_and_the_only_force_is_along_it(
    relaxed_ethanol, scan, indices, values, tolerance
):
    result = scan(relaxed_ethanol, *indices, values, relaxed=True, fmax=FMAX)
    coordinate = Coordinate.of(relaxed_ethanol, indices)
    assert result.converged.all()
    for value, frame in zip(values, result.frames, strict=True):
        assert abs(coordinate.difference(coordinate.measure(frame), value)) < tolerance
        assert generalised_force(coordinate, frame, relaxed_ethanol.calc)[1] < 1.01 * FMAX


def test_the_slope_of_a_relaxed_profile_is_minus_the_force_along_the_coordinate(relaxed_ethanol):
    """dE/dq = −λ: what relaxes does not count, to first order."""
    values = np.linspace(110.0, 120.0, 5)
    result = scan_dihedral(relaxed_ethanol, *CCOH, values, relaxed=True, fmax=5e-4)
    coordinate = Coordinate.of(relaxed_ethanol, CCOH)
    slope = (result.energies_eV[3] - result.energies_eV[1]) / (values[3] - values[1])
    force, _ = generalised_force(coordinate, result.frames[2], relaxed_ethanol.calc)
    assert abs(slope) > 2e-4  # eV/°
    assert slope == pytest.approx(-force, rel=0.03)


def test_relaxing_lowers_every_point(relaxed_ethanol, turn):
    rigid = scan_dihedral(relaxed_ethanol, *CCOH, TURN)
    assert (turn.energies_eV <= rigid.energies_eV + 1e-5).all()
    assert (rigid.energies_eV - turn.energies_eV).max() > 0.005
    assert turn.converged.all()
    assert rigid.converged is None


def test_a_relaxed_full_turn_returns_to_where_it_began(turn):
    assert turn.energies_eV[-1] == pytest.approx(turn.energies_eV[0], abs=1e-4)
    first, last = turn.frames[0].get_all_distances(), turn.frames[-1].get_all_distances()
    np.testing.assert_allclose(last, first, atol=0.02)
    np.testing.assert_allclose(turn.energies_eV, turn.energies_eV[::-1], atol=1e-3)  # mirror plane


def test_ethanol_is_stable_as_trans_and_gauche_only(turn):
    """Minima near 180 and ±60°, tops at 0 (cis) and near ±120°; cis above the others."""
    energy = dict(zip((TURN % 360).astype(int).tolist(), turn.energies_eV, strict=True))
    for low, high in ((180, 120), (60, 120), (60, 0), (300, 240), (300, 0), (180, 240)):
        assert 0.02 < energy[high] - energy[low] < 0.15  # eV
    assert energy[0] > energy[120]
    assert abs(energy[60] - energy[180]) < 0.02


def test_xtb_agrees_on_the_order_and_the_size_of_ethanols_barriers(turn):
    tblite = pytest.importorskip("tblite.ase")
    atoms = turn.frames[0].copy()
    atoms.calc = tblite.TBLite(method="GFN2-xTB", verbosity=0)
    values = [180.0, 240.0, 300.0, 360.0]
    other = scan_dihedral(atoms, *CCOH, values, relaxed=True, fmax=0.02)
    ours = turn.energies_eV[[0, 2, 4, 6]]
    assert other.converged.all()
    up, down, over = np.diff(other.energies_eV) / np.diff(ours)  # to 120°, to 60°, to 0°
    assert 0.5 < up < 2
    assert 0.5 < down < 2
    assert 0.5 < over < 2


def test_the_rotation_example_is_pbes_curve_to_two_meV():
    """Against PBE/def2-SVP energies of the same structures, relative to the lowest."""
    example = runpy.run_path(str(ROOT / "md_examples" / "4_dihedral_scan.py"))
    assert example["figure"].stat().st_size > 10_000
    assert np.isfinite(example["error"]).all()
    assert example["error"].max() < 2.0


# --- what ASE's FixInternals alone gets wrong ---------------------------------------------------


def test_a_dimer_has_nothing_to_relax():
    """Along an axis, ASE's projector of rotations divides by zero."""
    result = scan_distance(dimer(), 0, 1, DISTANCES, relaxed=True)
    np.testing.assert_allclose(result.energies_eV, morse_energy(DISTANCES), atol=1e-6)
    assert result.converged.all()


def adsorbate() -> Atoms:
    """A copper adatom beside its hollow on a slab whose lower layer is fixed."""
    atoms = fcc111("Cu", (2, 2, 2), vacuum=6.0)
    add_adsorbate(atoms, "Cu", 2.0, position=(1.0, 0.6))
    atoms.set_constraint(FixAtoms([0, 1, 2, 3]))
    atoms.calc = EMT()
    return atoms


def test_beside_fixed_atoms_a_net_force_relaxes_and_the_fixed_stay():
    """The distance is to a fixed atom; ASE's own would move it and keep the sum of forces."""
    atoms = adsorbate()
    result = scan_distance(atoms, 0, 8, [4.4, 4.6], relaxed=True, fmax=FMAX)
    coordinate = Coordinate.of(atoms, (0, 8))
    assert result.converged.all()
    for frame in result.frames:
        np.testing.assert_array_equal(frame.positions[:4], atoms.positions[:4])
        assert np.abs(frame.positions[4:8] - atoms.positions[4:8]).max() > 0.01
        assert len(frame.constraints) == 1
        free = frame.copy()
        free.set_constraint()
        free.calc = atoms.calc
        slope = gradient(coordinate, free)[4:]
        forces = free.get_forces()[4:]
        rest = forces - (forces * slope).sum() / (slope**2).sum() * slope
        assert np.linalg.norm(rest, axis=1).max() < 1.01 * FMAX


def test_a_relaxed_turn_across_a_periodic_boundary_is_that_of_the_free_molecule():
    free = Atoms("Al4", [(1.3, 2.2, 0), (0, 0, 0), (0, 0, 2.6), (1.5, 1.9, 3.1)])
    free.calc = EMT()
    boxed = free.copy()
    boxed.set_cell([14.0, 14.0, 14.0])
    boxed.pbc = True
    boxed.wrap()
    boxed.positions[0] += [14.0, 0, 0]
    boxed.calc = EMT()
    options = {"moving": [3], "relaxed": True}
    values = [20.0, 40.0]
    expected = scan_dihedral(free, 0, 1, 2, 3, values, **options)
    result = scan_dihedral(boxed, 0, 1, 2, 3, values, **options)
    np.testing.assert_allclose(result.energies_eV, expected.energies_eV, atol=1e-3)
    for value, frame in zip(values, result.frames, strict=True):
        assert frame.get_dihedral(0, 1, 2, 3, mic=True) == pytest.approx(value, abs=1e-3)


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_point_that_does_not_converge_is_marked(monkeypatch, relaxed_ethanol):
    monkeypatch.setattr(relax, "MAX_STEPS", 2)
    with pytest.warns(UserWarning, match=r"not converged at C0-C1-O2-H3 dihedral \(°\) 90"):
        result = scan_dihedral(relaxed_ethanol, *CCOH, [180.0, 90.0], relaxed=True)
    assert result.converged.tolist() == [True, False]
    assert np.isfinite(result.energies_eV).all()


def test_after_a_failure_a_scan_goes_on_from_the_last_converged_point(monkeypatch):
    outcomes = iter([True, True, CalculationFailed("no minimum"), False, True])

    def sometimes(atoms, coordinates, values, fmax):
        atoms.positions[0, 0] += 0.01  # a mark that the next point inherits
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(driver, "relax", sometimes)
    atoms, values = ethanol(), [0.9, 1.0, 1.1, 1.2, 1.3]
    with pytest.warns(UserWarning, match=r"(no energy at .* 1.1: no minimum|not converged at)"):
        result = scan_distance(atoms, 2, 3, values, relaxed=True)
    # from 0.97 Å outwards: 1.0, 0.9, 1.1 (fails), 1.2 (does not converge), 1.3
    assert result.converged.tolist() == [True, True, False, False, True]
    assert np.isfinite(result.energies_eV).tolist() == [True, True, False, True, True]
    marks = [frame.positions[0, 0] - atoms.positions[0, 0] for frame in result.frames]
    np.testing.assert_allclose(marks, [0.02, 0.01, 0.01, 0.02, 0.02], atol=1e-12)


def test_ctrl_c_keeps_the_points_that_relaxed(relaxed_ethanol):
    atoms = relaxed_ethanol.copy()
    atoms.calc = SchNetCalculator("ethanol")
    stopping_at(atoms, 60, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted after . of 13 points"):
        result = scan_dihedral(atoms, *CCOH, TURN, relaxed=True)
    n = len(result.values)
    assert 1 <= n < 13
    assert len(result.frames) == len(result.converged) == len(result.energies_eV) == n


@pytest.mark.parametrize(
    ("indices", "values", "constraint", "options", "message"),
    [
        ((2, 3), [1.0], FixedPlane([0], (0, 0, 1)), {}, "FixAtoms and FixCartesian .* FixedPlane"),
        ((2, 3), [1.0], None, {"fmax": 0.0}, "fmax must be positive, not 0"),
        ((0, 1, 2), [100.0, 178.0], None, {}, "between 5 and 175°"),
    ],
)
def test_what_a_relaxed_scan_cannot_do(indices, values, constraint, options, message):
    atoms = ethanol()
    atoms.set_constraint(constraint)
    scan = scan_distance if len(indices) == 2 else scan_angle
    with pytest.raises(ValueError, match=message):
        scan(atoms, *indices, values, relaxed=True, **options)
