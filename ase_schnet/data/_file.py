"""Hold the content of one data file: as its reader returns it, and as a summary for the user."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import refuse_coinciding
from ase_schnet.units import PACKAGE_UNITS, FileUnits


@dataclass(eq=False)
class FileContents:
    """Hold structures and labels of one file, in the units of the file.

    Attributes
    ----------
    frames
        Positions and cells in the length unit of the file.
    labels
        For each property one value per structure; None where a structure lacks it.
    stated_units
        The units that the file itself names.
    usual_units
        The units that the format defines, if it does.
    usual_dipole
        The dipole unit that the format defines, where it does not define the energy unit.
    notes
        What else the user must know: for example names of labels that are not read.
    """

    frames: list[Frame]
    labels: dict[str, list]
    stated_units: str | None = None
    usual_units: FileUnits | None = None
    usual_dipole: str | None = None
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Give every label its shape as float64, and refuse what is not a finite number.

        Energies become (), forces (N, 3), stresses and virials (6,) in Voigt order xx yy zz yz xz xy, and
        dipoles (3,).

        Raises
        ------
        ValueError
            If a structure has no atoms or unknown elements, or a label has another shape, NaN or infinity.
            The message names the first such structure.
        """
        if not self.frames:
            raise ValueError("holds no structures")
        for i, frame in enumerate(self.frames):
            if len(frame.numbers) == 0:
                raise ValueError(f"frame {i} has no atoms")
            if frame.numbers.min() < 1 or frame.numbers.max() > 118:
                raise ValueError(f"frame {i} has atomic numbers outside 1 to 118")
        _refuse_non_finite("positions", [frame.positions for frame in self.frames])
        _refuse_non_finite("cells", [frame.cell for frame in self.frames])
        refuse_coinciding(self.frames)
        for name, values in self.labels.items():
            for i, value in enumerate(values):
                if value is not None:
                    values[i] = _shaped(name, value, len(self.frames[i].numbers), i)
            _refuse_non_finite(name, values)


def extend_labels(labels: dict[str, list], n_frames: int, new: dict[str, list], n_new: int) -> None:
    """Append the labels of `n_new` structures to those of `n_frames`, with None where one side lacks them."""
    for name in {*labels, *new}:
        values = labels.setdefault(name, [None] * n_frames)
        values.extend(new.get(name, [None] * n_new))


def _shaped(name: str, value: object, n_atoms: int, frame: int) -> NDArray:
    shapes = {"energy": (), "forces": (n_atoms, 3), "stress": (6,), "virial": (6,), "dipole": (3,)}
    shape = shapes[name]
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"frame {frame}: {name} is not numeric: {value!r:.60}") from None
    if name == "energy" and array.size == 1:
        array = array.reshape(())
    if name in ("stress", "virial") and array.shape in ((3, 3), (9,)):
        array = full_3x3_to_voigt_6_stress(array.reshape(3, 3))
    if array.shape != shape:
        several = name in ("energy", "forces") and array.shape[1:] == shape
        hint = f": {len(array)} electronic states? write one of them to its own file"
        raise ValueError(
            f"frame {frame}: {name} has shape {array.shape}, expected {shape}{hint * several}"
        )
    return array


def _refuse_non_finite(name: str, values: list) -> None:
    bad = [i for i, v in enumerate(values) if v is not None and not np.isfinite(v).all()]
    if bad:
        raise ValueError(
            f"frame {bad[0]} has NaN or infinite {name} "
            f"({len(bad)} of {len(values)} frames do): remove them from the file"
        )


@dataclass(frozen=True)
class FileSummary:
    """Summarise what was read from a file, in one line when printed.

    Attributes
    ----------
    path
        The file.
    n_frames
        Number of structures.
    n_energy, n_forces, n_stress, n_dipole
        Structures that carry the label.
    units
        Units of the file, before conversion.
    sha256
        Digest of the bytes of the file, in hexadecimal.
    n_dipole_skipped
        Structures whose dipole was left out because its unit is not known.
    n_unboxed
        Structures whose periodic box held a molecule in vacuum and was removed.
    notes
        What else the user must know: labels that are not used, with the option that would use them.
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
                f"pass units='{self.units.energy}, {self.units.length}, Debye', or what it is)"
            )
        if self.n_unboxed:
            counts += f"; {self.n_unboxed} molecules taken out of boxes of vacuum"
        converted = replace(PACKAGE_UNITS, dipole="e*Ang" if self.units.dipole else None)
        line = f"{self.path.name}: {n} frames; {counts}; {self.units} -> {converted}"
        return "; ".join((line, *self.notes))
