"""What the first evaluation after an installation costs: `python -m benchmarks.first_use`.

Time from the start of a process to its first forces of ethanol, with an empty cache of compiled code, with a
full one, and for many processes that start at once with an empty one. Writes first_use.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.processor import machine

HERE = Path(__file__).resolve().parent
FIRST_FORCES = """
from ase.build import molecule
from ase_schnet import SchNetCalculator
atoms = molecule("CH3CH2OH")
atoms.calc = SchNetCalculator("ethanol")
atoms.get_forces()
"""


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_use")
    parser.add_argument("--processes", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    load = os.getloadavg()[0]
    cold, warm, together = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for _ in tqdm(range(options.rounds), unit="round", file=sys.stderr):
            shutil.rmtree(cache, ignore_errors=True)
            cold.append(seconds(cache, 1))
            warm.append(seconds(cache, 1))
            shutil.rmtree(cache)
            together.append(seconds(cache, options.processes))
            shutil.rmtree(cache)
    text = markdown(options, load, *(statistics.median(x) for x in (cold, warm, together)))
    (HERE / "first_use.md").write_text(text)
    print(text)
    return 0


def seconds(cache: Path, count: int) -> float:
    """Until the last of `count` processes that start together has ended. Raises if one fails."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_FORCES], env=environment, stderr=subprocess.PIPE
        )
        for _ in range(count)
    ]
    said = [process.communicate()[1].decode() for process in processes]
    took = time.perf_counter() - start
    failed = [text for process, text in zip(processes, said, strict=True) if process.returncode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {count} failed: {failed[0]}")
    return took


def markdown(
    options: argparse.Namespace, load: float, cold: float, warm: float, together: float
) -> str:
    """The file."""
    return "\n".join(
        [
            "# First use",
            "",
            "Written by `python -m benchmarks.first_use`; do not edit. "
            f"{time.strftime('%Y-%m-%d %H:%M %Z')}; {machine()}; load before the run {load:.1f}; "
            f"medians of {options.rounds}.",
            "",
            "Seconds from the start of a process to its first forces of ethanol, five members, float64.",
            "",
            "| | s |",
            "|---|---:|",
            f"| nothing compiled yet | {cold:.1f} |",
            f"| later | {warm:.1f} |",
            f"| {options.processes} processes that start at once, nothing compiled yet: the last has ended | "
            f"{together:.1f} |",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
