"""Runs of the model that was learnt last: where it goes, how long it lives, where it is unsure."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from ase_schnet.applicability.calculator_parts import limits_of, uncertainty_of
from ase_schnet.applicability.structure_watch import StructureWatch
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.labelling.reference import read_reference
from ase_schnet.learning.bias import BiasedCalculator
from ase_schnet.runtime.files import naming, replaced, write_whole
from ase_schnet.runtime.processes import Workers
from ase_schnet.runtime.progress import Tally
from ase_schnet.sampling.md import langevin_frames
from ase_schnet.sampling.plan import SamplingPlan

TIMESTEP_FS, FRAME_FS, FRICTION_PER_FS = 0.5, 20.0, 0.005
#: Runs at each temperature that the model is for. Of each kind of those that see in little time what they see
#: in much: how many, ps of each, their temperature over the highest one, and their bias (BiasedCalculator).
RUNS, HOTTER_RUNS, HOTTER_PS = 8, 4, 2.0
BIASED = ((1.0, 4.0), (1.5, 4.0), (2.0, 0.0))
#: Of those without bias, of which structures are drawn: temperatures over the first one; the last is by so
#: much above all others.
HOTTER, ABOVE_ALL = (1.5, 2.0), 1.25
KILLED = (
    "a process that explores was killed (out of memory?); finished runs are kept, and the same command goes "
    "on"
)


@dataclass(frozen=True)
class RunPlan:
    """Hold one run: number, temperature (K), length (ps), bias, and whether the model is for such runs."""

    number: int
    temperature_K: float
    time_ps: float
    at_goal: bool
    bias: float = 0.0

    @property
    def kind(self) -> str:
        """Name of its frames."""
        return f"run {self.temperature_K:g} K" + ", biased" * bool(self.bias)


@dataclass(frozen=True)
class Life:
    """Hold how long a run lived, ps of how many, and what ended it ("" if nothing did)."""

    plan: RunPlan
    life_ps: float
    ended: str

    @property
    def whole(self) -> bool:
        """Whether nothing ended it."""
        return not self.ended


def whole_runs(lives: Sequence[Life]) -> tuple[int, int]:
    """Return how many runs of the dynamics that a model is for nothing ended, and how many there were."""
    at_goal = [life for life in lives if life.plan.at_goal]
    return sum(life.whole for life in at_goal), len(at_goal)


def plan_runs(goals: Sequence[tuple[float, float]], *, biased: bool = True) -> list[RunPlan]:
    """Return the runs for temperatures (K) and lengths (ps) that a model is for, and biased or hotter ones.

    Hotter ones alone, if they are not `biased`.
    """
    wanted = [(kelvin, ps, True, 0.0) for kelvin, ps in goals for _ in range(RUNS)]
    hottest = max(kelvin for kelvin, _ in goals)
    others = [(x * hottest, bias) for x, bias in BIASED]
    if not biased:
        between, beyond = (x * goals[0][0] for x in HOTTER)
        others = [(between, 0.0), (max(beyond, ABOVE_ALL * hottest), 0.0)]
    wanted += [
        (kelvin, HOTTER_PS, False, bias) for kelvin, bias in others for _ in range(HOTTER_RUNS)
    ]
    return [RunPlan(k, *what) for k, what in enumerate(wanted)]


def explore(
    model: Path,
    starts: Sequence[Atoms],
    plans: Sequence[RunPlan],
    directory: Path,
    *,
    seed: int,
    jobs: int,
) -> tuple[list[Atoms], list[Life]]:
    """Run the dynamics of a model, and return frames and lives. Finished runs are read from `directory`.

    A run ends where its forces are large beyond sense, or the default monitor would stop it; the frame that
    it would stop is the last. In ``info`` of a frame stand its ``kind``, whether it is ``at_goal``, and its
    ``uncertainty`` (calibrated std of the least certain force, eV/Å); that of a run's stop is ``stopped``.

    Parameters
    ----------
    model
        Model directory.
    starts
        First structures, used in turn.
    plans
        The runs.
    directory
        Where they are kept.
    seed, jobs
        Of the random numbers, and number of processes.

    Raises
    ------
    BrokenProcessPool
        If a process was killed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    left = [plan for plan in plans if not _story(directory, plan).exists()]
    tasks = [(model, starts[plan.number % len(starts)], plan, seed, directory) for plan in left]
    done = len(plans) - len(left)
    with Tally(len(plans), "exploring", "run", done=done) as bar:
        if min(jobs, len(tasks)) <= 1:
            for task in tasks:
                make_run(*task)
                bar.update()
        else:
            _side_by_side(tasks, jobs, bar)
    frames: list[Atoms] = []
    for plan in plans:
        if _frames(directory, plan).exists():
            frames += read(_frames(directory, plan), ":")
    return frames, [_life(directory, plan) for plan in plans]


