"""Many runs at once, for ``ase-schnet md --replicas``: what is asked for, and what is printed of them."""

from __future__ import annotations

import argparse
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.dynamics import EXIT_CODES, too_short_to_judge
from ase_schnet.cli.options import Add
from ase_schnet.cli.pictures import draw

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.runs.record import MDRecord

EXCHANGE_EVERY = 100  # steps
#: Acceptance below which two temperatures are as good as apart.
RARE = 0.05
#: Attempts before that is said.
ENOUGH = 10


def add_replicas(add: Add) -> None:
    """Add the options of several runs at once."""
    text = (
        "run so many replicas at once, with seeds SEED, SEED + 1, ..., each in RUN_DIR/replica_K; --threads "
        "are shared among them"
    )
    add("--replicas", type=int, metavar="R", help=text)
    text = "nvt: exchange replicas over temperatures in geometric progression, from --temperature to this (K)"
    add("--exchange", type=float, metavar="K", help=text)
    text = f"steps between attempts to exchange (default: {EXCHANGE_EVERY})"
    add("--exchange-every", type=int, metavar="N", help=text)


def refuse_without_replicas(args: argparse.Namespace) -> None:
    """Refuse options of replicas where there are none, and what replicas do not do; ValueError."""
    if args.replicas is None:
        if args.exchange is not None or args.exchange_every is not None:
            raise ValueError(
                "--exchange is for several runs at once: give their number, --replicas 8"
            )
        return
    if args.exchange_every is not None and args.exchange is None:
        raise ValueError(
            "--exchange-every is for an exchange: give its highest temperature, --exchange 600"
        )
    if args.save_data and args.exchange is None:
        raise ValueError(
            "--save-data writes the numbers behind a picture, and --replicas draw one of an --exchange only: "
            "ase-schnet drift RUN_DIR/replica_* --save-data draws each"
        )
    if args.exchange is not None:
        _refuse_no_ladder(args)


def _refuse_no_ladder(args: argparse.Namespace) -> None:
    from ase_schnet.dynamics.arguments import START_TEMPERATURE_K

    if args.replicas == 1:
        raise ValueError("--exchange is between replicas: give two or more, --replicas 8")
    lowest_K = START_TEMPERATURE_K if args.temperature is None else args.temperature
    if not lowest_K < args.exchange < float("inf"):
        raise ValueError(
            f"--exchange is the highest temperature: it must be above --temperature, {lowest_K:g} K, not "
            f"{args.exchange:g}"
        )


def run_many(atoms: Atoms, args: argparse.Namespace, options: dict) -> int:
    """Run the replicas, print and draw what became of them; return the exit code.

    Parameters
    ----------
    atoms
        With their calculator.
    args
        Of the command.
    options
        Those of `run_replicas` that every run has.
    """
    from ase_schnet.dynamics.replicas import run_replicas
    from ase_schnet.runs.exchange_log import ladder

    temperature_K = options.pop("temperature_K")
    exchange_every = None
    if args.exchange is not None:
        temperature_K = ladder(temperature_K, args.exchange, args.replicas)
        asked = args.exchange_every
        exchange_every = EXCHANGE_EVERY if asked is None else asked
    physics = _physics(args)
    records = run_replicas(
        atoms,
        args.replicas,
        ensemble=args.ensemble,
        temperature_K=temperature_K,
        physics=physics,
        exchange_every=exchange_every,
        threads=args.threads,
        **options,
    )
    return _print(records, args)


def _physics(args: argparse.Namespace) -> dict:
    """Return what of the ensemble was asked for, beyond its temperature."""
    asked = {
        "time_constant_fs": args.time_constant,
        "thermostat": args.thermostat,
        "temperature_end_K": args.temperature_end,
        "pressure_GPa": args.pressure,
        "full_cell": args.full_cell or None,
        "keep_momenta": args.keep_momenta or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _print(records: list[MDRecord], args: argparse.Namespace) -> int:
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.record import REPLICA_PREFIX

    folder = Path(args.output)
    judged = not too_short_to_judge(args)
    verdicts = [drift(one) if judged or one.failure else None for one in records]
    print("replica  time/ps  mean temperature/K  energy")
    why: dict[str, list[int]] = {}  # told once for all
    for k, (one, verdict) in enumerate(zip(records, verdicts, strict=True)):
        said = "too short to judge" if verdict is None else verdict.outcome
        if one.failure:
            said = f"stopped: {one.failure}"
        elif verdict is not None and verdict.outcome != "PASS":
            reason = f"{said}: {(verdict.reasons or verdict.doubts)[0]}"
            why.setdefault(reason, []).append(k)
        print(f"{k:7d}  {one.time_fs[-1] / 1000:7g}  {one.temperature_K.mean():18.1f}  {said}")
    for reason, which in why.items():
        name = "replica" if len(which) == 1 else "replicas"
        print(f"{name} {', '.join(map(str, which))}: {reason}")
    if args.exchange is not None:
        print(*_exchange_lines(folder, args), sep="\n")
    for line in _collected(folder):
        print(line)
    print(f"directories: {folder / REPLICA_PREFIX}*")
    if any(one.failure for one in records):
        return 1
    codes = [EXIT_CODES[verdict.outcome] for verdict in verdicts if verdict is not None]
    return next((code for code in (1, 3) if code in codes), 0)


def _collected(folder: Path) -> list[str]:
    """Return a line on what monitors set aside in the directories of the replicas; none without."""
    from ase_schnet.runs.collected import COLLECTED_FILE
    from ase_schnet.runs.record import REPLICA_PREFIX

    files = folder.glob(f"{REPLICA_PREFIX}*/{COLLECTED_FILE}")
    number = sum(file.read_bytes().count(b" time_fs=") for file in files)
    where = folder / f"{REPLICA_PREFIX}*" / COLLECTED_FILE
    return [f"collected: {number} structures to be labelled, in {where}"] if number else []


def _exchange_lines(folder: Path, args: argparse.Namespace) -> list[str]:
    from ase_schnet.runs.exchange_log import ExchangeRecord

    record = ExchangeRecord.read(folder)
    if not len(record.time_fs):
        return ["exchange: none was tried, the runs are shorter than --exchange-every"]
    pairs = [f"{a:.0f}-{b:.0f} K" for a, b in pairwise(record.temperatures_K)]
    known = list(zip(pairs, record.acceptance, strict=True))
    rates = ", ".join(f"{pair} {'not tried' if isnan(p) else f'{p:.2f}'}" for pair, p in known)
    lines = [f"exchanged: {rates}; round trips: {record.round_trips.sum()}"]
    tried = (record.exchanged >= 0).sum(axis=0)
    rare = [one for (one, p), n in zip(known, tried, strict=True) if p < RARE and n >= ENOUGH]
    if rare:
        lines.append(
            f"{', '.join(rare)} hardly exchange: give temperatures closer to each other, by more --replicas "
            "or a lower --exchange"
        )
    if not args.no_plot:
        from ase_schnet.plotting import plot_exchange

        lines += draw(plot_exchange(record), folder / "exchange.png", args)
    return lines
