"""Units of files against values from elsewhere."""

import pytest

from ase_schnet.units import (
    FileUnits,
    dipole_to_eAng,
    parse_units,
)

KCAL_PER_HARTREE = 627.50947406248  # the notes' value
BOHR = 0.529177


@pytest.mark.parametrize(
    ("name", "eV"),
    [
        # CODATA 2018; ase.units has 2014, which differs in the eighth digit.
        ("eV", 1.0),
        ("meV", 1e-3),
        ("kcal/mol", 4184 / 96485.33212),
        ("kJ/mol", 1000 / 96485.33212),
        ("Hartree", 27.211386245988),
        ("Rydberg", 13.605693122994),
    ],
)
def test_energy_units_agree_with_codata(name, eV):
    assert FileUnits(name).energy_to_eV == pytest.approx(eV, rel=2e-8)


def test_lengths_forces_and_stresses_follow_from_energy_and_length():
    units = FileUnits("Hartree", "Bohr")
    assert units.length_to_Ang == pytest.approx(0.529177210903, rel=1e-8)
    assert units.forces_to_eV_per_Ang == pytest.approx(51.42206747, rel=1e-8)
    mixed = parse_units("Hartree, Ang, hartree/bohr, kB")
    assert str(mixed) == "Hartree, Ang, kB, Hartree/Bohr"
    assert mixed == parse_units(str(mixed))
    assert mixed.length_to_Ang == 1
    assert mixed.forces_to_eV_per_Ang == units.forces_to_eV_per_Ang
    assert parse_units("eV, kcal/mol/Ang").forces == "kcal/mol/Ang"
    with pytest.raises(ValueError, match="unit"):
        parse_units("eV, Ang, Hartree/parsec")
    # 1 atomic unit of pressure is 29421.0 GPa, and 1 eV/Å³ is 160.2177 GPa
    assert units.stress_to_eV_per_Ang3 == pytest.approx(29421.02 / 160.21766, rel=1e-6)


def test_debye_and_atomic_units_of_the_dipole():
    assert dipole_to_eAng("Debye") == pytest.approx(0.2081943, rel=1e-6)
    assert dipole_to_eAng("a.u.") == dipole_to_eAng("e*Bohr") == pytest.approx(0.5291772, rel=1e-6)
    assert dipole_to_eAng("e*Ang") == 1.0
    with pytest.raises(ValueError, match=r"unknown dipole unit 'C\*m'.*Debye"):
        dipole_to_eAng("C*m")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("kcal/mol", FileUnits("kcal/mol", "Ang")),
        (" KCAL/MOL , Angstrom", FileUnits("kcal/mol", "Ang")),
        ("Ha, a0", FileUnits("Hartree", "Bohr")),
        ("Ry,Bohr", FileUnits("Rydberg", "Bohr")),
        ("ev, Å, D", FileUnits("eV", "Ang", "Debye")),
        ("kj/mol", FileUnits("kJ/mol")),
    ],
)
def test_common_spellings_are_understood(text, units):
    assert parse_units(text) == units


def test_units_print_the_way_they_are_typed():
    for text in ("kcal/mol, Ang", "Hartree, Bohr", "eV, Ang, e*Ang"):
        assert str(parse_units(text)) == text


@pytest.mark.parametrize("text", ["bananas", "", "eV, parsec", "eV, Ang, Debye, s", "eV,", "mol"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="unit"):
        parse_units(text)


def test_the_refusal_lists_the_known_units():
    with pytest.raises(ValueError, match=r"'bananas'.*eV, meV, kcal/mol, kJ/mol, Hartree, Rydberg"):
        parse_units("bananas")
