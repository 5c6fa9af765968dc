"""ORCA and Gaussian ask in their documented formats, and get the calculator's energies and gradients.

The requests follow https://github.com/faccts/orca-external-tools (section Interface) and
https://gaussian.com/external.
"""

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from ase.units import Bohr, Hartree

from ase_schnet import SchNetCalculator
from ase_schnet.cli import main

MODEL = "ethanol"


@pytest.fixture(scope="module")
def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.03, seed=1)
    atoms.calc = SchNetCalculator(MODEL)
    atoms.get_forces()
    return atoms


def orca_request(folder, atoms, lines):
    write(folder / "job_EXT.xyz", atoms, format="xyz")
    path = folder / "job_EXT.extinp.tmp"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


REQUEST = [
    "job_EXT.xyz # xyz filename: string, ending in '.xyz'",
    "0 # charge: integer",
    "1 # multiplicity: positive integer",
    "1 # NCores: positive integer",
    "1 # do gradient: 0 or 1",
]


def test_orca_gets_energy_and_gradient(tmp_path, ethanol, capsys):
    path = orca_request(tmp_path, ethanol, REQUEST)
    assert main(["orca", str(path), MODEL]) == 0
    assert "job_EXT.engrad" in capsys.readouterr().out
    text = (tmp_path / "job_EXT.engrad").read_text().splitlines()
    of_comments = [k for k, line in enumerate(text) if line.startswith("#")]
    assert of_comments == [0, 1, 2, 4, 5, 6, 8, 9, 10]  # ORCA 5 counts them
    numbers = [float(line) for line in text if not line.startswith("#")]
    assert numbers[0] == 9
    assert numbers[1] == pytest.approx(ethanol.get_potential_energy() / Hartree, abs=1e-7)
    gradient = np.reshape(numbers[2:], (9, 3)) * Hartree / Bohr
    np.testing.assert_allclose(gradient, -ethanol.get_forces(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: "job_EXT.extinp.tmp"}, "is not an xyz file"),
        ({1: "1 # charge"}, "charge"),
        ({5: "pointcharges.pc"}, "point charges"),
        ({2: "singlet"}, "multiplicity"),
        ({0: "none.xyz"}, "none.xyz"),
    ],
)
def test_orca_is_refused_in_one_line(tmp_path, ethanol, capsys, change, reason):
    lines = {**dict(enumerate(REQUEST)), **change}
    path = orca_request(tmp_path, ethanol, [lines[k] for k in sorted(lines)])
    assert main(["orca", str(path), MODEL]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "job_EXT.engrad").exists()


def test_orca_gets_the_energy_alone_and_damaged_structures_are_refused(tmp_path, ethanol, capsys):
    path = orca_request(tmp_path, ethanol, [*REQUEST[:4], "0"])
    assert main(["orca", str(path), MODEL]) == 0
    text = (tmp_path / "job_EXT.engrad").read_text().splitlines()
    assert len([line for line in text if not line.startswith("#")]) == 2
    xyz = (tmp_path / "job_EXT.xyz").read_text()
    for damaged, reason in (
        (xyz.replace("9\n", "10\n", 1), "has 9 atoms, where its first line says 10"),
        (xyz.replace("O ", "Qq ", 1), "'Qq' is no chemical symbol"),
        ("0\n\n", "there is no atom"),
    ):
        (tmp_path / "job_EXT.xyz").write_text(damaged)
        capsys.readouterr()
        assert main(["orca", str(path), MODEL]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line


def gaussian_request(path, atoms, derivatives=1, charge=0):
    rows = [f"{len(atoms):10d}{derivatives:10d}{charge:10d}{1:10d}"]
    rows += [
        f"{z:10d}" + "".join(f"{x:20.12f}" for x in (*(r / Bohr), 0.0))
        for z, r in zip(atoms.numbers, atoms.positions, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")


def test_gaussian_gets_energy_dipole_and_gradient(tmp_path, ethanol):
    gaussian_request(tmp_path / "in", ethanol)
    names = [str(tmp_path / name) for name in ("in", "out", "msg", "fchk", "mat")]
    assert main(["gaussian", MODEL, "R", *names]) == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert {len(line) for line in lines} == {80, 60}  # 4D20.12, then 3D20.12
    values = [float(x.replace("D", "E")) for line in lines for x in line.split()]
    assert values[0] == pytest.approx(ethanol.get_potential_energy() / Hartree, abs=1e-9)
    np.testing.assert_allclose(
        np.array(values[1:4]) * Bohr, ethanol.get_dipole_moment(), rtol=0, atol=1e-6
    )
    gradient = np.reshape(values[4:], (9, 3)) * Hartree / Bohr
    np.testing.assert_allclose(gradient, -ethanol.get_forces(), rtol=0, atol=1e-6)


def test_gaussian_is_refused_in_one_line(tmp_path, ethanol, capsys):
    names = [str(tmp_path / name) for name in ("in", "out")]
    for wrong, reason in (({"derivatives": 2}, "second derivatives"), ({"charge": 1}, "charge")):
        gaussian_request(tmp_path / "in", ethanol, **wrong)
        assert main(["gaussian", MODEL, "R", *names]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_request_that_is_not_there_is_said_in_one_line(tmp_path, capsys):
    missing = tmp_path / "job_EXT.extinp.tmp"
    for words in (["orca", missing, "ethanol"], ["gaussian", "ethanol", "R", missing, "out"]):
        assert main(list(map(str, words))) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"the request {missing} cannot be read: No such file" in line
