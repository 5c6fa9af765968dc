"""Runs the code blocks of the pages as they stand there, made short by options that follow them."""

import ast
import inspect
import itertools
import os
import re
import shlex
import shutil
import subprocess
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from importlib import import_module
from pathlib import Path

from ase.cli.main import main as ase_main
from code_blocks import ROOT, Block, commands_of, subcommands_in
from mpi_runs import mpirun

import ase_schnet
from ase_schnet.cli import main

#: What makes a command short: options that are added to it. The first line that is found in it counts.
QUICK = [
    (r"\btrain .* --baseline", "--folds 2 --epochs 1 --interactions 1 --jobs 1"),
    (r"\btrain .* --fold ", "--folds 2 --epochs 2 --interactions 1 --jobs 1 --no-plot"),
    (r"\btrain (?!-)", "--folds 2 --epochs 1 --interactions 1 --jobs 1 --no-plot"),
    (
        r"schnet md ethanol .*nvt .*-o nvt$",
        "--time 0.8 --timestep 1 --time-constant 10 --trajectory-every 5 --no-plot",
    ),
    (r"schnet md methanol", "--time 0.4 --trajectory-every 8 --no-plot"),
    (r"schnet md .*--ensemble npt", "--time 0.04 --no-plot"),
    (r"schnet md .*(--replicas|--ensemble nvt)", "--time 0.04"),
    (r"schnet md\b", "--time 0.04 --test-time 0.02"),
    (r"\blammps\b", "--time 0.02"),
    (r"\bspectrum\b", "--resolution 130"),
    (r"\bscan\b.*--dihedral.*--dihedral", "--points 3 2"),
    (r"\bscan\b", "--points 4"),
    (r"\bsample\b", "-n 4 --jobs 1"),
    (r"\blabel\b", "--jobs 1"),
    (r"\blearn\b", "--budget 28 --members 2 --life 0.06 --cheap none --jobs 1"),
]
#: Exit codes besides 0: of runs too short to judge, trainings of one epoch, learnings of few labels.
VERDICTS = {
    "drift": (3,),
    "md": (3,),
    "lammps": (3,),
    "train": (1,),
    "assemble": (1,),
    "learn": (1,),
}
#: Subcommands that take more than a second or so: their blocks are run by the tests that are marked slow.
SLOW = {"tune", "train", "assemble", "learn", "lammps", "label", "sample"}
SLOW_NAMES = {
    *(
        "cross_validate",
        "train_fold",
        "assemble_ensemble",
        "pair_members",
        "pretrained",
        "run_lammps",
    ),
    *("learn", "extend_learning", "label_structures", "sample_structures", "DeltaCalculator"),
}
#: The same for Python.
QUICK_PYTHON = [
    (r"epochs=\d+", "epochs=1"),
    (r"FitSettings\(\)", "FitSettings(epochs=1)"),
    (r"n_folds=\d+", "n_folds=2"),
    (r"n_kept_out=50\b", "n_kept_out=9"),
    (r"range\(1, 6\)", "range(1, 3)"),
    (r"time_ps=20\b", "time_ps=0.01"),
    (r"cheap, 40, plan", "cheap, 4, jobs=1, plan"),
    # several processes, each of which would import torch first, are other tests' business
    (r"n_jobs=2", "n_jobs=1"),
    (r'"cheap_2.extxyz"', '"cheap_2.extxyz", jobs=1'),
    (r"recipe, resume=True", "recipe, resume=True, jobs=1"),
]

#: Commands that no test runs, and why. Each is parsed, so that its options exist.
NOT_RUN = {
    r"\btune\b": "takes an hour; tests/tuning runs short searches",
    r"--settings": "needs the search before it",
    r"--pretrain": "labels 34,000 structures: half an hour; tests/pretraining runs a small one",
    r"pyscf:": "minutes of density functional theory a structure; tests/labelling runs one molecule of it",
    r"--to metatomic": "needs an environment of its own; benchmarks/foreign/metatomic_round_trip.py is one",
    r"--check-with": "needs the network's own package in another Python; benchmarks/foreign compares",
    r"\bserve\b|--server": "runs until it is stopped; tests/external/test_server.py asks servers",
    r"chgnet_reference": "needs chgnet, and an hour; benchmarks/learning.md has the figures",
    r"--continue": "learns twice; tests/learning does so with springs as the reference",
}


def is_slow(block: Block) -> bool:
    """Say whether a block takes more than a second or two."""
    if block.language == "python":
        return any(re.search(rf"\b{name}\(", block.text) for name in SLOW_NAMES)
    return any(name in SLOW for line in commands_of(block) for name in subcommands_in(line))


