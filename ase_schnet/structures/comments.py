"""Read the comment line of an xyz file: pairs of key and value, the energy that a code wrote, or words."""

from __future__ import annotations

import re
from typing import Any

from ase.io.extxyz import key_val_str_to_dict

CODE_ENERGY = "comment_energy_Hartree"
"""Key of ``info`` for an energy in the comment line of a code whose unit is known."""
BARE_NUMBER = "comment_number"
"""Key of ``info`` for a comment line that is only a number, of unknown meaning."""

_NUMBER = r"([-+]?\d+\.\d*(?:[eE][-+]?\d+)?)"
_CODES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"Coordinates from ORCA-job .*\bE\s+{_NUMBER}",  # orca_trj.xyz, orca.xyz
        rf"energy:\s*{_NUMBER}\s+gnorm:",  # xtb: xtbopt.xyz, xtbopt.log, xtb.trj
        rf"\bEopt\s*=\s*{_NUMBER}\s*\(Eh\)",  # ORCA's docker
        rf"{_NUMBER}\s+converged\s*=",  # ORCA's GOAT: finalensemble.xyz
        rf"Epot\s*=\s*{_NUMBER}\s+Etot\s*=",  # CREST 3: trajectories
        rf"Iteration \d+ Energy\s+{_NUMBER}",  # geomeTRIC: optim.xyz
        rf"i\s*=\s*\d+, time\s*=.*\bE\s*=\s*{_NUMBER}",  # CP2K: pos-1.xyz
    )
)
_ALONE = re.compile(_NUMBER)  # CREST and many others; an integer would be the number of a frame
_SPACED = re.compile(r"""("[^"]*"|'[^']*'|\{[^}]*\}|\[[^]]*\])|\s+=\s*""")
_SPELLINGS = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}


def parse_comment(line: str) -> dict[str, Any]:
    """Return what a comment line, the second line of a frame, says as the ``info`` of the structure.

    Pairs ``key=value`` are read as ASE reads them, except that ``Lattice``, ``Properties`` and ``pbc`` may be
    written in any case, and blanks may stand around ``=``. Words without a value are dropped: ASE reads
    ``Coordinates from ORCA-job opt E -154.69`` as five flags that are true. The energies of ORCA, GOAT, xtb,
    CREST, geomeTRIC and CP2K are found by the patterns of their lines; they get the key `CODE_ENERGY`. A
    line that is only a number gets the key `BARE_NUMBER`.

    Raises
    ------
    ValueError
        If ``Lattice``, ``stress`` or ``virial`` are not nine numbers.
    """
    if "=" not in line or "Properties=" not in line:
        energy = next((float(m[1]) for m in (code.search(line) for code in _CODES) if m), None)
        if energy is not None:
            return {CODE_ENERGY: energy}
        if "=" not in line:
            alone = _ALONE.fullmatch(line.strip())
            return {BARE_NUMBER: float(alone[1])} if alone else {}
        line = _SPACED.sub(lambda match: match[1] or "=", line)
    try:
        pairs = key_val_str_to_dict(line)
    except ValueError as error:
        wrong = next(
            (k for k in ("Lattice", "stress", "virial") if f"item {k}," in str(error)), None
        )
        raise ValueError(
            f"{wrong} is not nine numbers, those of a 3 x 3 matrix" if wrong else error
        ) from None
    for key in list(pairs):
        right = _SPELLINGS.get(key.lower(), key)
        if right != key and right not in pairs:
            pairs[right] = pairs.pop(key)
    if "Lattice" in pairs and getattr(pairs["Lattice"], "size", 0) == 9:
        # ASE reads the nine numbers column by column, but those of another spelling as a mere list.
        lattice = pairs["Lattice"]
        pairs["Lattice"] = lattice if lattice.ndim == 2 else lattice.reshape((3, 3), order="F")
    return pairs
