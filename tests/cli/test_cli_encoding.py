"""Output that cannot be encoded: a command says "?" and keeps its exit code."""

import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest
from ase.build import molecule
from ase.io import write

from ase_schnet.cli import main

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


def check(name: str, said: str, code: int) -> None:
    assert "Traceback" not in said
    assert code in ({2} if name == "error" else {3} if name == "md" else {0}), said


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_as_it_does_in_utf_8(folder, monkeypatch, name, encoding):
    """Its streams are those of a process whose PYTHONIOENCODING says so."""
    streams = {stream: TextIOWrapper(BytesIO(), encoding) for stream in ("stdout", "stderr")}
    streams["stderr"].reconfigure(errors="backslashreplace")
    for stream, file in streams.items():
        monkeypatch.setattr(sys, stream, file)
    try:
        code = main(COMMANDS[name])
    except SystemExit as ended:
        code = ended.code
    said = b""
    for file in streams.values():
        file.flush()
        said += file.buffer.getvalue()
    check(name, said.decode(encoding), code)
    if name == "scan":  # what was found is there, whatever could be said of it
        assert {path.name for path in folder.iterdir()} == {"ethanol.xyz", "s.png", "s.csv"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "encoding"), [("md", "ascii"), ("error", "cp1252")])
def test_so_does_a_process(folder, name, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "ase_schnet", *COMMANDS[name]],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=300,
    )
    check(name, (done.stdout + done.stderr).decode(encoding), done.returncode)
