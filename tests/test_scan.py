"""Rigid scans: analytic curves, which atoms move, references, and arguments that make no scan."""

import csv

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, all_changes
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from ase_schnet.simulation.scan import fragment_of, scan_distance

EPSILON, R0, RHO0 = 4.7, 0.96, 2.2
DISTANCES = np.linspace(0.7, 2.5, 40)


def morse_energy(r):
    """Depth, minimum and width as in ``ase.calculators.morse``."""
    wall = np.exp(-RHO0 * (r / R0 - 1))
    return EPSILON * (wall**2 - 2 * wall)


class MorseEnsemble(MorsePotential):
    """Three members, 0.1 eV apart."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        committee = self.results["energy"] + np.array([-0.1, 0.0, 0.1])
        self.results |= {"energy_std": 0.1, "energy_committee": committee}


def dimer(calculator_class=MorsePotential) -> Atoms:
    atoms = Atoms("OH", [(1, 2, 3), (1, 2, 4)])
    atoms.calc = calculator_class(epsilon=EPSILON, r0=R0, rho0=RHO0, rcut1=8.0, rcut2=9.0)
    return atoms


def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT()
    return atoms


def test_scan_of_a_morse_dimer_is_the_morse_curve():
    result = scan_distance(dimer(), 0, 1, DISTANCES)
    np.testing.assert_allclose(result.energies_eV, morse_energy(DISTANCES), atol=1e-12)
    assert result.coordinate_name == "O0-H1 distance (Å)"
    assert result.energy_std_eV is None
    assert result.energy_committee_eV is None
    assert result.reference_energies_eV is None
    assert all(frame.calc is None for frame in result.frames)


def test_every_frame_has_its_distance_and_only_the_fragment_moved():
    atoms = ethanol()
    result = scan_distance(atoms, 0, 1, [1.2, 1.5, 2.5])
    assert [frame.get_distance(0, 1) for frame in result.frames] == pytest.approx([1.2, 1.5, 2.5])
    shift = result.frames[2].positions - atoms.positions
    moved = fragment_of(atoms, 0, 1)
    still = [k for k in range(len(atoms)) if k not in moved]
    np.testing.assert_array_equal(shift[still], 0)
    np.testing.assert_allclose(shift[moved], np.broadcast_to(shift[1], (len(moved), 3)))


def test_input_atoms_stay_as_they_are():
    atoms = ethanol()
    atoms.set_constraint(FixAtoms([0, 8]))
    before = atoms.copy()
    scan_distance(atoms, 2, 3, [0.8, 1.5])
    assert atoms == before
    assert isinstance(atoms.calc, EMT)


def test_ensemble_results_are_kept_with_every_point():
    result = scan_distance(dimer(MorseEnsemble), 0, 1, DISTANCES)
    np.testing.assert_array_equal(result.energy_std_eV, 0.1)
    assert result.energy_committee_eV.shape == (40, 3)
    np.testing.assert_allclose(result.energy_committee_eV.mean(axis=1), result.energies_eV)


# --- the fragment -------------------------------------------------------------------------------


def test_fragment_of_ethanol_is_what_hangs_on_the_far_end():
    atoms = ethanol()  # methyl C0 H6 H7 H8, methylene C1 H4 H5, hydroxyl O2 H3
    assert fragment_of(atoms, 2, 3) == [3]
    assert fragment_of(atoms, 3, 2) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert fragment_of(atoms, 1, 2) == [2, 3]
    assert fragment_of(atoms, 1, 0) == [0, 6, 7, 8]


def test_fragment_is_one_atom_in_a_ring_or_without_a_bond():
    assert fragment_of(molecule("C6H6"), 0, 1) == [1]
    assert fragment_of(ethanol(), 1, 3) == [3]


def test_moving_overrides_the_fragment():
    result = scan_distance(ethanol(), 2, 3, [1.5], moving=[3, 0])
    shift = result.frames[0].positions - ethanol().positions
    assert np.flatnonzero(np.abs(shift).sum(axis=1)).tolist() == [0, 3]


def test_bond_across_a_periodic_boundary_is_scanned_the_short_way():
    atoms = Atoms("OH", [(0, 0, 0.2), (0, 0, 9.5)], cell=[10, 10, 10], pbc=True)
    atoms.calc = MorsePotential(epsilon=EPSILON, r0=R0, rho0=RHO0, rcut1=3.0, rcut2=4.0)
    result = scan_distance(atoms, 0, 1, [1.0])
    np.testing.assert_allclose(result.frames[0].positions[1], [0, 0, 9.2])


# --- references ---------------------------------------------------------------------------------


def write_curve(path, distances, energy=morse_energy):
    frames = []
    for r in distances:
        frame = Atoms("OH", [(0, 0, 0), (0, 0, r)])
        frame.calc = SinglePointCalculator(frame, energy=energy(r))
        frames.append(frame)
    write(path, frames)
    return path


def test_reference_file_is_interpolated_and_never_extrapolated(tmp_path):
    path = write_curve(tmp_path / "curve.xyz", [2.0, *np.linspace(0.8, 1.96, 30)])
    result = scan_distance(dimer(), 0, 1, DISTANCES, reference=path)
    inside = (DISTANCES >= 0.8) & (DISTANCES <= 2.0)
    assert np.isnan(result.reference_energies_eV[~inside]).all()
    np.testing.assert_allclose(
        result.reference_energies_eV[inside], morse_energy(DISTANCES[inside]), atol=1e-4
    )


def test_reference_calculator_is_evaluated_at_every_point():
    reference = MorsePotential(epsilon=2 * EPSILON, r0=R0, rho0=RHO0, rcut1=8.0, rcut2=9.0)
    result = scan_distance(dimer(), 0, 1, DISTANCES, reference=reference)
    np.testing.assert_allclose(result.reference_energies_eV, 2 * result.energies_eV)


def test_ab_initio_ethanol_curve_is_read(shared_data):
    path = shared_data("botnet-ethanol", "test_H_removal.xyz")
    atoms = ethanol()[[1, 0, 2, 4, 5, 6, 7, 8, 3]]  # the order of atoms in that file
    atoms.calc = EMT()
    result = scan_distance(atoms, 2, 8, [0.6, 0.875, 0.975, 7.0], reference=path)
    assert np.isnan(result.reference_energies_eV[[0, 3]]).all()
    assert result.reference_energies_eV[1] == pytest.approx(-4209.92887, abs=1e-3)


def test_reference_files_that_cannot_serve(tmp_path):
    one = write_curve(tmp_path / "one.xyz", [1.0])
    twice = write_curve(tmp_path / "twice.xyz", [1.0, 1.1, 1.0])
    bare, other = tmp_path / "bare.xyz", tmp_path / "other.xyz"
    write(bare, [Atoms("OH", [(0, 0, 0), (0, 0, r)]) for r in (1, 2)])
    write(other, molecule("H2O"))
    for path, message in (
        (one, "fewer than two"),
        (twice, r"two structures with 0 and 1 1\.0 Å apart"),
        (bare, "structure 0 of .*bare.xyz has no energy"),
        (other, "does not have the atoms of the scan"),
    ):
        with pytest.raises(ValueError, match=message):
            scan_distance(dimer(), 0, 1, DISTANCES, reference=path)
    with pytest.raises(FileNotFoundError):
        scan_distance(dimer(), 0, 1, DISTANCES, reference=tmp_path / "none.xyz")


# --- what goes wrong ----------------------------------------------------------------------------


def stopping_at(atoms: Atoms, n: int, error: type[BaseException]) -> Atoms:
    """Let the calculator of ``atoms`` fail once, in evaluation ``n``."""
    calculate, calls = atoms.calc.calculate, iter(range(10**6))

    def failing(*args, **kwargs):
        if next(calls) == n:
            raise error("stop")
        calculate(*args, **kwargs)

    atoms.calc.calculate = failing
    return atoms


def test_ctrl_c_keeps_the_finished_points():
    with pytest.warns(UserWarning, match="interrupted after 7 of 40 points"):
        result = scan_distance(stopping_at(dimer(), 7, KeyboardInterrupt), 0, 1, DISTANCES)
    np.testing.assert_allclose(result.energies_eV, morse_energy(DISTANCES[:7]))
    assert len(result.values) == len(result.frames) == 7


def test_ctrl_c_before_the_first_point_is_an_interrupt():
    atoms = stopping_at(dimer(), 0, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="after 0 of"), pytest.raises(KeyboardInterrupt):
        scan_distance(atoms, 0, 1, DISTANCES)


def test_ctrl_c_in_the_reference_keeps_the_scan():
    reference = stopping_at(dimer(), 3, KeyboardInterrupt).calc
    with pytest.warns(UserWarning, match="interrupted"):
        result = scan_distance(dimer(), 0, 1, DISTANCES, reference=reference)
    assert np.isfinite(result.energies_eV).all()
    assert np.isfinite(result.reference_energies_eV).sum() == 3


def test_a_point_without_convergence_is_a_gap():
    atoms = stopping_at(dimer(MorseEnsemble), 5, CalculationFailed)
    with pytest.warns(UserWarning, match="no energy at point 5"):
        result = scan_distance(atoms, 0, 1, DISTANCES)
    assert np.flatnonzero(np.isnan(result.energies_eV)).tolist() == [5]
    assert np.isnan(result.energy_committee_eV[5]).all()
    assert np.isfinite(result.energy_std_eV[6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, [1.0]), "atom 2 does not exist: the structure has atoms 0 to 1"),
        ((-1, 0, [1.0]), "atom -1 does not exist"),
        ((1, 1, [1.0]), "two different atoms"),
        ((0, 1, []), "at least one distance"),
        ((0, 1, [[1.0]]), "list of at least one distance"),
        ((0, 1, [1.0, 0.0]), "positive and finite"),
        ((0, 1, [1.0, np.nan]), "positive and finite"),
        ((0, 1, [1.0, np.inf]), "positive and finite"),
    ],
)
def test_arguments_that_make_no_scan(arguments, message):
    with pytest.raises(ValueError, match=message):
        scan_distance(dimer(), *arguments)


@pytest.mark.parametrize("moving", [[0, 1], [0], [], [1, 7]])
def test_moving_must_hold_one_end_only(moving):
    with pytest.raises(ValueError, match=r"moving must hold|does not exist"):
        scan_distance(dimer(), 0, 1, [1.0], moving=moving)


def test_structures_that_cannot_be_scanned():
    with pytest.raises(ValueError, match="no calculator"):
        scan_distance(molecule("H2O"), 0, 1, [1.0])
    together = dimer()
    together.positions[1] = together.positions[0]
    with pytest.raises(ValueError, match="coincide"):
        scan_distance(together, 0, 1, [1.0], moving=[1])


def test_csv_reads_back_to_the_same_bits(tmp_path):
    result = scan_distance(dimer(MorseEnsemble), 0, 1, DISTANCES, reference=dimer().calc)
    result.write_csv(tmp_path / "scan.csv")
    with (tmp_path / "scan.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == [
        "O0-H1 distance (Å)",
        "energy_eV",
        "energy_std_eV",
        "reference_energy_eV",
    ]
    assert header[4:] == [f"energy_member_{k}_eV" for k in range(3)]
    table = np.array(rows, dtype=float)
    np.testing.assert_array_equal(table[:, 0], result.values)
    np.testing.assert_array_equal(table[:, 1], result.energies_eV)
    np.testing.assert_array_equal(table[:, 4:], result.energy_committee_eV)
