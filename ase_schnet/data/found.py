"""What a file was found to hold, for the log and the model card."""

from dataclasses import dataclass, replace
from pathlib import Path

from ase_schnet.data._ase_files import ASE_UNITS
from ase_schnet.units import FileUnits


@dataclass(frozen=True)
class FoundLabels:
    """What a file held, in one line when printed.

    Attributes
    ----------
    path : Path
    n_frames : int
    n_energy, n_forces, n_stress, n_dipole : int
        Frames that carry the label.
    units : FileUnits
        Units of the file, before conversion.
    sha256 : str
        Of the bytes of the file, in hexadecimal.
    n_dipole_skipped : int
        Frames whose dipole was left out because its unit is not known.
    n_unboxed : int
        Frames whose periodic box held a molecule in vacuum, and was left out.
    notes : tuple of str
        What else is to be known: labels that are not used, with the option that would use them.
    """

    path: Path
    n_frames: int
    n_energy: int
    n_forces: int
    n_stress: int
    n_dipole: int
    units: FileUnits
    sha256: str
    n_dipole_skipped: int = 0
    n_unboxed: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        n = self.n_frames
        counts = f"energy {self.n_energy}/{n}, forces {self.n_forces}/{n}"
        if self.n_stress:
            counts += f", stress {self.n_stress}/{n}"
        counts += f", dipole {self.n_dipole}/{n}"
        if self.n_dipole_skipped:
            counts += (
                f" ({self.n_dipole_skipped} skipped, unit unknown: "
                f"units='{self.units.energy}, {self.units.length}, Debye' would say it)"
            )
        if self.n_unboxed:
            counts += f"; {self.n_unboxed} molecules taken out of boxes of vacuum"
        line = f"{self.path.name}: {n} frames; {counts}; {self.units} -> {self._converted()}"
        return "; ".join((line, *self.notes))

    def _converted(self) -> str:
        return str(replace(ASE_UNITS, dipole="e*Ang" if self.units.dipole else None))
