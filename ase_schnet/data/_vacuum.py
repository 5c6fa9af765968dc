"""Molecules that a plane-wave code, or a writer, put into a box of vacuum and called periodic."""

from __future__ import annotations

import numpy as np

from ase_schnet.data.frame import Frame

VACUUM = 30.0
"""Å without atoms along all three axes that make a crystal a molecule: farther than networks look."""


def out_of_the_box(frame: Frame) -> Frame:
    """The same molecule without its box, or the frame itself where the box is needed.

    A molecule that was wrapped around a face of the box is made whole; its first atom stays in place.
    """
    if frame.pbc is None or not frame.pbc.all() or frame.cell is None:
        return frame
    inverse = np.linalg.pinv(frame.cell)
    thickness = 1.0 / np.linalg.norm(inverse, axis=0)  # (3,) Å between opposite faces
    if thickness.min() < VACUUM:
        return frame
    fractional = frame.positions @ inverse  # (N, 3)
    inside = fractional % 1.0
    edges = np.sort(inside, axis=0)
    gaps = np.diff(edges, axis=0, append=edges[:1] + 1.0)  # (N, 3) above each atom, cyclic
    widest = gaps.argmax(axis=0)
    if (gaps.max(axis=0) * thickness).min() < VACUUM:
        return frame
    axes = np.arange(3)
    start = edges[(widest + 1) % len(edges), axes]  # (3,) the first atom above the vacuum
    images = np.rint((inside - start) % 1.0 + start - fractional)
    moved = (images - images[0]) @ frame.cell
    return frame._replace(positions=frame.positions + moved, cell=None, pbc=None)
