"""Checks and speeds of a GPU in one command: `python -m benchmarks.gpu`.

No GPU has run it yet; the tests run it with `--device cpu`. For ethanol, 64 ethanols at once and boxes of
water it holds our network of torch on the device (`SchNetCalculator(device="cuda")`) and the exported
module of TorchScript, batched over replicas, against the compiled engine in float64, and measures them
beside it. With `--schnetpack PYTHON`, of an environment with schnetpack and torch for the card, its own
calculator runs a network of the same shape on the same card. Random weights, one member. Writes gpu.md;
exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms

from ase_schnet import SchNetCalculator, export_model, load_model
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import VerletList
from ase_schnet.runtime.files import write_whole
from benchmarks.cases import build_case, write_case
from benchmarks.processor import machine

HERE = Path(__file__).resolve().parent
CONTESTANTS = HERE / "contestants"
CASES = ("ethanol", "water-1536", "water-12288")
LIMITS = {"float64": 1e-6, "float32": 1e-3}  # eV/Å; splines of the compiled engine, rounding
SHIFT_ANG = 0.01  # by which atoms are moved from call to call


class Row(NamedTuple):
    """Hold a line of the table: milliseconds of a call, and the largest difference of a force."""

    case: str
    who: str
    dtype: str
    ms: float
    off: float | None


def main(argv: list[str] | None = None) -> int:
    """Check, measure, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--schnetpack", metavar="PYTHON", help="of an environment with schnetpack")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "gpu.md")
    options = parser.parse_args(argv)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        print(f"torch finds no GPU for --device {options.device}: --device cpu tries this script")
        return 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(sys.executable, "run_ours.py", folder)
        model = folder / "members-1"
        for case in options.cases:
            rows += one_structure(model, case, options)
        rows += batched(model, folder, options)
        if options.schnetpack:
            rows += schnetpack(folder, options)
    write_whole(options.output, page(rows, options).encode())
    wrong = [row for row in rows if row.off is not None and not row.off < LIMITS[row.dtype]]
    for row in wrong:
        print(f"{row.case}, {row.who}, {row.dtype}: forces differ by {row.off:.1e} eV/Å")
    return 1 if wrong else 0


def prepare(python: str, script: str, folder: Path) -> None:
    """Write the random models of a contestant."""
    subprocess.run([python, str(CONTESTANTS / script), "prepare", str(folder)], check=True)


def milliseconds(call: Callable[[int], object], rounds: int) -> float:
    """Return the median time of calls 2, 3, ...; the first two compile and fill caches."""
    taken = []
    for k in range(rounds + 2):
        began = time.perf_counter()
        call(k)
        taken.append(1e3 * (time.perf_counter() - began))
    return float(np.median(taken[2:]))


def moved(atoms: Atoms, k: int) -> np.ndarray:
    """Return the positions of call k."""
    rng = np.random.default_rng(k)
    return atoms.positions + SHIFT_ANG * rng.standard_normal(atoms.positions.shape)


def one_structure(model: Path, case: str, options: argparse.Namespace) -> list[Row]:
    """Return the lines of one structure: the compiled engine, and the network on the device."""
    atoms, rows, expected = build_case(case), [], None
    for dtype in ("float64", "float32"):
        atoms.calc = SchNetCalculator(model, dtype=dtype, repulsion=None)
        expected = atoms.get_forces() if expected is None else expected
        rows.append(timed(case, "compiled engine, CPU", dtype, of_calculator(atoms), options))
    for dtype in ("float64", "float32"):
        forces = of_network(atoms, TorchEnsemble(load_model(model), options.device, dtype))
        off = float(np.abs(forces(atoms.positions) - expected).max())
        who = f"network of torch, {options.device}"
        rows.append(timed(case, who, dtype, forces, options, off))
        if torch.device(options.device).type != "cpu":  # "cpu" means the compiled engine
            atoms.calc = SchNetCalculator(model, device=options.device, dtype=dtype, repulsion=None)
            off = float(np.abs(atoms.get_forces() - expected).max())
            who = f"calculator, {options.device}"
            rows.append(timed(case, who, dtype, of_calculator(atoms), options, off))
    return rows


Forces = Callable[[np.ndarray], np.ndarray]


