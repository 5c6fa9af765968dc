"""Converted models against their makers' calculators: `python -m benchmarks.foreign.speed`.

The models of `benchmarks.peers` (3 interactions, 64 features, 50 Gaussians, 5 Å, random weights), written by
schnetpack and graph-pes, are converted; the packages' own calculators and ours run them in turns in one
session. With --avx2 everybody does without newer vector instructions.
Adds to speed.json, which has a part for each, and writes speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tqdm import tqdm

from ase_schnet import convert_model
from ase_schnet.runtime.files import write_whole
from benchmarks.cases import write_case
from benchmarks.environments import ensure_environment
from benchmarks.lineup import Contestant
from benchmarks.measure import Race, workers
from benchmarks.peers import commit
from benchmarks.pool import scripts_of
from benchmarks.processor import AS_ON_A_LAPTOP, AVX2, FULL, machine

HERE = Path(__file__).resolve().parent
MAKERS = {"schnetpack": "run_schnetpack.py", "graph-pes": "run_graph_pes.py"}


def main() -> None:
    """Convert, race, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--cases", nargs="+", default=["ethanol", "water-1536"])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--budget", type=float, default=60.0, help="s for the slowest contestant of a case"
    )
    parser.add_argument("--venvs", type=Path, default=Path.home() / ".cache/ase_schnet/peers")
    parser.add_argument("--avx2", action="store_true")
    options = parser.parse_args()
    if options.avx2:
        os.environ.update(AS_ON_A_LAPTOP)  # which the contestants inherit
    work = options.venvs / "foreign-speed"
    scripts, lineup = {}, []
    for maker, script in MAKERS.items():
        python, _ = ensure_environment(maker, options.venvs)
        found = scripts_of({maker: python}, {maker: script}, work)
        found[maker].prepare()
        ours = f"converted from {maker}"
        found |= scripts_of({ours: Path(sys.executable)}, {ours: "run_ours.py"}, work)
        convert(found[maker].models, found[ours].models, options.members)
        scripts |= found
        lineup += [Contestant(f"{name} float32", name) for name in found]
    records, load = [], os.getloadavg()[0]
    with workers(scripts, options.threads) as running, tqdm(disable=None) as bar:
        for case in (write_case(name, work / "cases") for name in options.cases):
            for members in options.members:
                race = Race(running, lineup, case, members, options.threads)
                records += race.calls(options.rounds, options.budget, bar)
                records += [{"failed": race.failed}] if race.failed else []
    about = {"date": time.strftime("%Y-%m-%d %H:%M"), "machine": machine(), "commit": commit()}
    about["load_before"], about["load_after"] = load, os.getloadavg()[0]
    path = HERE / "speed.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results[AVX2 if options.avx2 else FULL] = {"about": about, "records": records}
    write_whole(path, (json.dumps(results, indent=1) + "\n").encode())
    write_whole(HERE / "speed.md", page(results).encode())


def convert(theirs: Path, ours: Path, members: list[int]) -> None:
    """Write the maker's models as ours, where `run_ours.py` looks for them."""
    for n in members:
        output = ours / f"members-{n}"
        shutil.rmtree(output, ignore_errors=True)
        files = [theirs / f"model-{k}.pt" for k in range(n)]
        convert_model(files, output, elements=["H", "C", "O"], pbc=True, units="eV")


def page(results: dict) -> str:
    """Return the medians as Markdown, a table for each set of vector instructions."""
    lines = [
        "# Converted models against their makers' calculators",
        "",
        "Median time of a call of `atoms.get_forces()` with new positions, float32, one thread, in turns. "
        "`python -m benchmarks.foreign.speed [--avx2]`",
    ]
    for part in results.values():
        about, records = part["about"], part["records"]
        lines += ["", f"{about['machine']}, {about['date']}, commit {about['commit']}."]
        lines += ["", "| case | members | maker | maker, ms | converted, ms | times |"]
        lines += ["|---|---|---|---|---|---|"]
        took = {
            (r["case"], r["members"], r["contestant"]): r["median_ms"]
            for r in records
            if "median_ms" in r
        }
        for (case, members, who), theirs in took.items():
            ours = took.get((case, members, f"converted from {who}"))
            if ours is not None:
                maker = who.removesuffix(" float32")
                cells = (
                    case,
                    members,
                    maker,
                    f"{theirs:.3g}",
                    f"{ours:.3g}",
                    f"{theirs / ours:.0f}",
                )
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
