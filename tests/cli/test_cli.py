"""The command line as a user types it: output, files, exit codes, one clear line for bad input."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from factory import labelled_molecules, random_model
from forked import end, fork

from ase_schnet import arguments
from ase_schnet.cli import COMMANDS, main
from ase_schnet.modelfile import CARD, WEIGHTS, load_model, save_model
from ase_schnet.runtime.processes import Workers
from ase_schnet.training.workdir import WORK


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Labelled molecules in kcal/mol, units not said."""
    path = tmp_path_factory.mktemp("data") / "molecules.xyz"
    frames = labelled_molecules(24)
    for atoms in frames:
        atoms.calc.results["energy"] *= 23.0605
        atoms.calc.results["forces"] = atoms.calc.results["forces"] * 23.0605
    write(path, frames)
    return str(path)


def small_training(data, output, *more):
    return [
        *("train", data, "-o", str(output), "--units", "kcal/mol", "--folds", "2"),
        *("--kept-out", "0.2", "--epochs", "2", "--jobs", "1", "--interactions", "1", *more),
    ]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained") / "model"
    assert (
        main(small_training(data, directory)) == 1
    )  # an epoch or two come to nothing, and the verdict says so
    return directory


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"ase-schnet {command}" in out
    assert "example" in out


def test_help_and_version_are_quick_and_import_nothing_heavy():
    code = (
        "import sys; sys.argv = ['ase-schnet', '--version']\n"
        "from ase_schnet.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'ase', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert out.startswith("ase-schnet 0.")
    assert "[]" in out


def test_train_writes_a_model_its_card_and_its_picture(trained):
    assert sorted(p.name for p in trained.iterdir()) == [CARD, WORK, "training.png", WEIGHTS]
    assert sorted(p.name for p in (trained / WORK).iterdir()) == ["fold_1.csv", "fold_2.csv"]
    training = load_model(trained).card["training"]
    assert training["units_in_source"].startswith("kcal/mol")
    assert training["files"][0]["name"] == "molecules.xyz"
    assert len(training["files"][0]["sha256"]) == 64


def test_train_prints_what_it_found_and_the_tables(data, tmp_path, capsys):
    assert main(small_training(data, tmp_path / "m", "--no-plot")) == 1
    out = capsys.readouterr().out
    assert "energy 24/24, forces 24/24" in out
    assert "kcal/mol, Ang -> eV, Ang" in out
    assert "Validation loss per structure" in out
    assert "Ensemble std on the 5 kept-out structures" in out
    assert "meV/Å per component" in out
    assert "FAIL: energies are wrong by" in out
    assert "use it" not in out


def test_info_and_evaluate(trained, data, tmp_path, capsys):
    assert main(["info", str(trained)]) == 0
    out = capsys.readouterr().out
    assert "members     2" in out
    assert "H, C, O; molecules only" in out
    assert "FAIL: energies are wrong by" in out
    plot = tmp_path / "parity.png"
    assert main(["evaluate", str(trained), data, "--units", "kcal/mol", "-o", str(plot)]) == 0
    assert "n = 24 structures" in capsys.readouterr().out
    assert plot.stat().st_size > 10_000


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights(data, tmp_path):
    """kill -9 of the whole command, then --resume."""
    arguments = small_training(data, tmp_path / "m", "--no-plot")
    arguments[arguments.index("--epochs") + 1] = "40"
    process = fork(main, arguments, said=tmp_path / "said")
    work = tmp_path / "m" / WORK
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (work / "fold_1.safetensors").exists():
        time.sleep(0.01)
    end(process)
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert work.is_dir()
    assert not (tmp_path / "m" / CARD).exists()
    assert main(arguments) == 2  # without --resume nothing is touched
    main([*arguments, "--resume"])
    main([str(tmp_path / "whole") if a == str(tmp_path / "m") else a for a in arguments])
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_md_drift_and_scan_hang_together(model_dir, tmp_path, capsys):
    structure, run_dir = tmp_path / "water.xyz", tmp_path / "run"
    write(structure, molecule("H2O"))
    arguments = ["md", model_dir, str(structure), "-o", str(run_dir), "--time", "0.1"]
    unwatched = ["--monitor", "off"]  # the tiny model was trained on no H-H distance
    md = main(
        [*arguments, "--temperature", "30", "--timestep", "0.25", "--test-time", "0.1", *unwatched]
    )
    out = capsys.readouterr().out
    assert "meV/atom/ps" in out
    assert md == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[re.search("^[A-Z]{4,}", out, re.M)[0]]
    assert main(["drift", str(run_dir), "--no-plot"]) == md
    frames = read(run_dir / "trajectory.traj", ":")
    assert len(frames) == 5
    plot = tmp_path / "oh.png"
    scan = ["scan", model_dir, str(structure), "--distance", "0", "1", "--from", "0.8"]
    assert main([*scan, "--to", "1.5", "--points", "5", "-o", str(plot)]) == 0
    table = np.genfromtxt(plot.with_suffix(".csv"), delimiter=",", names=True, deletechars="")
    assert len(table) == 5
    assert plot.stat().st_size > 10_000


def test_md_with_a_thermostat_and_with_a_monitor_that_stops_it(tmp_path, capsys):
    structure, run_dir = tmp_path / "ethanol.xyz", tmp_path / "run"
    write(structure, molecule("CH3CH2OH"))
    md = ["md", "ethanol", str(structure), "--ensemble", "nvt", "--time", "0.1", "-o"]
    assert main([*md, str(run_dir), "--thermostat", "langevin", "--time-constant", "200"]) == 3
    assert "of the conserved energy" in capsys.readouterr().out
    assert (run_dir / "drift.png").stat().st_size > 10_000
    assert main(["drift", str(run_dir), "--no-plot"]) == 3  # 0.1 ps cannot tell
    hot = [*md, str(tmp_path / "hot"), "--temperature", "30000"]
    assert main(hot) == 1
    out = capsys.readouterr().out
    assert "FAIL: step 0 (0 ps):" in out
    assert "the monitor's limit is 10000 K" in out
    assert len(read(tmp_path / "hot" / "trajectory.traj", ":")) == 1
    assert main(["drift", str(tmp_path / "hot"), "--no-plot"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "no_such_model"], "no model 'no_such_model'"),
        (["train", "{data}", "-o", "{tmp}/m"], "does not say its units"),
        (["train", "{data}", "-o", "{tmp}/m", "--units", "bananas"], "bananas"),
        (["train", "{data}", "-o", "{tmp}/m", "--units", "kcal/mol", "--folds", "1"], "2 folds"),
        (["train", "{data}", "-o", "{tmp}/m", "--units", "kcal/mol", "--epochs", "0"], "epochs"),
        (["train", "{tmp}/absent.npz", "-o", "{tmp}/m"], "absent.npz"),
        (["train", "{data}", "-o", "{model}", "--units", "kcal/mol"], "already holds a model"),
        (["evaluate", "{model}", "{tmp}/absent.xyz"], "absent.xyz"),
        (["md", "{model}", "{tmp}/absent.xyz", "-o", "{tmp}/run"], "absent.xyz"),
        (["md", "{model}", "{uranium}", "-o", "{tmp}/run"], "not trained on U"),
        (["md", "{model}", "{water}", "-o", "{tmp}/run", "--timestep", "-1"], "timestep"),
        (
            [
                "md",
                "{model}",
                "{water}",
                "-o",
                "{tmp}/run",
                "--ensemble",
                "nvt",
                "--thermostat",
                "x",
            ],
            "no thermostat 'x': there are bussi, langevin, nose-hoover",
        ),
        (
            ["md", "{model}", "{water}", "-o", "{tmp}/run", "--pressure", "1"],
            "--pressure applies to --ensemble npt only",
        ),
        (
            ["md", "{model}", "{water}", "-o", "{tmp}/run", "--ensemble", "npt"],
            "periodic in all three directions",
        ),
        (["drift", "{tmp}/absent"], "absent"),
        (
            ["scan", "{model}", "{water}", "--distance", "0", "9", "--from", "1", "--to", "2"],
            "atom 9 does not exist",
        ),
    ],
    ids=lambda v: " ".join(v[:2]) if isinstance(v, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments, message, model_dir, data, tmp_path, capfd
):
    water, uranium = tmp_path / "water.xyz", tmp_path / "uranium.xyz"
    write(water, molecule("H2O"))
    spoilt = molecule("H2O")
    spoilt.numbers[0] = 92
    write(uranium, spoilt)
    places = {"data": data, "tmp": tmp_path, "model": model_dir, "water": water, "uranium": uranium}
    code = main([a.format(**places) for a in arguments])
    captured = capfd.readouterr()
    assert code == 2
    last = captured.err.strip().splitlines()[-1]
    assert message in last
    assert last.startswith(f"ase-schnet {arguments[0]}: ")
    assert "Traceback" not in captured.err


