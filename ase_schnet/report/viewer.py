"""Structures of a report in chemiscope, the viewer of maps of structures and their properties.

The script of chemiscope (Fraux, Cersonsky & Ceriotti, JOSS 5, 2117 (2020), https://chemiscope.org) is taken
from the Python package of that name and put into the page. What the page holds of the structures is short;
`viewer.js` makes chemiscope's input of it in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.report.encoding import as_json

#: Largest numbers of structures and of their atoms in one viewer: with more, a page is slow to load.
MAX_STRUCTURES, MAX_ATOMS = 10_000, 100_000
#: Decimals of Å in the page.
DECIMALS = 3
_OURS = Path(__file__).with_name("viewer.js")
_THEIRS = Path("sphinx", "static", "chemiscope.min.js")  # for pages that only have scripts
INSTALL = "pip install 'ase-schnet[report]'"


class Property(NamedTuple):
    """Hold one number, or word, for every structure, or for every atom of all structures.

    Attributes
    ----------
    values
        (S,) or (N,), of numbers or words.
    unit
        Such as "eV"; "" for none.
    words
        What it is.
    """

    values: NDArray | Sequence[str]
    unit: str = ""
    words: str = ""


@dataclass(frozen=True)
class Structures:
    """Hold structures to click through: each is a point of a map.

    Attributes
    ----------
    name
        What they are; it is unique on a page.
    frames
        S structures.
    properties
        By name, of each structure, (S,).
    of_atoms
        By name, of each atom of all structures, (N,), for the colours of atoms.
    x, y, colour
        Names of the properties that the map shows first; no `colour`: one colour for all.
    joined
        Whether the points follow each other, as in a run.
    selected
        Number of the structure that is shown first.
    """

    name: str
    frames: Sequence[Atoms]
    properties: Mapping[str, Property]
    of_atoms: Mapping[str, Property] = field(default_factory=dict)
    x: str = ""
    y: str = ""
    colour: str | None = None
    joined: bool = False
    selected: int = 0

    @property
    def identifier(self) -> str:
        """Return the name as an identifier of HTML."""
        return "".join(c if c.isalnum() else "-" for c in self.name)


def thinned(n_structures: int, n_atoms: int) -> NDArray:
    """Choose the structures to show (K,) of a series with `n_atoms` each: all, or evenly spread.

    The first and the last are among them.
    """
    return evenly(n_structures, max(2, min(MAX_STRUCTURES, MAX_ATOMS // max(n_atoms, 1))))


def evenly(n: int, most: int) -> NDArray:
    """Choose at most so many (K,) of n things in a row, evenly spread, the first and the last among them."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, most).round().astype(int))


def require_viewer() -> Path:
    """Return the script of chemiscope; ValueError that says how to get it."""
    found = find_spec("chemiscope")
    for place in found.submodule_search_locations or () if found else ():
        if (path := Path(place) / _THEIRS).is_file():
            return path
    raise ValueError(
        f"to show structures, a report needs chemiscope 1: {INSTALL}; or leave them out with "
        "structures=False (--no-structures)"
    )


def viewer_html(structures: Structures) -> str:
    """Return the element that a viewer is put into."""
    name = structures.identifier
    inner = "".join(
        f'<div class="{kind}" id="{name}-{part}"></div>'
        for kind, part in (
            ("meta", "meta"),
            ("map", "map"),
            ("molecule", "structure"),
            ("info", "info"),
        )
    )
    label = escape(structures.name)
    return (
        f'<div class="viewer" id="{name}" aria-label="{label}">{inner}<p class="trouble"></p></div>'
    )


def viewer_scripts(viewers: Sequence[Structures]) -> list[str]:
    """Return the scripts of the viewers of a page, with their data; none without viewers."""
    if not viewers:
        return []
    data = [
        f'<script type="application/json" id="{each.identifier}-data">{as_json(short(each))}</script>'
        for each in viewers
    ]
    path = require_viewer()
    library = path.read_text(encoding="utf-8")
    # inside strings of JavaScript; as they are they would end the script element
    library = library.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return [
        *data,
        f'<script type="text/plain" id="licences">{escape(_licences())}</script>',
        f"<script>{library}</script>",
        f"<script>{_OURS.read_text(encoding='utf-8')}</script>",
    ]


def _licences() -> str:
    """Return the licences of chemiscope and of what its script is made of; they go where the script goes."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in metadata.files("chemiscope") or ()
        if path.name.startswith("LICENSE") or path.name.endswith("LICENSE.txt")
    ]
    return "\n\n".join(texts)


def short(structures: Structures) -> dict:
    """Return structures and properties in JSON types, as `viewer.js` reads them."""
    frames = structures.frames
    symbols = [atoms.get_chemical_symbols() for atoms in frames]
    same = all(each == symbols[0] for each in symbols)
    periodic = any(atoms.pbc.any() for atoms in frames)
    return {
        "name": structures.name,
        "symbols": symbols[:1] if same else symbols,
        "positions": [_shown(atoms).round(DECIMALS).ravel().tolist() for atoms in frames],
        "cells": [_cell(atoms) for atoms in frames] if periodic else None,
        "perAtom": bool(structures.of_atoms),
        "properties": {
            name: _property(each, target)
            for target, those in (
                ("structure", structures.properties),
                ("atom", structures.of_atoms),
            )
            for name, each in those.items()
        },
        "settings": _settings(structures, periodic),
    }


def _shown(atoms: Atoms) -> NDArray:
    """Return positions (N, 3), Å; those of a molecule about its centre, so that it stays in view."""
    if atoms.pbc.any():
        return atoms.positions
    return atoms.positions - atoms.positions.mean(axis=0)


def _cell(atoms: Atoms) -> list[float] | None:
    return atoms.cell.array.round(DECIMALS).ravel().tolist() if atoms.pbc.any() else None


def _property(given: Property, target: str) -> dict:
    if isinstance(given.values, np.ndarray):
        # six digits are more than a picture shows; the runs themselves have all
        values = [float(f"{value:.6g}") for value in given.values.tolist()]
    else:
        values = list(given.values)
    told = {"units": given.unit, "description": given.words}
    return {"target": target, "values": values} | {k: v for k, v in told.items() if v}


def _settings(structures: Structures, periodic: bool) -> dict:
    shown = {"x": structures.x, "y": structures.y, "color": structures.colour}
    axes = {axis: {"property": name} for axis, name in shown.items() if name}
    molecule = {
        "keepOrientation": True,
        "playbackDelay": 100,
        "unitCell": periodic,
        "bonds": True,
        "spaceFilling": False,
    }
    if structures.of_atoms:
        molecule["color"] = {"property": next(iter(structures.of_atoms)), "palette": "viridis"}
    return {
        "target": "structure",
        "map": {**axes, "joinPoints": structures.joined, "palette": "viridis"},
        "structure": [molecule],
        "pinned": [structures.selected],
    }
