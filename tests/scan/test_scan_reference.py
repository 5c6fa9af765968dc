"""The curve a scan is held against: read along the same coordinate, never beyond its ends."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import Bohr, Hartree
from scan_cases import (
    CCOH,
    DISTANCES,
    EPSILON,
    R0,
    RHO0,
    dimer,
    ethanol,
    morse_energy,
    stopping_at,
)

from ase_schnet.scan import scan_angle, scan_dihedral, scan_distance


def write_curve(path, distances, energy=morse_energy):
    frames = []
    for r in distances:
        frame = Atoms("OH", [(0, 0, 0), (0, 0, r)])
        frame.calc = SinglePointCalculator(frame, energy=energy(r))
        frames.append(frame)
    write(path, frames)
    return path


def write_scan(path, result, energies):
    """The frames of a scan as a labelled file."""
    for frame, energy in zip(result.frames, energies, strict=True):
        frame.calc = SinglePointCalculator(frame, energy=energy)
    write(path, result.frames)
    return path


def torsion(degrees):
    x = np.radians(degrees)
    return -4209 + 0.03 * np.cos(x) + 0.05 * np.cos(3 * x) + 0.01 * np.sin(x)


def test_reference_file_is_interpolated_and_never_extrapolated(tmp_path):
    path = write_curve(tmp_path / "curve.xyz", [2.0, *np.linspace(0.8, 1.96, 30)])
    result = scan_distance(dimer(), 0, 1, DISTANCES, reference=path)
    inside = (DISTANCES >= 0.8) & (DISTANCES <= 2.0)
    assert np.isnan(result.reference_energies_eV[~inside]).all()
    np.testing.assert_allclose(
        result.reference_energies_eV[inside], morse_energy(DISTANCES[inside]), atol=1e-4
    )


def test_a_reference_is_in_the_units_that_its_file_states(tmp_path):
    """Energies in Hartree at distances in Bohr were taken for eV and Å."""
    path = write_curve(tmp_path / "curve.xyz", np.linspace(0.8, 2.0, 31))
    frames = read(path, ":")
    for frame in frames:
        energy = frame.get_potential_energy() / Hartree
        frame.positions /= Bohr
        frame.calc = SinglePointCalculator(frame, energy=energy)
        frame.info["units"] = "Hartree, Bohr"
    write(tmp_path / "atomic.xyz", frames)
    one, other = (
        scan_distance(dimer(), 0, 1, [1.0, 1.3], reference=each).reference_energies_eV
        for each in (path, tmp_path / "atomic.xyz")
    )
    np.testing.assert_allclose(other, one, atol=1e-5)


def test_angles_are_read_along_the_angle(tmp_path):
    angles = np.arange(80.0, 131.0, 5.0)
    labels = 1e-4 * (angles - 104) ** 2
    path = write_scan(tmp_path / "a.xyz", scan_angle(ethanol(), 0, 1, 2, angles), labels)
    result = scan_angle(ethanol(), 0, 1, 2, [79.0, 82.0, 104.0, 131.0], reference=path)
    expected = [np.nan, 1e-4 * 22**2, 0, np.nan]
    np.testing.assert_allclose(result.reference_energies_eV, expected, atol=1e-7)


@pytest.mark.parametrize(
    "file_degrees",
    [
        np.arange(0, 360, 10),
        np.arange(-180, 181, 10),
        np.arange(350, -1, -10),
        np.append(np.arange(0, 360, 10), 359.9999),
    ],
    ids=["0 to 350", "-180 to 180", "downwards", "0 twice"],
)
def test_a_full_turn_of_a_dihedral_is_periodic(tmp_path, file_degrees):
    turn = scan_dihedral(ethanol(), *CCOH, file_degrees)
    path = write_scan(tmp_path / "turn.xyz", turn, torsion(file_degrees))
    asked = np.linspace(-360, 360, 101)
    result = scan_dihedral(ethanol(), *CCOH, asked, reference=path)
    np.testing.assert_allclose(result.reference_energies_eV, torsion(asked), atol=1e-4)


def test_part_of_a_turn_ends_where_its_structures_end_also_across_zero(tmp_path):
    part = np.arange(-60, 61, 10)
    turn = scan_dihedral(ethanol(), *CCOH, part)
    path = write_scan(tmp_path / "part.xyz", turn, torsion(part))
    asked = np.array([-65.0, -55.0, 0.0, 5.0, 55.0, 65.0, 180.0, 305.0, 415.0])
    result = scan_dihedral(ethanol(), *CCOH, asked, reference=path)
    known = np.array([False, True, True, True, True, False, False, True, True])
    assert np.isfinite(result.reference_energies_eV).tolist() == known.tolist()
    np.testing.assert_allclose(
        result.reference_energies_eV[known], torsion(asked[known]), atol=1e-3
    )


def test_reference_calculator_is_evaluated_at_every_point():
    reference = MorsePotential(epsilon=2 * EPSILON, r0=R0, rho0=RHO0, rcut1=8.0, rcut2=9.0)
    result = scan_distance(dimer(), 0, 1, DISTANCES, reference=reference)
    np.testing.assert_allclose(result.reference_energies_eV, 2 * result.energies_eV)


def test_ctrl_c_in_the_reference_keeps_the_scan():
    reference = stopping_at(dimer(), 3, KeyboardInterrupt).calc
    with pytest.warns(UserWarning, match="interrupted after 3 of 40 reference points"):
        result = scan_distance(dimer(), 0, 1, DISTANCES, reference=reference)
    assert np.isfinite(result.energies_eV).all()
    assert np.isfinite(result.reference_energies_eV).sum() == 3


def test_ab_initio_ethanol_curve_is_read(shared_data):
    path = shared_data("botnet-ethanol", "test_H_removal.xyz")
    atoms = ethanol()[[1, 0, 2, 4, 5, 6, 7, 8, 3]]  # the order of atoms in that file
    atoms.calc = EMT()
    result = scan_distance(atoms, 2, 8, [0.6, 0.875, 0.975, 7.0], reference=path)
    assert np.isnan(result.reference_energies_eV[[0, 3]]).all()
    assert result.reference_energies_eV[1] == pytest.approx(-4209.92887, abs=1e-3)


def test_reference_files_that_cannot_serve(tmp_path):
    one = write_curve(tmp_path / "one.xyz", [1.0, 1.0])
    energies = iter([0.0, 0.1, 0.2])
    two = write_curve(tmp_path / "two.xyz", [1.0, 1.1, 1.0], lambda r: next(energies))
    bare, other = tmp_path / "bare.xyz", tmp_path / "other.xyz"
    write(bare, [Atoms("OH", [(0, 0, 0), (0, 0, r)]) for r in (1, 2)])
    write(other, molecule("H2O"))
    for path, message in (
        (one, "fewer than two"),
        (two, r"two energies at O0-H1 distance \(Å\) = 1"),
        (bare, "structure 0 of .*bare.xyz has no energy"),
        (other, "does not have the atoms of the scan"),
    ):
        with pytest.raises(ValueError, match=message):
            scan_distance(dimer(), 0, 1, DISTANCES, reference=path)
    with pytest.raises(FileNotFoundError):
        scan_distance(dimer(), 0, 1, DISTANCES, reference=tmp_path / "none.xyz")
