"""Processes that begin where the imports end: forked from one that has imported torch, once for all tests.

For what becomes of a process: signals, locks, files, its workers. How a program begins and is imported is
tested with `subprocess`, which costs four seconds of a core where a training is to follow.
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    [
        "ase_schnet.cli.train",
        "ase_schnet.training.crossval",
        "ase.build",
        "ase.calculators.lj",
        "joblib",
        "pytest",
        *("factory", "learning_cases", "tuning_cases"),
    ]
)


def fork(function: Callable, *arguments, said: Path, **environment: str) -> BaseProcess:
    """Call a function in a process of its own, which writes stdout and stderr into the file `said`."""
    _begin()
    process = FORKSERVER.Process(target=_call, args=(function, arguments, said, environment))
    process.start()
    return process


def end(process: BaseProcess) -> None:
    """Kill a process that still runs, and wait for it."""
    process.kill()
    process.join()


def _begin() -> None:
    """Start the process that is forked from, if there is none; it finds helpers by the environment alone."""
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", here)
        ensure_running()


def _call(function: Callable, arguments: tuple, said: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with said.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    function(*arguments)
