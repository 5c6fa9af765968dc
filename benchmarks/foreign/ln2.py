"""What a ln 2 in float32 does to energies: `python -m benchmarks.foreign.ln2 --python PYTHON`.

graph-pes and PyTorch Geometric subtract ln 2 in their shifted softplus as float32 has it, also when the
network is cast to float64. Here our network of torch has that constant for once, and is held against their
answers again. The molecules are those of tests/data/foreign; the boxes of water are made by PYTHON, that of
an environment with graph-pes. Writes ln2.json; the page is foreign.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ase_schnet import convert_model
from ase_schnet.data.dataset import Dataset
from ase_schnet.inference import torch_ensemble
from ase_schnet.neighbors import half_list
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import LOG2
from ase_schnet.units import ENERGY_UNITS
from benchmarks.foreign.compare import DATA, HERE, MODELS, TESTS, frames_of, write_page

BOXES, STEPS = 20, 30  # as in compare.py


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--python", required=True, help="of an environment with graph-pes")
    python = parser.parse_args().python
    found = {kind: differences(TESTS / kind) for kind in ("pyg", "graph-pes")}
    with tempfile.TemporaryDirectory() as name:
        more = ["--frames", str(BOXES), "--steps", str(STEPS)]
        command = [python, HERE / "make.py", "graph-pes-periodic", DATA, name, *more]
        subprocess.run([str(part) for part in command], check=True)
        found["graph-pes-periodic"] = differences(Path(name))
    write_whole(HERE / "ln2.json", (json.dumps(found, indent=1) + "\n").encode())
    write_page()


def differences(folder: Path) -> dict:
    """Return the differences from the package's own answers, of networks with each constant."""
    data = dict(np.load(folder / "reference.npz"))
    frames, unit = frames_of(data), ENERGY_UNITS[str(data["units"])]
    file = next(f for f in folder.iterdir() if f.name in MODELS)
    with tempfile.TemporaryDirectory() as name:
        model = convert_model(
            file,
            Path(name) / "model",
            dataset=Dataset.from_atoms(frames),
            units=str(data["units"]),
        ).model
    result: dict = {"n_structures": len(frames), "n_atoms": len(frames[0])}
    cutoff = model.config["cutoff"]
    for constant, log2 in (("ln 2", LOG2), ("ln 2 in float32", float(np.float32(LOG2)))):
        torch_ensemble.LOG2 = log2
        engine = torch_ensemble.TorchEnsemble(model)
        pairs = [half_list(a.positions, cutoff, a.cell.array, a.pbc) for a in frames]
        each = [
            engine.evaluate(a.numbers, a.positions, p) for a, p in zip(frames, pairs, strict=True)
        ]
        off = np.array([p.energies[0] for p in each]) - unit * data["energies_float64"]
        forces = np.concatenate([p.forces[0] for p in each]) - unit * data["forces_float64"]
        result[constant] = {
            "energy_eV": float(np.abs(off).max()),
            "energy_without_constant_eV": float(np.abs(off - off.mean()).max()),
            "forces_eV_per_Ang": float(np.abs(forces).max()),
        }
    torch_ensemble.LOG2 = LOG2
    return result


if __name__ == "__main__":
    main()
