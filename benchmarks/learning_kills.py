"""Ten kills at random instants: `python -m benchmarks.learning_kills FOLDER STRUCTURE`.

A small learning by GFN2-xTB (60 structures, three members) is done twice: undisturbed, and with kill -9 at
random instants. All weights, structures and tables must be the same, and no structure labelled twice.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

KILLS, LEAST_S, SHARE, SEED = 10, 4.0, 6, 5  # the longest life is 1/SHARE of the undisturbed one
LEARN = """
import sys
from ase.io import read
from ase_schnet import LearnSettings, learn

if __name__ == "__main__":
    small = {"budget": 60, "round_steps": 600, "last_steps": 1500, "members": 3, "life_ps": 0.5}
    print(learn([read(sys.argv[1])], sys.argv[2], LearnSettings(**small), jobs=1).summary())
"""


def begin(folder: Path, structure: Path, name: str) -> subprocess.Popen:
    """Start the learning, or let it go on."""
    said = (folder / f"{name}.log").open("a")
    command = [sys.executable, "learn.py", str(structure), name]
    return subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)


def outcome(directory: Path) -> dict[str, bytes]:
    """Return the files that are compared."""
    found = [*directory.rglob("*.safetensors"), *directory.rglob("*.extxyz")]
    found.append(directory / "rounds.csv")
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def labelled(directory: Path) -> list[str]:
    """Return the keys of the finished calls of the reference."""
    lines = (directory / "labels.extxyz.journal").read_text().splitlines()[1:]
    return [json.loads(line)["key"] for line in lines]


def main(folder: Path, structure: Path) -> int:
    """Learn twice and compare; return 0 if nothing differs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "learn.py").write_text(LEARN)
    began = time.monotonic()
    if begin(folder, structure, "undisturbed").wait():
        sys.exit(f"the undisturbed learning failed: {folder / 'undisturbed.log'}")
    whole, lots = time.monotonic() - began, random.Random(SEED)
    for _ in tqdm(range(KILLS), unit="kill"):
        process = begin(folder, structure, "killed")
        try:
            process.wait(lots.uniform(LEAST_S, max(2 * LEAST_S, whole / SHARE)))
            sys.exit("it had ended before the last kill: nothing was tested")
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if begin(folder, structure, "killed").wait():
        sys.exit(f"the killed learning does not go on: {folder / 'killed.log'}")
    expected, found = outcome(folder / "undisturbed"), outcome(folder / "killed")
    differing = sorted(name for name in expected if found.get(name) != expected[name])
    calls = labelled(folder / "killed")
    print(
        f"{KILLS} kills in {whole:.0f} s of work: {len(differing)} of {len(expected)} files differ "
        f"{differing[:3]}; {len(calls)} labels, {len(calls) - len(set(calls))} of them twice"
    )
    return int(bool(differing) or len(calls) != len(set(calls)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
