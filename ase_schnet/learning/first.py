"""Structures before there is a model, and those of aims, which any calculator can find."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, InputError
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ase_schnet.bonds import overlapping
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.labelling.label import job_or_refusal
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.learning.aims import Aim
from ase_schnet.learning.asked import bare
from ase_schnet.learning.explore import uncertainty
from ase_schnet.learning.settings import LearnSettings, Methods
from ase_schnet.sampling.md import said
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.run import sample_structures

#: Kinds of structures that are sampled without a model; broken bonds are for those who ask for them.
KINDS = ("md", "displaced", "rotated", "strained")
#: Candidates for each structure that is chosen; runs of 1 ps.
CANDIDATES, FRAMES_PER_RUN, INTERVAL = 6, 100, 20
#: Where there are runs alone: many short ones, frames 0.1 ps apart, or all would be of one conformer.
FRAMES_PER_RUN_ALONE, INTERVAL_ALONE = 10, 200
FRICTION_PER_FS = 0.01
#: Distance of two atoms over the sum of their covalent radii below which a structure is not near rest.
SHORTEST = 0.6
#: Temperatures of the runs over the one that the model is for.
TEMPERATURES = (1.0, 1.5, 2.0)


def check_starts(starts: Sequence[Atoms], aims: Sequence[Aim], methods: Methods) -> None:
    """Refuse structures that cannot be learnt together, or that a method cannot describe.

    Raises
    ------
    ValueError
        Some are molecules and some are cells, their atoms or charges differ, or an aim makes no sense for the
        first.
    InputError
        A method cannot describe one of them, or its atoms collide.

    Warns
    -----
    UserWarning
        An aim breaks a bond, and the reference cannot.
    """
    if len({bool(atoms.pbc.any()) for atoms in starts}) > 1:
        raise ValueError("some structures are molecules and some are cells: learn them apart")
    if len({atoms.get_chemical_formula() for atoms in starts}) > 1:
        raise ValueError("the structures are different molecules: learn them apart")
    if any(atoms.info != starts[0].info for atoms in starts):
        raise ValueError(
            "the structures state different charges or multiplicities: learn them apart"
        )
    for number, atoms in enumerate(starts):
        if overlapping(atoms, SHORTEST):
            raise InputError(
                f"structure {number} has two atoms far too near to each other: relax it first"
            )
        if len(atoms) == 1 and not atoms.pbc.any():
            raise InputError(f"structure {number} is one atom, which has no forces to learn")
        for method in filter(None, (methods.reference, methods.sampler)):
            refusal = job_or_refusal(atoms, method)
            if isinstance(refusal, str):
                raise InputError(f"structure {number}: {refusal}")
    for aim in aims:
        aim.check(starts[0])
        if methods.reference.keeps_spins_paired(starts[0]) and aim.breaks_a_bond(starts[0]):
            warnings.warn(
                f"the aim {aim.text!r} breaks a bond, and {methods.reference.text} keeps spins paired: "
                f"{methods.reference.text}:uks lets them part",
                stacklevel=2,
            )


def first_candidates(
    starts: Sequence[Atoms],
    methods: Methods,
    settings: LearnSettings,
    size: int,
    parts: Path,
    jobs: int | None,
    take_over: bool,
) -> list[Atoms]:
    """Return structures around the starts, made by the sampler, among which the first round chooses.

    Those that are displaced and turned at random are no higher in energy than those of the hottest runs:
    the most different ones would be those whose atoms nearly collide, with forces ten times as large, each of
    which has the weight of a hundred others in the loss.
    """
    kelvin = settings.temperature_K
    plan = SamplingPlan.for_starts(
        starts,
        temperatures_K=tuple(x * kelvin for x in TEMPERATURES),
        frames_per_run=FRAMES_PER_RUN,
        interval=INTERVAL,
        friction_per_fs=FRICTION_PER_FS,
    )
    kinds = {k: share for k, share in plan.shares.items() if k in KINDS}
    if methods.sampler is None:
        kinds.pop("md", None)
    elif methods.pretrains:  # the pool of the cheap method has the others
        kinds = {"md": 1.0}
        runs = {"frames_per_run": FRAMES_PER_RUN_ALONE, "interval": INTERVAL_ALONE}
        plan = replace(plan, **runs)
    total = sum(kinds.values())
    others = {k: 0.0 for k in plan.shares if k not in kinds}
    plan = plan.with_shares({**others, **{k: share / total for k, share in kinds.items()}})
    frames = sample_structures(
        starts,
        methods.sampler,
        CANDIDATES * size,
        plan=plan,
        seed=settings.seed,
        jobs=jobs,
        directory=parts,
        take_over=take_over,
    )
    if methods.sampler is not None and "displaced" in kinds:
        frames = _no_higher_than_runs(frames, methods.sampler)
    at_goal = "displaced" if methods.sampler is None else f"md {kelvin:g} K"
    for atoms in frames:
        kind = atoms.info["sampled_by"]
        atoms.info |= {"kind": kind, "at_goal": kind == at_goal}
    if methods.sampler is not None:
        rng = np.random.default_rng([settings.seed, 0, 1])
        frames += structures_of_aims(settings.aims(), starts[0], methods.sampler, rng)
    return frames


def _no_higher_than_runs(frames: Sequence[Atoms], sampler: Reference) -> list[Atoms]:
    """Return the structures without those whose energy is above the highest of a run."""
    found = evaluated(frames, sampler)
    energies = [np.inf if each is None else each[0] for each in found]
    of_runs = [
        energy
        for atoms, energy in zip(frames, energies, strict=True)
        if atoms.info["sampled_by"].startswith("md ") and np.isfinite(energy)
    ]
    highest = max(of_runs, default=np.inf)
    return [atoms for atoms, e in zip(frames, energies, strict=True) if e <= highest]


def evaluated(frames: Sequence[Atoms], method: Reference) -> list[tuple[float, NDArray] | None]:
    """Return energy (eV) and forces (eV/Å) of structures of the same atoms by one calculator.

    None where it fails, as xTB does where atoms nearly collide.
    """
    found: list[tuple[float, NDArray] | None] = []
    calculator = method(frames[0])  # made once: a model is read from disk
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)
        for frame in frames:
            atoms = frame.copy()
            atoms.calc = calculator
            try:
                found.append((float(atoms.get_potential_energy()), atoms.get_forces()))
            except Exception:  # calculators raise nearly everything
                found.append(None)
    return found


def structures_of_aims(
    aims: Sequence[Aim], rest: Atoms, calculator: Reference | str, rng: np.random.Generator
) -> list[Atoms]:
    """Return the structures of aims, each with its uncertainty, and its ``aim`` in ``info``.

    Parameters
    ----------
    aims
        What the model is for.
    rest
        The structure that the user gave.
    calculator
        A method, or a model directory.
    rng
        Random numbers.
    """
    if not aims:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)  # to be learnt, then
        return _of_aims(aims, rest, calculator, rng)


def _of_aims(
    aims: Sequence[Aim], rest: Atoms, calculator: Reference | str, rng: np.random.Generator
) -> list[Atoms]:
    reference = read_reference(calculator) if isinstance(calculator, str) else calculator
    known = reference(rest)
    found = []
    for aim in aims:
        try:
            structures = aim.structures(rest, known, rng)
        except Exception as error:  # of any calculator; the next model may find the way
            warnings.warn(f"no structures toward {aim.text!r}: {said(error)}", stacklevel=2)
            continue
        for structure in structures:
            atoms = bare(structure, rest.info)
            if calculator is not reference:
                doubt = _doubt(atoms, known)
                if doubt is None:
                    continue
                atoms.info["uncertainty"] = doubt
            atoms.info |= {"kind": aim.text, "aim": aim.text, "at_goal": False}
            found.append(atoms)
    return found


def _doubt(atoms: Atoms, model: BaseCalculator) -> float | None:
    """Return the uncertainty of a model, eV/Å; None for a structure that it refuses."""
    copy = atoms.copy()
    copy.calc = model
    try:
        copy.get_forces()
    except Exception:  # overlapping atoms: nobody asks for their label
        return None
    return uncertainty(copy)
