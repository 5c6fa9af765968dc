"""What every contestant's script does: prepare models, answer requests, or run once in a fresh process.

    run_x.py prepare DIR            write random models into DIR
    run_x.py serve DIR              one JSON request a line on stdin, one JSON answer a line on stdout
    run_x.py once DIR REQUEST       set up, evaluate forces, print times and memory, exit

The scripts run inside their own virtual environments, so this file imports only what all of them have:
the standard library, numpy and ASE.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms

ELEMENTS = (1, 6, 8)
MEMBERS = 5
SHAPE = {"features": 64, "interactions": 3, "gaussians": 50, "cutoff": 5.0}
RATTLE = 0.01  # Å (std) from the starting structure in every call: a step of dynamics, so skins may be used
START_TEMPERATURE = 300.0  # K
NVE_CHUNK = 25  # steps between two resets to the starting structure


class Slot:
    """One structure with one calculator, ready to be timed."""

    def __init__(self, atoms, calculator):
        self.atoms = atoms
        self.atoms.calc = calculator
        self.start = atoms.positions.copy()

    def time_calls(self, calls: int, seed: int) -> list[float]:
        """Seconds of each `get_forces`, with new positions every time; moving the atoms is not counted."""
        rng = np.random.default_rng(seed)
        seconds = []
        for _ in range(calls):
            self.atoms.positions[:] = self.start + rng.normal(scale=RATTLE, size=self.start.shape)
            tick = time.perf_counter()
            self.atoms.get_forces()
            seconds.append(time.perf_counter() - tick)
        return seconds

    def nve(self, seconds: float, log_energy: bool, seed: int) -> float:
        """Steps per second of ASE's VelocityVerlet at 0.5 fs.

        Every 25 steps the atoms go back to the start: random weights hold no molecule together.
        `log_energy` reads the potential energy after every step, as a logger would.
        """
        # imported here so that `once` does not pay for dynamics it does not run
        from ase import units
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
        from ase.md.verlet import VelocityVerlet

        rng = np.random.default_rng(seed)
        steps, spent = 0, 0.0
        while spent < seconds:
            self.atoms.positions[:] = self.start
            MaxwellBoltzmannDistribution(self.atoms, temperature_K=START_TEMPERATURE, rng=rng)
            dynamics = VelocityVerlet(self.atoms, timestep=0.5 * units.fs)
            if log_energy:
                dynamics.attach(self.atoms.get_potential_energy)
            self.atoms.get_forces()  # those of the start are not a step
            tick = time.perf_counter()
            dynamics.run(NVE_CHUNK)
            spent += time.perf_counter() - tick
            steps += NVE_CHUNK
        return steps / spent


def load_case(path: str):
    """The structure of a case."""
    with np.load(path) as data:
        return Atoms(
            numbers=data["numbers"],
            positions=data["positions"],
            cell=data["cell"],
            pbc=data["pbc"],
        )


def memory_MiB() -> dict[str, float]:
    """Resident memory of this process, now (rss) and at most (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return {"rss": int(sizes["VmRSS"]) / 1024, "peak": int(sizes["VmHWM"]) / 1024}


def _make_slot(make_calculator, directory: Path, request: dict) -> Slot:
    calculator = make_calculator(
        directory,
        members=request["members"],
        dtype=request["dtype"],
        threads=request["threads"],
        **request["options"],
    )
    return Slot(load_case(request["case"]), calculator)


def _set_up(make_calculator, directory: Path, request: dict) -> tuple[Slot, dict]:
    """A slot after its warm-up calls: some code is compiled in the second call, so up to four."""
    slot = _make_slot(make_calculator, directory, request)
    forces = slot.atoms.get_forces()
    if forces.shape != slot.start.shape or not np.isfinite(forces).all():
        raise RuntimeError("forces are not finite numbers of the shape (N, 3)")
    seconds = slot.time_calls(1, seed=0)
    while len(seconds) < 4 and seconds[-1] < 1.0:
        seconds += slot.time_calls(1, seed=len(seconds))
    largest = float(np.abs(forces).max())
    return slot, {"call_s": seconds[-1], "largest_force": largest, **memory_MiB()}


def serve(make_calculator, packages, directory: Path, answers) -> None:
    """Answer requests until stdin closes; at most one slot is held per request key."""
    slots: dict[str, Slot] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            key, do = request.get("key"), request["do"]
            if do == "versions":
                answer = {p: version(p) for p in packages}
            elif do == "setup":
                slots[key], answer = _set_up(make_calculator, directory, request)
            elif do in ("time", "nve") and key not in slots:
                raise RuntimeError("its process died while another contestant of its package ran")
            elif do == "time":
                answer = {"seconds": slots[key].time_calls(request["calls"], request["seed"])}
            elif do == "nve":
                steps = slots[key].nve(request["seconds"], request["log_energy"], request["seed"])
                answer = {"steps_per_s": steps}
            elif do == "release":
                slots.pop(key, None)
                gc.collect()
                answer = {}
            else:
                raise ValueError(f"unknown request {do!r}")
        except Exception as error:  # the one who asks reports it; the worker lives on
            first_line = (str(error).strip() or "no message").splitlines()[0]
            answer = {"error": f"{type(error).__name__}: {first_line}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def once(make_calculator, directory: Path, request: dict) -> dict:
    """Times on the machine's monotonic clock and memory of one short life."""
    slot = _make_slot(make_calculator, directory, request)
    slot.atoms.get_forces()
    answer = {"first_forces_at": time.monotonic(), "rss_MiB": memory_MiB()["rss"]}
    slot.time_calls(request["calls"] - 1, seed=0)
    return answer | {"peak_MiB": memory_MiB()["peak"]}


def main(prepare, make_calculator, packages) -> None:
    """Run a contestant's script. Whatever libraries print goes to stderr; stdout is for answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    mode, directory = sys.argv[1], Path(sys.argv[2])
    if mode == "prepare":
        directory.mkdir(parents=True, exist_ok=True)
        prepare(directory)
    elif mode == "serve":
        serve(make_calculator, packages, directory, answers)
    elif mode == "once":
        answers.write(json.dumps(once(make_calculator, directory, json.loads(sys.argv[3]))) + "\n")
        answers.flush()
    else:
        sys.exit(f"unknown mode {mode!r}: prepare, serve or once")
