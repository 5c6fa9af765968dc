"""Units that stand in a file beside a model."""

from __future__ import annotations

import re
from pathlib import Path

from ase_schnet.units import FileUnits


def units_beside(model: Path) -> FileUnits | None:
    """Return the units of ``config.yaml`` of a schnetpack run; None where there is none, or no units in it.

    It lies beside ``best_model``, or two folders above a checkpoint.
    """
    for folder in list(model.absolute().parents)[:3]:
        path = folder / "config.yaml"
        if path.is_file():
            return _units(path.read_text(encoding="utf-8", errors="replace"))
    return None


def _units(text: str) -> FileUnits | None:
    """Return ``property_units.energy`` and ``distance_unit`` of the text of such a file."""
    block = re.search(r"^( *)property_units:\n((?:\1 +.*\n?)+)", text, re.MULTILINE)
    energy = block and re.search(r"^ *energy(?:_?U0)?: *['\"]?([\w/]+)", block[2], re.MULTILINE)
    length = re.search(r"^ *distance_unit: *['\"]?(\w+)", text, re.MULTILINE)
    if not energy:
        return None
    try:
        return FileUnits(energy[1], length[1] if length else "Ang")
    except ValueError:  # a unit that we do not know: the user says which
        return None
