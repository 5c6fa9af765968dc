"""The velocities with which a run starts: which were asked for, and what is printed of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.dynamics.integrators import Integrator

#: Overall motion is mentioned if it is more than this share of the temperature.
OVERALL_SHARE = 0.05
#: Names under which files have velocities in units of their own.
FOREIGN = ("vel", "velo", "velocity", "velocities")


def start_temperature_K(args: argparse.Namespace) -> float | None:
    """Return the temperature asked for, K, or the default; None for an NVE run that keeps its velocities."""
    from ase_schnet.dynamics.arguments import START_TEMPERATURE_K

    if args.keep_momenta and args.ensemble == "nve":
        if args.temperature is not None:
            raise ValueError(
                "in nve, --temperature is for velocities that are drawn, and --keep-momenta keeps those of "
                f"{args.structure}: leave one of the two out"
            )
        return None
    return START_TEMPERATURE_K if args.temperature is None else args.temperature


def print_velocities(atoms: Atoms, args: argparse.Namespace, silent: bool = False) -> None:
    """Print with which velocities the run starts; ValueError if there are none to keep."""
    from ase_schnet.runs.record import REPLICA_PREFIX
    from ase_schnet.runs.restart import RESTART_FILE

    drawn_K = start_temperature_K(args)
    moving = atoms.has("momenta") and atoms.get_momenta().any()
    foreign = next((name for name in FOREIGN if name in atoms.arrays and not moving), None)
    if args.keep_momenta and not moving:
        why = (
            f" in a known unit (the unit of {foreign} is unknown: give momenta, as ASE writes them)"
        )
        raise ValueError(
            f"{args.structure} has no velocities to keep{why if foreign else ''}: leave --keep-momenta out "
            "to draw them"
        )
    highest = getattr(args, "exchange", None)
    span = "" if highest is None else f" to {highest:g}"
    line = f"velocities: drawn at {drawn_K:g}{span} K" if drawn_K is not None else ""
    if args.keep_momenta:
        line = f"velocities: kept from {args.structure}: {_kept(atoms, args)}"
    elif moving:
        own = f"{args.structure}: {_kept(atoms, args)}"
        line += f", and not those of {own} (--keep-momenta keeps them)"
    elif foreign:
        line += f", and not those of {args.structure}: the unit of its column {foreign} is unknown"
    if args.resume and getattr(args, "replicas", None) is not None:
        of_runs = list(Path(args.output).glob(f"{REPLICA_PREFIX}*/{RESTART_FILE}"))
        line = f"velocities: those of the {len(of_runs)} runs in {args.output}" if of_runs else line
    elif args.resume and (Path(args.output) / RESTART_FILE).exists():
        line = f"velocities: those of the run in {args.output}"
    if not silent:
        print(line)


def _kept(atoms: Atoms, args: argparse.Namespace) -> str:
    """Describe the temperature of the structure's own velocities, as the run takes and counts them."""
    from ase_schnet.dynamics.integrators import NVE
    from ase_schnet.dynamics.thermostats import BussiNVT, LangevinNVT

    kind = LangevinNVT if args.thermostat == "langevin" else BussiNVT
    kind = NVE if args.ensemble == "nve" else kind
    all_K, inner_K = _temperature(atoms, kind), _temperature(atoms, BussiNVT)
    if abs(all_K - inner_K) <= OVERALL_SHARE * all_K:
        return f"{all_K:.0f} K"
    return f"{all_K:.0f} K, {inner_K:.0f} K without the overall motion"


def _temperature(atoms: Atoms, kind: type[Integrator]) -> float:
    """Return the temperature, K, of the momenta with which an integrator of this kind would start."""
    from ase_schnet.degrees_of_freedom import temperature
    from ase_schnet.dynamics.start import kept_momenta

    start = atoms.copy()
    start.set_momenta(kept_momenta(atoms, kind))
    return temperature(start.get_kinetic_energy(), kind.count_degrees_of_freedom(start))
