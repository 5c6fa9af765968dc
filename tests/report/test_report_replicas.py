"""A report of replicas: a verdict and a line of the table for each, also of those that are damaged."""

import json
import shutil

import pytest
from ase.build import molecule
from report_pages import json_of

from ase_schnet import SchNetCalculator, run_replicas, write_report
from ase_schnet.cli import main
from ase_schnet.runs.record import replicas_in


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    directory = tmp_path_factory.mktemp("replicas") / "all"
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol", threads=1)
    how = {"ensemble": "nvt", "temperature_K": [300.0, 330.0, 360.0], "exchange_every": 10}
    own = {"time_ps": 0.05, "run_dir": directory, "trajectory_every": 10, "progress": False}
    run_replicas(atoms, 3, **how, **own)
    return directory


def test_each_replica_has_a_verdict_and_a_line(replicas, tmp_path, capsys):
    assert main(["report", str(replicas), "-o", str(tmp_path / "r.html")]) == 0
    printed = capsys.readouterr().out
    html = (tmp_path / "r.html").read_text()
    names = ["replica_000", "replica_001", "replica_002"]
    numbers = json_of(html, "numbers")
    assert [verdict["about"] for verdict in numbers["verdicts"]] == names
    assert all(f"{name}: INCONCLUSIVE. Energy conservation: " in printed for name in names)
    assert html.count("<tr><td>replica_") == 3
    assert "Temperatures of the walkers" in html
    assert list(numbers["replicas"]) == names
    assert numbers["replicas"]["replica_001"]["time_ps"] == 0.05
    assert numbers["about"]["start"] == "300 to 360 K"
    frames = json_of(html, "Last-frames-data")
    assert len(frames["positions"]) == 3


def test_one_that_failed_and_one_that_is_damaged_are_told_and_the_others_too(replicas, tmp_path):
    copy = shutil.copytree(replicas, tmp_path / "copy")
    about = json.loads((copy / "replica_001" / "run.json").read_text())
    (copy / "replica_001" / "run.json").write_text(json.dumps({**about, "failure": "it exploded"}))
    (copy / "replica_002" / "log.csv").write_text("nonsense\n")
    report = write_report(copy, tmp_path / "r.html", structures=False)
    found = {verdict.about: verdict for verdict in report.verdicts}
    assert found["replica_001"].outcome == "FAIL"
    assert "it exploded" in found["replica_001"].words
    assert "replica_002 is damaged" in found["replica_002"].words
    assert found["replica_000"].words.startswith("Energy conservation: ")
    html = report.path.read_text()
    assert html.count("<tr><td>replica_") == 3
    assert "<td>–</td>" in html
    for name in ("replica_000", "replica_001"):
        shutil.rmtree(copy / name)
    with pytest.raises(ValueError, match=r"replica_002 is damaged"):
        write_report(copy, tmp_path / "r.html", structures=False)


def test_more_than_a_thousand_are_in_order(tmp_path):
    for number in (1000, 2, 101):
        (tmp_path / f"replica_{number:03d}").mkdir()
        (tmp_path / f"replica_{number:03d}" / "run.json").touch()
    names = [path.name for path in replicas_in(tmp_path)]
    assert names == ["replica_002", "replica_101", "replica_1000"]
    (tmp_path / "run.json").touch()
    assert replicas_in(tmp_path) == []
