"""Files that `ase.io` reads: extxyz, trajectories, outputs of codes.

ASE moves ``energy``, ``forces``, ``stress`` and ``dipole`` of an extxyz file into a
`SinglePointCalculator`, and leaves every other spelling in ``atoms.info`` and ``atoms.arrays``.
"""

from itertools import islice
from pathlib import Path

from ase.io import iread
from ase.io.formats import open_with_compression

from ase_schnet.data._fixed import mask
from ase_schnet.data._labels import LabelSearch
from ase_schnet.data._raw import RawFile
from ase_schnet.data.frame import Frame
from ase_schnet.units import FileUnits

ASE_UNITS = FileUnits("eV", "Ang", "e*Ang")


def is_xyz(path: Path) -> bool:
    """Tell whether a file is (extended) xyz, possibly compressed."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bz2", ".xz")]
    return suffixes[-1:] in ([".xyz"], [".extxyz"])


def read_ase(
    path: Path, energy_key: str | None, forces_key: str | None, mask_key: str | None = None
) -> RawFile:
    """Read any structure file that `ase.io` knows.

    Labels that ASE recognised are eV, Å and e·Å, except in xyz files, which carry whatever was
    written into them: those must say their units in ``info["units"]``, or the user must.

    Parameters
    ----------
    path : Path
        Existing file.
    energy_key, forces_key : str, optional
        Names under which the file keeps its labels.
    mask_key : str, optional
        Name of a column that is false where a force is no label.

    Returns
    -------
    RawFile
        In the units of the file.

    Raises
    ------
    ValueError
        If ASE cannot read a frame, no label is found, or frames disagree about units.
    """
    frames: list[Frame] = []
    search = LabelSearch(energy_key, forces_key)
    try:
        # ASE tells plain from extended xyz by a guess; extxyz reads both.
        known = {"format": "extxyz"} if is_xyz(path) else {}
        for atoms in iread(str(path), index=":", do_not_split_by_at_sign=True, **known):
            search.add(atoms.calc.results if atoms.calc else {}, {**atoms.arrays, **atoms.info})
            for key in search.wanted & atoms.info.keys():
                del atoms.info[key]  # a copy of a label would stay in the units of the file
            frame = Frame.of(atoms)
            if mask_key is not None:
                if not atoms.has(mask_key):
                    raise ValueError(f"no column {mask_key!r}")
                frame = frame._replace(force_mask=mask(atoms, mask_key))
            frames.append(frame)
    except Exception as error:  # ASE's readers raise nearly everything on a damaged file
        reason = str(error) or type(error).__name__
        raise ValueError(f"frame {len(frames)} cannot be read by ASE ({reason})") from error
    if is_xyz(path):
        _check_all_read(path, frames)
    labels, recognised = search.labels()
    stated = _stated([(frame.info or {}).get("units") for frame in frames])
    usual = ASE_UNITS if recognised and not is_xyz(path) else None
    return RawFile(frames, labels, stated, usual)


def _check_all_read(path: Path, frames: list[Frame]) -> None:
    """ASE stops, without a word, at a blank line where a frame should begin."""
    expected = sum(len(frame.numbers) + 2 for frame in frames)
    with open_with_compression(str(path)) as file:
        rest = [line.strip() for line in islice(file, expected, None)]
    if any(rest) and not rest[0]:
        raise ValueError(
            f"frame {len(frames)} comes after a blank line (line {expected + 1} of the file), "
            "where ASE stops reading: remove such lines"
        )


def _stated(statements: list[str | None]) -> str | None:
    """The units that all frames agree on."""
    for i, statement in enumerate(statements):
        if statement != statements[0]:
            raise ValueError(
                f"frame {i} says its units are {statement}, frame 0 {statements[0]}: "
                "split the file, one unit each"
            )
    return str(statements[0]) if statements and statements[0] is not None else None
