"""``md --replicas``: what it prints, draws and refuses."""

import pytest
from ase.build import molecule
from ase.io import write

from ase_schnet.cli import main
from ase_schnet.runs.record import MDRecord


@pytest.fixture
def md(tmp_path, capsys):
    """Return a function that runs the command for ethanol: exit code, output, errors."""
    structure, output = tmp_path / "ethanol.xyz", tmp_path / "many"
    write(structure, molecule("CH3CH2OH"))

    def run(*options: str):
        code = main(["md", "ethanol", str(structure), "-o", str(output), *options])
        return code, *capsys.readouterr(), output

    return run


def test_replicas_are_printed_one_by_one(md, capsys):
    code, out, _, folder = md("--replicas", "3", "--time", "0.02", "--seed", "5")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["0", "1", "2"]
    assert all("too short to judge" in line for line in lines[2:5])
    energies = {
        MDRecord.read(folder / f"replica_{k:03d}").potential_energy_eV[-1] for k in range(3)
    }
    assert len(energies) == 3
    code, out, _, _ = md("--replicas", "3", "--time", "0.04", "--seed", "5", "--resume")
    assert code == 3  # too short to be sure of the slope
    assert len(MDRecord.read(folder / "replica_002")) == 81
    assert main(["drift", str(folder)]) == 2
    assert "holds some: give one of them" in capsys.readouterr().err


def test_an_exchange_is_told_and_drawn(md):
    ladder = ("--ensemble", "nvt", "--exchange", "600", "--exchange-every", "10")
    code, out, _, folder = md("--replicas", "3", "--time", "0.05", *ladder)
    assert code == 3
    assert "exchanged: 300-424 K " in out
    assert "424-600 K " in out
    assert (folder / "exchange.png").stat().st_size > 5000
    targets = [MDRecord.read(folder / f"replica_{k:03d}").target_temperature_K for k in range(3)]
    assert targets == pytest.approx([300, 424.26, 600], abs=0.01)


def test_a_stopped_replica_is_named_and_ends_the_command_with_1(md):
    hot = ("--ensemble", "nvt", "--temperature", "30000")
    code, out, _, _ = md("--replicas", "2", "--time", "0.02", *hot)
    assert code == 1
    assert out.count("stopped: step 0") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--exchange", "600"), "give their number, --replicas 8"),
        (("--replicas", "2", "--exchange-every", "5"), "give its highest temperature"),
        (
            ("--replicas", "2", "--ensemble", "nvt", "--exchange", "600", "--exchange-every", "0"),
            "--exchange-every must be a whole number of at least 1, not 0",
        ),
        (("--replicas", "0"), "replicas must be a whole number of at least 1"),
        (("--replicas", "2", "--exchange", "600"), "exchange is for --ensemble nvt"),
        (
            ("--replicas", "2", "--exchange", "200", "--ensemble", "nvt"),
            "it must be above --temperature, 300 K, not 200",
        ),
        (
            ("--replicas", "1", "--exchange", "600", "--ensemble", "nvt"),
            "--exchange is between replicas: give two or more",
        ),
        (
            ("--replicas", "2", "--exchange", "inf", "--ensemble", "nvt"),
            "it must be above --temperature, 300 K, not inf",
        ),
        (("--replicas", "2", "--test-time", "0.5"), "--test-time is for a single run"),
        (("--ensemble", "nvt", "--test-time", "0.5"), "--test-time is for a single run"),
        (("--replicas", "2", "--thermostat", "bussi"), "--thermostat applies to --ensemble nvt"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(md, options, message):
    code, _, err, folder = md(*options)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not folder.exists()


def test_what_cannot_be_decided_says_why_and_frames_to_label_are_counted(md):
    options = ("--ensemble", "nvt", "--monitor", "collect", "--temperature", "9000")
    code, out, _, folder = md("--replicas", "2", "--time", "0.2", "--record-every", "2", *options)
    assert code in (1, 3)
    why = [
        line for line in out.splitlines() if line.startswith("replica") and "INCONCLUSIVE" in line
    ]
    assert why
    assert all("record every step" in line or "would decide" in line for line in why)
    assert len(set(why)) == len(why)  # what holds for several is told once
    files = list(folder.glob("replica_*/collected.extxyz"))
    assert files
    assert f"structures to be labelled, in {folder / 'replica_*' / 'collected.extxyz'}" in out


def test_an_exchange_that_hardly_happens_says_what_helps_and_its_velocities_are_told(md):
    far = ("--ensemble", "nvt", "--exchange", "9000", "--exchange-every", "4", "--monitor", "off")
    _, out, _, _ = md("--replicas", "2", "--time", "0.05", *far)
    assert "velocities: drawn at 300 to 9000 K" in out
    assert "300-9000 K hardly exchange: give temperatures closer to each other" in out
    _, out, _, _ = md("--replicas", "2", "--time", "0.06", "--resume", *far)
    assert "velocities: those of the 2 runs in" in out


def test_pairs_that_were_never_tried_are_no_numbers(md):
    far = ("--ensemble", "nvt", "--exchange", "30000", "--exchange-every", "4")
    _, out, _, _ = md("--replicas", "3", "--time", "0.02", *far)
    assert "not tried" in out
    assert "nan" not in out
