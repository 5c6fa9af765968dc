"""The pool: structures around those of the data, labelled by the cheap method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.io import read

from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import Reference
from ase_schnet.pretraining.settings import Pretraining
from ase_schnet.sampling.parts import remove_parts
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.run import sample_structures
from ase_schnet.structures.electrons import stated
from ase_schnet.structures.writing import write_frames
from ase_schnet.training.progress import say

#: Kinds of structures with bonds far from their length. Where the difference of the methods is not known,
#: such a structure keeps the labels of the cheap one, and any other is left out.
BOND_BREAKING = ("stretched", "two stretched", "collision")
THERMAL = "thermal"
#: Force on an atom, eV/Å, above which a structure is left out of the pool.
MAX_FORCE_EV_PER_ANG = 60.0


@dataclass(frozen=True)
class CheapCalculator:
    """Make the calculator of a structure, of the charge and multiplicity that it states."""

    reference: Reference

    @property
    def name(self) -> str:
        """Name of the method, by which a sampling that goes on knows it."""
        return self.reference.identity

    def __call__(self, atoms: Atoms) -> BaseCalculator:
        """Return a new calculator."""
        said = stated(atoms.info, atoms.arrays)
        charge, multiplicity = said.charge, said.multiplicity
        return self.reference.calculator(
            0 if charge is None else int(charge),
            None if multiplicity is None else int(multiplicity),
        )


def sample_pool(
    starts: list[Atoms],
    reference: Reference,
    settings: Pretraining,
    directory: Path,
    jobs: int | None = None,
) -> list[Atoms]:
    """Return labelled structures; ``info["sampled_by"]`` is THERMAL or a kind of `SamplingPlan`.

    Parameters
    ----------
    starts
        Structures of the data.
    reference
        The cheap method.
    settings
        How many of which kind.
    directory
        Where the structures and their labels are kept, so that an interrupted call goes on.
    jobs
        Processes; None: all cores.
    """
    everything = directory / "pool.extxyz"
    if not everything.exists():
        calculator, plan = CheapCalculator(reference), SamplingPlan.for_starts(starts)
        near = SamplingPlan.for_starts(
            starts, temperatures_K=(settings.temperature_K,)
        ).with_shares({"md": 1.0})
        parts = {"thermal": (near, settings.n_thermal), "far": (plan, settings.n_far)}
        pool: list[Atoms] = []
        for name, (mixture, n) in parts.items():
            say(f"pretraining: {n} {name} structures by {reference.level_of_theory}")
            frames = sample_structures(
                starts,
                calculator,
                n,
                plan=mixture,
                seed=settings.seed,
                jobs=jobs,
                directory=directory / f"{name}.parts",
            )
            for atoms in frames:
                atoms.info["sampled_by"] = THERMAL if mixture is near else atoms.info["sampled_by"]
            pool += frames
        write_frames(everything, pool, {})
        for name in parts:
            remove_parts(directory / f"{name}.parts")
    say(f"pretraining: labels of the pool by {reference.level_of_theory}")
    result = label_structures(
        read(everything, ":"), reference, directory / "pool_labelled.extxyz", jobs=jobs
    )
    if warning := result.warning():
        say(f"pretraining: {warning}")
    return [
        atoms for atoms in result.frames if np.abs(atoms.get_forces()).max() <= MAX_FORCE_EV_PER_ANG
    ]


def origins(pool: list[Atoms]) -> np.ndarray:
    """Return the number of the structure that each of the pool was made from, (S,)."""
    return np.array([int(atoms.info["sampled_from"]) for atoms in pool])
