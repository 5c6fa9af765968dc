"""Runs under mpiexec: `lammps_cases.py evaluate MODEL_DIR OUT.npz` evaluates the cases of test_lammps.py.

`lammps_cases.py kill MODEL_DIR STRUCTURE RUN_DIR` is a run of which one process is killed on the way;
`lammps_cases.py serve FOLDER PID` does one thing after the other, of those above or `commands`, which are
commands of ase-schnet, to each process its own.
"""

import io
import json
import os
import shutil
import signal
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import read

from ase_schnet.cli import main
from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.lammps import mpi, recorder, run
from ase_schnet.lammps.box import Box
from ase_schnet.lammps.exchange import Exchange
from ase_schnet.lammps.mpi import Refusal
from ase_schnet.lammps.potential import LammpsPotential, attach, cell_of, new_lammps
from ase_schnet.lammps.run import run_lammps
from ase_schnet.modelfile import load_model
from ase_schnet.runs import rundir

BAR = 1.602176634e6  # in an eV/Å³
STRAIN = 1e-4
KILLED_AT = 40  # step
#: The run that is killed.
RUN = {"time_ps": 0.04, "timestep_fs": 0.5, "trajectory_every": 8, "monitor": "off"}
RUN |= {"ensemble": "npt", "temperature_K": 600.0, "pressure_GPa": 50.0, "progress": False}
RUN |= {"engine": {"repulsion": None}}


def mixture(repeat=(3, 3, 4), seed=3) -> Atoms:
    """A rattled diamond lattice of carbon, hydrogen and oxygen, some atoms outside of the cell."""
    rng = np.random.default_rng(seed)
    atoms = bulk("C", cubic=True).repeat(repeat)
    atoms.numbers = rng.choice([1, 6, 8], size=len(atoms))
    atoms.rattle(0.1, seed=seed)
    atoms.positions[0] += 2 * atoms.cell[1] - atoms.cell[2]
    return atoms


