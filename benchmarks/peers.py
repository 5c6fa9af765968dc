"""Speed against other packages: `python -m benchmarks.peers`.

Installs schnetpack, graph-pes and mace-torch into environments of their own, gives the SchNets the same
hyper-parameters (3 interactions, 64 features, 50 Gaussians, 5 Å) and random weights, and lets all of them
run in turns in one session. Writes speed.md, speed.json and speed.png.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.cases import CASES, write_case
from benchmarks.environments import CannotInstall, ensure_environment
from benchmarks.floor import directed_pairs, roofline
from benchmarks.lineup import LINEUP, PACKAGES, SCRIPTS
from benchmarks.measure import Race, fresh_processes, workers
from benchmarks.plot import plot_calls
from benchmarks.pool import HERE, WorkerFailed, scripts_of
from benchmarks.processor import AS_ON_A_LAPTOP, machine
from benchmarks.report import markdown

PARTIAL = "speed.partial.json"  # what there is so far, for the case that the run is cut short
NVE_CASE, START_CASE, MEMORY_CASE = "ethanol", "ethanol", "water-12288"
METHOD = (
    "A call is `atoms.get_forces()` after the atoms have been moved by 0.01 Å (std) from the starting "
    "structure, so lists with a skin are kept, as in dynamics; ours gives `energy_std` and `forces_std` in "
    "the same call when it has five members, and stress in periodic boxes, which the peers are not "
    "asked for. Contestants are persistent processes, each in its own "
    "environment, and take turns in every round; who begins changes. The peers are float32 where not said, "
    "as by default."
)


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for and write the three files."""
    options = parse(argv)
    load_before = os.getloadavg()[0]
    if options.avx2:
        os.environ.update(AS_ON_A_LAPTOP)  # which the contestants inherit
    scripts, packages, failures = install(options)
    cases = {name: write_case(name, options.venvs / "cases") for name in options.cases}
    lineup = [c for c in LINEUP if c.package in scripts]
    records = race_all(options, scripts, lineup, cases, failures)
    records += starts_and_memory(options, scripts, lineup, failures)
    results = {
        "about": {
            "command": shlex.join(["python", "-m", "benchmarks.peers", *(argv or sys.argv[1:])]),
            "date": time.strftime("%Y-%m-%d %H:%M %Z"),
            "machine": machine(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
            "commit": commit(),
            "packages": packages,
            "method": METHOD,
            "cases": list(cases),
            "atoms": {name: directed_pairs(path)[0] for name, path in cases.items()},
        },
        "records": records,
        "roofline": roofline(records, cases),
        "failures": failures,
    }
    write(results, options.output)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; --quick sets what was not given."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__.split("\n\n", 1)[1]
    )
    add = parser.add_argument
    add("--cases", type=_words, help=f"comma-separated, of {','.join(CASES)} (default: all)")
    add("--members", type=_numbers, help="numbers of models, of 1,5 (default: 1,5)")
    add("--threads", type=_numbers, help="threads per contestant (default: 1,2)")
    add("--rounds", type=int, help="rounds of turns (default: 9)")
    add("--only", type=_words, default=list(PACKAGES), help=f"packages, of {','.join(PACKAGES)}")
    add(
        "--budget",
        type=float,
        default=60.0,
        help="s for the slowest contestant of a case, then fewer rounds, at least 3 (default: 60)",
    )
    add(
        "--avx2",
        action="store_true",
        help="everybody without newer vector instructions than a laptop's",
    )
    add("--quick", action="store_true", help="two small cases, one thread, three rounds")
    add(
        "--resume",
        action="store_true",
        help="keep what an interrupted run with the same options timed",
    )
    add("--output", type=Path, default=HERE, help="where the files go (default: benchmarks/)")
    add(
        "--venvs",
        type=Path,
        default=Path.home() / ".cache/ase_schnet/peers",
        help="where the peers' environments and models go (default: %(default)s)",
    )
    options = parser.parse_args(argv)
    small = options.quick
    options.cases = options.cases or (["ethanol", "water-192"] if small else list(CASES))
    options.members = options.members or [1, 5]
    options.threads = options.threads or ([1] if small else [1, 2])
    options.rounds = options.rounds or (3 if small else 9)
    for what, given, known in (
        ("case", options.cases, CASES),
        ("package", options.only, PACKAGES),
        ("number of members", options.members, (1, 5)),
    ):
        odd = [x for x in given if x not in known]
        if odd:
            parser.error(f"no {what} {odd[0]}: choose from {', '.join(map(str, known))}")
    return options


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def install(options: argparse.Namespace):
    """Scripts by package, what was installed, and failures of what could not be."""
    options.venvs.mkdir(parents=True, exist_ok=True)
    options.venvs = options.venvs.resolve()
    pythons, says, failures = {}, {}, []
    bar = tqdm(options.only, unit="package", file=sys.stderr)
    for package in bar:
        bar.set_description(f"install {package}")
        try:
            if package in ("ours", "floor"):
                pythons[package], says[package] = Path(sys.executable), ""
            else:
                pythons[package], says[package] = ensure_environment(package, options.venvs)
        except CannotInstall as reason:
            failures.append({"contestant": package, "reason": f"not installed: {reason}"})
    scripts = scripts_of(pythons, SCRIPTS, options.venvs)
    packages = {}
    for package in list(scripts):
        try:
            scripts[package].prepare()
            with workers(scripts, 1) as running:
                contestant = next(c for c in LINEUP if c.package == package)
                versions = running.of(contestant).ask(do="versions")
            packages[package] = {"versions": versions, "installed": says[package]}
        except WorkerFailed as reason:
            failures.append({"contestant": package, "reason": str(reason)})
            del scripts[package]
    return scripts, packages, failures


