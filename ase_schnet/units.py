"""Units of the files that come in, and what a change of units does to loss weights.

Inside the package everything is eV, Å, eV/Å, eV/Å³ and e·Å. Files are not, and most do not say
what they are. This module knows the names of their units and the factors (`ase.units`, CODATA
2014); `ase_schnet.data._conversion` is the only place that multiplies labels by them.
"""

import math
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
"""eV/Å³ per unit. With a minus before it, of pressures: positive of what is compressed, as VASP prints."""

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


@dataclass(frozen=True)
class FileUnits:
    """Units in which one file stores its structures and labels.

    Spellings are taken without regard to case and kept in their canonical form, so that
    ``FileUnits("KCAL/MOL") == FileUnits("kcal/mol")``. Forces are energy / length and stresses
    energy / length³, if no unit of theirs is named.

    Parameters
    ----------
    energy : str
        eV, meV, kcal/mol, kJ/mol, Hartree (Ha) or Rydberg (Ry).
    length : str
        Ang (Å, angstrom) or Bohr (a0).
    dipole : str, optional
        e*Ang, Debye (D) or e*Bohr (a.u.). It does not follow from the other two, so None means
        unknown: such dipoles are not read.
    stress : str, optional
        GPa, kB (kbar), bar or eV/Ang^3; with a minus before it (-kB) where compression is positive.
        None: energy / length³, tension positive.
    forces : str, optional
        Such as Hartree/Bohr beside positions in Å. None: energy / length.

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
            sign, name = ("-", self.stress[1:]) if self.stress[:1] == "-" else ("", self.stress)
            name = _canonical(name, "stress", STRESS_UNITS)
            object.__setattr__(self, "stress", sign + name)
        if self.forces is not None:
            object.__setattr__(self, "forces", "/".join(_force_unit(self.forces)))

    def __str__(self) -> str:
        parts = (self.energy, self.length, self.dipole, self.stress, self.forces)
        return ", ".join(name for name in parts if name)

    @property
    def energy_to_eV(self) -> float:
        """EV per energy unit of the file."""
        return ENERGY_UNITS[self.energy]

    @property
    def length_to_Ang(self) -> float:
        """Å per length unit of the file."""
        return LENGTH_UNITS[self.length]

    @property
    def forces_to_eV_per_Ang(self) -> float:
        """eV/Å per force unit of the file."""
        if self.forces is None:
            return self.energy_to_eV / self.length_to_Ang
        energy, length = _force_unit(self.forces)
        return ENERGY_UNITS[energy] / LENGTH_UNITS[length]

    @property
    def stress_to_eV_per_Ang3(self) -> float:
        """eV/Å³ per stress unit of the file; negative where compression is positive."""
        if self.stress is not None:
            factor = STRESS_UNITS[self.stress.removeprefix("-")]
            return -factor if self.stress.startswith("-") else factor
        return self.energy_to_eV / self.length_to_Ang**3


def parse_units(text: str) -> FileUnits:
    """Read units as a user types them: ``"kcal/mol"``, ``"Hartree, Bohr"``, ``"eV, Ang, Debye, kB"``,
    ``"Hartree, Ang, Hartree/Bohr"``.

    Parameters
    ----------
    text : str
        Energy, length and dipole unit, separated by commas, and anywhere behind the energy a unit of
        stress and one of forces. Length defaults to Å, dipole to unknown, the others to energy / length³
        and energy / length.

    Returns
    -------
    FileUnits

    Raises
    ------
    ValueError
        If a part is not a known unit (the message lists those), or there are not 1 to 3 parts and a stress.
    """
    parts = [part.strip() for part in text.split(",")]
    named = {}
    for kind, is_one in (("stress", _is_stress), ("forces", _is_force)):
        found = [part for part in parts[1:] if is_one(part)]
        if len(found) == 1:
            parts.remove(found[0])
            named[kind] = found[0].replace(" ", "")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise ValueError(
            f"units {text!r} are not of the form 'energy', 'energy, length' or "
            "'energy, length, dipole', for example 'Hartree, Bohr' (and a unit of stress: 'eV, Ang, kB')"
        )
    return FileUnits(*parts, **named)


def _is_stress(name: str) -> bool:
    try:
        _canonical(name.removeprefix("-"), "stress", STRESS_UNITS)
    except ValueError:
        return False
    return True


def _is_force(name: str) -> bool:
    try:
        _force_unit(name)
    except ValueError:
        return False
    return True


def _force_unit(name: str) -> tuple[str, str]:
    """Energy and length of a unit of forces; ValueError if it is none."""
    energy, _, length = name.rpartition("/")
    return (
        _canonical(energy, "energy", ENERGY_UNITS),
        _canonical(length, "length", LENGTH_UNITS),
    )


def dipole_to_eAng(name: str) -> float:
    """Give the e·Å per unit of a dipole: e*Ang, Debye (D) or e*Bohr (a.u.), in any case.

    Raises
    ------
    ValueError
        If the unit is not known; the message lists those that are.
    """
    return DIPOLE_UNITS[_canonical(name, "dipole", DIPOLE_UNITS)]


def effective_loss_weights(
    energy_weight: float,
    forces_weight: float,
    *,
    energy_factor: float,
    length_factor: float = 1.0,
) -> tuple[float, float]:
    """Weights that a squared loss really has after the units were changed under it.

    With e → a e and F → (a/b) F the same residuals count as λ̃_E = a² λ_E, λ̃_F = (a/b)² λ_F:
    the ratio moves by b², so only a change of the length unit alters the balance, while any change
    alters the size of the loss. (For b = 0.529177 and λ_F/λ_E = 0.99/0.01 = 99 the ratio becomes
    353.54; the notes this follows print 3535.36.)

    Parameters
    ----------
    energy_weight, forces_weight : float
        λ_E and λ_F as set.
    energy_factor : float
        a: how many new energy units one old unit is.
    length_factor : float
        b: how many new length units one old unit is.

    Returns
    -------
    tuple of float
        λ̃_E and λ̃_F.

    Raises
    ------
    ValueError
        If a factor is not positive and finite, or a weight negative or not finite.
    """
    _check_weights(energy_weight, forces_weight, energy_factor, length_factor)
    return (
        energy_factor**2 * energy_weight,
        (energy_factor / length_factor) ** 2 * forces_weight,
    )


def equivalent_loss_weights(
    energy_weight: float,
    forces_weight: float,
    *,
    energy_factor: float,
    length_factor: float = 1.0,
    normalise: bool = False,
) -> tuple[float, float]:
    """Weights to set after a change of units so that training goes on as before.

    The inverse of `effective_loss_weights`: λ'_E = λ_E / a², λ'_F = λ_F b² / a².

    The handwritten notes this follows take (0.01/0.99)⁻¹ for 9.9; it is 99. From their 9.9 comes
    λ'_F = 0.7349, λ'_E = 0.2651 for Hartree and Bohr → kcal/mol and Å; weights 0.01 and 0.99 give
    0.9652 and 0.0348. Their 3535.36 should be 353.54.

    Parameters
    ----------
    energy_weight, forces_weight : float
        λ_E and λ_F that were used with the old units.
    energy_factor : float
        a: how many new energy units one old unit is (kcal/mol → Hartree: 1/627.509).
    length_factor : float
        b: how many new length units one old unit is (Bohr → Å: 0.529177).
    normalise : bool
        Rescale the result to λ'_E + λ'_F = λ_E + λ_F. The balance stays; the loss, and with it
        the learning rate that suits it, changes by a common factor.

    Returns
    -------
    tuple of float
        λ'_E and λ'_F.

    Raises
    ------
    ValueError
        If a factor is not positive and finite, or a weight negative or not finite, or if both
        weights are zero and are to be normalised.
    """
    _check_weights(energy_weight, forces_weight, energy_factor, length_factor)
    new_energy = energy_weight / energy_factor**2
    new_forces = forces_weight * (length_factor / energy_factor) ** 2
    if not normalise:
        return new_energy, new_forces
    total = new_energy + new_forces
    if total == 0.0:
        raise ValueError("both loss weights are zero: there is no ratio to keep")
    rescale = (energy_weight + forces_weight) / total
    return new_energy * rescale, new_forces * rescale


def _canonical(name: str, kind: str, known: dict[str, float]) -> str:
    """Find the canonical spelling of a unit; ValueError lists the known ones."""
    plain = name.replace(" ", "").lower()
    for unit in known:
        if plain == unit.lower() or plain in _ALIASES.get(unit, ()):
            return unit
    raise ValueError(f"unknown {kind} unit {name!r}: the known ones are {', '.join(known)}")


def _check_weights(
    energy_weight: float, forces_weight: float, energy_factor: float, length_factor: float
) -> None:
    for name, factor in (("energy_factor", energy_factor), ("length_factor", length_factor)):
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"{name} must be positive and finite, not {factor}")
    for name, weight in (("energy_weight", energy_weight), ("forces_weight", forces_weight)):
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{name} must be zero or positive and finite, not {weight}")
