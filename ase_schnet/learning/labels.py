"""The labels of a learning: what was computed once is found in the journal."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.methods import Reference
from ase_schnet.learning.resources import Resources


def labels_of(
    frames: list[Atoms],
    reference: Reference,
    path: Path,
    needed: int,
    resources: Resources,
    retry_failed: bool,
) -> list[Atoms]:
    """Return the structures that have a label, of all that were given to the reference.

    Parameters
    ----------
    frames
        Those that were given to it.
    reference
        The method that labels.
    path
        File of all labels, which is written anew.
    needed
        How many labels there must be.
    resources
        Who labels, the longest time of a label, and whom to tell.
    retry_failed
        Whether to try again those that failed.

    Raises
    ------
    ValueError
        If fewer structures have labels.
    """
    limit = resources.time_limit_s
    result = label_structures(
        frames,
        reference if limit is None else reference.within(limit),
        path,
        retry_failed=retry_failed,
        **resources.workers,
    )
    if len(result.frames) < needed:
        raise ValueError(
            f"too few structures have labels to go on: {result.summary()}. Mend what is wrong, and give the "
            "same call with retry_failed=True"
        )
    if warning := result.warning():
        resources.tell(f"warning: {warning}")
    return result.frames
