"""Are the labels of a user's script in eV and eV/Å, and its forces no gradients? Asked of the first round."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ase_schnet.data.contradictions import label_contradictions, units_of_force
from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.methods import Reference, ScriptReference
from ase_schnet.learning.first import evaluated
from ase_schnet.learning.settings import Methods

#: Structures whose forces are held against those of the sampler.
COMPARED = 20
#: Forces of two methods that resemble each other so much differ in size by less than SCALE.
RESEMBLANCE, SCALE = 0.8, 2.5


def refuse_contradicting(frames: list[Atoms], methods: Methods) -> None:
    """Refuse labels of a script whose energies and forces contradict each other, or are in other units.

    Units that are wrong together, such as Hartree and Hartree/Å, contradict nothing: there the forces of the
    method that sampled tell.

    Later rounds are not asked: what a poor model chooses has no near pairs.

    Parameters
    ----------
    frames
        The labelled structures of the first round.
    methods
        The reference, which made the labels; those of the package's own methods are believed.

    Raises
    ------
    ValueError
        In one line, with what the labels look like.
    """
    if not isinstance(methods.reference, ScriptReference):
        return
    found = label_contradictions(Dataset.from_atoms(frames))
    if not found and methods.sampler is not None:
        found = _of_another_size(frames[:COMPARED], methods.sampler)
    if found:
        said = "; ".join(each.split(" (the file was read as")[0] for each in found)
        raise ValueError(
            f"the labels of {methods.reference.text} cannot be right: {said}. ASE's units are eV and eV/Å: "
            "correct the script, and learn in another directory"
        )


def _of_another_size(frames: list[Atoms], sampler: Reference) -> list[str]:
    """Say that forces resemble those of another method in all but their size, if they do."""
    found = [
        (atoms.get_forces(), each[1])
        for atoms, each in zip(frames, evaluated(frames, sampler), strict=True)
        if each is not None
    ]
    if not found:
        return []
    given, other = (np.concatenate(forces) for forces in zip(*found, strict=True))
    overlap = np.vdot(given, other)
    sizes = np.linalg.norm(given) * np.linalg.norm(other)
    if not overlap >= RESEMBLANCE * sizes > 0:
        return []
    ratio = overlap / np.vdot(other, other)
    if 1 / SCALE < ratio < SCALE:
        return []
    units = " or ".join(units_of_force(1 / ratio)[:2])
    looks = f": they look like {units}" if units else ""
    return [f"its forces are {ratio:.3g} times those of {sampler.level_of_theory}{looks}"]
