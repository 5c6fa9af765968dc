"""Settings of a training in a file (--settings FILE): its values are defaults, the command line wins."""

from __future__ import annotations

import argparse
import difflib
import math
from typing import Any

from ase_schnet.cli.language import OTHER_NAMES

#: Options that say what to do with a training, not how it is trained.
NOT_SETTINGS = (
    *("help", "data", "output", "settings", "jobs", "resume", "take_over", "fold", "prepare"),
    *("no_plot", "save_data", "allow_outliers", "scheduler"),
    *("hours", "space", "search", "share", "trial_folds"),
)
#: Options that say which network; a preset or a model on the command line replaces them all.
SHAPE = ("preset", "cutoff", "interactions", "envelope", "trainable_gaussians", "dropout")
PLACES_OF_A_NETWORK = ("preset", "start_from")


def with_settings(args: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments of a command with the values of its --settings FILE, where it says nothing else.

    Fields of `SchNetConfig` go to `network`, and the names of all others to `in_file`. A network that the
    command line names as a whole (--preset, --start-from) takes the place of the one in the file.

    Parameters
    ----------
    args
        As parsed, with `parser` and `words`.

    Raises
    ------
    ValueError
        For a file that is no JSON object, and for names and values that the command does not take.
    OSError
        If there is no such file.
    """
    from ase_schnet.training.hyperparameters import NETWORK, read_object

    parser, path = args.parser, args.settings
    options = {a.dest: a for a in parser._actions if a.dest not in NOT_SETTINGS}
    defaults, network = {}, {}
    for name, value in read_object(path).items():
        dest = OTHER_NAMES.get(name, name).replace("-", "_")
        if name not in NETWORK and dest not in options:
            known = [*NETWORK, *options]
            like = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {like[0]!r}?" if like else "known are the options of the command"
            raise ValueError(f"{path}: there is no setting {name!r}; {hint}")
        if value is None:
            continue
        if name in NETWORK:
            network[name] = value
        else:
            defaults[dest] = _checked(options[dest], f"{path}: {name!r}", value)
    whole = [name for name in PLACES_OF_A_NETWORK if name in given(args)]
    if whole:
        network = {}
        defaults = {k: v for k, v in defaults.items() if k not in SHAPE}
        print(f"--{whole[0].replace('_', '-')} takes the place of the network in {path}")
    parser.set_defaults(**defaults, network=network)
    again = parser.parse_args(args.words)
    again.command, again.words, again.in_file = args.command, args.words, set(defaults)
    return again


def given(args: argparse.Namespace) -> set[str]:
    """Return the names of the arguments that stand on the command line."""
    parser = args.parser
    before = [(action, action.default) for action in parser._actions]
    try:
        for action, _ in before:
            action.default = argparse.SUPPRESS
        found = vars(parser.parse_args(args.words))
    finally:
        for action, default in before:
            action.default = default
    return {name for name in found if name in {action.dest for action, _ in before}}


def _checked(action: argparse.Action, where: str, value: Any) -> Any:
    """Return a value as the option has it; ValueError if the option does not take it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"{where} must be true or false, got {value!r}")
        return value
    if action.nargs is not None:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{where} must be a list of words, got {value!r}")
        return value
    if action.choices is not None and value not in action.choices:
        wanted = ", ".join(map(repr, action.choices))
        raise ValueError(f"{where} must be one of {wanted}, got {value!r}")
    if action.type in (int, float):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or action.type(value) != value:
            what = "a whole number" if action.type is int else "a number"
            raise ValueError(f"{where} must be {what}, got {value!r}")
        return action.type(value)
    if action.type is not None:
        try:
            return action.type(str(value))
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{where}: {error}") from None
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a word, got {value!r}")
    return value
