"""Command line: parse, call one function, write. Each subcommand has a file of its own."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from _thread import interrupt_main
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import NoReturn

from ase_schnet import __version__
from ase_schnet.cli.faults import DEBUG, FAULT, in_words, is_bad_input
from ase_schnet.cli.guide import guide
from ase_schnet.cli.language import in_options, refuse_unknown
from ase_schnet.cli.options import require_seed
from ase_schnet.cli.pictures import require_picture
from ase_schnet.cli.settings_file import with_settings

COMMANDS = (
    *("train", "assemble", "train-dipole", "evaluate", "calibrate", "predict", "info"),
    *("tune", "learn", "sample", "label", "augment"),
    *("md", "lammps", "drift", "average", "scan", "modes", "spectrum", "report"),
    *("convert", "export", "orca", "gaussian", "serve"),
    *("doctor", "completion"),
)


#: After which a Ctrl-C that was dropped is repeated.
REPEAT_SECONDS = 0.1


class _Parser(argparse.ArgumentParser):
    """Parser whose errors name the next step: the most similar command, and where the examples are."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error; exit with code 2."""
        self.print_usage(sys.stderr)
        tried = re.search(r"argument COMMAND: invalid choice: '([^']*)'", message)
        if tried:
            like = difflib.get_close_matches(tried[1], COMMANDS, n=1)
            message = f"there is no command {tried[1]!r}" + (
                f"; is {like[0]} meant?" if like else ""
            )
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help shows examples\n")


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of the whole command line, or of some commands, which is quicker."""
    parser = _Parser(
        prog="ase-schnet",
        description="SchNet potentials for ASE: train, test, run. Energies are in eV, lengths in Å.",
        epilog=f"Set the environment variable {DEBUG}=1 to see the traceback of errors in the input.",
    )
    parser.add_argument("--version", action="version", version=f"ase-schnet {__version__}")
    added = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands:
        module = import_module(f"ase_schnet.cli.{name.replace('-', '_')}")
        sub = added.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run, parser=sub)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        Exit code: 0 success, 1 a bad verdict, lost points or a fault of ours, 2 bad input, 3 a verdict that
        the data do not allow, 130 stopped by Ctrl-C or SIGTERM.
    """
    _print_whatever_the_encoding()
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        with suppress(BrokenPipeError):
            print(guide(), flush=True)
        return 0
    args = _parse(argv)
    warnings.showwarning = partial(_one_line_warning, args.parser)
    try:
        with _terminated_like_ctrl_c(), _no_ctrl_c_lost():
            args = with_settings(args) if getattr(args, "settings", None) else args
            require_seed(args)
            require_picture(args)
            return args.run(args)
    except KeyboardInterrupt as stopped:
        goes_on = "; to continue, use the same command with --resume" if "resume" in args else ""
        what = str(stopped) or f"what was written is kept{goes_on}"
        print(f"\nase-schnet {args.command}: stopped; {what}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        bad_input = is_bad_input(error)
        if not bad_input or os.environ.get(DEBUG, "0") != "0":
            traceback.print_exception(error)
        message = in_options(in_words(error), args.parser) if bad_input else FAULT
        print(f"ase-schnet {args.command}: {message}", file=sys.stderr)
        return 2 if bad_input else 1


def _parse(argv: list[str]) -> argparse.Namespace:
    try:
        named = argv[:1] if argv[0] in COMMANDS else COMMANDS
        args, unknown = build_parser(named).parse_known_args(argv)
        if unknown:
            refuse_unknown(args.parser, unknown)
        args.words = argv[argv.index(args.command) + 1 :]
    except SystemExit as ended:
        if ended.code and argv[:1] == ["lammps"]:  # other processes may wait for this one
            from ase_schnet.cli.lammps import leave

            leave(ended)
        raise
    return args


def _print_whatever_the_encoding() -> None:
    """Print "?" for characters that stdout and stderr cannot encode, such as "Å" in a redirect on Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not so in tests and notebooks
            stream.reconfigure(errors="replace")


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """Handle SIGTERM, with which batch systems and ``kill`` end a job, like Ctrl-C: save and stop."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def _no_ctrl_c_lost() -> Iterator[None]:
    """Repeat a Ctrl-C that Python drops, as in a callback of llvmlite while compiled code is loaded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = sys.unraisablehook

    def repeat() -> None:
        if sys.unraisablehook is hook:  # the command is not over
            # handled alike, also in a job that a shell ignores Ctrl-C for
            interrupt_main(signal.SIGTERM)

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        # not from here: what is raised in a hook is dropped, too
        again = threading.Timer(REPEAT_SECONDS, repeat)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _one_line_warning(
    parser: argparse.ArgumentParser, message: Warning | str, *_: object, **__: object
) -> None:
    """Print a warning as one line, with options of the command line in place of arguments of Python."""
    print(f"warning: {in_options(str(message), parser)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
