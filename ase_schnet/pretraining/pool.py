"""The pool: structures around those of the data, labelled by the cheap method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import Reference
from ase_schnet.pretraining.given_pool import GIVEN, has_labels
from ase_schnet.pretraining.settings import Pretraining
from ase_schnet.runtime.progress import say
from ase_schnet.sampling.parts import remove_parts
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.run import sample_structures
from ase_schnet.structures.writing import write_frames

#: Kinds of structures with bonds far from their length. Where the difference of the methods is not known,
#: such a structure keeps the labels of the cheap one, and any other is left out.
BOND_BREAKING = ("stretched", "two stretched", "collision", GIVEN)
THERMAL = "thermal"
#: Force on an atom, eV/Å, above which a structure is left out of the pool.
MAX_FORCE_EV_PER_ANG = 60.0


def sample_pool(
    starts: list[Atoms],
    reference: Reference,
    settings: Pretraining,
    directory: Path,
    jobs: int | None = None,
    take_over: bool = False,
) -> list[Atoms]:
    """Return structures around those of the data, their kind in ``info["sampled_by"]``.

    It is THERMAL or a kind of `SamplingPlan`.

    Parameters
    ----------
    starts
        Structures of the data.
    reference
        The cheap method.
    settings
        How many of which kind.
    directory
        Where the structures are kept, so that an interrupted call goes on.
    jobs
        Processes; None: all cores.
    take_over
        Count a process of another host that works in `directory` as dead.
    """
    everything = directory / "pool.extxyz"
    if not everything.exists():
        _sample(everything, starts, reference, settings, jobs, take_over)
    return list(iread(everything, ":"))


def label_pool(
    pool: list[Atoms],
    reference: Reference,
    directory: Path,
    jobs: int | None = None,
    take_over: bool = False,
) -> list[Atoms]:
    """Return a pool with labels of the cheap method, without structures of very large forces.

    Those that have its labels keep them; the labels of the others are kept in `directory`.
    """
    labelled = [atoms for atoms in pool if has_labels(atoms, reference)]
    missing = [atoms for atoms in pool if not has_labels(atoms, reference)]
    if missing:
        say(f"pretraining: labels of the pool by {reference.level_of_theory}")
        path = directory / "pool_labelled.extxyz"
        result = label_structures(missing, reference, path, jobs=jobs, take_over=take_over)
        if warning := result.warning():
            say(f"pretraining: {warning}")
        labelled += result.frames
    return [atoms for atoms in labelled if np.abs(atoms.get_forces()).max() <= MAX_FORCE_EV_PER_ANG]


def _sample(
    path: Path,
    starts: list[Atoms],
    reference: Reference,
    settings: Pretraining,
    jobs: int | None,
    take_over: bool,
) -> None:
    """Write the structures of the pool into a file; finished parts are kept beside it until then."""
    plan = SamplingPlan.for_starts(starts)
    near = SamplingPlan.for_starts(starts, temperatures_K=(settings.temperature_K,))
    kinds = {
        "thermal": (near.with_shares({"md": 1.0}), settings.n_thermal),
        "far": (plan, settings.n_far),
    }
    # of their own: both have runs at the temperature of the settings, which would be the same runs
    seeds = {"thermal": settings.seed, "far": _another_seed(settings.seed)}
    pool: list[Atoms] = []
    for name, (mixture, n) in kinds.items():
        say(f"pretraining: {n} {name} structures by {reference.level_of_theory}")
        frames = sample_structures(
            starts,
            reference,
            n,
            plan=mixture,
            seed=seeds[name],
            jobs=jobs,
            directory=path.parent / f"{name}.parts",
            take_over=take_over,
        )
        if name == THERMAL:
            for atoms in frames:
                atoms.info["sampled_by"] = THERMAL
        pool += frames
    write_frames(path, pool, {})
    for name in kinds:
        remove_parts(path.parent / f"{name}.parts")


def _another_seed(seed: int) -> int:
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def origins(pool: list[Atoms]) -> np.ndarray:
    """Return the number of the structure that each of the pool was made from, or NO_ORIGIN, (S,)."""
    return np.array([int(atoms.info["sampled_from"]) for atoms in pool])
