"""Make a model from a structure and a reference method: ``ase-schnet learn STRUCTURE -o DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.faults import GOES_ON, when_stopped
from ase_schnet.cli.inputs import (
    add_no_pbc,
    add_structure_options,
    read_structures,
    state_electrons,
    unbox,
)
from ase_schnet.cli.options import refuse_given
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.learning.result import LearnResult
    from ase_schnet.learning.settings import LearnSettings

HELP = "Make a model from a structure: sample, label, train, and judge until it is good enough."
EXAMPLE = """\
examples (`ase build CH3CH2OH ethanol.xyz` writes the molecule):
  ase-schnet learn ethanol.xyz -o my_ethanol
  ase-schnet learn ethanol.xyz --reference pyscf:PBE/def2-SVP --budget 150 -o my_ethanol
  ase-schnet learn enol.xyz --toward "scan 2 8 0.95 1.7" --toward "md 600 10" -o my_enol
  ase-schnet learn ethanol.xyz --reference mace.py:calculator --cheap none -o copy
  ase-schnet learn --continue my_ethanol --collect run/collected.extxyz

REF is what `ase-schnet label` takes: gfn2-xtb (electronic temperature 5000 K; gfn2-xtb:300 as by xtb),
pyscf:FUNCTIONAL/BASIS, a model, or FILE.py:NAME (any ASE calculator). Dear references of molecules are learnt
with the help of --cheap, which makes the first structures and teaches the shape of the surface (see
ase-schnet train --pretrain).

--toward, besides dynamics at --temperature; may be given several times:
  md T PS                 dynamics at another temperature, K, for PS ps
  scan I J FROM TO        a distance, Å (atoms from 0); I J K: an angle, I J K L: a dihedral, degrees
  normal-modes            vibrations about the structure

A quarter of each round (half, where --cheap pretrains) is drawn at random from the dynamics; these structures
judge the model of the round before. The rounds end when the model met the goal and survived its runs twice in
a row, or at the budget. DIR is the model (SchNetCalculator("DIR")); DIR/labels.extxyz has every label,
DIR/rounds.csv and learning.png the way.

After Ctrl-C or a kill the same command goes on; no finished label is computed again. So it does with a
larger --budget or another --goal-force. Error bars need nine random structures: a --budget of 36 or more.