def run_python(block: Block, namespace: dict) -> None:
    """Execute a block of Python in the names that the blocks before it left."""
    text = block.text
    for pattern, short in QUICK_PYTHON:
        text = re.sub(pattern, short, text)
    code = compile("\n" * block.line + text, block.page, "exec")
    with warnings.catch_warnings():  # a page may change the filters, as a script may
        exec(code, namespace)


def run_shell(line: str) -> str:
    """Run one line of shell; return how, for a count: "run" or "checked"."""
    loop = re.fullmatch(r"for (\w+) in ([^;]+); do (.+); done", line)
    if loop:
        for value in loop[2].split():
            run_shell(re.sub(rf"\${loop[1]}\b", value, loop[3]))
        return "run"
    if ";" in line.split("#")[0]:
        for part in line.split(";"):
            run_shell(part.strip())
        return "run"
    words = shlex.split(line, comments=True)
    if re.search(r"\bpip install\b", line):
        return _check_installation(line)
    if words[0] == "ase":
        ase_main(args=words[1:])
    elif words[0] == "cp":
        subprocess.run([*words[:-1], _fresh(words[-1])], check=True)
    elif words[0] in ("ase-schnet", "mpiexec"):
        return _run_command(line, words)
    else:
        raise ValueError(f"no way to run {line!r}: say it in tests/helpers/page_runs.py")
    return "run"


def _run_command(line: str, words: list[str]) -> str:
    if any(re.search(pattern, line) for pattern in NOT_RUN):
        parsed(words)
        return "checked"
    extra = next((more for pattern, more in QUICK if re.search(pattern, line)), "")
    words = [
        *itertools.chain(*(sorted(glob(w)) if "[" in w else [w] for w in words)),
        *extra.split(),
    ]
    command = words[words.index("ase-schnet") + 1]
    if words[0] == "mpiexec":
        mpirun(2, "-m", "ase_schnet", *words[words.index("ase-schnet") + 1 :])
        return "run"
    with _moved_away(command, words), warnings.catch_warnings():
        warnings.simplefilter("default")  # a reader sees warnings printed
        code = main(words[1:])
    assert code in (0, *VERDICTS.get(command, ())), f"exit code {code}: {line}"
    return "run"


@contextmanager
def _moved_away(command: str, words: list[str]) -> Iterator[None]:
    """Move a model that stands in for the one to be trained, and bring it back: one epoch makes no model."""
    output = Path(words[words.index("-o") + 1]) if command == "train" else Path("none")
    stand_in = output.with_name(f"{output.name}.stand-in")
    moved = command == "train" and "--fold" not in words and output.exists()
    if moved:
        output.rename(stand_in)
    yield
    if moved:
        assert (output / "model.json").exists()
        shutil.rmtree(output)
        stand_in.rename(output)


def check_python(block: Block) -> None:
    """Check what can be without running: names that are imported, arguments of our functions."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ase_schnet"):
            for alias in node.names:
                assert getattr(import_module(node.module), alias.name) is not None
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ase_schnet.__all__:
            function = getattr(ase_schnet, node.func.id)
            named = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(function).bind(*node.args, **named)


def parsed(words: list[str]) -> None:
    """Parse a command, so that at least its options exist."""
    from ase_schnet.cli import build_parser

    build_parser().parse_args(words[words.index("ase-schnet") + 1 :])


def _fresh(name: str) -> str:
    """Refuse to copy into a folder that is there, where cp would make a folder in it."""
    assert not Path(name).exists(), name
    return name


def _check_installation(line: str) -> str:
    """Compare the extras that a page names with those that there are; nothing is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    named = re.findall(r"(?:ase.schnet|\.)\[([\w,]+)\]", line)
    assert all(set(group.split(",")) <= known for group in named), line
    assert named or "pip install ." in line or "pip install -e ." in line, line
    return "checked"


def check_script(block: Block, folder: Path) -> None:
    """Check a script for a scheduler: bash reads it, and the commands of ase-schnet in it parse."""
    path = folder / "script.sh"
    path.write_text(block.text)
    subprocess.run(["bash", "-n", path], check=True)
    for line in commands_of(block):
        for words in _commands_in(line):
            parsed([re.sub(r"\$\w+", "1", word) for word in words])


def _commands_in(line: str):
    quoted = re.search(r'--wrap "([^"]+)"', line)
    text = quoted[1] if quoted else line
    text = text.replace("-m ase_schnet", "ase-schnet")
    if "ase-schnet " in text:
        yield shlex.split(text[text.index("ase-schnet") :])


def environment() -> dict[str, str]:
    """Return the environment of processes that import this checkout."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
