"""Write messages about arguments of Python as messages about options of the command line."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence

#: Arguments of Python whose options have other names.
OTHER_NAMES = {
    "time_ps": "time",
    "timestep_fs": "timestep",
    "temperature_K": "temperature",
    "temperature_end_K": "temperature_end",
    "pressure_GPa": "pressure",
    "time_constant_fs": "time_constant",
    "test_time_ps": "test_time",
    "run_dir": "output",
    "skip_ps": "skip",
    "n_folds": "folds",
    "n_interactions": "interactions",
    "temperatures_K": "temperature",
    "melt_temperature_K": "melt_temperature",
    "stretch_factors": "stretch",
    "noise_Ang": "noise",
    "candidates": "select",
    "max_force_eV_per_Ang": "max_force",
    "time_limit_s": "time_limit",
    "goal_force_meV_per_Ang": "goal_force",
    "life_ps": "life",
}
_NAMED = re.compile(
    # no part of a path or of a longer word; then = and perhaps a value, or neither = nor a suffix
    r"(?<![\w./'-])([A-Za-z]+(?:_[A-Za-z]+)*)(?:(=)('[^']*'|[-+\w./]*\w)?|(?![\w=/]|\.\w))"
)
_FIELD = re.compile(r"\bSchNetConfig\.([a-z_]+)")  # of the shape of the network
_TWICE = re.compile(r"(--[a-z-]+) \(\1\)")  # as argument and as option, which are one here
#: Option that messages advise; a command without it leaves that advice out.
_NO_BOX = "--no-pbc"
#: How a training goes on; commands without the option go on by themselves.
_RESUME, _AGAIN = "resume=True goes on", "the same command goes on"
_CODE = re.compile(r"\bdef \w+\(")  # from here a message is an example in Python


def in_options(text: str, parser: argparse.ArgumentParser) -> str:
    """Replace arguments of Python (``units='kcal/mol'``) by options of a command (``--units kcal/mol``).

    A name without a value is replaced only if it can be nothing but an argument, as ``timestep_fs``.

    Parameters
    ----------
    text
        Message for the user.
    parser
        Parser of the command. Its options are the ones that may be named.

    Returns
    -------
    str
        The message with options.
    """
    if not any(_NO_BOX in action.option_strings for action in parser._actions):
        text = text.replace(f" ({_NO_BOX})", "")
    if not any(action.dest == "resume" for action in parser._actions):
        text = text.replace(_RESUME, _AGAIN)
    code = match.start() if (match := _CODE.search(text)) else len(text)
    options = {
        action.dest: (action.option_strings, action.nargs == 0)
        for action in parser._actions
        if action.option_strings
    }

    def spelled(match: re.Match) -> str:
        name, equals, value = match.groups()
        known = options.get(OTHER_NAMES.get(name, name))
        if known is None or not (equals or "_" in name):
            return match[0]
        spellings, is_flag = known
        option = _spelling(spellings, value == "False")
        if not value or is_flag:
            return option
        bare = "none" if value == "None" and name == "repulsion" else value.strip("'")
        plain = bare if bare and not re.search(r"[\s']", bare) else value
        return f"{option}={plain}" if bare.startswith("-") else f"{option} {plain}"

    def field(match: re.Match) -> str:
        known = options.get(OTHER_NAMES.get(match[1], match[1]))
        return match[0] if known is None else _spelling(known[0])

    words = _TWICE.sub(r"\1", _NAMED.sub(spelled, _FIELD.sub(field, text[:code])))
    return words + text[code:]


def _spelling(spellings: Sequence[str], off: bool = False) -> str:
    """Return the long name of an option; of --x and --no-x the first, unless it is switched off."""
    switch = len(spellings) > 1 and spellings[-1].startswith("--no-")
    return spellings[-2] if switch and not off else spellings[-1]


def refuse_unknown(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Exit with the usage of the command, and the option that is most similar to the unknown one."""
    known = [option for action in parser._actions for option in action.option_strings]
    hints = []
    for argument in arguments:
        like = difflib.get_close_matches(argument.split("=")[0], known, n=1)
        if argument.startswith("-") and like:
            hints.append(f"did you mean {like[0]} instead of {argument.split('=')[0]}?")
    parser.error("; ".join([f"unrecognized arguments: {' '.join(arguments)}", *hints]))
