"""The examples that hand the model to other programs run, in small, and say what they should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mpi_runs import MPIEXEC, needs_lammps

EXAMPLES = Path(__file__).resolve().parents[2] / "md_examples"


def example(name: str, *arguments, launcher=()) -> str:
    command = [*launcher, sys.executable, EXAMPLES / name, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=250, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@needs_lammps
def test_lammps_with_a_script_of_ones_own():
    """The model gives 142 GPa, the measured C11 is 166 GPa."""
    said = example("lammps_script.py", 2, 10, launcher=(MPIEXEC, "-n", 2))
    assert "2 processes; ghosts reach 6.5 Å" in said
    assert 130 < float(re.search(r"C11 (\S+) GPa", said)[1]) < 165
    assert "step 10:" in said


@pytest.mark.slow
def test_path_integrals_by_i_pi_widen_the_bond():
    """At 300 K the zero-point motion of O-H, 0.07 Å, is several times the thermal one."""
    pytest.importorskip("ipi", reason="i-PI is not installed: pip install ipi")
    said = example("ipi_path_integrals.py", 0.02)
    classical, quantum = (
        float(re.search(rf"{kind} .* std (\S+) Å", said)[1]) for kind in ("classical", "quantum")
    )
    assert 0.04 < quantum < 0.12
    assert quantum > 1.5 * classical


@pytest.mark.slow
def test_i_pi_has_the_members_of_a_model_that_runs_inside_it():
    pytest.importorskip("ipi", reason="i-PI is not installed: pip install ipi")
    said = example("ipi_committee.py", 20)
    frames, members = re.search(r"(\d+) frames, (\d+) members", said).groups()
    assert (int(frames), int(members)) == (21, 5)
    differences = re.search(r"by (\S+) eV \(energy\) and (\S+) eV \(members\)", said).groups()
    assert max(map(float, differences)) < 1e-4  # i-PI writes nine digits
    assert 1e-5 < float(re.search(r"std (\S+) eV", said)[1]) < 1e-2


@pytest.mark.slow
def test_openmm_conserves_the_energy_of_the_model():
    pytest.importorskip("openmm", reason="OpenMM is not installed: pip install openmm")
    said = example("openmm_dynamics.py", 400)
    mean, fluctuation = re.search(r"energy (\S+) eV, fluctuation (\S+) meV", said).groups()
    assert -4211 < float(mean) < -4208
    assert float(fluctuation) < 5


def test_replicas_in_torch_sim_have_the_energy_of_the_calculator():
    pytest.importorskip("torch_sim", reason="torch-sim is not installed; it wants torch 2.9")
    said = example("torch_sim_replicas.py", 4, 20)
    assert float(re.search(r"by (\S+) meV", said)[1]) < 1.0  # float32 of 4209 eV
    assert "4 replicas, 20 steps" in said
