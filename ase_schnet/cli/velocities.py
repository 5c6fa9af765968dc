"""With which velocities a run begins, as asked for and as said."""

from __future__ import annotations

import argparse
from pathlib import Path

#: Names under which files have velocities in units of their own.
FOREIGN = ("vel", "velo", "velocity", "velocities")


def start_temperature_K(args: argparse.Namespace) -> float | None:
    """What was asked for, or 300 K; None for a run at constant energy that keeps its velocities."""
    from ase_schnet.simulation.arguments import START_TEMPERATURE_K

    if args.keep_momenta and args.ensemble == "nve":
        if args.temperature is not None:
            raise ValueError(
                "--temperature is that of drawn velocities in nve, and --keep-momenta keeps those of "
                f"{args.structure}: leave one of the two out"
            )
        return None
    return START_TEMPERATURE_K if args.temperature is None else args.temperature


def tell_velocities(atoms, args: argparse.Namespace, tell: bool = True) -> None:
    """Print with which velocities the run begins; ValueError if there are none to keep."""
    from ase_schnet.simulation.rundir import RESTART_FILE

    drawn_K = start_temperature_K(args)
    moving = atoms.has("momenta") and atoms.get_momenta().any()
    foreign = next((name for name in FOREIGN if name in atoms.arrays and not moving), None)
    if args.keep_momenta and not moving:
        why = f" in a unit that is known ({foreign} has none: give momenta, as ASE writes them)"
        raise ValueError(
            f"{args.structure} has no velocities to keep{why if foreign else ''}: leave --keep-momenta out, "
            "and they are drawn"
        )
    line = f"velocities: drawn at {drawn_K:g} K" if drawn_K is not None else ""
    if args.keep_momenta:
        line = f"velocities: kept from {args.structure}: {_kept_K(atoms, args):.0f} K"
    elif moving:
        own = f"{args.structure}: {_kept_K(atoms, args):.0f} K"
        line += f", and not those of {own} (--keep-momenta keeps them)"
    elif foreign:
        line += (
            f", and not those of {args.structure}: its column {foreign} has no unit that is known"
        )
    if args.resume and (Path(args.output) / RESTART_FILE).exists():
        line = f"velocities: those of the run in {args.output}"
    if tell:
        print(line)


def _kept_K(atoms, args: argparse.Namespace) -> float:
    """Temperature of a start with the structure's own velocities, as the run would have them and count it."""
    from ase_schnet.simulation.integrators import NVE
    from ase_schnet.simulation.run import kept_momenta
    from ase_schnet.simulation.thermostats import BussiNVT, LangevinNVT
    from ase_schnet.simulation.velocities import temperature

    kind = LangevinNVT if args.thermostat == "langevin" else BussiNVT
    kind = NVE if args.ensemble == "nve" else kind
    start = atoms.copy()
    start.set_momenta(kept_momenta(atoms, kind))
    return temperature(start.get_kinetic_energy(), kind.count_degrees_of_freedom(start))
