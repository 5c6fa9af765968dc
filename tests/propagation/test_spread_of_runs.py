"""Averages over several runs at once, such as replicas."""

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

from ase_schnet import SchNetCalculator, run_nvt, run_replicas, spread
from ase_schnet.cli import main

SHORT = {"time_ps": 3.0, "timestep_fs": 1.0, "trajectory_every": 25}
THERMOSTAT = {"thermostat": "langevin", "time_constant_fs": 50}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directories of three runs of methanol that differ by their seeds."""
    directory = tmp_path_factory.mktemp("runs") / "three"
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol", threads=1)
    options = {"temperature_K": 300, "physics": THERMOSTAT, "run_dir": directory}
    run_replicas(atoms, 3, ensemble="nvt", **options, **SHORT)
    return sorted(directory.glob("replica_*"))


@pytest.mark.slow
def test_runs_are_averaged_together_each_without_its_start(runs):
    together = spread("potential_energy", "methanol", frames=runs, skip_ps=0.6)
    frames = [read(run / "trajectory.traj", f"{0.6 / 0.025:.0f}:") for run in runs]
    energies = [atoms.get_potential_energy() for run in frames for atoms in run]
    assert together.sampling.n_frames == len(energies) == 3 * 97
    assert together.value == pytest.approx(np.mean(energies), abs=1e-9)
    alone = spread("potential_energy", "methanol", frames=runs[0], skip_ps=0.6)
    narrower = together.statistical_error / alone.statistical_error
    assert 0.3 < narrower < 0.95  # 1/√3, of errors that are themselves uncertain
    by_path = spread("potential_energy", "methanol", frames=str(runs[0]), skip_ps=0.6)
    assert by_path.value == alone.value


@pytest.mark.slow
def test_the_command_takes_all_of_them(runs, tmp_path, capsys):
    assert main(["average", *map(str, runs), "--skip", "0.6"]) == 0
    out = capsys.readouterr().out
    assert "291 frames at 300 K" in out
    assert main(["average", *map(str, runs[:1] * 2)]) == 2
    assert "are the same run" in capsys.readouterr().err
    assert main(["average", str(runs[0].parent)]) == 2
    assert "drift, average and spectrum take all" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": 310}, "one is at 310 K, one at 300 K"),
        (
            {"trajectory_every": 20},
            "one is with a frame every 0.02 ps, one with a frame every 0.025 ps",
        ),
    ],
)
def test_runs_that_differ_by_more_than_seeds_are_refused(runs, tmp_path, change, message):
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol", threads=1)
    options = SHORT | THERMOSTAT | {"temperature_K": 300, "time_ps": 1.0} | change
    run_nvt(atoms, run_dir=tmp_path / "other", **options)
    with pytest.raises(ValueError, match=message):
        spread("potential_energy", "methanol", frames=[runs[0], tmp_path / "other"])
