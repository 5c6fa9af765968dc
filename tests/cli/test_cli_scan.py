"""``ase-schnet scan`` as a user types it: files, exit codes, one clear line for bad input."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.io import read, write
from factory import random_model

from ase_schnet.cli import main
from ase_schnet.modelfile import save_model
from ase_schnet.scan import driver as scan_driver

DIHEDRAL = ["--dihedral", "0", "1", "2", "3", "--from", "0", "--to", "360"]
MAP = ["--dihedral", "0", "1", "2", "3", "--distance", "2", "3", "--from", "0", "0.9"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A random model and structures, by the names that the arguments below use."""
    folder = tmp_path_factory.mktemp("scan")
    paths = {"model": str(save_model(folder / "tiny", random_model(members=3)))}
    structures = {"ethanol": molecule("CH3CH2OH"), "fixed": molecule("CH3CH2OH")}
    structures["fixed"].set_constraint(FixAtoms([3]))
    structures["line"] = Atoms("CCCH", [(0, 0, 0), (0, 0, 1.2), (0, 0, 2.4), (0, 1, 3)])
    for name, atoms in structures.items():
        paths[name] = str(folder / f"{name}.traj")
        write(paths[name], atoms)
    return paths


def test_a_dihedral_is_scanned_tabled_drawn_and_its_structures_written(places, tmp_path, capsys):
    plot, frames = tmp_path / "turn.png", tmp_path / "turn.xyz"
    scan = ["scan", places["model"], places["ethanol"], *DIHEDRAL, "--points", "7"]
    assert main([*scan, "-o", str(plot), "--frames", str(frames)]) == 0
    out = capsys.readouterr().out
    assert "C0-C1-O2-H3 dihedral (°): lowest at" in out
    table = np.genfromtxt(plot.with_suffix(".csv"), delimiter=",", skip_header=1)
    np.testing.assert_array_equal(table[:, 0], np.linspace(0, 360, 7))
    assert plot.stat().st_size > 10_000
    assert len(read(frames, ":")) == 7


def test_an_angle_is_relaxed_on_request(places, tmp_path):
    """The untrained model has no minimum to find, but the column says so."""
    table = tmp_path / "angle.csv"
    scan = ["scan", places["model"], places["ethanol"], "--angle", "0", "1", "2", "--no-plot"]
    options = ["--from", "105", "--to", "110", "--points", "2", "--relaxed", "--fmax", "5"]
    assert main([*scan, *options, "-o", str(table.with_suffix(".png"))]) == 0
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    assert header.startswith("C0-C1-O2 angle (°),energy_eV,energy_std_eV,converged")
    assert [row.split(",")[3] for row in rows] == ["1", "1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["angle.csv"]


def test_two_coordinates_make_a_map_in_the_order_given(places, tmp_path, capsys):
    plot = tmp_path / "map.png"
    scan = ["scan", places["model"], places["ethanol"], *MAP]
    assert main([*scan, "--to", "120", "1.1", "--points", "4", "3", "-o", str(plot)]) == 0
    assert "O2-H3 distance (Å): 0.900 to 1.100 in training" in capsys.readouterr().out
    header, *rows = plot.with_suffix(".csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("C0-C1-O2-H3 dihedral (°),O2-H3 distance (Å),energy_eV")
    assert len(rows) == 12
    assert rows[1].startswith("0.0,1.0,")
    assert plot.stat().st_size > 10_000


@pytest.mark.filterwarnings("default:interrupted")
def test_ctrl_c_writes_what_is_finished_and_exits_with_130(places, tmp_path, monkeypatch, capsys):
    compute, done = scan_driver._compute_point, []

    def interrupted(*args):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(compute(*args))
        return done[-1]

    monkeypatch.setattr(scan_driver, "_compute_point", interrupted)
    plot = tmp_path / "turn.png"
    scan = ["scan", places["model"], places["ethanol"], *DIHEDRAL, "-o", str(plot)]
    assert main(scan) == 130
    assert "warning: interrupted after 3 of 60 points" in capsys.readouterr().err
    assert len(plot.with_suffix(".csv").read_text(encoding="utf-8").splitlines()) == 4
    assert plot.exists()


@pytest.mark.parametrize(
    ("structure", "arguments", "message"),
    [
        ("ethanol", ["--from", "1", "--to", "2"], "give one of --distance, --angle, --dihedral"),
        ("ethanol", [*DIHEDRAL, "--points", "1"], "--points must be at least 2, not 1"),
        ("ethanol", [*DIHEDRAL, "--from", "5", "--to", "5"], "there is nothing to scan"),
        ("ethanol", [*DIHEDRAL[:4], "9", *DIHEDRAL[5:]], "atom 9 does not exist"),
        ("ethanol", [*DIHEDRAL[:4], "-1", *DIHEDRAL[5:]], "atom -1 does not exist"),
        ("ethanol", [*DIHEDRAL[:4], "1", *DIHEDRAL[5:]], "needs four different atoms"),
        ("line", DIHEDRAL, "atoms 0, 1 and 2 lie in a line"),
        ("fixed", DIHEDRAL, "H3 would have to move but is fixed"),
        ("ethanol", [*DIHEDRAL, "--moving", "0", "3"], "moving must hold 3"),
        ("ethanol", [*DIHEDRAL, "--moving", "3", "--moving", "2"], "--moving once for each"),
        ("ethanol", [*DIHEDRAL, "--relaxed", "--fmax", "0"], "fmax must be positive"),
        ("ethanol", [*DIHEDRAL, "-o", "{tmp}/absent/a.png"], "there is no folder"),
        ("ethanol", [*DIHEDRAL, "--reference", "{tmp}/absent.xyz"], "absent.xyz"),
        ("ethanol", [*MAP, "--to", "360"], "--to needs one value for each coordinate: 2, not 1"),
        ("ethanol", [*MAP, "--to", "9", "1", "--reference", "x"], "a map has none"),
    ],
    ids=lambda v: " ".join(v[-2:]) if isinstance(v, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(
    structure, arguments, message, places, tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = [a.format(tmp=tmp_path) for a in arguments]
    assert main(["scan", places["model"], places[structure], *arguments]) == 2
    err = capfd.readouterr().err
    assert message in err.strip().splitlines()[-1]
    assert err.startswith("ase-schnet scan: ")
    assert not list(tmp_path.iterdir())
