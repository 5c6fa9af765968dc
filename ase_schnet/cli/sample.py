"""Make candidate structures: ``ase-schnet sample STRUCTURE --calculator REF -n N -o POOL``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.faults import when_stopped
from ase_schnet.cli.inputs import (
    add_no_pbc,
    add_structure_options,
    read_structures,
    state_electrons,
    unbox,
)
from ase_schnet.cli.outputs import check_outputs

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.inference.features import ModelFeatures
    from ase_schnet.labelling.reference import Reference
    from ase_schnet.sampling.plan import SamplingPlan

HELP = "Make candidate structures of a molecule or a cell with any calculator, to be labelled."
EXAMPLE = """\
examples (`ase build CH3CH2OH ethanol.xyz` writes the molecule):
  ase-schnet sample ethanol.xyz --calculator gfn2-xtb -n 20000 -o pool.extxyz
  ase-schnet sample rmd17_ethanol_train_01.npz --calculator gfn2-xtb -n 20000 -o pool.extxyz
  ase-schnet sample radical.xyz --multiplicity 2 --calculator gfn2-xtb -n 5000 -o pool.extxyz
  ase-schnet sample dimer.xyz --calculator gfn2-xtb --share collision=0.3 -n 5000 -o pool.extxyz
  ase-schnet sample supercell.cif --calculator silicon --temperature 300 900 -n 2000 -o pool.extxyz

kinds of structures, for --share:
  md             frames of Langevin runs of 120 fs at each --temperature
  displaced      all atoms displaced at random
  rotated        one or two rotatable bonds turned by random angles, all atoms displaced
  stretched      one bond stretched or squeezed; the lighter side of it moves
  two-stretched  the same for two bonds
  normal-modes   displacements along the normal modes of the relaxed structure
  collision      two molecules, or two parts of one, in contact at random orientations
  strained       the cell strained, all atoms displaced
  vacancies      one atom of the cell removed, all atoms displaced
  melt           frames of longer runs of a strained cell at --melt-temperature

Without --share the mixture is
  of a molecule             40 % md, 30 % displaced and rotated, 30 % stretched
  of several molecules      40 % md, 20 % displaced and rotated, 23 % stretched, 17 % collision
  of a molecular crystal    40 % md, 18 % displaced and rotated, 22 % stretched, 20 % strained
  of any other crystal      40 % md, 15 % displaced, 25 % strained, 8 % vacancies, 12 % melt
and kinds that a structure does not allow, such as rotated without a rotatable bond, are displaced instead. A
crystal should be a supercell: displacements, vacancies and runs are those of the cell that is given. Several
structures, or a file with many, are used in turn. Of a molecule with charge or spin, give --charge and
--multiplicity, unless the file states them.

Finished parts are kept in POOL.parts until the structures are written: after Ctrl-C or a kill the same
command goes on. Label the structures with ase-schnet label.

