"""Label structures with a reference method, in processes here or elsewhere; a stop loses next to nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import InputError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_schnet.labelling.dispatch import Dispatcher, Inline, width_of
from ase_schnet.labelling.jobs import Job, Outcome, job_of
from ase_schnet.labelling.journal import Journal
from ase_schnet.labelling.methods import Reference, whole_electrons
from ase_schnet.labelling.reference import read_reference
from ase_schnet.runtime.cores import cores
from ase_schnet.runtime.files import naming, replaced
from ase_schnet.runtime.processes import Workers, refuse_to_start_again
from ase_schnet.runtime.progress import Tally
from ase_schnet.structures.electrons import NOTHING, stated
from ase_schnet.structures.old_results import without_results
from ase_schnet.units import PACKAGE_UNITS

SUFFIXES = (".extxyz", ".xyz")
#: Share of structures without a label above which `LabelResult.warning` speaks.
MANY_FAILURES = 0.05
NO_LIMIT = (
    "a time limit is kept by processes of this machine, not by an executor or a scheduler: limit the time of "
    "jobs there, or in the calculator"
)
_NUMBERED = re.compile(r" \(atoms \[[^]]*\]\)")  # else each structure has its own reason


@dataclass(frozen=True, eq=False)
class LabelResult:
    """Hold what became of a list of structures.

    Attributes
    ----------
    frames
        Labelled structures in the order given, each with a calculator of energy (eV), forces (eV/Å) and, for
        crystals, stress (eV/Å³). ``info`` is kept, with ``level_of_theory`` and ``units`` added.
    failures
        Number of a structure, from 0, -> why it has no label.
    n_computed
        How many labels were computed now; the others were there already.
    level_of_theory
        Of the labels.
    """

    frames: list[Atoms]
    failures: dict[int, str]
    n_computed: int
    level_of_theory: str

    def summary(self) -> str:
        """Return one line: how many are labelled, how many are not, and why."""
        n, lost = len(self.frames), len(self.failures)
        text = f"{n} structure{'s' * (n != 1)} labelled with {self.level_of_theory}"
        if self.n_computed < n:
            text += f" ({self.n_computed} of them now)"
        if not lost:
            return f"{text}, none failed"
        reasons = Counter(self.failures.values()).most_common()
        told = [f"{count} x {reason}" for reason, count in reasons[:3]]
        rest = sum(count for _, count in reasons[3:])
        told += [f"{rest} for other reasons"] if rest else []
        return f"{text}, {lost} failed: {'; '.join(told)}"

    def warning(self) -> str | None:
        """Return one line that names the commonest reason if more than 5 % have no label; else None."""
        total, lost = len(self.frames) + len(self.failures), len(self.failures)
        if lost <= MANY_FAILURES * total:
            return None
        reason, count = Counter(self.failures.values()).most_common(1)[0]
        first = next(number for number, why in self.failures.items() if why == reason)
        return (
            f"{lost} of {total} structures ({100 * lost / total:.0f} %) have no label, most often ({count}) "
            f"because: {reason} (structure {first} is the first)"
        )


def label_structures(
    frames: Iterable[Atoms],
    reference: Reference | str,
    path: str | Path | None = None,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    charge: int | None = None,
    multiplicity: int | None = None,
    retry_failed: bool = False,
    take_over: bool = False,
    progress: bool | None = None,
) -> LabelResult:
    """Compute energies and forces of structures with a reference method, and write them to a file.

    Each label is on disk, in ``<path>.journal``, as soon as it is there. Whatever ends the process, the same
    call goes on and computes nothing twice, also if the structures are more or in another order by then.

    Parameters
    ----------
    frames
        Structures; they are not changed. Old labels and constraints are left out.
    reference
        Method (perhaps `Reference.within` a time), or its text: ``"gfn2-xtb"``, ``"pyscf:PBE/def2-SVP"``.
    path
        Extended xyz file, readable by ``ase-schnet train``. None: the labels are only returned.
    executor, jobs
        Any executor of `concurrent.futures`' kind, as of Dask (``Client(...).get_executor()``), and how many
        jobs it does at a time. None: processes of this machine, on all cores; with ``jobs=1`` this one alone.
    charge, multiplicity
        Of all structures; they are written into ``info``. None: what each states, else 0 and the lowest
        multiplicity. A molecule with an odd number of electrons must state one of them.
    retry_failed, take_over, progress
        Compute those anew that have failed; count a process of another host that labels into `path` as dead;
        show a bar (None: on a terminal).

    Raises
    ------
    InputError
        The method can describe none of the structures.
    ValueError, BrokenProcessPool
        No structures, a reference unknown or missing, `path` of another one or in use; no process can start.
    """
    refuse_to_start_again()
    reference = read_reference(reference) if isinstance(reference, str) else reference
    frames = [_bare(atoms, charge, multiplicity) for atoms in frames]
    path = _checked(path, frames, jobs, executor is not None and reference.time_limit_s is not None)
    prepared = [job_or_refusal(atoms, reference) for atoms in frames]
    wanted = {job.key: job for job in prepared if isinstance(job, Job)}
    if not wanted:
        raise InputError(f"none of the structures can be labelled: {prepared[0]}")
    with _recorded(path, reference, take_over) as (known, add):
        left = [job for key, job in wanted.items() if _is_missing(known.get(key), retry_failed)]
        with _opened(executor, jobs, len(left), reference) as (opened, width):
            outcomes = Dispatcher(reference, opened, width).run(left)
            for outcome in _shown(outcomes, len(wanted), len(left), progress):
                add(outcome)
        result = _result(frames, prepared, known, reference, {job.key for job in left})
        _write(path, result.frames)
    return result


def _write(path: Path | None, frames: list[Atoms]) -> None:
    if path is not None and frames:
        with naming(path), replaced(path) as there:
            write(there, frames, format="extxyz")


def _shown(
    outcomes: Iterable[Outcome], total: int, left: int, progress: bool | None
) -> Iterator[Outcome]:
    """Pass outcomes on, with a bar."""
    with Tally(total, "labelling", "structure", done=total - left, show=progress) as bar:
        for outcome in outcomes:
            yield outcome
            bar.update()


def _checked(
    path: str | Path | None, frames: list[Atoms], jobs: int | None, limited_elsewhere: bool
) -> Path | None:
    if limited_elsewhere:
        raise ValueError(NO_LIMIT)
    if not frames:
        raise ValueError("there are no structures to label")
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"jobs must be a number >= 1, got {jobs!r}")
    if path is None:
        return None
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: labels are written as extended xyz: end the name in .extxyz")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    return path


def _bare(atoms: Atoms, charge: int | None, multiplicity: int | None) -> Atoms:
    """Return a copy without labels and constraints; it states the charge and multiplicity that are given."""
    bare = atoms.copy()
    bare.set_constraint()
    bare.info, bare.arrays = without_results(bare.info), without_results(bare.arrays)
    given = {"charge": charge, "multiplicity": multiplicity}
    bare.info |= {key: value for key, value in given.items() if value is not None}
    return bare


def job_or_refusal(atoms: Atoms, reference: Reference) -> Job | str:
    """Return the job of a structure, or why the method cannot describe it."""
    try:
        charge, multiplicity = whole_electrons(atoms)
        reference.require_supported(atoms, charge, multiplicity)
    except InputError as error:
        return _NUMBERED.sub("", str(error))
    if (
        stated(atoms.info, atoms.arrays) == NOTHING
        and not atoms.pbc.any()
        and reference.needs_electrons
    ):
        electrons = int(atoms.numbers.sum())
        if electrons % 2:
            return (
                f"{atoms.get_chemical_formula()} has {electrons} electrons if it is neutral, an odd number: "
                "state its charge, or its multiplicity if it is a radical (charge=, multiplicity=, or info "
                "of each structure)"
            )
    return job_of(atoms, charge, multiplicity)


def _is_missing(outcome: Outcome | None, retry_failed: bool) -> bool:
    return outcome is None or (retry_failed and outcome.failure is not None)


@contextmanager
def _recorded(
    path: Path | None, reference: Reference, take_over: bool
) -> Iterator[tuple[dict[str, Outcome], Callable[[Outcome], None]]]:
    """Open the journal, if there is a file to write; give what is known, and a function that adds to it."""
    if path is None:
        known: dict[str, Outcome] = {}
        yield known, lambda outcome: known.update({outcome.key: outcome})
        return
    with Journal(path, reference, take_over=take_over) as journal:
        yield journal.outcomes, journal.add


@contextmanager
def _opened(
    executor: Executor | None, jobs: int | None, n_left: int, reference: Reference
) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """Give an executor, and how many bundles it is handed at a time; end the processes that were started.

    What has a limit of time is not done in this process, which would have to end with it.
    """
    if executor is not None:
        yield executor, width_of(executor, jobs)
        return
    n_processes = min(jobs or cores(), n_left)
    if not n_left or (n_processes <= 1 and reference.time_limit_s is None):
        yield Inline(), width_of(Inline(), None)
        return
    with Workers("labelling", n_processes) as workers:
        yield workers, width_of(workers, None)


def _result(
    frames: Sequence[Atoms],
    prepared: Sequence[Job | str],
    known: dict[str, Outcome],
    reference: Reference,
    computed: set[str],
) -> LabelResult:
    """Put the labels to the structures, in their order."""
    labelled, failures, n_computed = [], {}, 0
    for number, (atoms, job) in enumerate(zip(frames, prepared, strict=True)):
        outcome = Outcome("", failure=job) if isinstance(job, str) else known[job.key]
        if outcome.failure is not None:
            failures[number] = outcome.failure
            continue
        atoms.info |= {"level_of_theory": reference.level_of_theory, "units": str(PACKAGE_UNITS)}
        results = {"energy": outcome.energy, "forces": outcome.forces, "stress": outcome.stress}
        given = {name: value for name, value in results.items() if value is not None}
        atoms.calc = SinglePointCalculator(atoms, **given)
        labelled.append(atoms)
        n_computed += outcome.key in computed
    return LabelResult(labelled, failures, n_computed, reference.level_of_theory)
