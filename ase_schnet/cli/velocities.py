"""With which velocities a run begins, as asked for and as said."""

from __future__ import annotations

import argparse
from pathlib import Path

OF_THE_WHOLE = 0.05  # of the temperature: less is not worth a word
#: Names under which files have velocities in units of their own.
FOREIGN = ("vel", "velo", "velocity", "velocities")


def start_temperature_K(args: argparse.Namespace) -> float | None:
    """What was asked for, or 300 K; None for a run at constant energy that keeps its velocities."""
    from ase_schnet.dynamics.arguments import START_TEMPERATURE_K

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
    from ase_schnet.runs.rundir import RESTART_FILE

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
        line = f"velocities: kept from {args.structure}: {_kept(atoms, args)}"
    elif moving:
        own = f"{args.structure}: {_kept(atoms, args)}"
        line += f", and not those of {own} (--keep-momenta keeps them)"
    elif foreign:
        line += (
            f", and not those of {args.structure}: its column {foreign} has no unit that is known"
        )
    if args.resume and (Path(args.output) / RESTART_FILE).exists():
        line = f"velocities: those of the run in {args.output}"
    if tell:
        print(line)


def _kept(atoms, args: argparse.Namespace) -> str:
    """Temperature of a start with the structure's own velocities, as the run would have them and count it."""
    from ase_schnet.dynamics.integrators import NVE
    from ase_schnet.dynamics.thermostats import BussiNVT, LangevinNVT

    kind = LangevinNVT if args.thermostat == "langevin" else BussiNVT
    kind = NVE if args.ensemble == "nve" else kind
    all_K, inner_K = _temperature(atoms, kind), _temperature(atoms, BussiNVT)
    if abs(all_K - inner_K) <= OF_THE_WHOLE * all_K:
        return f"{all_K:.0f} K"
    return f"{all_K:.0f} K, {inner_K:.0f} K but for the motion of the whole"


def _temperature(atoms, kind) -> float:
    """K, of the momenta with which an integrator of this kind would begin."""
    from ase_schnet.degrees_of_freedom import temperature
    from ase_schnet.dynamics.start import kept_momenta

    start = atoms.copy()
    start.set_momenta(kept_momenta(atoms, kind))
    return temperature(start.get_kinetic_energy(), kind.count_degrees_of_freedom(start))
