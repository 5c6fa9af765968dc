"""Reports: what they say of runs, models and scans, and that they are pages which ask for nothing."""

import json
import re
import shutil

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from report_pages import files_below, json_of, outcomes

from ase_schnet import Dataset, SchNetCalculator, run_nve, scan_distance, scan_map, write_report
from ase_schnet.cli import main
from ase_schnet.modelfile import load_model
from ase_schnet.report import viewer
from ase_schnet.report.of_data import judge
from ase_schnet.report.page import Page, Section, Text, Verdict
from ase_schnet.report.viewer import Property, Structures, thinned
from ase_schnet.report.write import page_of
from ase_schnet.runs.provenance import unfinished
from ase_schnet.runs.record import MDRecord
from ase_schnet.scan.reading import read_scan

FRAMES = "Frames-of-the-trajectory-data"


@pytest.fixture(scope="module")
def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    return atoms


@pytest.fixture(scope="module")
def run(ethanol, tmp_path_factory):
    directory = tmp_path_factory.mktemp("report") / "run"
    atoms = ethanol.copy()
    atoms.calc = ethanol.calc
    run_nve(atoms, time_ps=0.1, run_dir=directory, trajectory_every=20, progress=False)
    return directory


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


@pytest.fixture(scope="module")
def hot(request):
    """Ethanol by PBE at high temperature: structures that the shipped model was not trained on."""
    path = request.config.rootpath / "md_examples" / "ethanol_hot_pbe_def2svp.xyz"
    return read(path, ":12")


def test_a_report_of_a_run_holds_the_frames_and_their_uncertainties(run, tmp_path):
    report = write_report(run, tmp_path / "r.html")
    html = report.path.read_text()
    found, frames = json_of(html, FRAMES), read(run / "trajectory.traj", ":")
    assert len(found["positions"]) == len(frames) == 11
    assert found["symbols"] == [frames[0].get_chemical_symbols()]
    shown = np.reshape(found["positions"][3], (-1, 3))
    there = frames[3].positions - frames[3].positions.mean(axis=0)
    assert shown == pytest.approx(there, abs=6e-4)
    assert found["properties"]["time"]["values"] == pytest.approx(np.arange(11) / 100)
    std = [1000 * frame.info["energy_std"] for frame in frames]
    assert found["properties"]["energy_std"]["values"] == pytest.approx(std, rel=1e-5)
    on_atoms = np.sqrt((np.array([f.info["forces_std"] for f in frames]) ** 2).mean(axis=2))
    assert found["properties"]["forces_std"]["values"] == pytest.approx(on_atoms.ravel(), rel=1e-5)
    assert found["properties"]["forces_std"]["target"] == "atom"
    assert json_of(html, "numbers")["time_ps"] == pytest.approx(0.1)


def test_a_page_asks_for_no_other_file(run, tmp_path):
    html = write_report(run, tmp_path / "r.html").path.read_text()
    page = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "connect-src" not in page
    assert "default-src 'none'" in page  # which forbids scripts every connection


def test_words_of_others_are_no_html(tmp_path):
    odd = "</script><script>alert(1)</script><!-- & \u2028"
    frames = [molecule("H2O")]
    shown = Structures("S", frames, {odd: Property([odd])}, x=odd, y=odd)
    page = Page(odd, [(odd, odd)], [Verdict(odd, "NOTE", odd)], [Section(odd, [Text(odd), shown])])
    html = page.html(odd)
    assert "alert(1)</script>" not in html
    assert "<script>alert" not in html
    assert json_of(html, "S-data")["properties"][odd]["values"] == [odd]
    assert json_of(html, "numbers")["title"] == odd


