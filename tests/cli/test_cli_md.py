"""`ase-schnet md`: what becomes of velocities and of a box, runs too short to judge, ramps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import read, write
from factory import NARROW

from ase_schnet.cli import build_parser, main
from ase_schnet.cli.language import in_options
from ase_schnet.runs.record import MDRecord


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Structures, and a trajectory at constant temperature with velocities in its frames."""
    folder = tmp_path_factory.mktemp("structures")
    ethanol = molecule("CH3CH2OH")
    write(folder / "ethanol.xyz", ethanol)
    ethanol.set_cell([15.0] * 3)
    ethanol.pbc = True
    ethanol.positions += [-0.3, 0.0, 14.9]
    ethanol.wrap()
    write(folder / "cut.xyz", ethanol)
    write(folder / "si.xyz", bulk("Si", cubic=True))
    nvt = ["--ensemble", "nvt", "--time", "0.01", "--trajectory-every", "5", "--no-plot"]
    arguments = ["md", "ethanol", str(folder / "ethanol.xyz"), "-o", str(folder / "nvt"), *nvt]
    assert main(arguments) == 0
    return folder


def md(structure, output, *more):
    return main(["md", "ethanol", str(structure), "-o", str(output), "--no-plot", *more])


def refused(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    return next(line for line in lines if line.startswith("ase-schnet "))


# --- velocities ---------------------------------------------------------------------------------


def test_velocities_in_a_file_are_kept_if_asked_and_named_if_not(files, tmp_path, capsys):
    start = files / "nvt" / "trajectory.traj"
    own = read(start)
    own_K = 2 * own.get_kinetic_energy() / (21 * units.kB)
    assert md(start, tmp_path / "kept", "--keep-momenta", "--time", "0.01") == 0
    assert f"velocities: kept from {start}: {own_K:.0f} K\n" in capsys.readouterr().out
    first = read(tmp_path / "kept" / "trajectory.traj", 0)
    np.testing.assert_array_equal(first.get_momenta(), own.get_momenta())
    assert md(start, tmp_path / "drawn", "--time", "0.01", "--temperature", "250") == 0
    out = capsys.readouterr().out
    assert f"velocities: drawn at 250 K, and not those of {start}: {own_K:.0f} K" in out
    assert "(--keep-momenta keeps them)" in out
    assert md(files / "ethanol.xyz", tmp_path / "none", "--time", "0.01") == 0
    assert "velocities: drawn at 300 K\n" in capsys.readouterr().out


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
def test_a_run_with_kept_velocities_goes_on_as_if_in_one_piece(files, tmp_path, capsys, ensemble):
    start, kind = files / "nvt" / "trajectory.traj", ["--keep-momenta", "--ensemble", ensemble]
    assert md(start, tmp_path / "a", *kind, "--time", "0.01") == 0
    assert md(start, tmp_path / "a", *kind, "--time", "0.02", "--resume") == 0
    assert f"velocities: those of the run in {tmp_path / 'a'}" in capsys.readouterr().out
    assert md(start, tmp_path / "b", *kind, "--time", "0.02") == 0
    assert (tmp_path / "a/log.csv").read_bytes() == (tmp_path / "b/log.csv").read_bytes()
    assert md(start, tmp_path / "a", "--ensemble", ensemble, "--time", "0.03", "--resume") == 2
    assert "can only be resumed with its own settings" in refused(capsys)


def test_velocities_that_are_not_there_or_contradicted_are_not_kept(files, tmp_path, capsys):
    assert md(files / "ethanol.xyz", tmp_path / "run", "--keep-momenta") == 2
    assert "ethanol.xyz has no velocities to keep: leave --keep-momenta out" in refused(capsys)
    start = files / "nvt" / "trajectory.traj"
    assert md(start, tmp_path / "run", "--keep-momenta", "--temperature", "300") == 2
    assert "leave one of the two out" in refused(capsys)
    assert not (tmp_path / "run").exists()


def test_the_temperature_of_kept_velocities_is_that_of_the_first_sample(files, tmp_path, capsys):
    """Of atoms that are held, and of the whole where a thermostat leaves it at rest, nothing is kept."""
    moving, held = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    moving.set_momenta(np.random.default_rng(0).normal(0.1, 0.3, (9, 3)))
    held.set_momenta(moving.get_momenta())
    held.set_constraint(FixAtoms([0, 1]))
    for name, atoms in (("moving", moving), ("held", held)):
        write(tmp_path / f"{name}.traj", atoms)
        for kind in (["nve"], ["nvt"], ["nvt", "--thermostat", "langevin"]):
            run, more = tmp_path / f"{name}{len(kind)}{kind[0]}", ["--time", "0.002", "--resume"]
            for _ in range(2):
                options = ["--keep-momenta", "--ensemble", *kind, *more]
                assert md(tmp_path / f"{name}.traj", run, *options, "--monitor", "off") == 0
            first_K = MDRecord.read(run).temperature_K[0]
            out = capsys.readouterr().out
            assert f".traj: {first_K:.0f} K" in out
            assert ("the overall motion" in out) == (name == "moving" and kind != ["nvt"])


def test_velocities_without_a_known_unit_are_named(files, tmp_path, capsys):
    atoms = molecule("CH3CH2OH")
    atoms.arrays["vel"] = np.full((9, 3), 0.01)
    write(tmp_path / "start.xyz", atoms)
    assert md(tmp_path / "start.xyz", tmp_path / "run", "--time", "0.002") == 0
    assert "and not those of" in capsys.readouterr().out
    assert md(tmp_path / "start.xyz", tmp_path / "kept", "--keep-momenta") == 2
    assert "no velocities to keep in a known unit (the unit of vel is unknown" in refused(capsys)


# --- short runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
def test_a_run_too_short_to_judge_is_run_and_later_judged(files, tmp_path, capsys, ensemble):
    kind = ["--ensemble", ensemble, "--test-time", "0.03"] if ensemble == "nve" else []
    kind = kind or ["--ensemble", ensemble]
    options = ["md", "ethanol", str(files / "ethanol.xyz"), "-o", str(tmp_path / "run"), *kind]
    assert main([*options, "--time", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "no verdict: 21 samples are too few" in out
    assert "A run of 0.032 ps or more is judged" in out
    assert (tmp_path / "run" / "drift.png").stat().st_size > 10_000
    assert len(MDRecord.read(tmp_path / "run")) == 21
    main([*options, "--time", "0.032", "--resume"])
    assert "energy drift" in capsys.readouterr().out


def test_a_short_run_that_is_stopped_has_failed(files, tmp_path, capsys):
    hot = ["--time", "0.01", "--temperature", "30000"]
    assert md(files / "ethanol.xyz", tmp_path / "run", *hot) == 1
    assert "FAIL: step 0" in capsys.readouterr().out


# --- ramps --------------------------------------------------------------------------------------


def test_a_ramp_is_run_judged_and_drawn(files, tmp_path, capsys):
    ramp = ["--ensemble", "nvt", "--temperature-end", "600", "--time", "0.04"]
    arguments = ["md", "ethanol", str(files / "ethanol.xyz"), "-o", str(tmp_path / "run"), *ramp]
    main(arguments)
    out = capsys.readouterr().out
    assert "of the conserved energy" in out
    assert "FAIL" not in out
    assert (tmp_path / "run" / "drift.png").stat().st_size > 10_000
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["temperature_K"], settings["temperature_end_K"]) == (300, 600)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--temperature-end applies to --ensemble nvt only"),
        (["--ensemble", "npt"], "--temperature-end applies to --ensemble nvt only"),
        (["--ensemble", "nvt", "--thermostat", "nose-hoover"], "keeps one temperature"),
    ],
)
def test_a_ramp_that_no_thermostat_follows_is_refused(files, tmp_path, capsys, more, message):
    silicon = ["md", "silicon", str(files / "si.xyz"), "-o", str(tmp_path / "run")]
    assert main([*silicon, "--temperature-end", "600", *more]) == 2
    assert message in refused(capsys)


