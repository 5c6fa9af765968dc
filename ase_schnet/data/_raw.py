"""What every file reader hands over: structures and labels still in the units of the file."""

from dataclasses import dataclass, field

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.data.frame import Frame
from ase_schnet.units import FileUnits

PROPERTIES = ("energy", "forces", "stress", "dipole")


@dataclass
class RawFile:
    """The content of one file, before units are settled and labels trusted.

    Attributes
    ----------
    structures : list of Frame
        Positions and cells in the length unit of the file.
    labels : dict
        Of each property found, one value per structure; None where a structure lacks it.
    stated_units : str, optional
        What the file itself says.
    usual_units : FileUnits, optional
        What its layout means by definition, when it is one that does.
    usual_dipole : str, optional
        The dipole unit of the layout, where that is defined and the energy unit is not.
    notes : list of str
        What else must be said of the file: above all, what looks like a label and is not read.
    """

    structures: list[Frame]
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
            Naming the first structure at fault: no atoms, unknown elements, a label of another
            shape, NaN or infinity.
        """
        if not self.structures:
            raise ValueError("holds no structures")
        for i, frame in enumerate(self.structures):
            if len(frame.numbers) == 0:
                raise ValueError(f"frame {i} has no atoms")
            if frame.numbers.min() < 1 or frame.numbers.max() > 118:
                raise ValueError(f"frame {i} has atomic numbers outside 1 to 118")
        _refuse_non_finite("positions", [frame.positions for frame in self.structures])
        _refuse_non_finite("cells", [frame.cell for frame in self.structures])
        for name, values in self.labels.items():
            for i, value in enumerate(values):
                if value is not None:
                    values[i] = _shaped(name, value, len(self.structures[i].numbers), i)
            _refuse_non_finite(name, values)


def _shaped(name: str, value: object, n_atoms: int, frame: int) -> np.ndarray:
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
