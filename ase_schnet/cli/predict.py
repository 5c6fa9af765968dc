"""Predict for all structures of a file: ``ase-schnet predict MODEL STRUCTURES -o PREDICTED``."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from ase_schnet.cli.faults import when_stopped
from ase_schnet.cli.inputs import add_no_pbc, refuse_swapped
from ase_schnet.cli.options import (
    add_device,
    add_dtype,
    add_model,
    add_repulsion,
    add_threads,
    repulsion_of,
)
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.results import Results

HELP = "Predict energies, forces and their error bars for all structures of a file."
EXAMPLE = """\
examples:
  ase-schnet predict ethanol conformers.xyz -o predicted.xyz
  ase-schnet predict silicon defects.traj -o predicted.db
  ase-schnet predict ethanol frames.npz -o predicted.npz
  ase-schnet predict ethanol start.xyz -o predicted.xyz --picture atoms.png

The suffix of PREDICTED (.xyz, .extxyz, .npz, .traj, .db) says the format. It holds, under ASE's names,
energy (eV), forces (eV/Å), stress (eV/Å³) of periodic structures and, if the model has it, dipole (e·Å);
further energy_std, forces_std, stress_std, dipole_std (standard deviations of the ensemble), polarizability
(e²Å²/eV) and polarizability_std; and of models with error bars (ase-schnet info) energy_error, forces_error
and stress_error, which are infinite for structures unlike the training, and error_level, the probability that
they cover the error. Labels of the file itself are not copied.
An .npz file is for molecules of the same atoms. It has the arrays of MD17: z (N,), R (S, N, 3) in Å, E (S,)
in eV, F (S, N, 3) in eV/Å, besides E_std, F_std, E_error, F_error, error_level and frame_in_file; dipoles are
not in it. STRUCTURES may be such a file too, or one in the layout of rMD17.
info["frame_in_file"] is the number of the structure in the file, from 0. Structures that the model cannot
describe (other elements, another charge, two atoms in one place), and frames of an xyz file that cannot be
read, are left out and listed. Structures are evaluated while the file is read and PREDICTED is written, so
the file may be longer than the memory. PREDICTED is replaced only when all are done; new rows are added to an
existing database.

The picture shows the first structure that is predicted, each atom coloured by its energy less the offset of
its element, and by the std of the members. How a network divides the energy among atoms is its own choice.

exit code: 0 all predicted, 1 some left out, 2 bad input
"""
UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "dipole": "e·Å",
    "polarizability": "e²Å²/eV",
}
#: Number of reasons for leaving frames out that are printed, the most frequent ones first.
MAX_REASONS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_model(add)
    add(
        "structures",
        metavar="STRUCTURES",
        help="file in any format that ASE reads, or .npz; no labels needed",
    )
    add(
        "-o",
        "--output",
        required=True,
        metavar="PREDICTED",
        help="file to write: .xyz, .extxyz, .npz, .traj or .db",
    )
    text = "picture of the atomic energies of the first structure (.png, .pdf, .svg)"
    add("--picture", metavar="FILE", help=text)
    add_save_data(add)
    add_no_pbc(add)
    add_repulsion(add)
    add_dtype(add)
    add_device(add)
    add_threads(add)


def run(args: argparse.Namespace) -> int:
    """Read, evaluate and write, all at the same time; return the exit code."""
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.predictions import require_suffix, write_results
    from ase_schnet.structures.reading import no_such_file

    source, output = Path(args.structures), require_suffix(args.output)
    refuse_swapped(args.model, args.structures, "STRUCTURES")
    plots, numbers = [args.picture], args.save_data
    check_outputs(files=[output], plots=plots, inputs=[source], numbers=numbers)
    if not source.exists():
        raise FileNotFoundError(no_such_file(source))
    calculator = SchNetCalculator(
        args.model,
        device=args.device,
        dtype=args.dtype,
        threads=args.threads,
        repulsion=repulsion_of(args),
    )
    found = _Found()
    with when_stopped(f"{output} is left as it was"):
        count = write_results(output, _known(source, output, calculator, args.no_pbc, found))
    named = (f"{name} ({UNITS[name]})" if name in UNITS else name for name in found.in_order())
    level = calculator.limits.get("error_level")
    bars = f"; error bars of {100 * level:.4g} %" if level and "energy_error" in found.names else ""
    print(f"{output}: {count} structure{'s' * (count > 1)} with {', '.join(named)}{bars}")
    if found.unlike:
        where = shorten(_spans(found.unlike), 200, placeholder=" …")
        print(
            f"unlike all training, error bars are infinite: {len(found.unlike)} of {count}: {where}"
        )
    if args.picture is not None:
        from ase_schnet.plotting import plot_atomic_energies

        figure = plot_atomic_energies(found.first, calculator)
        print(*draw(figure, args.picture, args, "picture"), sep="\n")
    for line in found.complaints():
        print(line, file=sys.stderr)
    return 1 if found.left_out else 0


class _Found:
    """Collect the first structure, names of what was predicted, and frames left out or unlike training."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.left_out: dict[str, list[int]] = {}
        self.unlike: list[int] = []
        self.first: Atoms | None = None

    def in_order(self) -> list[str]:
        """Return the names in the order of UNITS, each followed by its standard deviation and error bar."""
        known = [name for part in UNITS for name in (part, f"{part}_std", f"{part}_error")]
        return [name for name in known if name in self.names]

    def leave_out(self, frame: int, error: Exception) -> None:
        """Note the number of a frame that cannot be predicted."""
        why = re.sub(r" \(atoms \[[^]]*\]\)", "", str(error))  # else each frame has its own reason
        self.left_out.setdefault(why, []).append(frame)

    def complaints(self) -> list[str]:
        """Describe which frames are left out, and why."""
        by_count = sorted(self.left_out.items(), key=lambda item: -len(item[1]))
        lines = [f"left out: {_spans(frames)}: {why}" for why, frames in by_count[:MAX_REASONS]]
        others = sorted(frame for _, frames in by_count[MAX_REASONS:] for frame in frames)
        return lines + ([f"left out for other reasons: {_spans(others)}"] if others else [])


