"""Find what looks like a label in a file, and the option that would read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from ase_schnet.structures.columns import UNNAMED
from ase_schnet.structures.comments import BARE_NUMBER

_ENERGY = re.compile(r"energ|potential$|^e$|^e_|_e$|^e0$|^etot|^epbe", re.IGNORECASE)
_GRADIENT = re.compile(r"grad", re.IGNORECASE)
_FORCES = re.compile(r"forc|^f$|^totfor", re.IGNORECASE)
_OTHERS = re.compile(
    r"virial|stress|dipole|^mu$|^vdip$|charge|magmom|polari[sz]|^alpha$|^pol$|hessian|quadrupole",
    re.IGNORECASE,
)
_NO_LABELS = re.compile(
    # errors of predictions; properties of the structure that were not computed; names of units
    r"_(std|committee|uncertainty|variance|unit|units)$|^nuclear_charges$"
    r"|^(total_)?charge$|^initial_(charges|magmoms)$|^repulsion",
    re.IGNORECASE,
)
_SHOWN = 6


def option_for(name: str, value: Any = None) -> str | None:
    """Say which option would read a value as a label.

    Parameters
    ----------
    name
        Its key in the file.
    value
        What stands there; None if only the name is known.

    Returns
    -------
    str or None
        ``"energy_key='name'"`` or another option. An empty text for labels that no option reads. None for
        what does not look like a label: words, truth values, other names.
    """
    if value is not None and not _is_numeric(value):
        return None
    if name == UNNAMED:
        return "columns='forces' or 'gradient'" if np.shape(value)[-1] >= 3 else "columns='charge'"
    if name == BARE_NUMBER:
        return f"energy_key={name!r}"
    if _NO_LABELS.search(name):
        return None
    per_frame = value is None or np.size(value) == 1
    vectors = value is None or np.shape(value)[-1:] == (3,)
    if _GRADIENT.search(name):
        return f"forces_key={'-' + name!r}, its negative" if vectors else ""
    if _FORCES.search(name):
        return f"forces_key={name!r}" if vectors else ""
    if _ENERGY.search(name):
        return f"energy_key={name!r}" if per_frame else ""
    return "" if _OTHERS.search(name) else None


def not_used(names: Iterable[str], used: Set[str | None]) -> list[str]:
    """Return a note that lists the names of labels that are not read; no note if there are none."""
    options = {name: option_for(name) for name in names if name not in used}
    unused = {name: option for name, option in options.items() if option is not None}
    return [f"not used: {listed(unused)}"] if unused else []


def like_labels(names: Iterable[str]) -> str:
    """List the names that an option would read as a label; an empty text if there are none."""
    options = {name: option_for(name) for name in names}
    return listed({name: option for name, option in options.items() if option})


def listed(options: Mapping[str, str]) -> str:
    """Join names with the option that reads each. Of many, show the first and count the rest."""
    told = [f"{name} ({option})" if option else name for name, option in sorted(options.items())]
    if len(told) > _SHOWN:
        told[_SHOWN:] = [f"and {len(told) - _SHOWN} more"]
    return ", ".join(told)


def few(names: list[str]) -> str:
    """Join names. Of many, count them and show three."""
    if len(names) <= 20:
        return ", ".join(names)
    return f"{len(names)} names, such as {', '.join(name[:40] for name in names[:3])}"


def _is_numeric(value: Any) -> bool:
    kind = getattr(value, "dtype", None)
    if kind is None:
        if isinstance(value, bool):
            return False
        if isinstance(value, (int, float)):
            return True
        if not isinstance(value, (list, tuple)):
            return False
        kind = np.asarray(value, dtype=object if not value else None).dtype
    return kind.kind in "iuf"
