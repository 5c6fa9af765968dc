"""Predictions for many structures: seconds and memory of `ase-schnet predict`, beside what ASE alone takes.

    python -m benchmarks.bulk DATA_DIR [--frames 100000]        writes benchmarks/bulk.md

DATA_DIR holds rmd17-npz/rmd17_ethanol_test_01.npz: 1000 frames of ethanol, which are repeated, each time
with other small displacements. Every command is a process of its own, limited to AVX2 unless said otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.extxyz import write_extxyz

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import load_model, save_model
from benchmarks.processor import AS_ON_A_LAPTOP, machine

HERE = Path(__file__).parent
AVX2 = {**AS_ON_A_LAPTOP, "ASE_SCHNET_REGISTER_BYTES": "32"}
ALONE = 5000  # frames that ASE reads and writes, and that are evaluated one by one; the times are scaled


def make_frames(data: Path, n: int, folder: Path) -> None:
    """Write n frames of ethanol as npz and as extended xyz."""
    stored = np.load(data / "rmd17-npz" / "rmd17_ethanol_test_01.npz")
    numbers, R = stored["nuclear_charges"], stored["coords"]
    R = np.tile(R, (-(-n // len(R)), 1, 1))[:n]
    R = R + np.random.default_rng(0).normal(scale=0.01, size=R.shape)
    np.savez(folder / "in.npz", nuclear_charges=numbers, coords=R)
    with (folder / "in.xyz").open("w", encoding="utf-8") as file:
        for positions in R:
            write_extxyz(file, [Atoms(numbers, positions)])


def timed(command: list[str]) -> dict:
    """Run a command limited to AVX2: its wall time, processor time and peak memory."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = (
        "import resource, sys; from ase_schnet.cli import main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *command],
        env=os.environ | AVX2,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, "peak_MiB": int(done.stdout.split()[-1]) / 1024}


def ase_alone(folder: Path, n: int) -> float:
    """Return the seconds in which ASE reads in.xyz and writes the structures of out.xyz with all results."""
    some = min(n, ALONE)
    start = time.perf_counter()
    for _ in islice(iread(str(folder / "in.xyz"), ":"), some):
        pass
    seconds = time.perf_counter() - start
    frames = list(islice(iread(str(folder / "out.xyz"), ":"), some))
    start = time.perf_counter()
    with (folder / "ase.xyz").open("w", encoding="utf-8") as file:
        for atoms in frames:
            write_extxyz(file, [atoms])
    return (seconds + time.perf_counter() - start) * n / some


def one_by_one(model: str, folder: Path) -> None:
    """Print microseconds per frame of `get_forces` and of `predict`, in this process."""
    stored = np.load(folder / "in.npz")
    frames = [Atoms(stored["nuclear_charges"], r) for r in stored["coords"][:ALONE]]
    calculator = SchNetCalculator(model)
    found = {"single": [], "many": []}
    list(calculator.predict(frames[:200]))
    for _ in range(3):
        start = time.perf_counter()
        for atoms in frames:
            calculator.get_property("forces", atoms)
        found["single"].append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in calculator.predict(frames):
            pass
        found["many"].append(time.perf_counter() - start)
    print(json.dumps({k: 1e6 * min(v) / len(frames) for k, v in found.items()}))


HEAD = """# Predictions for many structures

Written by `python -m benchmarks.bulk DATA_DIR --frames {n}`; do not edit. {date}.

{machine}; {threads} threads, limited to AVX2. Load average before and after: {load}.

`ase-schnet predict MODEL IN -o OUT` for {n:,} frames of ethanol (9 atoms), from the start of the process to
the renamed file. "ASE alone" reads the same file and writes the same output with `ase.io`, nothing evaluated
(measured on {some:,} frames). One member: the first of `ethanol`. The five write dipoles to extended xyz too.

| members | files | wall s | processor s | peak MiB | ASE alone s |
| ---: | --- | ---: | ---: | ---: | ---: |
"""
CALCULATOR = """
In Python, µs per frame: `calc.get_property("forces", atoms)` one by one, and `calc.predict(frames)`.

| members | one by one | `predict` | ratio |
| ---: | ---: | ---: | ---: |
"""


def main() -> None:
    """Make the frames, run the commands, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=100_000)
    args = parser.parse_args()
    load, n = [os.getloadavg()[0]], args.frames
    rows, calculators = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_frames(args.data, n, folder)
        one = save_model(folder / "one", load_model("ethanol").member(0))
        timed(
            ["predict", "ethanol", str(folder / "in.npz"), "-o", str(folder / "out.npz")]
        )  # compiles
        code = (
            "import sys; from benchmarks.bulk import *; one_by_one(sys.argv[1], Path(sys.argv[2]))"
        )
        for members, model in ((1, str(one)), (5, "ethanol")):
            for suffix in ("npz", "xyz"):
                command = ["predict", model, str(folder / f"in.{suffix}"), "-o"]
                row = timed([*command, str(folder / f"out.{suffix}")])
                alone = f"{ase_alone(folder, n):.1f}" if suffix == "xyz" else "–"
                rows.append(
                    f"| {members} | {suffix} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} | "
                    f"{row['peak_MiB']:.0f} | {alone} |"
                )
                print(rows[-1], flush=True)
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code, model, str(folder)],
                env=os.environ | AVX2,
                capture_output=True,
                text=True,
                check=True,
            )
            us = json.loads(done.stdout)
            ratio = us["single"] / us["many"]
            calculators.append(
                f"| {members} | {us['single']:.0f} | {us['many']:.0f} | {ratio:.1f} |"
            )
            print(calculators[-1], flush=True)
    load.append(os.getloadavg()[0])
    head = HEAD.format(
        n=n,
        some=min(n, ALONE),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine(),
        threads=len(os.sched_getaffinity(0)),
        load=" and ".join(f"{x:.1f}" for x in load),
    )
    text = head + "\n".join(rows) + "\n" + CALCULATOR + "\n".join(calculators) + "\n"
    (HERE / "bulk.md").write_text(text, encoding="utf-8")
    print(f"wrote {HERE / 'bulk.md'}")


if __name__ == "__main__":
    main()