def test_verdicts_of_a_run(copy):
    found = outcomes(page_of(copy))
    assert found["Length"] == "PASS"
    assert found["Inside what the model was trained on"] == "PASS"
    about = json.loads((copy / "run.json").read_text())
    assert unfinished(copy, MDRecord.read(copy)) is None
    (copy / "run.json").write_text(json.dumps(about | {"time_ps": 5.0}))
    assert unfinished(copy, MDRecord.read(copy)) == 5.0
    # of a step that is not sampled the log knows nothing
    late = about["time_ps"] + 0.9 * MDRecord.read(copy).time_fs[1] / 1000
    (copy / "run.json").write_text(json.dumps(about | {"time_ps": late}))
    assert unfinished(copy, MDRecord.read(copy)) is None
    (copy / "run.json").write_text(json.dumps(about | {"failure": "it exploded at 0.1 ps"}))
    page = page_of(copy)
    assert outcomes(page)["Length"] == outcomes(page)["Energy conservation"] == "FAIL"
    assert "it exploded" in page.html("")


def test_frames_unlike_the_training_are_named(copy):
    frames = read(copy / "trajectory.traj", ":")
    oxygen, hydrogen = frames[4].positions[2:4]
    hydrogen[:] = oxygen + 0.3 * (hydrogen - oxygen)
    write(copy / "trajectory.traj", frames)
    verdict = next(v for v in page_of(copy).verdicts if v.about.startswith("Inside"))
    assert verdict.outcome == "FAIL"
    assert "the first at 0.04 ps: " in verdict.words
    assert "O2 and H3" in verdict.words


def test_a_run_whose_model_is_another_one_is_not_held_against_it(copy):
    about = json.loads((copy / "run.json").read_text())
    about["calculator"]["model_info"]["sha256"] = "0" * 64
    (copy / "run.json").write_text(json.dumps(about))
    assert "Inside what the model was trained on" not in outcomes(page_of(copy))


def test_a_report_of_a_model_says_what_it_knows():
    page = page_of("ethanol", structures=False)
    assert outcomes(page)["Training"] == "PASS"
    html = page.html("")
    assert "periodic structures are refused" in html
    assert "H-O" in html
    assert "chemiscope" not in html


def test_the_structure_with_the_worst_label_is_first(hot, ethanol):
    for atoms in hot:
        atoms.calc.results["forces"] = atoms.calc.results["forces"].copy()
    hot[7].calc.results["forces"][4] += 5.0  # eV/Å
    data = Dataset.from_atoms(hot, source="hot.xyz")
    page = page_of("ethanol", data=data)
    (worst,) = (s for s in page.sections if s.title == "Where it errs most")
    (table,) = (b for b in worst.blocks if hasattr(b, "rows"))
    (shown,) = (b for b in worst.blocks if isinstance(b, Structures))
    assert table.rows[0][0] == shown.selected == 7
    on_atoms = shown.of_atoms["force error of the atom"].values.reshape(len(hot), 9)
    assert np.unravel_index(on_atoms.argmax(), on_atoms.shape) == (7, 4)
    forces = ethanol.calc.get_forces(hot[0])
    error = 1000 * np.sqrt(np.mean((forces - hot[0].get_forces()) ** 2))
    assert shown.properties["force error"].values[0] == pytest.approx(error)
    assert any(about.startswith("Errors on hot.xyz") for about in outcomes(page))


def test_the_error_of_a_structure_is_that_of_the_atoms_with_labels(hot):
    """As ``evaluate`` counts it: eight atoms without a label make no error smaller."""
    hot[0].set_array("force_mask", np.arange(9) == 4)
    hot[1].set_array("force_mask", np.zeros(9, bool))
    data = Dataset.from_atoms(hot[:3], source="hot.xyz")
    found = judge(load_model("ethanol"), data).errors["force error"]
    alone = judge(load_model("ethanol"), data.subset(np.array([0]))).comparison.metrics()
    assert found[0] == pytest.approx(alone["forces_rmse_meV_per_Ang"])
    assert np.isnan(found[1])
    assert found[2] > 0
    nothing = judge(load_model("ethanol"), data.subset(np.array([1])))
    assert "force error" not in nothing.errors


