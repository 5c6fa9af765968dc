"""Learn a model from a structure, and extend it by what it ran into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from ase import Atoms

from ase_schnet.arguments import positive
from ase_schnet.learning.asked import add, apart
from ase_schnet.learning.loop import Loop
from ase_schnet.learning.resources import Resources
from ase_schnet.learning.result import LearnResult
from ase_schnet.learning.settings import LearnSettings
from ase_schnet.runtime.processes import refuse_to_start_again
from ase_schnet.runtime.progress import say


def learn(
    structures: Sequence[Atoms],
    directory: str | Path,
    settings: LearnSettings | None = None,
    *,
    hours: float | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    take_over: bool = False,
    time_limit_s: float | None = None,
    retry_failed: bool = False,
    tell: Callable[[str], None] = say,
) -> LearnResult:
    """Make a model of a molecule or a crystal from a reference method, and show how good it is.

    Every round, the model of the round before is run as it will be used; of the structures that it meets some
    are drawn at random, and those chosen that teach most (or drawn from hotter runs, where a cheap method
    pretrains). The reference labels them, the random ones judge that model, and its members are fitted to all
    labels, until it was good enough twice in a row, or the budget is spent. Then an ensemble is trained on
    all labels, from random weights or those of the model that `settings` name.

    Whatever ends the process, the same call goes on: no finished label is computed again.

    Parameters
    ----------
    structures
        One structure near rest, or several (conformers). Charge and multiplicity stand in ``info``.
    directory
        Of the learning, and the model directory that comes out.
    settings
        What is asked for; None: dynamics at 500 K by GFN2-xTB.
    hours
        No round begins later than this, h; None: no limit.
    jobs, executor
        Processes (None: all cores), and the executor for labels and fits, as in `label_structures` and
        `cross_validate`.
    take_over
        Go on although a process of another host is noted as working here.
    time_limit_s
        Longest time of one label, s; None: no limit. What takes longer has failed. Not with an executor.
    retry_failed
        Whether to try failed labels again, now that their cause is mended: before the next model is begun.
    tell
        Called with a line about each round.

    Raises
    ------
    ValueError
        For impossible arguments, other settings than those that it was begun with, too few labels.
    InputError, InUseError
        The reference can describe none of the structures; another process learns in `directory`.
    """
    refuse_to_start_again()
    if hours is not None:
        positive("hours", hours)
    resources = Resources(jobs, executor, take_over, tell, time_limit_s, retry_failed)
    loop = Loop(list(structures), Path(directory), settings or LearnSettings(), resources)
    with loop.locked():
        loop.begin()
        return loop.run(hours)


def extend_learning(
    directory: str | Path,
    collected: Sequence[Atoms],
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    take_over: bool = False,
    time_limit_s: float | None = None,
    retry_failed: bool = False,
    tell: Callable[[str], None] = say,
) -> LearnResult:
    """Label structures that a model of `learn` ran into, and train it anew with them.

    No round is begun: those that `hours` left undone are for `learn`.

    Parameters
    ----------
    directory
        Of a finished learning.
    collected
        Structures, such as a monitor's ``collected.extxyz``. Left out are those that were labelled before,
        and those whose atoms collide, such as the last of a run that a collision ended.
    jobs, executor, take_over, time_limit_s, retry_failed, tell
        As in `learn`.

    Raises
    ------
    ValueError
        No finished learning there, structures of something else, and what `learn` raises.
    InputError
        Positions are not numbers.
    """
    refuse_to_start_again()
    resources = Resources(jobs, executor, take_over, tell, time_limit_s, retry_failed)
    loop = Loop.of_directory(Path(directory), resources)
    with loop.locked():
        loop.begin()
        whole = apart(collected)
        if n := len(collected) - len(whole):
            tell(f"{n} of {len(collected)} structures left out: their atoms collide")
        if not add(loop.directory, whole, loop.starts[0]):
            tell("all of these structures were labelled before")
        return loop.run(None, begins_rounds=False)
