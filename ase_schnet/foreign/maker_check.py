"""Hold a converted model against the package that made it, which runs in a Python of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.neighbors import half_list
from ase_schnet.trained_model import TrainedModel
from ase_schnet.units import ENERGY_UNITS, LENGTH_UNITS, FileUnits

SCRIPT = Path(__file__).with_name("maker.py")
COMPARED = 100  # structures
#: Larger differences than these, of the network in float64, are not rounding: another function was read.
MOST_ENERGY_eV, MOST_FORCE_eV_per_Ang = 1e-5, 1e-5
#: Beginning of the origin of a network -> what the script calls it.
MAKERS = {
    "schnetpack 2": "schnetpack_2",
    "schnetpack 0": "schnetpack_1",
    "PyTorch Geometric": "pyg",
    "graph-pes": "graph_pes",
}


def check_with_maker(
    python: str | Path, files: list[Path], model: TrainedModel, dataset: Dataset, units: FileUnits
) -> dict:
    """Return how far energies and forces are from those of the network's own package, in float64.

    Parameters
    ----------
    python
        Python in whose environment the package is.
    files
        File of each member.
    model
        The converted model.
    dataset
        Structures; up to 100 of them are compared.
    units
        Of the files.

    Raises
    ------
    ForeignModelError
        If the package cannot be asked, or gives another answer.
    """
    origin = model.card["converted"]["origin"]
    maker = next((name for begin, name in MAKERS.items() if origin.startswith(begin)), None)
    if maker is None:
        raise ForeignModelError(f"models of {origin} cannot be checked with their package")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(COMPARED, len(dataset))).round())
    some = dataset.subset(chosen.astype(int))
    with tempfile.TemporaryDirectory() as folder:
        answers = _asked(Path(folder), python, maker, files, model, some, units)
    ours = [_evaluated(model, some, s) for s in range(len(some))]
    energies = np.stack([o.energies for o in ours], axis=1)  # (M, S)
    forces = np.concatenate([o.forces for o in ours], axis=1)  # (M, N, 3)
    differences = {
        "energy_max_difference_eV": float(np.abs(energies - answers["energies"]).max()),
        "forces_max_difference_eV_per_Ang": float(np.abs(forces - answers["forces"]).max()),
    }
    limits = (MOST_ENERGY_eV, MOST_FORCE_eV_per_Ang)
    if not all(d < limit for d, limit in zip(differences.values(), limits, strict=True)):
        off = " eV, ".join(f"{d:.2e}" for d in differences.values())
        raise ForeignModelError(
            f"{answers['package']} gives other answers: energies and forces are off by up to {off} eV/Å. The "
            "units, or what is said of the model, are not those of its file; nothing was written"
        )
    return {
        "with": str(answers["package"]),
        "n_structures": len(some),
        "dtype": "float64",
        **differences,
    }


def _evaluated(model: TrainedModel, dataset: Dataset, s: int):
    part = slice(dataset.ptr[s], dataset.ptr[s + 1])
    pairs = half_list(dataset.R[part], model.config["cutoff"], dataset.cells[s], dataset.pbc[s])
    return Ensemble(model).evaluate(dataset.Z[part], dataset.R[part], pairs)


def _asked(
    folder: Path,
    python: str | Path,
    maker: str,
    files: list[Path],
    model: TrainedModel,
    dataset: Dataset,
    units: FileUnits,
) -> dict:
    """Return what the package says: energies (M, S) in eV, forces (M, N, 3) in eV/Å, its name."""
    np.savez(
        folder / "structures.npz",
        Z=dataset.Z,
        R=dataset.R,
        ptr=dataset.ptr,
        cells=dataset.cells,
        pbc=dataset.pbc,
    )
    request = {
        "maker": maker,
        "files": [str(Path(file).absolute()) for file in files],
        "energy_unit_eV": ENERGY_UNITS[units.energy],
        "length_unit_Ang": LENGTH_UNITS[units.length],
        "cutoff_Ang": model.config["cutoff"],
        "scale_eV": model.scale.tolist(),
        "shift_eV": model.energy_shift.tolist(),
    }
    (folder / "request.json").write_text(json.dumps(request))
    # a copy: beside the script itself lie modules that are named like these packages
    script = shutil.copy(SCRIPT, folder)
    # another Python must not find the packages of this one
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), str(script), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise ForeignModelError(f"{python} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ForeignModelError(f"{python} could not evaluate the model with its package: {last}")
    with np.load(folder / "answers.npz") as answers:
        return dict(answers)