def skewed() -> Atoms:
    """Triclinic and left-handed."""
    atoms = mixture((2, 2, 2))
    strain = np.array([[1.0, 0.2, 0.1], [-0.1, 1.1, 0.3], [0.2, 0.0, -0.9]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def primitive() -> Atoms:
    """Two atoms, 2.5 Å from their own images: the box is smaller than the cutoff."""
    atoms = bulk("C")
    atoms.numbers[1] = 8
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    """Periodic in two directions, half of the box empty."""
    atoms = mixture((3, 3, 2))
    atoms.center(8.0, axis=2)
    atoms.pbc = (True, True, False)
    return atoms


STRUCTURES = {"mixture": mixture, "skewed": skewed, "primitive": primitive, "slab": slab}


def start(atoms: Atoms, model, **options):
    lmp, box = new_lammps(), Box(atoms)
    box.create(lmp)
    potential = attach(lmp, model, box.elements, **options)
    potential.axes = box.axes
    lmp.commands_list(
        [
            "fix move all nve",
            "timestep 0.0005",
            "compute atomic all pe/atom fix",
            "compute sum all reduce sum c_atomic",
            "thermo_style custom step temp pe etotal c_sum press f_schnet[1] f_schnet[2]",
        ]
    )
    return lmp, box, potential


def evaluate(atoms: Atoms, model, **options) -> dict:
    """Energy, forces, pressure as LAMMPS has them."""
    lmp, box, potential = start(atoms, model, **options)
    potential.command("run 0 post no")
    frame = box.gather(lmp, potential.comm, potential.answer, cell_of(lmp)[0])
    printed = lmp.last_thermo()
    found = {
        "energy": lmp.get_thermo("pe"),
        "atomic_sum": printed["c_sum"],
        "pressure_bar": printed["Press"],
        "energy_std": printed["f_schnet[1]"],
        "max_forces_std": printed["f_schnet[2]"],
        "ghosts": max(potential.comm.allgather(potential._domain.exchange.count)),
    }
    lmp.close()
    if frame is not None:
        found |= {name: frame.results[name] for name in ("forces", "energies")}
        found["positions"] = frame.positions
    return found


def numeric_pressure(atoms: Atoms, model) -> dict:
    """−dE/dV in bar, of the box scaled by LAMMPS."""
    lmp, _, potential = start(atoms, model)
    potential.command("run 0 post no")
    found = {"pressure_bar": lmp.get_thermo("press")}
    points = []
    for scale in (1 + STRAIN, (1 - STRAIN) / (1 + STRAIN)):
        lmp.command(f"change_box all x scale {scale} y scale {scale} z scale {scale} remap")
        potential.command("run 0 post no")
        points.append((lmp.get_thermo("pe"), lmp.get_thermo("vol")))
    (high, large), (low, small) = points
    lmp.close()
    return found | {"numeric_bar": -(high - low) / (large - small) * BAR}


def moving(atoms: Atoms, model) -> dict:
    """After a hot run through several exchanges of atoms: is every sum still complete?"""
    thermalise(atoms, 1500, 0)
    lmp, box, potential = start(atoms, model, repulsion=None)  # walls want shorter steps
    potential.command("run 0 post no")
    energy, domains = lmp.get_thermo("etotal"), set()
    for _ in range(60):
        potential.command("run 1 pre no post no")
        domains.add(id(potential._domain))
    frame = box.gather(lmp, potential.comm, potential.answer, cell_of(lmp)[0])
    found = {"energy": potential.answer.energy, "lists": len(domains)}
    found["gained"] = lmp.get_thermo("etotal") - energy
    lmp.close()
    if frame is not None:
        momentum = np.linalg.norm(frame.momenta.sum(axis=0))
        found |= {"forces": frame.results["forces"], "momentum": momentum}
        found["positions"] = frame.positions
    return found


def refusals(model) -> dict:
    """What goes wrong at a step is said in all processes, and nobody hangs."""
    same = mixture()
    same.positions[5] = same.positions[7]
    found = {"same place": refusal(same, model)}
    update, Exchange.update = Exchange.update, lambda self, array: None  # nobody is told anything
    found["deaf"] = refusal(mixture(), model)
    Exchange.update = update
    return found


def refusal(atoms: Atoms, model) -> str:
    lmp, _, potential = start(atoms, model)
    message = ""
    try:
        potential.command("run 10 post no")
    except Refusal as error:
        message = str(error)
    said = potential.comm.allgather(message)
    steps = lmp.extract_global("ntimestep")
    lmp.close()
    if steps == 10 and not any(said):
        return "ran"
    return message if set(said) == {message} and steps == 0 else f"{said} at step {steps}"


def evaluate_all(directory: str, out: str) -> None:
    model = load_model(directory)
    found = {
        f"{name}.{k}": v
        for name in STRUCTURES
        for k, v in evaluate(STRUCTURES[name](), model).items()
    }
    for name, part in {
        "bare": evaluate(mixture(), model, repulsion=None),
        "float32": evaluate(mixture(), model, dtype="float32"),
        "volume": numeric_pressure(mixture((2, 2, 2)), model),
        "moving": moving(mixture(), model),
        "refused": refusals(model),
    }.items():
        found |= {f"{name}.{k}": v for k, v in part.items()}
    if "mixture.forces" in found:  # the first process
        np.savez(Path(out), **found)


def run_and_kill(directory: str, structure: str, run_dir: str) -> None:
    """The last process dies in the middle of a step; every sample before that can be gone on from."""
    rundir.RESTART_SECONDS = 0.0
    step = LammpsPotential._step

    def die(potential, forces):
        is_last = potential.comm.rank == potential.comm.size - 1
        if is_last and potential.lmp.extract_global("ntimestep") == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        step(potential, forces)

    LammpsPotential._step = die
    run_lammps(read(structure), directory, run_dir, **RUN)


def fail_alone(moment: str, directory: str, structure: str, run_dir: str) -> None:
    """One process raises what the others do not."""
    rank = mpi.load().MPI.COMM_WORLD.rank
    if moment != "end":  # nobody will come, for whom the others compute or spin as long
        mpi.PATIENCE_S = 1.0
    if moment == "first look" and rank == 1:
        directory = "no-such-model"
    sample, propagate = recorder.Recorder.sample, run.propagate

    def failing_sample(self, step):
        if step == 8 and moment == "sample" and rank == 1:
            raise MemoryError("of the last process")
        if step == 8 and moment == "bug in the first" and rank == 0:
            raise ZeroDivisionError("of the first process")
        return sample(self, step)

    def failing_end(begun, progress):
        record = propagate(begun, progress)
        if moment == "end" and rank == 1:
            raise RuntimeError("of the last process")
        return record

    recorder.Recorder.sample, run.propagate = failing_sample, failing_end
    run_lammps(read(structure), directory, run_dir, **RUN)


def run_commands(cases: str, out: str) -> None:
    """Write down, command by command, the exit codes of all processes and what each has said."""
    comm, found = mpi.load().MPI.COMM_WORLD, []
    for commands in json.loads(Path(cases).read_text()):
        stderr, stdout = io.StringIO(), io.StringIO()
        with redirect_stderr(stderr), redirect_stdout(stdout):
            code = main(commands[comm.rank])
        found.append(comm.gather((code, stderr.getvalue(), stdout.getvalue())))
    if comm.rank == 0:
        Path(out).write_text(json.dumps(found))


def serve(folder: str, asked_by: str) -> None:
    """Do in all processes what 0.json, 1.json, ... ask for, until the process that asks is gone."""
    comm = mpi.load().MPI.COMM_WORLD
    for k in count():
        asked = Path(folder, f"{k}.json")
        while not asked.exists():
            try:
                os.kill(int(asked_by), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
                return
            time.sleep(0.02)
        mode, *arguments = json.loads(asked.read_text())
        try:
            MODES[mode](*arguments)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            comm.Abort(1)
        comm.Barrier()
        if comm.rank == 0:
            asked.with_suffix(".done").touch()


MODES = {"evaluate": evaluate_all, "kill": run_and_kill, "fail": fail_alone}
MODES |= {"commands": run_commands, "serve": serve}

if __name__ == "__main__":
    MODES[sys.argv[1]](*sys.argv[2:])
