"""What the program says without arguments and of its installation, and how it completes commands."""

import shlex
import subprocess
from importlib import metadata

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.morse import MorsePotential

from ase_schnet import doctor
from ase_schnet.cli import COMMANDS, build_parser, main
from ase_schnet.cli.guide import TASKS
from ase_schnet.inference.compilation import _Nowhere


class Scaled(MorsePotential):
    """A potential whose forces are not the slope of its energy."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["forces"] = 1.01 * self.results["forces"]


def test_without_arguments_the_program_shows_what_people_do(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    for number, (what, command) in enumerate(TASKS, start=1):
        assert f"{number}. {what}\n     ase-schnet {command}\n" in told


@pytest.mark.parametrize("command", [command for _, command in TASKS])
def test_the_commands_that_it_shows_are_right(command):
    args = build_parser().parse_args(shlex.split(command))
    assert args.command == command.split()[0]


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["scam", "x"], "is scan meant?"),
        (["scan", "ethanol"], "ase-schnet scan --help shows examples"),
    ],
)
def test_a_mistyped_command_line_names_the_next_step(arguments, cure, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert cure in capsys.readouterr().err


def test_a_missing_part_is_named_with_the_command_that_brings_it(monkeypatch):
    asked = ["ase>=3", "tblite>=0.4; extra == 'reference'", "h5py>=3; extra == 'hdf5'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: asked)
    there = {"ase": "3.29", "h5py": "3.10"}

    def version(name):
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = {finding.name: finding for finding in doctor._optional()}
    assert found["reference"].cure == "pip install 'ase-schnet[reference]'"
    assert "tblite" in found["reference"].words
    assert not found["reference"].wrong
    assert found["hdf5"].cure == ""
    assert not doctor._required().wrong
    del there["ase"]
    assert doctor._required().wrong


def test_every_part_for_users_is_explained():
    extras = set(metadata.metadata("ase-schnet").get_all("Provides-Extra") or ())
    assert extras - {"test", "dev", "docs"} <= set(doctor.PARTS)


def test_no_place_for_compiled_code_is_wrong(monkeypatch, tmp_path):
    assert not doctor._cache().wrong
    monkeypatch.setattr(doctor.kernels.run, "_cache", _Nowhere())
    assert doctor._cache().wrong
    assert "NUMBA_CACHE_DIR" in doctor._cache().cure


def test_forces_that_are_not_the_slope_of_the_energy_are_wrong():
    atoms = Atoms("Ar2", [[0, 0, 0], [1.1, 0, 0]], calculator=MorsePotential(rcut1=8, rcut2=9))
    assert not doctor._tested(doctor._forces, atoms).wrong
    atoms.calc = Scaled(rcut1=8, rcut2=9)
    finding = doctor._tested(doctor._forces, atoms)
    assert finding.wrong
    assert "WRONG" in str(finding)
    assert "report it" in str(finding)


def test_a_shipped_model_that_is_missing_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "MODEL", str(tmp_path / "nothing"))
    (finding,) = doctor.self_test()
    assert finding.wrong
    assert "pip install" in finding.cure


@pytest.mark.slow
def test_the_doctor_finds_this_installation_well(capsys):
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "1 ps at constant energy: PASS" in told
    assert told.rstrip().endswith("all is well")
    assert np.char.count(told, "\n") < 30


def test_a_shell_completes_commands_and_file_names(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    molecule("H2O").write(tmp_path / "water.xyz")
    ask = """
        source completion.bash
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                _shtab_ase_schnet "$1" "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[*]}"; }
        try ase-schnet doc; try ase-schnet md --ensemb; try ase-schnet md ethanol wat; try ase-schnet ""
    """
    done = subprocess.run(
        ["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    command, option, file, commands = done.stdout.splitlines()
    assert command.split() == ["doctor"]
    assert option.split() == ["--ensemble"]
    assert file.split() == ["water.xyz"]
    assert set(commands.split()) >= set(COMMANDS)
