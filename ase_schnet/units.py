"""Name and convert the units of files.

Inside the package everything is eV, Å, eV/Å, eV/Å³ and e·Å. Files have other units, and most do not name
them. This module knows the names of units and their factors (`ase.units`, CODATA 2014). Only
`ase_schnet.data._conversion` multiplies labels by them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ase import units

ENERGY_UNITS = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": units.kcal / units.mol,
    "kJ/mol": units.kJ / units.mol,
    "Hartree": units.Hartree,
    "Rydberg": units.Rydberg,
}
"""eV per unit."""

LENGTH_UNITS = {"Ang": 1.0, "Bohr": units.Bohr}
"""Å per unit."""

DIPOLE_UNITS = {"e*Ang": 1.0, "Debye": units.Debye, "e*Bohr": units.Bohr}
"""e·Å per unit."""

STRESS_UNITS = {"GPa": units.GPa, "kB": 0.1 * units.GPa, "bar": 1e-4 * units.GPa, "eV/Ang^3": 1.0}
"""eV/Å³ per unit. A minus before the name means pressure: positive where compressed, as VASP prints it."""

_ALIASES = {
    "Hartree": ("ha", "eh"),
    "Rydberg": ("ry",),
    "Ang": ("å", "angstrom", "angstroms"),
    "Bohr": ("a0",),
    "Debye": ("d",),
    "kB": ("kbar",),
    "eV/Ang^3": ("ev/å^3", "ev/å³", "ev/angstrom^3", "ev/ang3", "ev/ang**3"),
    "e*Ang": ("eang", "e*å", "e*angstrom"),
    "e*Bohr": ("ebohr", "e*a0", "a.u.", "au"),
}


def _canonical(name: str, kind: str, known: dict[str, float]) -> str:
    """Return the canonical spelling of a unit; ValueError lists the known units."""
    plain = name.replace(" ", "").lower()
    for unit in known:
        if plain == unit.lower() or plain in _ALIASES.get(unit, ()):
            return unit
    raise ValueError(f"unknown {kind} unit {name!r}: the known ones are {', '.join(known)}")


def _force_unit(name: str) -> tuple[str, str]:
    """Return energy and length of a unit of forces; ValueError if it is not one."""
    energy, _, length = name.rpartition("/")
    return _canonical(energy, "energy", ENERGY_UNITS), _canonical(length, "length", LENGTH_UNITS)


def _stress_unit(name: str) -> str:
    """Return the canonical spelling of a unit of stress, with its minus if there is one."""
    sign = "-" if name.startswith("-") else ""
    return sign + _canonical(name.removeprefix("-"), "stress", STRESS_UNITS)


@dataclass(frozen=True)
class FileUnits:
    """Hold the units in which one file stores its structures and labels.

    Case does not matter. Names are kept in their canonical spelling, so that
    ``FileUnits("KCAL/MOL") == FileUnits("kcal/mol")``. Forces are energy / length and stresses
    energy / length³, unless units for them are given.

    Attributes
    ----------
    energy
        eV, meV, kcal/mol, kJ/mol, Hartree (Ha) or Rydberg (Ry).
    length
        Ang (Å, angstrom) or Bohr (a0).
    dipole
        e*Ang, Debye (D) or e*Bohr (a.u.). It does not follow from the other two, so None means
        unknown: such dipoles are not read.
    stress
        GPa, kB (kbar), bar or eV/Ang^3; with a minus before it (-kB) where compression is positive.
        None: energy / length³, tension positive.
    forces
        For example Hartree/Bohr beside positions in Å. None: energy / length.

    Raises
    ------
    ValueError
        For a unit that is not in these lists.
    """

    energy: str
    length: str = "Ang"
    dipole: str | None = None
    stress: str | None = None
    forces: str | None = None

    def __post_init__(self) -> None:
        # A frozen dataclass can settle its own fields only this way.
        object.__setattr__(self, "energy", _canonical(self.energy, "energy", ENERGY_UNITS))
        object.__setattr__(self, "length", _canonical(self.length, "length", LENGTH_UNITS))
        if self.dipole is not None:
            object.__setattr__(self, "dipole", _canonical(self.dipole, "dipole", DIPOLE_UNITS))
        if self.stress is not None:
            object.__setattr__(self, "stress", _stress_unit(self.stress))
        if self.forces is not None:
            object.__setattr__(self, "forces", "/".join(_force_unit(self.forces)))

    def __str__(self) -> str:
        parts = (self.energy, self.length, self.dipole, self.stress, self.forces)
        return ", ".join(name for name in parts if name)

    @property
    def energy_to_eV(self) -> float:
        """Return the eV per energy unit of the file."""
        return ENERGY_UNITS[self.energy]

    @property
    def length_to_Ang(self) -> float:
        """Return the Å per length unit of the file."""
        return LENGTH_UNITS[self.length]

    @property
    def forces_to_eV_per_Ang(self) -> float:
        """Return the eV/Å per force unit of the file."""
        if self.forces is None:
            return self.energy_to_eV / self.length_to_Ang
        energy, length = _force_unit(self.forces)
        return ENERGY_UNITS[energy] / LENGTH_UNITS[length]

    @property
    def stress_to_eV_per_Ang3(self) -> float:
        """Return the eV/Å³ per stress unit of the file; negative where compression is positive."""
        if self.stress is not None:
            factor = STRESS_UNITS[self.stress.removeprefix("-")]
            return -factor if self.stress.startswith("-") else factor
        return self.energy_to_eV / self.length_to_Ang**3


PACKAGE_UNITS = FileUnits("eV", "Ang", "e*Ang")
"""Units inside this package, which are ASE's."""


def parse_units(text: str) -> FileUnits:
    """Read units as a user types them.

    Examples: ``"kcal/mol"``, ``"Hartree, Bohr"``, ``"eV, Ang, Debye, kB"``, ``"Hartree, Ang, Hartree/Bohr"``.

    Parameters
    ----------
    text
        Energy, length and dipole unit, separated by commas. A unit of stress and one of forces may stand
        anywhere behind the energy. Length defaults to Å, dipole to unknown, the others to energy / length³
        and energy / length.

    Raises
    ------
    ValueError
        If a part is not a known unit (the message lists those), or there are not 1 to 3 parts and a stress.
    """
    parts = [part.strip() for part in text.split(",")]
    named = {}
    for kind, read in (("stress", _stress_unit), ("forces", _force_unit)):
        found = [part for part in parts[1:] if _is_unit(read, part)]
        if len(found) == 1:
            parts.remove(found[0])
            named[kind] = found[0].replace(" ", "")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise ValueError(
            f"units {text!r} are not of the form 'energy', 'energy, length' or "
            "'energy, length, dipole', for example 'Hartree, Bohr' (and a unit of stress: 'eV, Ang, kB')"
        )
    return FileUnits(*parts, **named)


def _is_unit(read: Callable[[str], object], name: str) -> bool:
    """Tell whether `read`, which raises ValueError for unknown units, knows `name`."""
    try:
        read(name)
    except ValueError:
        return False
    return True


def dipole_to_eAng(name: str) -> float:
    """Return the e·Å per unit of a dipole: e*Ang, Debye (D) or e*Bohr (a.u.), in any case.

    Raises
    ------
    ValueError
        If the unit is not known; the message lists those that are.
    """
    return DIPOLE_UNITS[_canonical(name, "dipole", DIPOLE_UNITS)]
