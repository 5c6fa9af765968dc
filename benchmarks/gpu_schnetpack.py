"""schnetpack's calculator on a device, for `gpu.py`: run by a Python of its own environment.

    PYTHON gpu_schnetpack.py MODELS DEVICE ROUNDS CASE.npz ...

Prints one line of JSON, a list of records.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

SHIFT_ANG = 0.01


def main(models: str, device: str, rounds: str, *cases: str) -> None:
    """Measure, print."""
    import torch
    from schnetpack import interfaces, transform

    found = []
    for path in map(Path, cases):
        data = np.load(path)
        atoms = Atoms(data["numbers"], data["positions"], cell=data["cell"], pbc=data["pbc"])
        for dtype in ("float64", "float32"):
            atoms.calc = interfaces.SpkCalculator(
                str(Path(models) / "model-0.pt"),
                neighbor_list=transform.SkinNeighborList(
                    transform.VesinNeighborList(cutoff=5.0), cutoff_skin=0.5
                ),
                energy_unit="eV",
                position_unit="Ang",
                dtype=getattr(torch, dtype),
                device=device,
            )
            seconds = []
            for k in range(int(rounds) + 2):
                shift = np.random.default_rng(k).standard_normal(atoms.positions.shape)
                atoms.positions = data["positions"] + SHIFT_ANG * shift
                began = time.perf_counter()
                atoms.get_forces()
                seconds.append(time.perf_counter() - began)
            ms = 1e3 * float(np.median(seconds[2:]))
            who = f"schnetpack, {device}"
            found.append({"case": path.stem, "who": who, "dtype": dtype, "ms": ms})
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