def race_all(options, scripts, lineup, cases, failures: list[dict]) -> list[dict]:
    """Calls of every case and dynamics of ethanol, for every number of threads and members."""
    partial, records = options.output / PARTIAL, []
    if options.resume and partial.exists():
        kept = json.loads(partial.read_text())
        records, failures[:] = kept["records"], kept["failures"]
    done = {(r["threads"], r["members"], r["case"]) for r in records}
    bar = tqdm(unit="round", file=sys.stderr)
    for threads in options.threads:
        with workers(scripts, threads) as running:
            for members in options.members:
                for name, path in cases.items():
                    if (threads, members, name) in done:
                        continue
                    bar.set_description(f"{name}, {members} members, {threads} threads")
                    race = Race(running, lineup, path, members, threads)
                    records += race.calls(options.rounds, options.budget, bar)
                    if name == NVE_CASE:
                        for log_energy in (False, True):
                            records += race.nve(options.rounds, log_energy, bar)
                    race.release()
                    failures += [
                        {"measure": "call", **race.about, "contestant": who, "reason": why}
                        for who, why in race.failed.items()
                    ]
                    save(partial, {"records": records, "failures": failures})
    bar.close()
    return records


def starts_and_memory(options, scripts, lineup, failures: list[dict]) -> list[dict]:
    """Fresh processes: time to first forces for ethanol, peak memory for the largest box."""
    records = []
    plans = []
    if START_CASE in options.cases:
        plans.append(("start", START_CASE, 1, min(options.rounds, 5), 1))
    if MEMORY_CASE in options.cases:
        plans += [("memory", MEMORY_CASE, members, 1, 2) for members in options.members]
    bar = tqdm(unit="round", file=sys.stderr)
    for measure, case, members, rounds, calls in plans:
        bar.set_description(f"{measure}, {case}, {members} members")
        path = options.venvs / "cases" / f"{case}.npz"
        found, failed = fresh_processes(scripts, lineup, path, members, rounds, calls, bar)
        records += [{"measure": measure, **record} for record in found]
        failures += [
            {"measure": measure, "case": case, "members": members, "contestant": who, "reason": why}
            for who, why in failed.items()
        ]
    bar.close()
    return records


def commit() -> str:
    """The checkout's commit, and whether files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True)
        return done.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with changes" if git("status", "--porcelain", "--", "../ase_schnet") else ""
    )


def save(path: Path, results: dict) -> None:
    """JSON, one value a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def write(results: dict, directory: Path) -> None:
    """speed.json, speed.md and speed.png."""
    save(directory / "speed.json", results)
    (directory / PARTIAL).unlink(missing_ok=True)
    text = markdown(results)
    (directory / "speed.md").write_text(text)
    if any(r["measure"] == "call" for r in results["records"]):
        plot_calls(results, directory / "speed.png")
    print(text)
    print(f"written: {', '.join(str(directory / f'speed.{e}') for e in ('md', 'json', 'png'))}")


if __name__ == "__main__":
    sys.exit(main())
