"""The command line: parse, call one function, write. One file per subcommand."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module

from ase_schnet import __version__
from ase_schnet.cli.faults import DEBUG, FAULT, is_bad_input
from ase_schnet.cli.language import in_options, refuse_unknown

COMMANDS = (
    *("train", "assemble", "train-dipole", "evaluate", "predict", "info", "augment"),
    *("md", "lammps", "drift", "scan", "spectrum"),
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line's parser."""
    parser = argparse.ArgumentParser(
        prog="ase-schnet",
        description="SchNet potentials for ASE: train, judge, run. All energies in eV, lengths in Å.",
    )
    parser.add_argument("--version", action="version", version=f"ase-schnet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"ase_schnet.cli.{name.replace('-', '_')}")
        sub = commands.add_parser(
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
    args, unknown = build_parser().parse_known_args(argv)
    if unknown:
        refuse_unknown(args.parser, unknown)
    warnings.showwarning = partial(_one_line_warning, args.parser)
    try:
        with _terminated_like_ctrl_c():
            return args.run(args)
    except KeyboardInterrupt:
        print(
            f"\nase-schnet {args.command}: stopped; what was written is kept"
            + (", the same command with --resume goes on" if "resume" in args else ""),
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        bad_input = is_bad_input(error)
        if not bad_input or os.environ.get(DEBUG):
            traceback.print_exception(error)
        message = in_options(str(error), args.parser) if bad_input else FAULT
        print(f"ase-schnet {args.command}: {message}", file=sys.stderr)
        return 2 if bad_input else 1


def _print_whatever_the_encoding() -> None:
    """Let "?" stand for what stdout and stderr cannot say: a redirect on Windows has no "Å" or "→"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what tests and notebooks put in their place
            stream.reconfigure(errors="replace")


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, by which batch systems and `kill` end a job, save what Ctrl-C saves."""
    if threading.current_thread() is not threading.main_thread():  # which alone may ask for signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _one_line_warning(parser, message, category, filename, lineno, file=None, line=None) -> None:
    print(f"warning: {in_options(str(message), parser)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