def of_calculator(atoms: Atoms) -> Forces:
    """Return what gives the forces at positions, by the calculator of a structure."""
    same = atoms.copy()
    same.calc = atoms.calc

    def forces(positions: np.ndarray) -> np.ndarray:
        same.positions = positions
        return same.get_forces()

    return forces


def of_network(atoms: Atoms, engine: TorchEnsemble) -> Forces:
    """Return what gives the forces at positions, by an engine and a list of pairs with a skin."""
    neighbors = VerletList(float(engine.model.config["cutoff"]), 0.5)

    def forces(positions: np.ndarray) -> np.ndarray:
        pairs = neighbors.pairs(positions, atoms.cell.array, atoms.pbc)
        return engine.evaluate(atoms.numbers, positions, pairs).forces.mean(axis=0)

    return forces


def timed(
    case: str,
    who: str,
    dtype: str,
    forces: Forces,
    options: argparse.Namespace,
    off: float | None = None,
) -> Row:
    """Return the line of one way to get forces."""
    atoms = build_case(case)
    ms = milliseconds(lambda k: forces(moved(atoms, k)), options.rounds)
    return Row(case, who, dtype, ms, off)


def batched(model: Path, folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the lines of many ethanols in one call of the exported module, and one by one compiled."""
    atoms, n, rows = build_case("ethanol"), options.replicas, []
    case = f"{n} × ethanol"
    positions = np.stack([moved(atoms, k) for k in range(n)])  # (R, N, 3)
    copies = [Atoms(atoms.numbers, r) for r in positions]
    calculator = SchNetCalculator(model)
    expected = np.stack([results["forces"] for results in calculator.predict(copies)])
    ms = milliseconds(lambda _: list(calculator.predict(copies)), options.rounds)
    rows.append(Row(case, "compiled engine, CPU, predict", "float64", ms, None))
    i, j = np.triu_indices(len(atoms), k=1)
    offsets = len(atoms) * np.arange(n)[:, None]
    i, j, z = (
        torch.tensor(index, device=options.device)
        for index in ((offsets + i).ravel(), (offsets + j).ravel(), np.tile(atoms.numbers, n))
    )
    for dtype in ("float64", "float32"):
        path = export_model(model, folder / f"{dtype}.pt", "torchscript", dtype=dtype)
        module = torch.jit.load(str(path), map_location=options.device)

        def forces(shift: float, module=module, dtype=dtype) -> np.ndarray:
            r = torch.tensor(
                positions.reshape(-1, 3) + shift,
                dtype=getattr(torch, dtype),
                device=options.device,
                requires_grad=True,
            )
            energy = module(z, r[j] - r[i], i, j).mean(dim=0).sum()
            return -torch.autograd.grad(energy, r)[0].cpu().numpy().reshape(positions.shape)

        off = float(np.abs(forces(0.0) - expected).max())
        ms = milliseconds(forces, options.rounds)
        rows.append(Row(case, f"exported module, {options.device}", dtype, ms, off))
    return rows


def schnetpack(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the lines of schnetpack's calculator on the device."""
    prepare(options.schnetpack, "run_schnetpack.py", folder)
    cases = [str(write_case(case, folder / "cases")) for case in options.cases]
    command = [options.schnetpack, str(HERE / "gpu_schnetpack.py"), str(folder), options.device]
    done = subprocess.run(
        [*command, str(options.rounds), *cases], check=True, stdout=subprocess.PIPE, text=True
    )
    return [Row(**row, off=None) for row in json.loads(done.stdout.splitlines()[-1])]


def page(rows: list[Row], options: argparse.Namespace) -> str:
    """Return the table as Markdown."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    lines = [
        "# On a GPU",
        "",
        f"{card}; {machine()}; torch {torch.__version__}. Median of a call with new positions, energy and "
        "forces; largest difference of a force from the compiled engine in float64. One member, 3 "
        f"interactions, 64 features, random weights. `python -m benchmarks.gpu --device {options.device}`",
        "",
        "| case | who | precision | ms | difference, eV/Å |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        off = "–" if row.off is None else f"{row.off:.1e}"
        lines.append(f"| {row.case} | {row.who} | {row.dtype} | {row.ms:.3g} | {off} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
