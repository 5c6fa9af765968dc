"""Make every figure of the site, and the README's, anew: python docs/figures.py

Each comes from an example or a command, run as a reader would run it; what it draws and prints goes to
docs/figures, stamped with commit and date. Six minutes of a core, of which 8_ir_spectrum takes three. Names
after the script's make only these (python docs/figures.py 3_oh_scan parity); --quick runs the short forms,
for a test; --output FOLDER writes elsewhere. Figures of benchmarks are made by the scripts that their pages
name, those of trainings (models/*/training.png) by the trainings.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
README_PICTURE = ROOT / "md_examples" / "main_job.png"


class Figure(NamedTuple):
    """A picture: its name on the site, what is run, what that draws, and what is added for --quick."""

    name: str
    command: tuple[str, ...]
    picture: str | None
    quick: tuple[str, ...] = ("--quick",)


def _example(name: str, picture: str) -> Figure:
    return Figure(name, (f"md_examples/{name}.py",), f"md_examples/output/{picture}")


def _command(name: str, words: str, *, picture: bool = True, quick: str = "") -> Figure:
    return Figure(
        name,
        ("-m", "ase_schnet", *words.split()),
        f"{name}.png" if picture else None,
        tuple(quick.split()),
    )


TWO_TURNS = "--dihedral 0 1 2 3 --dihedral 2 1 0 6 --from 0 0 --to 360 120 --points 37 13"
FIGURES_OF_THE_SITE = (
    _example("2_nve_drift", "nve_drift.png"),
    _example("3_oh_scan", "oh_scan.png"),
    _example("4_dihedral_scan", "dihedral_scan.png"),
    _example("5_nvt_monitor", "nvt_300K.png"),
    _example("6_silicon_rdf", "silicon_rdf.png"),
    _example("7_drift_of_any_calculator", "copper_nve.png"),
    _command("parity", "evaluate ethanol md_examples/ethanol_hot_pbe_def2svp.xyz -o parity.png"),
    _command("info", "info ethanol", picture=False),
    _command("map", f"scan ethanol ethanol.xyz {TWO_TURNS} -o map.png", quick="--points 5 3"),
    _command("modes", "modes methanol methanol.xyz -o modes.png"),
    _example("8_ir_spectrum", "methanol_ir.png"),
)


def main(words: list[str] | None = None) -> None:
    """Make the figures that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to make (default: all)")
    parser.add_argument("--quick", action="store_true", help="short forms, which show nothing")
    parser.add_argument(
        "--output", type=Path, default=FIGURES, help="folder (default: docs/figures)"
    )
    args = parser.parse_args(words)
    known = [figure.name for figure in FIGURES_OF_THE_SITE]
    if unknown := set(args.names) - set(known):
        parser.error(f"no figure {', '.join(sorted(unknown))}: known are {', '.join(known)}")
    if args.quick and args.output.resolve() == FIGURES:
        parser.error("--quick shows nothing, so it needs --output FOLDER")
    args.output.mkdir(parents=True, exist_ok=True)
    chosen = [f for f in FIGURES_OF_THE_SITE if not args.names or f.name in args.names]
    with tempfile.TemporaryDirectory() as work:
        prepare(Path(work))
        for figure in tqdm(chosen, disable=None, unit="figure"):
            make(figure, Path(work), args.output, quick=args.quick)
    picture = README_PICTURE if args.output.resolve() == FIGURES else args.output / "main_job.png"
    side_by_side(args.output / "2_nve_drift.png", args.output / "3_oh_scan.png", picture)


def prepare(work: Path) -> None:
    """Copy the examples, so that all are run anew, and make the structures that the commands start from."""
    shutil.copytree(
        ROOT / "md_examples",
        work / "md_examples",
        ignore=shutil.ignore_patterns("output", "__pycache__"),
    )
    from ase.build import molecule
    from ase.io import write

    write(work / "ethanol.xyz", molecule("CH3CH2OH"))
    write(work / "methanol.xyz", molecule("CH3OH"))


def make(figure: Figure, work: Path, output: Path, *, quick: bool) -> None:
    """Run one command and keep its picture and what it printed.

    Raises
    ------
    SystemExit
        The command failed; its error is shown.
    """
    command = [*figure.command, *(figure.quick if quick else ())]
    done = run_python(command, work)
    # 1 and 3: a verdict, which is what is shown; of a quick run it means nothing
    if done.returncode not in (0, 1, 3) or "Traceback" in done.stderr:
        sys.exit(f"{figure.name}: {' '.join(command)}\n{done.stdout}{done.stderr}")
    shown = " ".join(command).removeprefix("-m ase_schnet ")
    shown = f"ase-schnet {shown}" if command[0] == "-m" else f"python {shown}"
    printed = done.stdout.replace(f"{work}/", "").replace(f"{ROOT}/", "").rstrip("\n")
    text = f"$ {shown}    # {stamp()}\n{printed}\n"
    (output / f"{figure.name}.txt").write_text(text, encoding="utf-8")
    if figure.picture:
        (output / f"{figure.name}.png").write_bytes((work / figure.picture).read_bytes())


def run_python(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run Python with these words on its command line in a folder; keep what it says."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def stamp() -> str:
    """Return commit and date, and whether the checkout has changes."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(
        [*git, "diff", "--quiet", "HEAD", "--", "ase_schnet"], check=False
    ).returncode
    state = f"{commit.stdout.strip() or 'no checkout'}{' with changes' if changed else ''}"
    return f"{state}, {time.strftime('%Y-%m-%d')}"


def side_by_side(left: Path, right: Path, path: Path) -> None:
    """Put two pictures beside each other, of one height."""
    if not (left.exists() and right.exists()):
        return
    from PIL import Image  # matplotlib brings it

    pictures = [Image.open(part).convert("RGB") for part in (left, right)]
    height = min(900, *(picture.height for picture in pictures))
    resized = [p.resize((round(p.width * height / p.height), height)) for p in pictures]
    both = Image.new("RGB", (sum(p.width for p in resized), height))
    both.paste(resized[0], (0, 0))
    both.paste(resized[1], (resized[0].width, 0))
    both.save(path, optimize=True)


if __name__ == "__main__":
    main()