# --- boxes --------------------------------------------------------------------------------------


def test_a_molecule_cut_by_its_box_runs_as_the_molecule(files, tmp_path, capsys):
    assert md(files / "cut.xyz", tmp_path / "box", "--time", "0.01") == 2
    assert "(--no-pbc)" in refused(capsys)
    assert md(files / "cut.xyz", tmp_path / "cut", "--time", "0.01", "--no-pbc") == 0
    assert md(files / "ethanol.xyz", tmp_path / "whole", "--time", "0.01") == 0
    cut, whole = (MDRecord.read(tmp_path / name) for name in ("cut", "whole"))
    np.testing.assert_allclose(cut.potential_energy_eV, whole.potential_energy_eV, atol=1e-6)
    silicon = ["md", "silicon", str(files / "si.xyz"), "-o", str(tmp_path / "si"), "--no-pbc"]
    assert main(silicon) == 2
    assert "si.xyz: the bond between atoms" in refused(capsys)


def test_scan_takes_a_molecule_out_of_its_box(files, tmp_path):
    tables = []
    for name, more in (("cut", ["--no-pbc"]), ("ethanol", [])):
        output, values = tmp_path / f"{name}.png", ["--from", "0.95", "--to", "1", "--points", "2"]
        scan = ["scan", "ethanol", str(files / f"{name}.xyz"), "--distance", "2", "3", *values]
        assert main([*scan, "--no-plot", "-o", str(output), *more]) == 0
        tables.append(np.genfromtxt(output.with_suffix(".csv"), delimiter=",", skip_header=1))
    np.testing.assert_allclose(*tables, atol=1e-6)