def add_wrongly(args):
    np.zeros(3) + np.zeros(4)


def mistype(args):
    raise TypeError("a mistake of ours")


def read_wrongly(args):
    np.frombuffer(b"123", dtype=float).reshape(2)


@pytest.mark.parametrize("fault", [add_wrongly, mistype, read_wrongly], ids=lambda f: f.__name__)
def test_a_fault_of_ours_is_said_to_be_one_with_its_traceback(fault, monkeypatch, capsys):
    """A ValueError of numpy is nothing that a user did."""
    monkeypatch.setattr("ase_schnet.cli.info.run", fault)
    assert main(["info", "ethanol"]) == 1
    *traceback, last = capsys.readouterr().err.strip().splitlines()
    assert traceback[0].startswith("Traceback")
    assert fault.__name__ in "".join(traceback)
    assert last.startswith("ase-schnet info: this is a fault of ase_schnet")


def test_a_fault_in_another_process_is_said_to_be_one(monkeypatch, capsys):
    """The traceback does not come with it; a refusal of ours in another process stays one line."""

    def run(args):
        with Workers("testing", 1) as pool:
            pool.submit(*task).result()

    monkeypatch.setattr("ase_schnet.cli.info.run", run)
    task = (np.broadcast_shapes, (3,), (4,))
    assert main(["info", "ethanol"]) == 1
    assert "a fault of ase_schnet" in capsys.readouterr().err
    task = (load_model, "bananas")
    assert main(["info", "ethanol"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "bananas" in line


@pytest.mark.parametrize(
    ("body", "code"), [("raise ValueError('bananas')", 2), ("float('bananas')", 1)]
)
def test_errors_are_told_apart_when_an_upgrade_has_changed_the_files(body, code, monkeypatch):
    """The code that runs is older than the lines in its file, which say the contrary."""
    file = Path(arguments.__file__)
    lines = file.read_text().splitlines()
    wanted = code == 1  # a line of a raise, or another one, in the file
    number = next(k for k, line in enumerate(lines) if line.strip().startswith("raise") == wanted)
    room = {"__name__": "ase_schnet.arguments"}
    head = "def run(args):" + "\n" * max(number, 1)
    exec(compile(f"{head}    {body}\n", str(file), "exec"), room)
    monkeypatch.setattr("ase_schnet.cli.info.run", room["run"])
    assert main(["info", "ethanol"]) == code


def test_bad_input_shows_its_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setenv("ASE_SCHNET_DEBUG", "1")
    assert main(["info", "no_such_model"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("ase-schnet info: no model")