def test_a_scan_comes_back_from_its_table(ethanol, tmp_path):
    atoms = ethanol.copy()
    atoms.calc = ethanol.calc
    scan = scan_distance(atoms, 2, 3, np.linspace(0.9, 1.1, 4), progress=False)
    scan.write_csv(tmp_path / "s.csv")
    scan.write_frames(tmp_path / "s.xyz")
    again = read_scan(tmp_path / "s.csv", tmp_path / "s.xyz")
    for name in ("values", "energies_eV", "energy_std_eV", "energy_committee_eV"):
        assert np.array_equal(getattr(again, name), getattr(scan, name)), name
    assert [bool(w) for w in again.outside_training] == [bool(w) for w in scan.outside_training]
    assert again.error_level == scan.error_level
    page = page_of(tmp_path / "s.csv")  # the structures beside it are found
    assert page.sections[-1].title == "Structures of the points"
    assert outcomes(page)["Points"] == "PASS"
    assert outcomes(page_of(scan)) == outcomes(page)


def test_a_map_comes_back_from_its_table(ethanol, tmp_path):
    atoms = ethanol.copy()
    atoms.calc = ethanol.calc
    made = scan_map(atoms, (2, 3), [0.95, 1.0], (0, 1), [1.5, 1.4, 1.6], progress=False)
    made.write_csv(tmp_path / "m.csv")
    made.write_frames(tmp_path / "m.xyz")
    again = read_scan(tmp_path / "m.csv")
    order = np.argsort(made.values[1])
    assert np.array_equal(again.values[1], made.values[1][order])
    assert np.array_equal(again.energies_eV, made.energies_eV[:, order])
    page = page_of(tmp_path / "m.csv")
    (shown,) = (b for b in page.sections[-1].blocks if isinstance(b, Structures))
    distances = [atoms.get_distance(0, 1) for atoms in shown.frames]
    assert distances == pytest.approx([1.4, 1.5, 1.6] * 2)


def test_structures_too_many_for_a_page_are_thinned_with_both_ends():
    assert thinned(5000, 9).tolist() == list(range(5000))
    chosen = thinned(1_000_000, 512)
    assert len(chosen) * 512 <= viewer.MAX_ATOMS
    assert (chosen[0], chosen[-1]) == (0, 999_999)
    assert np.ptp(np.diff(chosen)) <= 1
    assert thinned(3, 10**6).tolist() == [0, 2]


def test_without_chemiscope_the_cure_is_named_and_structures_can_be_left_out(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(viewer, "find_spec", lambda name: None)
    output = str(tmp_path / "r.html")
    assert main(["report", str(run), "-o", output]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'ase-schnet[report]'" in line
    assert "--no-structures" in line
    assert main(["report", str(run), "-o", output, "--no-structures"]) == 0
    assert "Energy conservation" in capsys.readouterr().out


def test_bad_input_names_the_next_step(run, tmp_path, capsys):
    frames, other = str(tmp_path / "s.xyz"), str(tmp_path / "x.csv")
    molecule("H2O").write(frames)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    cases = {
        ("report", "nowhere"): "give a run directory, a model directory",
        ("report", frames): f"ase-schnet report MODEL --data {frames}",
        ("report", other): "give a run directory, a model directory",
        ("report", str(tmp_path)): "Give one that ase-schnet learn or train wrote",
        ("report", str(run), "--frames", frames): "--frames belongs to the table of a scan",
        ("report", "ethanol", "--data", frames): "ase-schnet label",
        ("info", str(run)): "is a run directory, not a model",
        ("drift", str(tmp_path)): "Give the directory that ase-schnet md or lammps wrote",
    }
    before = files_below(run)
    for arguments, cure in cases.items():
        assert main([*arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert cure in line
    assert files_below(run) == before


def test_a_report_is_named_as_a_page_and_nothing_is_written_else(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.html"):
        write_report("ethanol", tmp_path / "report.pdf", structures=False)
    assert list(tmp_path.iterdir()) == []