exit code: 0 success, 2 bad input, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    text = "structures near rest, or labelled data: any file that ase-schnet reads"
    add("structures", metavar="STRUCTURE", nargs="+", help=text)
    text = "gfn2-xtb, pyscf:FUNCTIONAL/BASIS, a model, or FILE.py:NAME (any ASE calculator)"
    add(
        "--calculator",
        metavar="REF",
        help=f"moves the atoms in runs and gives normal modes: {text}",
    )
    add("-n", type=int, required=True, metavar="N", help="number of structures to make")
    add("-o", "--output", required=True, metavar="POOL", help="extxyz file to write")
    text = "total charge, in e, of structures that do not state it"
    add("--charge", type=int, metavar="Q", help=text)
    text = "multiplicity 2S + 1 of structures that do not state it (default: the lowest)"
    add("--multiplicity", type=int, metavar="M", help=text)
    add_no_pbc(add)
    what = parser.add_argument_group("what is made")
    text = "fractions of some kinds, such as md=0.5,rotated=0.2; the other kinds divide the rest"
    what.add_argument("--share", action="append", metavar="KIND=F", help=text)
    text = (
        "temperatures of the runs, K (default: 500 1000 1500 2500; for crystals 300 600 1000 1500)"
    )
    what.add_argument("--temperature", type=float, nargs="+", metavar="T", help=text)
    text = "temperature of the kind melt, K (default: 3000)"
    what.add_argument("--melt-temperature", type=float, metavar="T", help=text)
    text = "timestep of the runs, fs (default: 0.5)"
    what.add_argument("--timestep", type=float, metavar="FS", help=text)
    text = "smallest and largest new length of a bond over its length (default: 0.72 3.2)"
    what.add_argument("--stretch", type=float, nargs=2, metavar=("LOW", "HIGH"), help=text)
    text = "smallest and largest width of displacements, Å (default: 0.02 0.12)"
    what.add_argument("--noise", type=float, nargs=2, metavar=("LOW", "HIGH"), help=text)
    text = "force on an atom at which a run ends, eV/Å (default: 60)"
    what.add_argument("--max-force", type=float, metavar="F", help=text)
    text = (
        "drop structures with atoms nearer than this fraction of the sum of their covalent radii "
        "(default: 0.6)"
    )
    what.add_argument("--shortest", type=float, metavar="X", help=text)
    text = "make this many structures, more than -n, and keep those that differ most, of each kind"
    what.add_argument("--select", type=int, metavar="CANDIDATES", help=text)
    text = "model in whose features --select measures differences (default: sorted distances)"
    what.add_argument("--features", metavar="MODEL", help=text)
    add("--seed", type=int, default=0, metavar="K", help="of all random numbers (default: 0)")
    add("--jobs", type=int, metavar="N", help="processes (default: number of cores)")
    text = "go on although a process of another host may work in POOL.parts"
    add("--take-over", action="store_true", help=text)
    add_structure_options(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, write, and say what was made; return the exit code."""
    from time import perf_counter

    from ase.io import write

    from ase_schnet.runtime.cores import cores
    from ase_schnet.runtime.files import naming, replaced
    from ase_schnet.sampling.parts import remove_parts
    from ase_schnet.sampling.run import sample_structures

    output = Path(args.output)
    if output.suffix not in (".extxyz", ".xyz"):
        raise ValueError(f"{output}: structures are written as extxyz: end the name in .extxyz")
    if output.exists():
        raise ValueError(f"{output} exists already; choose another name")
    if args.features and args.select is None:
        raise ValueError("--features is for --select: give the number of candidates too")
    check_outputs(files=[output], inputs=args.structures)
    starts = _starts(args)
    make = None if args.calculator is None else _reference(args.calculator, starts)
    plan, parts = _plan(args, starts), output.with_name(f"{output.name}.parts")
    features = None if args.features is None else _features(args.features, starts)
    begun = perf_counter()
    with when_stopped(f"finished parts are in {parts}, and the same command goes on"):
        frames = sample_structures(
            starts,
            make,
            args.n,
            plan=plan,
            seed=args.seed,
            jobs=args.jobs,
            directory=parts,
            descriptor=features,
            take_over=args.take_over,
        )
    with naming(output), replaced(output) as there:
        write(there, frames, format="extxyz")
    remove_parts(parts)
    print(_summary(frames, perf_counter() - begun, args.jobs or cores()))
    print(f"written: {output}")
    return 0


def _starts(args: argparse.Namespace) -> list[Atoms]:
    """Read the structures, and add charge and multiplicity to those that do not state them."""
    starts = []
    for name in args.structures:
        for atoms in read_structures(name, args):
            state_electrons(atoms, name, args)
            starts.append(unbox(atoms, name) if args.no_pbc else atoms)
    if not starts:
        raise ValueError(f"{', '.join(args.structures)}: there is no structure to start from")
    return starts


def _reference(text: str, starts: list[Atoms]) -> Reference:
    """Read the reference method, and refuse structures that it cannot describe."""
    from ase.calculators.calculator import InputError

    from ase_schnet.labelling.methods import whole_electrons
    from ase_schnet.labelling.reference import read_reference

    reference = read_reference(text)
    for k, atoms in enumerate(starts):
        try:
            reference.require_supported(atoms, *whole_electrons(atoms))
        except InputError as error:
            raise InputError(f"structure {k}: {error}") from None
    return reference


def _features(model: str, starts: list[Atoms]) -> ModelFeatures:
    from ase_schnet.inference.features import ModelFeatures

    features = ModelFeatures(model)
    features.require_supported(starts[0])
    return features


def _plan(args: argparse.Namespace, starts: list[Atoms]) -> SamplingPlan:
    """Return the default plan for these structures, with what the options say."""
    from ase_schnet.sampling.plan import SamplingPlan

    settings = {
        "temperatures_K": args.temperature and tuple(args.temperature),
        "melt_temperature_K": args.melt_temperature,
        "timestep_fs": args.timestep,
        "stretch_factors": args.stretch and tuple(args.stretch),
        "noise_Ang": args.noise and tuple(args.noise),
        "max_force_eV_per_Ang": args.max_force,
        "shortest": args.shortest,
        "candidates": args.select,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    plan = SamplingPlan.for_starts(starts, **given)
    return plan.with_shares(_shares(args.share)) if args.share else plan


def _shares(texts: list[str]) -> dict[str, float]:
    """Read the options ``--share``."""
    shares = {}
    for part in ",".join(texts).split(","):
        kind, _, number = part.partition("=")
        try:
            shares[kind.strip().replace("-", " ")] = float(number)
        except ValueError:
            raise ValueError(f"--share {part}: give KIND=FRACTION, such as md=0.5") from None
    return shares


def _summary(frames: list[Atoms], seconds: float, jobs: int) -> str:
    """Return how many structures there are of each kind, and how fast they were made."""
    from collections import Counter

    counts = Counter(atoms.info["sampled_by"] for atoms in frames)
    rows = [f"  {count:6d}  {kind}" for kind, count in sorted(counts.items())]
    rate = len(frames) / max(seconds, 1e-9) / jobs
    many = "" if jobs == 1 else f" and core ({jobs} processes)"
    head = f"{len(frames)} structures, {rate:.3g} per second{many}"
    return "\n".join([head, *rows])
