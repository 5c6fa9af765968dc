"""What a call of ORCA costs, with and without a server: `python -m benchmarks.foreign.server`.

Wall times of `ase-schnet orca`, from the start of its process to its end, for ethanol: cold, with the model
loaded anew, and with a resident server (`ase-schnet serve`) on a socket file; and what one evaluation and one
question take in the server. Writes server.md; best on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.io import write

from ase_schnet.external.client import answer_from
from ase_schnet.external.orca import read_request
from ase_schnet.runtime.files import write_whole
from benchmarks.processor import machine

MODEL = "ethanol"
COMMAND = [sys.executable, "-m", "ase_schnet"]


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--calls", type=int, default=20)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.03, seed=1)
        write(folder / "job_EXT.xyz", atoms, format="xyz")
        request = folder / "job_EXT.extinp.tmp"
        request.write_text("job_EXT.xyz\n0\n1\n1\n1\n")
        address = str(folder / "s.sock")
        orca = [*COMMAND, "orca", str(request), MODEL]
        rows = {"cold, no server": times(orca, calls)}
        server = subprocess.Popen(
            [*COMMAND, "serve", MODEL, address], stdout=subprocess.PIPE, text=True
        )
        try:
            server.stdout.readline()
            rows["client of a server"] = times([*orca, "--server", address], calls)
            question = read_request(request).question
            answers, questions = [], []
            for _ in range(10 * calls):
                began = time.perf_counter()
                answers.append(answer_from(address, MODEL, question).seconds)
                questions.append(time.perf_counter() - began)
            rows["in the server: evaluation"] = answers
            rows["in the server: question to answer"] = questions
        finally:
            server.terminate()
            server.wait()
        rows["Python that does nothing"] = times([sys.executable, "-c", "pass"], calls)
    write_whole(Path(__file__).with_suffix(".md"), page(rows).encode())


def times(command: list[str], calls: int) -> list[float]:
    """Return the wall times of a command in s; the first call warms the disk's cache and is left out."""
    found = []
    for _ in range(calls + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - began)
    return found[1:]


def page(rows: dict[str, list[float]]) -> str:
    """Return the table as Markdown."""
    load = os.getloadavg()[0]
    lines = [
        "# A call of ORCA",
        "",
        f"`ase-schnet orca`, ethanol, energy and gradient, {machine()}, one thread, load of the machine "
        f"{load:.1f}. `OMP_NUM_THREADS=1 python -m benchmarks.foreign.server`",
        "",
        "| | calls | median, ms | largest, ms |",
        "|---|---|---|---|",
    ]
    for name, seconds in rows.items():
        median, largest = 1e3 * np.median(seconds), 1e3 * max(seconds)
        lines.append(f"| {name} | {len(seconds)} | {median:.1f} | {largest:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
