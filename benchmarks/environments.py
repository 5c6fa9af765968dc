"""One virtual environment per peer, outside the repository, made once and reused.

torch comes first and must be a CPU build: what pip would install is asked beforehand, and anything that
would bring CUDA packages is refused. With several recipes for a peer, the first that imports is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
MARK = "recipe.json"  # written last: an environment without it is made anew
# what schnetpack imports; its own list also names black, pre-commit, pytest and tensorboard
SCHNETPACK_NEEDS = (
    *("numpy>=2", "ase", "scipy", "h5py", "pyyaml", "hydra-core", "hydra-colorlog", "tensorboard"),
    *("pytorch_lightning", "torchmetrics", "fasteners", "dirsync", "torch-ema", "matscipy>=1.1"),
    *("vesin", "tqdm", "rich", "petname", "progressbar", "sympy", "tensorboardX"),
)


SCHNETPACK_1_NEEDS = ("numpy", "ase", "h5py", "tqdm", "pyyaml", "tensorboardX", "scipy")


class CannotInstall(RuntimeError):
    """A peer that could not be installed; the message is one line for the table."""


@dataclass(frozen=True)
class Recipe:
    """How to install one version of a peer: `steps` are argument lists for `pip install`."""

    version: str
    steps: tuple[tuple[str, ...], ...]
    imports: str
    says: str
    python: tuple[tuple[int, int], tuple[int, int]] = ((3, 11), (3, 99))


RECIPES = {
    "schnetpack": (
        Recipe("2.2.0", (("schnetpack==2.2.0",),), "schnetpack", "pip install", ((3, 12), (3, 99))),
        Recipe(  # its wheel asks for 3.12, its code runs on 3.11; 2.1.1 does not import with this torch
            "2.2.0",
            (
                SCHNETPACK_NEEDS,
                ("--ignore-requires-python", "--no-deps", "schnetpack==2.2.0"),
            ),
            "schnetpack",
            "wheel unchanged, --ignore-requires-python --no-deps, and its needs by hand",
        ),
    ),
    "graph-pes": (Recipe("1.0.2", (("graph-pes==1.0.2",),), "graph_pes", "pip install"),),
    "pyg": (
        Recipe("2.8.1", (("torch_geometric==2.8.1", "ase"),), "torch_geometric", "pip install"),
    ),
    "schnetpack-1": (
        Recipe(  # its own list also names tools for tests; it is of 2021
            "1.0.1",
            (SCHNETPACK_1_NEEDS, ("--no-deps", "schnetpack==1.0.1")),
            "schnetpack",
            "wheel unchanged, --no-deps, and its needs by hand",
        ),
    ),
    "mace": (Recipe("0.3.16", (("mace-torch==0.3.16",),), "mace", "pip install"),),
}


def ensure_environment(peer: str, venvs: Path) -> tuple[Path, str]:
    """The Python of a peer's environment and how it was installed; installs it where needed.

    Raises
    ------
    CannotInstall : no recipe worked; `<venvs>/<peer>.log` has pip's whole output.
    """
    home = venvs / peer
    python = home / "bin/python"
    recipes = [r for r in RECIPES[peer] if r.python[0] <= sys.version_info[:2] <= r.python[1]]
    mark = home / MARK
    if mark.exists():
        found = json.loads(mark.read_text())
        if found["recipes"] == _digest(recipes) and python.exists():
            return python, found["says"]
    reasons = []
    for recipe in recipes:
        try:
            _install(recipe, home, venvs / f"{peer}.log")
        except CannotInstall as reason:
            reasons.append(f"{recipe.version}: {reason}")
            continue
        says = f"{recipe.version}, {recipe.says}"
        mark.write_text(json.dumps({"recipes": _digest(recipes), "says": says}) + "\n")
        return python, says
    raise CannotInstall("; ".join(dict.fromkeys(reasons)))


def _digest(recipes: list[Recipe]) -> str:
    return hashlib.sha256(f"{TORCH} {sys.version} {recipes}".encode()).hexdigest()


def _install(recipe: Recipe, home: Path, log_path: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    python = str(home / "bin/python")
    with log_path.open("a") as log:
        _run([sys.executable, "-m", "venv", str(home)], log, "venv failed")
        _refuse_cuda(python, log)
        for step in ((TORCH,), *recipe.steps):
            command = [python, "-m", "pip", "install", *step]
            _run(command, log, f"pip install {step[-1]} failed, see {log_path}")
        _run([python, "-c", f"import {recipe.imports}"], log, f"import failed, see {log_path}")


def _run(command: list[str], log, complaint: str) -> None:
    if subprocess.run(command, stdout=log, stderr=log, env=_environment()).returncode:
        raise CannotInstall(complaint)


def _environment() -> dict[str, str]:
    """Without PYTHONPATH, which would mix our packages with a peer's."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def _refuse_cuda(python: str, log) -> None:
    command = [python, "-m", "pip", "install", "-q", "--dry-run", "--report", "-", TORCH]
    asked = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, env=_environment())
    if asked.returncode:
        raise CannotInstall(
            f"pip finds no {TORCH} for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    names = [item["metadata"]["name"] for item in json.loads(asked.stdout)["install"]]
    if any(name.startswith(("nvidia", "cuda", "triton")) for name in names):
        raise CannotInstall(
            f"pip would install {TORCH} with CUDA: point PIP_FIND_LINKS or PIP_INDEX_URL at a CPU build"
        )
