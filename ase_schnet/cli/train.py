"""Run ase-schnet train DATA [DATA ...] -o MODEL_DIR."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import print_found, reading_options
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.train_cheap import baseline_of, check_cheap, pool_defaults, with_cheap_method
from ase_schnet.cli.train_labels import (
    Places,
    check_labels,
    count_twins,
    require_labels,
)
from ase_schnet.cli.train_options import add_train_options

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.schnet_config import SchNetConfig
    from ase_schnet.training.recipe import Augment, Recipe
    from ase_schnet.training.settings import FitSettings
    from ase_schnet.training.start import Start

HELP = "Train an ensemble of SchNets by k-fold cross-validation. The exit code is 1 if the training failed."
EXAMPLE = """\
example (rMD17 npz files name their units; for others use --units):
  ase-schnet train rmd17_ethanol_train_01.npz -o models/ethanol --preset fast --folds 5

--settings FILE: a JSON object with options of this command (without dashes in front) and fields of
SchNetConfig, such as {"n_atom_basis": 96, "cutoff": 4.5, "learning_rate": 0.002}. ase-schnet tune writes one.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add_train_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read, train, print the tables and the place of the model. Return 1 if the training failed."""
    from ase_schnet.cli.assemble import report
    from ase_schnet.labelling.cluster import scheduler
    from ase_schnet.training.crossval import cross_validate
    from ase_schnet.training.distributed import launched_by_torchrun
    from ase_schnet.training.workdir import WorkDirectory

    check_outputs(folders=[args.output])
    check_cheap(args)
    if args.scheduler:  # its workers have other working directories
        args.output = str(Path(args.output).resolve())
    if args.fold is not None:
        return _run_fold(args)
    if launched_by_torchrun():
        raise ValueError("under torchrun the processes share one fit: say which with --fold K")
    dataset, *rest = read_data(args)
    recipe, provenance = recipe_of(args, dataset, *rest)
    dataset, recipe = with_cheap_method(args, dataset, recipe, provenance)
    if args.prepare:
        print(f"prepared: {args.output}; train its members with --fold K, or all without it")
        return 0
    finished = WorkDirectory(args.output).complete
    cluster = scheduler(args.scheduler) if args.scheduler else nullcontext()
    with _live(args, "training.png"), cluster as executor:
        model = cross_validate(
            dataset,
            args.output,
            recipe,
            jobs=args.jobs,
            executor=executor,
            resume=args.resume,
            provenance=provenance,
            allow_outliers=args.allow_outliers,
            allow_contradictions=True,  # each file was checked already
            take_over=args.take_over,
        )
    if finished:
        print(f"nothing to do: {args.output} holds the finished model")
    return report(model, args.output, args)


def _run_fold(args: argparse.Namespace) -> int:
    """Train one member, and print what is left to do."""
    if args.scheduler:
        raise ValueError("--scheduler trains all members as jobs: train without --fold")
    from ase_schnet.training.distributed import (
        is_rank_zero,
        on_every_rank,
        on_rank_zero,
        process_group,
    )
    from ase_schnet.training.fold import train_fold

    with process_group(args.device), redirect_stdout(sys.stdout if is_rank_zero() else StringIO()):
        dataset, *rest = on_every_rank(lambda: read_data(args))
        recipe, provenance = on_every_rank(lambda: recipe_of(args, dataset, *rest))
        dataset, recipe = on_every_rank(
            lambda: with_cheap_method(args, dataset, recipe, provenance)
        )
        with _live(args, f"training/fold_{args.fold}.png") if is_rank_zero() else nullcontext():
            train_fold(
                dataset,
                args.output,
                recipe,
                args.fold,
                provenance=provenance,
                allow_outliers=args.allow_outliers,
                allow_contradictions=True,  # each file was checked already
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


def _live(args: argparse.Namespace, name: str) -> AbstractContextManager:
    """Draw learning curves while the training goes on."""
    if args.no_plot:
        return nullcontext()
    from ase_schnet.plotting import LiveFigure, plot_learning_curves
    from ase_schnet.training.log import read_logs

    def draw() -> object:
        logs = read_logs(Path(args.output) / "training")
        mine = [log for log in logs if args.fold in (None, log["fold"])]
        return plot_learning_curves(mine) if mine else None

    return LiveFigure(draw, Path(args.output) / name)


def recipe_of(
    args: argparse.Namespace, dataset: Dataset, files: list[dict], augment: Augment | None
) -> tuple[Recipe, dict]:
    """Return what to train, and where it came from."""
    from ase_schnet.data.splits import default_kept_out, plan_folds
    from ase_schnet.training.electrons import settled_electrons
    from ase_schnet.training.loss_weights import LossWeights
    from ase_schnet.training.recipe import Recipe

    n = len(dataset)
    if args.kept_out is not None and not 0 < args.kept_out < 1:
        raise ValueError(
            f"--kept-out is a fraction of the data, above 0 and below 1, not {args.kept_out:g}: "
            "0.05 keeps 5 % of them out"
        )
    plan = plan_folds(
        n,
        args.folds,
        n_kept_out=default_kept_out(n) if args.kept_out is None else round(args.kept_out * n),
        seed=args.seed,
        contiguous=args.contiguous,
        twins=count_twins(dataset),
    )
    start = _start(args)
    settings = _settings(args)
    weights = LossWeights(args.energy_weight, args.forces_weight, args.loss, args.stress_weight)
    electrons = settled_electrons(dataset, args.charge, args.multiplicity)
    assumed = args.charge is None and electrons[0] == 0 and electrons[1] == 2
    ion = "; the number of electrons is odd: for an ion, give --charge" * assumed
    print(
        f"charge {electrons[0]}, multiplicity {electrons[1]} (written into the model's card{ion})"
    )
    if args.resume and not Path(args.output).exists():
        print(f"nothing to resume in {args.output}: a new training begins")
    sys.stdout.flush()  # into a log, before the hours of training that stderr reports
    recipe = Recipe(
        _config(args) if start is None else start.config,
        weights,
        settings,
        plan,
        args.device,
        augment,
        *electrons,
        start=start,
        level_of_theory=args.level_of_theory,
        baseline=baseline_of(args),
    )
    provenance = {
        "command": "ase-schnet " + shlex.join(sys.argv[1:]),
        "files": files,
        "split": {"seed": args.seed, "contiguous": args.contiguous},
    }
    return recipe, provenance


def read_data(args: argparse.Namespace) -> tuple[Dataset, list[dict], Augment | None]:
    """Read all files into one data set, print what was found in each, and say how to augment it."""
    from ase_schnet.augment.settings import read_augmentation
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.data.augmented import separate_augmented
    from ase_schnet.data.formats import read_dataset
    from ase_schnet.data.outliers import refuse_outliers

    everything, summaries = read_dataset(args.data, args.units, **reading_options(args))
    places = Places(everything, args.data, summaries)
    notes = []
    for k, summary in enumerate(summaries):
        print_found(summary, args)
        notes += [f"{summary.path.name}: {note}" for note in summary.notes if "not used" in note]
        check_labels(places.true_structures_of(k), summary, args)
    dataset, augment = separate_augmented(everything)
    if args.augment:
        if augment is not None:
            raise ValueError("the files hold augmented structures already: train without --augment")
        augment = read_augmentation(args.augment, SchNetCalculator)
    require_labels(dataset, args, notes)
    if not args.allow_outliers:
        refuse_outliers(dataset, places.name)
    files = [{"name": s.path.name, "sha256": s.sha256, "units": str(s.units)} for s in summaries]
    return dataset, files, augment


def _config(args: argparse.Namespace) -> SchNetConfig:
    """Return the preset with the changes of the settings file and then of the command line."""
    from ase_schnet.schnet_config import PRESETS

    changes = {
        "cutoff": args.cutoff,
        "n_interactions": args.interactions,
        "envelope": args.envelope,
        "trainable_gaussians": args.trainable_gaussians,
        "dropout": args.dropout,
    }
    preset = replace(PRESETS[args.preset or "fast"], **getattr(args, "network", {}))
    return replace(preset, **{k: v for k, v in changes.items() if v is not None})


def _settings(args: argparse.Namespace) -> FitSettings:
    """Return the settings of the fit."""
    from ase_schnet.training.settings import FINE_TUNING_RATE, FitSettings

    given = {f.name: getattr(args, f.name) for f in fields(FitSettings)}
    defaults = {"learning_rate": FINE_TUNING_RATE} if args.start_from else {}
    if args.pretrain:
        defaults |= pool_defaults()
    chosen = {k: v for k, v in given.items() if v is not None}
    return FitSettings(**{**defaults, **chosen})


def _start(args: argparse.Namespace) -> Start | None:
    """Return the model that the training starts from."""
    from ase_schnet.modelfile import load_model
    from ase_schnet.training.start import Start

    if args.start_from is None:
        if args.freeze:
            raise ValueError(
                "--freeze keeps layers of a model as they are: say which with --start-from"
            )
        return None
    shape = ("preset", "cutoff", "interactions", "envelope", "trainable_gaussians")
    given = [f"--{name}".replace("_", "-") for name in shape if getattr(args, name) is not None]
    if given:
        raise ValueError(
            f"the network is that of {args.start_from}: train without {', '.join(given)}"
        )
    return Start(load_model(args.start_from), args.start_from, tuple(args.freeze), args.dropout)
