"""Search for hyperparameters: ``ase-schnet tune DATA --hours H -o DIR``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.faults import GOES_ON, when_stopped
from ase_schnet.cli.language import OTHER_NAMES
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import draw
from ase_schnet.cli.settings_file import SHAPE, given
from ase_schnet.cli.train import read_data, recipe_of
from ase_schnet.cli.train_options import add_recipe_options, add_work_options

if TYPE_CHECKING:
    from ase_schnet.training.recipe import Recipe
    from ase_schnet.tuning.result import TuneResult
    from ase_schnet.tuning.space import SearchSpace

HELP = "Search for the network, loss and fit with the smallest validation errors on your data."
EXAMPLE = """\
examples (needs pip install 'ase-schnet[tune]'):
  ase-schnet tune ethanol.npz --hours 1 -o tuned
  ase-schnet tune ethanol.npz --hours 1 --cutoff 6 -o tuned       # the cutoff is 6 Å, all else is searched
  ase-schnet tune ethanol.npz --hours 1 --search learning_rate batch_size -o tuned
  ase-schnet train ethanol.npz --settings tuned/settings.json -o model

A trial trains the first member for a share of --epochs, and is judged by its errors on the fold that this
member does not see. It ends early if it is worse than the median of the trials before. The kept-out part is
not touched. Each trial is a point of the space: first what you give (by default preset fast), then ten at
random, then what Optuna's TPE proposes. What you say on the command line is held fixed.

--space FILE takes the place of the default space: a JSON object with a range, a list of choices, or one
fixed value for each hyperparameter (fields of SchNetConfig and FitSettings, energy_weight, ...):
  {"learning_rate": {"low": 3e-4, "high": 3e-3, "log": true}, "n_atom_basis": [64, 96], "n_rbf": 24}

After Ctrl-C or a kill the same command goes on; the hours count from call to call. The same command in
another shell, or on another machine that sees DIR, helps. With more --hours a search goes on.

DIR/settings.json is the best trial, DIR/tuning.csv all of them, DIR/tuning.png what matters;
DIR/study.db is an Optuna study (optuna-dashboard sqlite:///DIR/study.db).
"""
#: What belongs to the search alone, and is not said again to train.
OF_THE_SEARCH = (
    *("data", "output", "hours", "space", "search", "share", "trial_folds", "settings"),
    *("jobs", "take_over", "no_plot", "save_data"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="directory of the search")
    text = "time in all, h, of this call and of those that go on from it (default: 1)"
    add("--hours", type=float, default=1.0, metavar="H", help=text)
    add("--space", metavar="FILE", help="the space in a JSON file (default: around what is given)")
    text = "of the default space vary these alone, such as learning_rate cutoff"
    add("--search", nargs="+", metavar="NAME", help=text)
    text = "epochs of a trial over --epochs (default: 0.2)"
    add("--share", type=float, default=0.2, metavar="S", help=text)
    text = "folds that a trial is trained and judged on: more cost more and are less noisy (default: 1)"
    add("--trial-folds", type=int, default=1, metavar="K", help=text)
    add_recipe_options(parser)
    add_work_options(parser, "trials at the same time")
    parser.set_defaults(baseline=None, pretrain=None, resume=False, fold=None)


def run(args: argparse.Namespace) -> int:
    """Search, draw, and say what came out."""
    from functools import partial

    from ase_schnet.tuning.optuna_study import require_optuna
    from ase_schnet.tuning.run import tune
    from ase_schnet.tuning.settings import TuneSettings

    require_optuna()
    check_outputs(folders=[args.output])
    dataset, *rest = read_data(args)
    recipe, _ = recipe_of(args, dataset, *rest)
    settings = TuneSettings(_space(args, recipe), args.share, args.trial_folds, args.seed)
    with when_stopped(f"trials are kept in {args.output}. {GOES_ON}"):
        result = tune(
            dataset,
            args.output,
            recipe,
            settings,
            hours=args.hours,
            jobs=args.jobs,
            allow_outliers=args.allow_outliers,
            allow_contradictions=True,  # each file was checked already
            take_over=args.take_over,
            tell=partial(print, flush=True),
        )
    _report(result, args)
    return 0


def _space(args: argparse.Namespace, recipe: Recipe) -> SearchSpace:
    """Return what is varied: all of the space but what the command line says."""
    from ase_schnet.tuning.space import SearchSpace

    if args.space and args.search:
        raise ValueError("give --space or --search, not both: what is not in FILE is not searched")
    space = SearchSpace.read(args.space) if args.space else SearchSpace.around(recipe)
    said = {OTHER_NAMES.get(name, name) for name in given(args)} | {
        f"n_{name}" for name in given(args)
    }
    fixed = said & (set(space.varied) | set(space.fixed))
    if args.space and fixed:
        name = min(fixed)
        option = next(a for a in (name, name.removeprefix("n_")) if a in given(args))
        raise ValueError(
            f"--{option.replace('_', '-')} and {args.space} both say {name!r}: leave it out of one"
        )
    if args.search:
        twice = sorted(fixed & set(args.search))
        if twice:
            raise ValueError(f"{twice[0]!r} cannot be both given and searched")
        return space.only(args.search)
    return space.without(fixed)


def _report(result: TuneResult, args: argparse.Namespace) -> None:
    """Print the outcome, draw it, and say how to train with it."""
    from ase_schnet.plotting import plot_tuning
    from ase_schnet.tuning.result import SETTINGS, TABLE

    directory = Path(args.output)
    print(result.summary())
    if result.importance:
        shares = ", ".join(f"{name} {100 * v:.0f} %" for name, v in result.importance.items())
        print(f"importance: {shares}")
    print(f"all trials: {directory / TABLE}")
    if result.best is None:
        return
    if not args.no_plot:
        figure = plot_tuning(result.rows, result.importance, result.first)
        print(*draw(figure, directory / "tuning.png", args, "picture"), sep="\n")
    words = ["ase-schnet", "train", *args.data, "--settings", str(directory / SETTINGS)]
    print(f"train with it: {shlex.join([*words, *_said_again(args), '-o', 'MODEL'])}")


def _said_again(args: argparse.Namespace) -> list[str]:
    """Return the options that were given and that the new settings file does not hold."""
    from ase_schnet.training.hyperparameters import NAMES

    words, said = [], given(args) | getattr(args, "in_file", set())
    for action in args.parser._actions:
        name = action.dest
        if name not in said or name in OF_THE_SEARCH or name in NAMES or name in SHAPE:
            continue
        value = getattr(args, name)
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            words += [str(v) for v in (value if isinstance(value, list) else [value])]
    return words