def _known(
    source: Path, output: Path, calculator: SchNetCalculator, no_pbc: bool, found: _Found
) -> Iterator[tuple[Atoms, Results, float | None]]:
    """Yield the structures that the model can describe, with their results and the level of their bars."""
    level, with_heads = calculator.limits.get("error_level"), output.suffix != ".npz"
    waiting: deque[Atoms] = deque()
    frames = _numbered(source, no_pbc, waiting, found)
    count = 0
    for answer in calculator.predict(frames, heads=with_heads, return_errors=True):
        atoms = waiting.popleft()
        if isinstance(answer, Exception):
            found.leave_out(atoms.info["frame_in_file"], answer)
            continue
        found.first = atoms.copy() if found.first is None else found.first
        yield atoms, answer, level
        count += 1
        if "energy_error" in answer.all_names() and answer["energy_error"] == float("inf"):
            found.unlike.append(atoms.info["frame_in_file"])
        found.names |= answer.all_names()
    if count == 0:
        why = next(iter(found.left_out), "it holds no structures")
        raise ValueError(f"{source}: none of its structures can be predicted: {why}")


def _numbered(source: Path, no_pbc: bool, waiting: deque[Atoms], found: _Found) -> Iterator[Atoms]:
    """Yield the structures of the file with their numbers, and note them in `waiting`."""
    from ase.calculators.calculator import InputError
    from tqdm import tqdm

    from ase_schnet.data.npz_frames import number_of_frames
    from ase_schnet.structures.box import without_box
    from ase_schnet.structures.reading import require_angstrom

    total = number_of_frames(source) if source.suffix == ".npz" else None
    for k, atoms in enumerate(tqdm(_read(source), unit="structure", total=total, disable=None)):
        try:
            if isinstance(atoms, ValueError):
                raise atoms
            require_angstrom(atoms)
            atoms = without_box(atoms) if no_pbc else atoms
        except (InputError, ValueError) as error:
            found.leave_out(k, error)
            continue
        atoms.info["frame_in_file"] = k
        waiting.append(atoms)
        yield atoms


def _read(source: Path) -> Iterator[Atoms | ValueError]:
    """Yield the structures of the file, or why one cannot be read; errors of the file itself name it."""
    from ase_schnet.data.npz_frames import npz_frames
    from ase_schnet.structures.reading import XYZ_FORMATS, read_frames, recognised_format

    if source.is_dir():
        raise ValueError(f"{source} is a directory: give the name of a file in it")
    try:
        if source.suffix == ".npz":
            yield from npz_frames(source)
        elif recognised_format(source) in XYZ_FORMATS:
            yield from _each_of_xyz(source)
        else:
            yield from read_frames(source)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _each_of_xyz(source: Path) -> Iterator[Atoms | ValueError]:
    """Yield the structure of each frame, or why its lines are none: others can still be read."""
    from ase_schnet.structures.columns import XYZError
    from ase_schnet.structures.reading import read_blocks
    from ase_schnet.structures.xyz import atoms_of

    for block in read_blocks(source):
        try:
            yield atoms_of(block)
        except XYZError as error:
            yield ValueError(f"cannot be read: {error}")


def _spans(numbers: list[int]) -> str:
    """Write increasing numbers of frames in short form: frames 0-4, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
    return f"frame{'s' * (len(numbers) > 1)} {text}"