def _side_by_side(tasks: Sequence[tuple], jobs: int, bar: Tally) -> None:
    with Workers("exploring", min(jobs, len(tasks))) as workers:
        try:
            futures: list[Future] = [workers.submit(make_run, *task) for task in tasks]
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BrokenProcessPool:
            raise workers.cause_of_death(KILLED) from None


def make_run(model: Path, start: Atoms, plan: RunPlan, seed: int, directory: Path) -> None:
    """Do one run, and write its frames and how it ended."""
    calculator = read_reference(str(model))(start)
    settings = SamplingPlan(
        timestep_fs=TIMESTEP_FS,
        interval=round(FRAME_FS / TIMESTEP_FS),
        frames_per_run=math.ceil(1000 * plan.time_ps / FRAME_FS),
        friction_per_fs=FRICTION_PER_FS,
    )
    rng = np.random.default_rng([seed, plan.number])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)  # that is what it is sent out for
        mover = BiasedCalculator(calculator, plan.bias) if plan.bias else calculator
        frames, ended = langevin_frames(start, lambda _: mover, plan.temperature_K, settings, rng)
        seen, doubt = _looked_at(frames, calculator, plan)
    if seen:
        with naming(_frames(directory, plan)), replaced(_frames(directory, plan)) as there:
            write(there, seen, format="extxyz")
    life = len(seen) - bool(doubt)
    story = {"life_ps": life * FRAME_FS / 1000, "ended": doubt or ended}
    write_whole(_story(directory, plan), json.dumps(story).encode())


def _looked_at(frames: Sequence[Atoms], calculator, plan: RunPlan) -> tuple[list[Atoms], str]:
    """Return the frames up to the first that a monitor would stop, and why it would."""
    seen: list[Atoms] = []
    watch = None
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        atoms.get_forces()
        watch = watch or StructureWatch(atoms)
        frame.info |= {
            "kind": plan.kind,
            "at_goal": plan.at_goal,
            "uncertainty": uncertainty(atoms),
        }
        seen.append(frame)
        if found := watch.find(atoms):
            frame.info["stopped"] = True
            return seen, "; ".join(found.values())
    return seen, ""


def uncertainty(atoms: Atoms) -> float:
    """Return the calibrated std of the least certain force, eV/Å, of a structure that was evaluated."""
    std = uncertainty_of(atoms.calc).get("forces_std")
    if std is None:
        return 0.0
    scale = (limits_of(atoms.calc) or {}).get("forces_std_scale", 1.0)
    return float(scale * np.sqrt((std**2).sum(axis=1).max() / 3))


def _story(directory: Path, plan: RunPlan) -> Path:
    return directory / f"run_{plan.number:02d}.json"


def _frames(directory: Path, plan: RunPlan) -> Path:
    return directory / f"run_{plan.number:02d}.extxyz"


def _life(directory: Path, plan: RunPlan) -> Life:
    return Life(plan, **json.loads(_story(directory, plan).read_text(encoding="utf-8")))
