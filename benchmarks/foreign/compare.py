"""Converted models against the packages that made them: `python -m benchmarks.foreign.compare`.

Each package makes a small model of real data in an environment of its own (`make.py`), it is converted,
and both are asked for energies and forces of 200 structures of ethanol (rMD17), or 20 boxes of 192 atoms of
water. Writes foreign.json and foreign.md. What is done is kept: run again, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet import convert_model
from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list
from ase_schnet.runtime.files import write_whole
from ase_schnet.units import ENERGY_UNITS
from benchmarks.environments import ensure_environment
from benchmarks.foreign.ln2_section import ln2_section
from benchmarks.foreign.nff_section import nff_section

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared/data"
TESTS, MODELS = HERE.parents[1] / "tests/data/foreign", ("best_model", "model.pt")
KINDS = {  # name -> environment
    "schnetpack-2": "schnetpack",
    "schnetpack-2-periodic": "schnetpack",
    "schnetpack-1": "schnetpack-1",
    "schnetpack-1-periodic": "schnetpack-1",
    "pyg": "pyg",
    "graph-pes": "graph-pes",
    "graph-pes-periodic": "graph-pes",
}


def main() -> None:
    """Make, convert, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--frames", type=int, default=200, help="structures of ethanol")
    parser.add_argument("--boxes", type=int, default=20, help="boxes of water")
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument(
        "--store", type=int, help="write so many structures into tests/data/foreign"
    )
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/ase_schnet/foreign")
    parser.add_argument("--venvs", type=Path, default=Path.home() / ".cache/ase_schnet/peers")
    options = parser.parse_args()
    path = HERE / "foreign.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for kind in options.only:
        if kind in results:
            continue
        folder = options.work / kind
        frames = options.boxes if kind.endswith("-periodic") else options.frames
        steps = options.steps // 10 if kind.endswith("-periodic") else options.steps
        more = ["--frames", str(frames), "--steps", str(steps)]
        if not (folder / "reference.npz").exists():
            python, _ = ensure_environment(KINDS[kind], options.venvs)
            command = [python, HERE / "make.py", kind, DATA, folder, *more]
            subprocess.run([str(part) for part in command], check=True)
        if options.store:
            store(kind, folder, options.store)
        results[kind] = compared(kind, folder)
        results[kind]["command"] = f"make.py {kind} ../shared/data {folder.name} {' '.join(more)}"
        write_whole(path, (json.dumps(results, indent=1) + "\n").encode())
    write_page()


def write_page() -> None:
    """Write foreign.md from what was measured so far."""
    text = table(json.loads((HERE / "foreign.json").read_text()))
    for name, section in (("ln2", ln2_section), ("nff_ethanol", nff_section)):
        path = HERE / f"{name}.json"
        text += section(json.loads(path.read_text())) if path.exists() else ""
    write_whole(HERE / "foreign.md", text.encode())


def frames_of(data: dict) -> list[Atoms]:
    """Return the structures of a reference.npz."""
    ends = np.cumsum(data["sizes"])[:-1]
    parts = (
        np.split(data["numbers"], ends),
        np.split(data["positions"], ends),
        data["cells"],
        data["pbc"],
    )
    return [Atoms(z, r, cell=c, pbc=p) for z, r, c, p in zip(*parts, strict=True)]


def compared(kind: str, folder: Path) -> dict:
    """Return the largest differences of a converted model from its package's own answers."""
    data = dict(np.load(folder / "reference.npz"))
    file = next(f for f in folder.iterdir() if f.name in MODELS)
    unit = ENERGY_UNITS[str(data["units"])]
    frames = frames_of(data)
    output = folder / f"converted-{time.time():.0f}"
    model = convert_model(
        file, output, dataset=Dataset.from_atoms(frames), units=str(data["units"])
    ).model
    result = {
        "package": str(data["package"]),
        "n_structures": len(frames),
        "largest_force_eV_per_Ang": float(unit * np.abs(data["forces_float64"]).max()),
    }
    engines = {
        "float64": Ensemble(model),
        "float32": Ensemble(model, "float32"),
        "network": TorchEnsemble(model),  # in float64; the compiled engine has splines as filters
    }
    for name, engine in engines.items():
        dtype = engine.dtype
        found = [
            engine.evaluate(
                a.numbers,
                a.positions,
                half_list(a.positions, model.config["cutoff"], a.cell.array, a.pbc),
            )
            for a in frames
        ]
        energies = np.array([p.energies[0] for p in found])
        forces = np.concatenate([p.forces[0] for p in found])
        expected = unit * data[f"energies_{dtype}"]
        result[name] = {
            "energy_eV": float(np.abs(energies - expected).max()),
            "forces_eV_per_Ang": float(np.abs(forces - unit * data[f"forces_{dtype}"]).max()),
            "grain_of_energy_eV": float(np.spacing(np.abs(expected).max().astype(dtype))),
        }
    return result


def store(kind: str, folder: Path, n: int) -> None:
    """Keep a model and its package's answers of the first n structures for the tests."""
    data, output = dict(np.load(folder / "reference.npz")), TESTS / kind
    output.mkdir(parents=True, exist_ok=True)
    atoms = data["sizes"][:n].sum()
    ends = {"numbers": atoms, "positions": atoms, "forces_float64": atoms, "forces_float32": atoms}
    few = {
        name: array[: ends.get(name, n)] if np.ndim(array) else array
        for name, array in data.items()
    }
    np.savez_compressed(output / "reference.npz", **few)
    shutil.copy(next(f for f in folder.iterdir() if f.name in MODELS), output)


def table(results: dict) -> str:
    """Return the results as Markdown."""
    lines = [
        "# Converted models against the packages that made them",
        "",
        "Largest difference of all structures, energy in eV and forces in eV/Å; both sides in the "
        "precision of the column. Network: our engine of torch, in float64. Compiled: the engine that "
        "runs, whose filters are splines. The grain is the spacing of floating-point numbers at the size "
        "of the energies, which carry those of single atoms. `python -m benchmarks.foreign.compare`",
        "",
        "| model | package | structures | largest force | energy (grain), network | forces, network "
        "| energy, compiled float64 | forces | energy (grain), compiled float32 | forces |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, r in results.items():
        cells = [kind, r["package"], str(r["n_structures"]), f"{r['largest_force_eV_per_Ang']:.1f}"]
        for name in ("network", "float64", "float32"):
            d = r[name]
            grain = "" if name == "float64" else f" ({d['grain_of_energy_eV']:.0e})"
            cells += [f"{d['energy_eV']:.1e}{grain}", f"{d['forces_eV_per_Ang']:.1e}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
