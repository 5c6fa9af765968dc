"""Settings kept beside unfinished work: what goes on later must have been begun with the same."""

from __future__ import annotations

import json
from pathlib import Path

from ase_schnet.runtime.files import write_whole


def agree(path: Path, settings: dict, what: str, otherwise: str | None = None) -> None:
    """Write settings into a file, or check that it holds the same.

    Parameters
    ----------
    path
        File (JSON) in the directory of the work.
    settings
        All that the work depends on, in plain types.
    what
        What the directory holds, for the message, such as "parts of a sampling".
    otherwise
        What to do if not the same, or damaged; None: remove the directory.

    Raises
    ------
    ValueError
        If the file is damaged or holds other settings; the first that differs is named.
    CannotWrite
        If it cannot be written.
    """
    settings = json.loads(json.dumps(settings))
    otherwise = otherwise or f"remove {path.parent}"
    if not path.exists():
        write_whole(path, json.dumps(settings, indent=1).encode())
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:  # no JSON, or no object
        raise ValueError(f"{path} is damaged ({error}): {otherwise}") from None
    for name in [*settings, *before]:
        if settings.get(name) != before.get(name):
            raise ValueError(
                f"{path.parent} holds {what} with another {name} ({_short(before.get(name))}, not "
                f"{_short(settings.get(name))}): give the settings that it was begun with, or "
                f"{otherwise}"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