def test_evaluate_takes_molecules_out_of_their_boxes(files, tmp_path, capsys):
    data = read(files / "nvt" / "trajectory.traj", ":")
    tables = []
    for box in (False, True):
        for atoms in data:
            if box:
                labels = atoms.calc.results
                atoms.set_cell([15.0] * 3)
                atoms.pbc = True
                atoms.wrap()
                atoms.calc.atoms = atoms.copy()
                atoms.calc.results = labels
        path = tmp_path / f"{box}.extxyz"
        write(path, data)
        evaluate = ["evaluate", "ethanol", str(path), "--units", "eV", "--no-plot"]
        if box:
            assert main(evaluate) == 2
            assert "(--no-pbc)" in refused(capsys)
            evaluate.append("--no-pbc")
        assert main(evaluate) == 0
        tables.append(capsys.readouterr().out.splitlines()[1:])
    assert tables[0] == tables[1]


def test_a_command_without_the_option_does_not_advise_it():
    text = "take it out of its box by without_box(atoms) (--no-pbc), or run again (--time 3)"
    scan, drift = (
        build_parser().parse_args(words).parser
        for words in (["scan", "m", "s", "--from", "1", "--to", "2"], ["drift", "run"])
    )
    assert in_options(text, scan) == text
    assert in_options(text, drift) == text.replace(" (--no-pbc)", "")


@pytest.mark.slow
def test_what_a_monitor_collected_comes_with_the_command_for_it(files, tmp_path, capsys):
    learnt = tmp_path / "learnt"
    shutil.copytree(NARROW, learnt)
    (learnt / "learn.json").write_text("{}")
    hot = ("--temperature", "6000", "--time", "0.05", "--timestep", "0.5", "--monitor", "collect")
    for model, command in (
        (NARROW, "ase-schnet label {} --reference REF"),
        (str(learnt), f"ase-schnet learn --continue {learnt} --collect {{}}"),
    ):
        run = tmp_path / f"run {Path(model).name}"
        main(["md", model, str(files / "ethanol.xyz"), *hot, "--no-plot", "-o", str(run)])
        assert command.format(run / "collected.extxyz") in capsys.readouterr().out