exit code: 0 the goal was met, 1 the budget was spent before, 2 bad input, 130 interrupted
"""


#: Options that a learning which is extended has from its beginning, or has no use for.
_OF_THE_BEGINNING = (
    *("reference", "temperature", "goal_force", "budget", "hours", "toward", "cheap", "start_from"),
    *("life", "members", "charge", "multiplicity", "no_pbc", "seed"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    text = "the molecule or crystal near rest; several files or frames: its conformers"
    add("structures", metavar="STRUCTURE", nargs="*", help=text)
    add("-o", "--output", metavar="DIR", help="directory of the learning, and of the model")
    text = "method to be learnt (default: gfn2-xtb)"
    add("--reference", default="gfn2-xtb", metavar="REF", help=text)
    text = "temperature of the dynamics that the model is for, K (default: 500)"
    add("--temperature", type=float, default=500.0, metavar="T", help=text)
    text = "mean absolute error of force components to reach, meV/Å (default: 20)"
    add("--goal-force", type=float, default=20.0, metavar="F", help=text)
    text = "most structures to label (default: 1000 of xTB and models, 150 of anything else)"
    add("--budget", type=int, metavar="N", help=text)
    add("--hours", type=float, metavar="H", help="begin no round later than this")
    text = "what else the model is for, see below"
    add("--toward", action="append", default=[], metavar="AIM", help=text)
    text = "method that helps with a dear reference, or none (default: gfn2-xtb)"
    add("--cheap", default="gfn2-xtb", metavar="METHOD", help=text)
    text = "start from the weights of a model that knows the elements, such as organic; no pretraining then"
    add("--start-from", metavar="MODEL", help=text)
    text = "length of the runs that the model must survive, ps (default: 5)"
    add("--life", type=float, default=5.0, metavar="PS", help=text)
    text = "networks, at least 2; each is trained on (K - 1)/K of the labels (default: 5)"
    add("--members", type=int, default=5, metavar="K", help=text)
    add("--charge", type=int, metavar="Q", help="total charge, e (default: what the file states)")
    text = "2S + 1 (default: what the file states, else the lowest)"
    add("--multiplicity", type=int, metavar="M", help=text)
    add_no_pbc(add)
    add("--seed", type=int, default=0, metavar="K", help="of all random numbers (default: 0)")
    add("--jobs", type=int, metavar="N", help="processes (default: number of cores)")
    text = "longest time of one label, s; what takes longer has failed (default: no limit)"
    add("--time-limit", type=float, metavar="S", help=text)
    text = "try failed labels again, when what was wrong is mended"
    add("--retry-failed", action="store_true", help=text)
    text = "Dask scheduler for labels and fits: tcp://HOST:PORT or its scheduler file"
    add("--scheduler", metavar="ADDRESS", help=text)
    text = "extend the finished learning in DIR by the structures of --collect"
    add("--continue", dest="extend", metavar="DIR", help=text)
    text = "structures that a run or scan of the model ran into (collected.extxyz)"
    add("--collect", metavar="FILE", help=text)
    text = "go on although a process of another host is noted as working in DIR"
    add("--take-over", action="store_true", help=text)
    add_save_data(add)
    add_structure_options(parser)


def run(args: argparse.Namespace) -> int:
    """Learn, draw, and say what came out; return the exit code."""
    from contextlib import nullcontext
    from functools import partial

    from ase_schnet.labelling.cluster import scheduler
    from ase_schnet.learning.learn import extend_learning, learn

    _check(args)
    directory = args.extend or args.output
    check_outputs(folders=[directory])
    options = {"jobs": args.jobs, "take_over": args.take_over, "tell": partial(print, flush=True)}
    options |= {"time_limit_s": args.time_limit, "retry_failed": args.retry_failed}
    kept = f"finished labels are kept in {directory}"
    cluster = scheduler(args.scheduler) if args.scheduler else nullcontext()
    with when_stopped(f"{kept}. {GOES_ON}"), cluster as executor:
        options["executor"] = executor
        if args.extend:
            result = extend_learning(directory, read_structures(args.collect, args), **options)
        else:
            settings, starts = _settings(args), _starts(args)
            result = learn(starts, directory, settings, hours=args.hours, **options)
    return _report(result, Path(directory), args)


def _check(args: argparse.Namespace) -> None:
    if bool(args.extend) != bool(args.collect):
        raise ValueError("--continue DIR and --collect FILE belong together")
    if args.extend and (args.structures or args.output):
        raise ValueError(
            "--continue takes structures from --collect alone, and writes into its DIR"
        )
    if args.extend:
        refuse_given(
            args, _OF_THE_BEGINNING, "says how a learning begins: --continue keeps what its own has"
        )
    if not args.extend and not args.structures:
        raise ValueError("give the STRUCTURE to learn from")
    if not args.extend and not args.output:
        raise ValueError("give the directory of the learning: -o DIR")


def _settings(args: argparse.Namespace) -> LearnSettings:
    from ase_schnet.learning.settings import LearnSettings
    from ase_schnet.model_directories import lasting_name

    return LearnSettings(
        reference=args.reference,
        temperature_K=args.temperature,
        goal_force_meV_per_Ang=args.goal_force,
        budget=args.budget,
        toward=tuple(args.toward),
        cheap=None if args.cheap == "none" else args.cheap,
        life_ps=args.life,
        start_from=args.start_from and lasting_name(args.start_from),
        members=args.members,
        seed=args.seed,
    )


def _starts(args: argparse.Namespace) -> list[Atoms]:
    """Return the structures, with the charge and multiplicity that are given."""
    found = []
    for name in args.structures:
        for k, atoms in enumerate(read_structures(name, args)):
            atoms = unbox(atoms, f"{name}: structure {k}") if args.no_pbc else atoms
            atoms.calc = None
            state_electrons(atoms, name, args)
            found.append(atoms)
    if any(atoms.pbc.any() for atoms in found):
        print("periodic: learnt as a crystal (a molecule in a box: --no-pbc)")
    return found


def _report(result: LearnResult, directory: Path, args: argparse.Namespace) -> int:
    """Draw the way and print the outcome; return the exit code."""
    from ase_schnet.plotting import plot_learning

    figure = plot_learning(result.rows, result.goal_force_meV_per_Ang, result.of_the_end())
    lines = draw(figure, directory / "learning.png", args, "picture")
    print("\n".join([result.summary(), *lines]))
    print(f"model: {directory}    use it: SchNetCalculator({str(directory)!r})")
    return 0 if result.reached else 1
