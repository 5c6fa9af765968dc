"""Run directories of which a file is cut, garbled or another run's: one line, and nothing more is lost."""

import json
import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_schnet import MDRecord, drift, run_nve
from ase_schnet.cli import main


def run(run_dir, time_ps=0.2, cells=1, **options):
    atoms = bulk("Cu", cubic=True).repeat((cells, 1, 1))
    atoms.calc = EMT()
    options = {"timestep_fs": 2.0, "temperature_K": 300, "trajectory_every": 10} | options
    return run_nve(atoms, time_ps=time_ps, run_dir=run_dir, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("damaged") / "whole"
    run(run_dir)
    return run_dir


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def cut_trajectory(run_dir):
    file = run_dir / "trajectory.traj"
    file.write_bytes(file.read_bytes()[:3000])


def cut_last_frames(run_dir):
    file = run_dir / "trajectory.traj"
    file.write_bytes(file.read_bytes()[:-900])


def garble(run_dir):
    log = run_dir / "log.csv"
    lines = log.read_text().splitlines(keepends=True)
    lines[50] = lines[50].replace("0.", "0x", 1)
    log.write_text("".join(lines))


def decimal_commas(run_dir):
    log = run_dir / "log.csv"
    log.write_text(log.read_text().replace(",", ";").replace(".", ","))


def restart_of_another(run_dir):
    run(run_dir.parent / "other", cells=2)
    shutil.copy(run_dir.parent / "other" / "restart.npz", run_dir)


def restart_is_text(run_dir):
    (run_dir / "restart.npz").write_text("lost")


def restart_without_cell(run_dir):
    with np.load(run_dir / "restart.npz") as saved:
        left = {name: saved[name] for name in saved if name != "cell"}
    np.savez(run_dir / "restart.npz", **left)


@pytest.mark.parametrize(
    "damage",
    [
        cut_trajectory,
        cut_last_frames,
        garble,
        decimal_commas,
        restart_of_another,
        restart_is_text,
        restart_without_cell,
    ],
)
def test_a_damaged_run_is_not_gone_on_with_and_names_the_file(copy, damage, capsys):
    damage(copy)
    with pytest.raises(ValueError, match=r"damaged|cannot be read|shorter") as caught:
        run(copy, time_ps=0.4, resume=True)
    assert str(copy) in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_run_longer_than_its_restart_point_is_not_cut_to_less(copy):
    """As after a kill: the log reaches beyond the point from which the run would go on."""
    run(copy.parent / "short", time_ps=0.02)
    shutil.copy(copy.parent / "short" / "restart.npz", copy)
    before = (copy / "log.csv").read_bytes()
    with pytest.raises(ValueError, match=r"is already 0\.2 ps long"):
        run(copy, time_ps=0.1, resume=True)
    assert (copy / "log.csv").read_bytes() == before
    assert len(run(copy, time_ps=0.2, resume=True)) == 101
    assert (copy / "log.csv").read_bytes() == before  # the same steps again, to the last bit


def test_a_log_without_one_of_its_lines_is_not_judged(copy):
    lines = (copy / "log.csv").read_text().splitlines(keepends=True)
    (copy / "log.csv").write_text("".join(lines[:40] + lines[41:]))
    with pytest.raises(ValueError, match=r"log\.csv lacks the sample at 0\.078 ps"):
        drift(copy)


def test_a_file_of_a_run_is_no_run(copy, capsys):
    with pytest.raises(ValueError, match="is no run directory: it is a file"):
        MDRecord.read(copy / "log.csv")
    assert main(["drift", str(copy / "log.csv")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no run directory" in line


@pytest.mark.parametrize("content", ["{}", "[]", '{"settings": 3}', "", "{"])
def test_a_run_json_of_something_else_is_one_line(copy, content, capsys):
    (copy / "run.json").write_text(content)
    assert main(["drift", str(copy)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(copy) in line
    with pytest.raises(ValueError, match=r"damaged|own settings"):
        run(copy, time_ps=0.4, resume=True)


def test_a_number_that_became_text_is_seen(copy):
    about = json.loads((copy / "run.json").read_text())
    about["settings"]["timestep_fs"] = "2.0"
    (copy / "run.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"timestep_fs was '2\.0', now 2\.0"):
        run(copy, time_ps=0.4, resume=True)
    assert drift(copy).outcome == drift(MDRecord.read(copy)).outcome


def test_a_monitor_that_is_none_and_a_name_nearly_right_are_told():
    with pytest.raises(ValueError, match=r"monitor must be a Monitor, such as Monitor\('stop'\)"):
        run(None, monitor="stop")
    with pytest.raises(TypeError, match=r"'timestep': did you mean timestep_fs\?"):
        run(None, timestep=2)
