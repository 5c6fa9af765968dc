"""ase-schnet train DATA [DATA ...] -o MODEL_DIR"""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path

from ase_schnet.cli.inputs import add_reading_options, print_found, reading_options
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.train_labels import (
    add_label_options,
    check_labels,
    require_labels,
    twins_in,
)

HELP = "Train an ensemble of SchNets by k-fold cross-validation; the exit code is 1 if it came to nothing."
EXAMPLE = """\
example (rMD17 npz files carry their units; for others say --units):
  ase-schnet train rmd17_ethanol_train_01.npz -o models/ethanol --preset fast --folds 5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    _add_data_and_network(parser)
    labels = parser.add_argument_group("labels")
    add_label_options(labels)
    add_reading_options(labels)
    _add_fit(parser.add_argument_group("fit (defaults in brackets)"))
    _add_work(parser)


def _add_data_and_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="npz, extxyz, ASE db, HDF5 or QM9 files"
    )
    parser.add_argument("-o", "--output", required=True, metavar="MODEL_DIR")
    parser.add_argument(
        "--units",
        help="units of the files, e.g. kcal/mol, 'eV, Ang, kB' or 'Hartree, Ang, Hartree/Bohr'",
    )
    parser.add_argument("--energy-key", help="name of the energies in the file")
    parser.add_argument("--forces-key", help="name of the forces in the file")
    parser.add_argument(
        "--preset",
        default="fast",
        choices=("small", "default", "large", "fast", "accurate"),
        help="size of the network (default: fast)",
    )
    parser.add_argument("--cutoff", type=float, help="cutoff in Å (default: the preset's)")
    parser.add_argument("--interactions", type=int, help="interaction blocks (default: preset's)")
    parser.add_argument(
        "--envelope",
        choices=("cosine", "none"),
        help="of the filters at the cutoff; none leaves a step there (default: the preset's, cosine)",
    )
    parser.add_argument("--folds", type=int, default=5, help="members of the ensemble (default: 5)")
    parser.add_argument(
        "--kept-out",
        type=float,
        default=0.05,
        metavar="FRACTION",
        help="part of the data no member sees, which judges the ensemble (default: 0.05)",
    )
    parser.add_argument(
        "--contiguous",
        action="store_true",
        help="folds of consecutive frames, for data from one trajectory",
    )
    parser.add_argument(
        "--augment",
        metavar="HOW",
        help="train on displaced structures too, such as 'delta, stretch, ensemble=MODEL, weight=0.1': see "
        "ase-schnet augment --help. Made from the training part of each fold, they judge nothing",
    )


def _add_fit(fit) -> None:
    fit.add_argument("--epochs", type=int, default=500, help="[500]")
    fit.add_argument("--batch-size", type=int, default=10, help="structures per step [10]")
    fit.add_argument(
        "--learning-rate", type=float, default=1e-3, help="of Adam; Muon's is 10× [1e-3]"
    )
    fit.add_argument("--optimizer", choices=("muon", "adam"), default="muon", help="[muon]")
    fit.add_argument(
        "--schedule",
        choices=("cosine", "exponential"),
        default="cosine",
        help="of the learning rate: to zero, or ×0.96 every 100 000 steps [cosine]",
    )
    fit.add_argument("--weight-decay", type=float, default=0.0, help="decoupled, as AdamW's [0]")
    fit.add_argument(
        "--ema-decay", type=float, default=0.99, help="running average of weights [0.99]"
    )
    fit.add_argument("--clip-norm", type=float, default=10.0, help="largest gradient norm [10]")
    fit.add_argument(
        "--patience",
        type=int,
        default=0,
        help="epochs without progress to stop after; 0: never [0]",
    )
    fit.add_argument(
        "--loss",
        choices=("standardised", "schnet"),
        default="standardised",
        help="free of units, size and composition, or the SchNet paper's [standardised]",
    )
    fit.add_argument(
        "--energy-weight",
        type=float,
        help="[0.001, crystals want some 0.05; with --loss schnet ρ = 0.01]",
    )
    fit.add_argument("--forces-weight", type=float, default=1.0, help="0: energies only [1]")
    fit.add_argument(
        "--stress-weight",
        type=float,
        help="[0.1 where the data have stress; 0: not trained on]",
    )
    fit.add_argument("--seed", type=int, default=0, help="of the folds and the weights [0]")


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--jobs", type=int, help="members trained side by side (default: cores)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted training; a finished one is not taken further",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="go on although a process of another host is written down as training here: it no longer runs",
    )
    parser.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="train member K alone (1 to --folds): a job that goes on where it was stopped, and returns "
        "at once if it is done. When all are, `ase-schnet assemble MODEL_DIR` joins them. Under torchrun "
        "its processes share the fit",
    )
    parser.add_argument(
        "--allow-outliers",
        action="store_true",
        help="train in spite of labels far from all others, which are otherwise an error",
    )
    parser.add_argument("--no-plot", action="store_true", help="do not draw the learning curves")


def run(args: argparse.Namespace) -> int:
    """Read, train, print the tables, say where the model is. 1 if the training failed."""
    from ase_schnet.cli.assemble import report
    from ase_schnet.training.crossval import cross_validate
    from ase_schnet.training.distributed import launched_by_torchrun
    from ase_schnet.training.workdir import WorkDirectory

    check_outputs(folders=[args.output])
    if args.fold is not None:
        return _run_fold(args)
    if launched_by_torchrun():
        raise ValueError("under torchrun the processes share one fit: say which with --fold K")
    dataset, *rest = _read(args)
    recipe, provenance = _recipe(args, dataset, *rest)
    finished = WorkDirectory(args.output).complete
    with _live(args, "training.png"):
        model = cross_validate(
            dataset,
            args.output,
            recipe,
            jobs=args.jobs,
            resume=args.resume,
            provenance=provenance,
            allow_outliers=args.allow_outliers,
            allow_contradictions=True,  # file by file they were checked already
            take_over=args.take_over,
        )
    if finished:
        print(f"nothing to do: {args.output} holds the finished model")
    return report(model, args.output, plot=not args.no_plot)


def _run_fold(args: argparse.Namespace) -> int:
    """One member; say what is left to be done."""
    from ase_schnet.training.distributed import (
        is_rank_zero,
        on_every_rank,
        on_rank_zero,
        process_group,
    )
    from ase_schnet.training.fold import train_fold

    with process_group(args.device), redirect_stdout(sys.stdout if is_rank_zero() else StringIO()):
        dataset, *rest = on_every_rank(lambda: _read(args))
        recipe, provenance = on_every_rank(lambda: _recipe(args, dataset, *rest))
        with _live(args, f"training/fold_{args.fold}.png") if is_rank_zero() else nullcontext():
            train_fold(
                dataset,
                args.output,
                recipe,
                args.fold,
                provenance=provenance,
                allow_outliers=args.allow_outliers,
                allow_contradictions=True,  # file by file they were checked already
                take_over=args.take_over,
            )
        on_rank_zero(lambda: _say_what_is_left(args))
    return 0


def _say_what_is_left(args: argparse.Namespace) -> None:
    from ase_schnet.training.workdir import WorkDirectory

    work = WorkDirectory(args.output)
    if work.complete:
        print(f"nothing to do: {args.output} holds the finished model")
    else:
        left = work.left_to_do() or f"join all with ase-schnet assemble {args.output}"
        print(f"fold {args.fold} is done; {left}")


def _live(args: argparse.Namespace, name: str):
    """Learning curves that are drawn while the training goes on."""
    if args.no_plot:
        return nullcontext()
    from ase_schnet.plotting import LiveFigure, plot_learning_curves
    from ase_schnet.training.log import read_logs

    def draw():
        logs = read_logs(Path(args.output) / "training")
        mine = [log for log in logs if args.fold in (None, log["fold"])]
        return plot_learning_curves(mine) if mine else None

    return LiveFigure(draw, Path(args.output) / name)


def _recipe(args: argparse.Namespace, dataset, files: list[dict], augment):
    """What to train, and where it came from."""
    from ase_schnet.data.splits import plan_folds
    from ase_schnet.training.electrons import settled_electrons
    from ase_schnet.training.loss import LossWeights
    from ase_schnet.training.recipe import Recipe
    from ase_schnet.training.settings import FitSettings

    plan = plan_folds(
        len(dataset),
        args.folds,
        n_kept_out=round(args.kept_out * len(dataset)),
        seed=args.seed,
        contiguous=args.contiguous,
        twins=twins_in(dataset),
    )
    settings = FitSettings(**{f.name: getattr(args, f.name) for f in fields(FitSettings)})
    weights = LossWeights(args.energy_weight, args.forces_weight, args.loss, args.stress_weight)
    electrons = settled_electrons(dataset, args.charge, args.multiplicity)
    assumed = args.charge is None and electrons[0] == 0 and electrons[1] == 2
    ion = "; an odd number of electrons: of an ion, say --charge" * assumed
    print(
        f"charge {electrons[0]}, multiplicity {electrons[1]} (written into the model's card{ion})"
    )
    if args.resume and not Path(args.output).exists():
        print(f"nothing to resume in {args.output}: a new training begins")
    sys.stdout.flush()  # into a log, before the hours of which stderr tells
    recipe = Recipe(_config(args), weights, settings, plan, args.device, augment, *electrons)
    provenance = {
        "command": "ase-schnet " + shlex.join(sys.argv[1:]),
        "files": files,
        "split": {"seed": args.seed, "contiguous": args.contiguous},
    }
    return recipe, provenance


def _read(args: argparse.Namespace):
    """All files as one data set, saying what was found in each, and how to augment it."""
    from ase_schnet.augment.frames import separate
    from ase_schnet.augment.settings import read_augmentation
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.data.formats import read_labelled
    from ase_schnet.data.outliers import refuse_outliers

    frames, files, places, notes = [], [], {}, []
    for path in args.data:
        part, found = read_labelled(path, args.units, **reading_options(args))
        print_found(found, args)
        notes += [f"{found.path.name}: {note}" for note in found.notes if "not used" in note]
        check_labels(part, found, args)
        places |= {id(atoms): f"{path}, frame {k}" for k, atoms in enumerate(part)}
        frames += part
        files.append({"name": Path(path).name, "sha256": found.sha256, "units": str(found.units)})
    names = ", ".join(f["name"] for f in files)
    frames, augment = separate(frames)
    if args.augment:
        if augment is not None:
            raise ValueError("the files hold augmented structures already: train without --augment")
        augment = read_augmentation(args.augment, SchNetCalculator)
    dataset = Dataset.from_atoms(frames, source=names, units=files[0]["units"])
    require_labels(dataset, args, notes)
    if not args.allow_outliers:
        refuse_outliers(dataset, lambda k: places[id(frames[k])])
    return dataset, files, augment


def _config(args: argparse.Namespace):
    """The preset with what the command line changes of it."""
    from ase_schnet.model.schnet import PRESETS

    changes = {
        "cutoff": args.cutoff,
        "n_interactions": args.interactions,
        "envelope": args.envelope,
    }
    return replace(PRESETS[args.preset], **{k: v for k, v in changes.items() if v is not None})
