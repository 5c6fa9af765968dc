"""Print a script that completes commands in a shell: ``ase-schnet completion SHELL``."""

from __future__ import annotations

import argparse

HELP = "Print a script with which a shell completes commands and options."
EXAMPLE = """\
examples:
  ase-schnet completion bash > ~/.local/share/bash-completion/completions/ase-schnet
  ase-schnet completion zsh > ~/.zfunc/_ase-schnet    # and in .zshrc: fpath+=~/.zfunc; compinit
  ase-schnet completion tcsh > ~/.ase-schnet.tcsh     # and in .tcshrc: source ~/.ase-schnet.tcsh
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script; return the exit code."""
    import shtab

    from ase_schnet.cli import build_parser

    parser = build_parser()
    _complete_file_names(parser, shtab.FILE)
    print(shtab.complete(parser, args.shell))
    return 0


def _complete_file_names(parser: argparse.ArgumentParser, complete: dict) -> None:
    """Let arguments that are words, and not one of a few, be completed by names of files."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _complete_file_names(sub, complete)
        elif action.type is None and action.choices is None and action.nargs != 0:
            action.complete = complete
