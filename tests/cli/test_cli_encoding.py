"""Output that cannot be encoded: a command says "?" and keeps its exit code."""

import os
import subprocess
import sys

import pytest
from ase.build import molecule
from ase.io import write

COMMANDS = {
    "info": ["info", "ethanol"],
    "help": ["md", "--help"],
    "md": ["md", "ethanol", "ethanol.xyz", "--time", "0.05", "--temperature", "300", "-o", "run"],
    "scan": [
        *["scan", "ethanol", "ethanol.xyz", "--distance", "2", "3"],
        *["--from", "0.9", "--to", "1.1", "--points", "3", "-o", "s.png"],
    ],
    "error": [
        "scan",
        "ethanol",
        "Ångström→.xyz",
        "--distance",
        "2",
        "3",
        "--from",
        "1",
        "--to",
        "2",
    ],
}


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "scan" else n for n in COMMANDS]
)
def test_a_command_ends_as_it_does_in_utf_8(tmp_path, name, encoding):
    write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "ase_schnet", *COMMANDS[name]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=300,
    )
    said = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in said
    assert done.returncode in ({2} if name == "error" else {3} if name == "md" else {0}), said
