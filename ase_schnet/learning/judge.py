"""A model held against the structures that were drawn at random after it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.learning.choose import RANDOM
from ase_schnet.learning.explore import Life, whole_runs
from ase_schnet.learning.rounds import Row
from ase_schnet.modelfile import load_model


def judged(
    k: int, before: Path | None, lives: Sequence[Life], labelled: Sequence[Atoms], calls: int
) -> Row:
    """Return what became of round k.

    Parameters
    ----------
    k
        Its number.
    before
        Model of the round before, which its random structures and its runs judge; None in the first round.
    lives
        Of the runs of that model.
    labelled
        All structures with labels so far, with ``round`` and ``share`` in ``info``.
    calls
        How many were given to the reference so far.
    """
    drawn = [a for a in labelled if (a.info["round"], a.info["share"]) == (k, RANDOM)]
    forces = energy = float("nan")
    if before is not None and drawn:
        metrics = compare(Ensemble(load_model(before)), Dataset.from_atoms(drawn)).metrics()
        forces, energy = metrics["forces_mae_meV_per_Ang"], metrics["energy_mae_meV"]
    n, runs = len(labelled), whole_runs(lives)
    return Row(k, calls, n, calls - n, len(drawn), forces, energy, *runs)
