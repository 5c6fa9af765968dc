"""``ase-schnet average`` as a user types it."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from ase_schnet import SchNetCalculator, run_nve, run_nvt, spread
from ase_schnet.cli import main


@pytest.fixture(scope="module")
def crystal(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "silicon"
    run_silicon(directory, 5.469, 4)
    return directory


def run_silicon(directory, a_Ang, time_ps):
    atoms = bulk("Si", "diamond", a=a_Ang, cubic=True)
    atoms.calc = SchNetCalculator("silicon", threads=1)
    run_nvt(
        atoms,
        temperature_K=300,
        time_ps=time_ps,
        timestep_fs=4,
        trajectory_every=5,
        thermostat="langevin",
        time_constant_fs=50,
        run_dir=directory,
    )


@pytest.mark.slow
def test_a_run_is_averaged_by_the_model_that_it_names(crystal, capsys):
    assert main(["average", str(crystal), "--of", "density"]) == 0
    out = capsys.readouterr().out
    found = spread("density", "silicon", frames=crystal)
    assert f"density  {found.describe('g/cm³')}" in out
    assert " g/cm³ (90 %: std of 10 members" in out
    assert "frames at 300 K" in out
    assert main(["average", str(crystal)]) == 2  # of the potential energy: members differ by 2 kT
    assert "members are too far from the mean potential" in capsys.readouterr().err
    assert main(["average", str(crystal), "--of", "density", "--level", "0.5"]) == 0
    assert "g/cm³ (50 %" in capsys.readouterr().out


@pytest.mark.slow
def test_an_rdf_is_tabled_and_drawn(crystal, tmp_path, capsys):
    plot = tmp_path / "g.png"
    words = ["--of", "rdf", "--bins", "40", "--skip", "0.5", "-o", str(plot)]
    assert main(["average", str(crystal), *words]) == 0
    assert "highest g(r)" in capsys.readouterr().out
    table = np.genfromtxt(plot.with_suffix(".csv"), delimiter=",", names=True)
    assert len(table) == 40
    assert (table["level_of_±"] == 0.9).all()
    assert plot.stat().st_size > 10_000


@pytest.mark.slow
def test_what_cannot_be_averaged_is_one_line_with_exit_code_2(crystal, tmp_path, capsys):
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    run_nve(atoms, temperature_K=300, time_ps=0.1, run_dir=tmp_path / "nve")
    run_silicon(tmp_path / "wider", 5.5, 0.4)
    for words, why in {
        (
            str(crystal),
            str(tmp_path / "wider"),
        ): "one is in a cell of 5.5, 5.5, 5.5, 90, 90, 90 (Å, °)",
        (str(tmp_path / "nve"),): "at constant energy",
        (str(tmp_path),): "no run directory",
        (str(crystal), "--bins", "10"): "--bins applies to --of rdf only",
        (str(crystal), "--skip", "3.9"): "20 are needed",
        (str(crystal), "--of", "rdf", "--r-max", "5"): "shortest height",
        (str(crystal), "--model", "ethanol"): "a run of another model",
    }.items():
        assert main(["average", *words]) == 2
        err = capsys.readouterr().err.strip()
        assert why in err
        assert "\n" not in err
