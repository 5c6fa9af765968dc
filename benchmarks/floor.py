"""The roofline: the least time a tabulated SchNet could take here, over the time ours takes.

One evaluation is energy and forces. Counted is what any engine that interpolates its filters from a table has
to do with splines of degree 5. A dense layer n → m
costs 2 n m operations an atom, and as much again in the adjoint pass. Per member, with B features, F filters,
T interactions, H = B/2 readout units, N atoms and P directed pairs (i → j and j → i are two):

    atoms  N · 2 · 2 [T (B F + F B + B B) - B F + B H + H]   dense layers, forward and adjoint; the first one
                                                             acts on the embedding alone, a table of elements
    pairs  P · F · T · (5.5 + 2)     value of the spline (six terms: 11, shared by both ways), convolution
           P · F · (T - 1) · 2       adjoint convolution; the first layer's input does not move
           P · F · (T - 1) · 5.5     the value once more: to keep it would cost more than to repeat it
           P · F · T · (5.5 + 1.5)   slope of the spline (11) and its part of dE/dd (3), both shared

Left out: distances, activations, the neighbour list, and all that moves data. Evaluating the filter networks,
as the peers do, costs P · T · 2 · 2 (K F + F F) for K Gaussians, forward and adjoint: 40 times the pairs'
part. Percent of peak is a statement about our engine only.

The peak is the better of BLAS on a large matrix product and of our own tile of a matrix product on rows that
stay in the nearest cache: on this machine's processor OpenBLAS does not use the full width of its registers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from vesin import NeighborList

from benchmarks.contestants.worker import SHAPE
from benchmarks.pool import HERE, environment


def operations(n_atoms: int, n_pairs: int, members: int = 1) -> float:
    """Floating point operations of one evaluation; the formula is in the module's docstring."""
    basis = filters = SHAPE["features"]
    layers = SHAPE["interactions"]
    hidden = basis // 2
    products = layers * (2 * basis * filters + basis**2) - basis * filters + basis * hidden + hidden
    per_pair = filters * (layers * (5.5 + 2) + (layers - 1) * (2 + 5.5) + layers * (5.5 + 1.5))
    return float(members * (n_atoms * 4 * products + n_pairs * per_pair))


def directed_pairs(case: Path) -> tuple[int, int]:
    """Atoms and directed pairs within the cutoff of a case's file."""
    with np.load(case) as data:
        (i,) = NeighborList(cutoff=SHAPE["cutoff"], full_list=True).compute(
            points=data["positions"],
            box=data["cell"],
            periodic=bool(data["pbc"].all()),
            quantities="i",
        )
        return len(data["numbers"]), len(i)


def machine_peak(dtype: str, threads: int) -> float:
    """GFLOP/s that the processor can do, measured now."""
    command = [sys.executable, str(HERE / "contestants/peak.py"), dtype, str(threads)]
    done = subprocess.run(command, env=environment(threads), capture_output=True, check=True)
    return float(done.stdout)


def roofline(records: list[dict], cases: dict[str, Path]) -> list[dict]:
    """Attained GFLOP/s and percent of the measured peak for our call records."""
    sizes = {name: directed_pairs(path) for name, path in cases.items()}
    peaks: dict[tuple, float] = {}
    rows = []
    for record in records:
        package, _, dtype = record["contestant"].partition(" ")
        if record["measure"] != "call" or package != "ours":
            continue
        key = (dtype, record["threads"])
        if key not in peaks:
            peaks[key] = machine_peak(*key)
        atoms, pairs = sizes[record["case"]]
        total = operations(atoms, pairs, record["members"])
        attained = 1e-6 * total / record["median_ms"]
        rows.append(
            {
                **{k: record[k] for k in ("case", "members", "threads", "contestant")},
                "atoms": atoms,
                "directed_pairs": pairs,
                "megaflop": 1e-6 * total,
                "gflops": attained,
                "peak_gflops": peaks[key],
                "percent_of_peak": 100 * attained / peaks[key],
            }
        )
    return rows
