"""Scans of a distance: analytic curves, what is kept of a run cut short, arguments that make no scan."""

import csv
import inspect

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read
from scan_cases import DISTANCES, MorseEnsemble, dimer, ethanol, morse_energy, stopping_at

from ase_schnet.bonds import fragment_of
from ase_schnet.data.formats import read_labelled
from ase_schnet.scan import scan_dihedral, scan_distance
from ase_schnet.scan.scan_1d import ScanOptions


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


# --- what goes wrong ----------------------------------------------------------------------------


def test_ctrl_c_keeps_the_finished_points():
    with pytest.warns(UserWarning, match="interrupted after 7 of 40 points"):
        result = scan_distance(stopping_at(dimer(), 7, KeyboardInterrupt), 0, 1, DISTANCES)
    # those about the distance of the structure given, 1 Å, where a scan begins
    nearest = np.sort(DISTANCES[np.argsort(abs(DISTANCES - 1.0), kind="stable")[:7]])
    np.testing.assert_array_equal(result.values, nearest)
    np.testing.assert_allclose(result.energies_eV, morse_energy(nearest))
    assert len(result.frames) == 7


def test_ctrl_c_before_the_first_point_is_an_interrupt():
    atoms = stopping_at(dimer(), 0, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="after 0 of"), pytest.raises(KeyboardInterrupt):
        scan_distance(atoms, 0, 1, DISTANCES)


def test_a_point_without_convergence_is_a_gap():
    atoms = stopping_at(dimer(MorseEnsemble), 5, CalculationFailed)
    with pytest.warns(UserWarning, match=r"no energy at O0-H1 distance \(Å\) 0\.8846"):
        result = scan_distance(atoms, 0, 1, DISTANCES)
    assert np.flatnonzero(np.isnan(result.energies_eV)).tolist() == [4]
    assert np.isnan(result.energy_committee_eV[4]).all()
    assert np.isfinite(result.energy_std_eV[5])


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


def test_frames_are_written_with_their_values_and_without_labels(tmp_path):
    """An energy of the model's in the place of a label would be trained on."""
    atoms = dimer(MorseEnsemble)
    atoms.set_constraint(FixAtoms([0]))
    result = scan_distance(atoms, 0, 1, DISTANCES)
    result.write_frames(tmp_path / "frames.xyz")
    frames = read(tmp_path / "frames.xyz", ":")
    assert len(frames) == 40
    assert all(frame.calc is None for frame in frames)
    assert frames[7].info["O0-H1 distance (Å)"] == result.values[7]
    assert frames[7].info["model_energy_eV"] == result.energies_eV[7]
    assert frames[7].info["model_energy_std_eV"] == 0.1
    assert frames[7].get_distance(0, 1) == pytest.approx(result.values[7], abs=1e-7)
    with pytest.raises(ValueError, match="no labels"):
        read_labelled(tmp_path / "frames.xyz", units="eV, Ang")


def test_the_options_of_a_dihedral_scan_are_keywords_that_help_names():
    """They are gathered, as eleven arguments are too many; a misspelt one is refused all the same."""
    text = inspect.getdoc(scan_dihedral)
    distance = inspect.signature(scan_distance).parameters
    options = [p for p in distance.values() if p.kind is p.KEYWORD_ONLY]
    assert set(ScanOptions.__annotations__) == {p.name for p in options}
    for option in options:
        assert f"``{option.name}={option.default}``" in text
    ethanol = molecule("CH3CH2OH", calculator=LennardJones())
    with pytest.raises(TypeError, match="relax"):
        scan_dihedral(ethanol, 0, 1, 2, 3, [0.0, 10.0], relax=True)
    result = scan_dihedral(ethanol, 0, 1, 2, 3, [170.0, 180.0], moving=[3], progress=False)
    assert len(result.frames) == 2
