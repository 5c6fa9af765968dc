"""Processes that begin where the imports end: forked from one that has imported torch, once for all tests.

For what becomes of a process: signals, locks, files, its workers. How a program begins and is imported is
tested with `subprocess`, which costs four seconds of a core where a training is to follow.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    [
        "ase_schnet.cli.train",
        "ase_schnet.plotting",
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


class ForkedWorkers(ForkServerContext):
    """Start the processes of `ase_schnet.runtime.processes.Workers`, in place of its `_Spawning`.

    They get their orders, are prepared and end in the same way, but begin where the imports end.
    """

    def __init__(self, name: str):
        super().__init__()
        _begin()
        self.name = name
        self.processes: list[BaseProcess] = []

    def Process(self, *args, **kwargs) -> BaseProcess:
        process = super().Process(*args, name=self.name, **kwargs)
        self.processes.append(process)
        return process


def end(process: BaseProcess) -> None:
    """Kill a process that still runs, and wait for it."""
    process.kill()
    process.join()


def python(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Do what Python does with these words on its command line, a script's or "-m" and a module's."""
    said = {name: folder / f".{name}" for name in ("stdout", "stderr")}
    for path in said.values():
        path.unlink(missing_ok=True)
    process = fork(_run, words, folder, said["stdout"], said=said["stderr"])
    process.join()
    texts = {name: path.read_text() for name, path in said.items()}
    return subprocess.CompletedProcess(words, process.exitcode, **texts)


def _run(words: list[str], folder: Path, stdout: Path) -> None:
    os.chdir(folder)
    with stdout.open("w") as file:
        os.dup2(file.fileno(), 1)
    as_module = words[0] == "-m"
    sys.argv = words[1:] if as_module else words
    if as_module:
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


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
