"""Are the labels of a user's script in eV and eV/Å, and its forces no gradients? Asked of the first round."""

from __future__ import annotations

from ase import Atoms

from ase_schnet.data.contradictions import label_contradictions
from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.methods import Reference, ScriptReference


def refuse_contradicting(frames: list[Atoms], reference: Reference) -> None:
    """Refuse labels of a script whose energies and forces contradict each other.

    Later rounds are not asked: what a poor model chooses has no near pairs.

    Parameters
    ----------
    frames
        The labelled structures of the first round.
    reference
        Made the labels. Those of the package's own methods are believed.

    Raises
    ------
    ValueError
        In one line, with what the labels look like.
    """
    if not isinstance(reference, ScriptReference):
        return
    found = label_contradictions(Dataset.from_atoms(frames))
    if found:
        said = "; ".join(each.split(" (the file was read as")[0] for each in found)
        raise ValueError(
            f"the labels of {reference.text} cannot be right: {said}. ASE's units are eV and eV/Å: correct "
            "the script, and learn in another directory"
        )
