"""``ase-schnet modes`` as a user types it."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read, write

from ase_schnet import SchNetCalculator, load_model, normal_modes
from ase_schnet.cli import main
from ase_schnet.modelfile import save_model


@pytest.fixture
def methanol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("methanol.xyz", molecule("CH3OH"))
    return tmp_path


def test_bands_and_free_energy_have_error_bars_and_files(methanol, capsys):
    words = ["--relaxed", "relaxed.xyz", "--animate", "motions", "--save-data"]
    assert main(["modes", "methanol", "methanol.xyz", *words, "-o", "bands.png"]) == 0
    out = capsys.readouterr().out
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    own = normal_modes(atoms)
    lines = out.splitlines()
    assert lines[0].startswith("energy at rest     -21.838")
    assert lines[1].split() == ["mode", "cm⁻¹", "km/mol"]
    bands = [line.split() for line in lines[2 : 2 + len(own.names)]]
    np.testing.assert_allclose([float(b[1]) for b in bands], own.wavenumber_cm, atol=0.5)
    assert [" ".join(b[7:]) for b in bands] == list(own.names)
    assert "at 298.15 K and 1 bar, symmetry number 1:" in out
    # a table of thermochemistry has 239.9 J/(mol K), of which anharmonicity is in no harmonic model
    (entropy,) = (line for line in lines if line.startswith("  entropy S"))
    assert float(entropy.split(" = ")[1].split()[0]) == pytest.approx(238.84, abs=0.1)
    table = np.genfromtxt("bands.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    np.testing.assert_allclose(table["wavenumber_cm⁻¹"], own.wavenumber_cm, atol=1e-6)
    relaxed = read("relaxed.xyz")
    assert np.abs(relaxed.get_forces()).max() < 1e-3
    motions = sorted((methanol / "motions").iterdir())
    assert [path.name for path in motions[:2]] == ["mode_00_287cm.xyz", "mode_01_1053cm.xyz"]
    assert len(motions) == 12
    assert len(read(motions[0], ":")) == 24
    assert (methanol / "bands.png").stat().st_size > 10_000
    assert (methanol / "bands-data.csv").read_text(encoding="utf-8").startswith("shown,wavenumber")


def test_conditions_are_those_asked_for(methanol, capsys):
    words = ["--temperature", "400", "--pressure", "10", "--raise-below", "300", "--no-plot"]
    assert main(["modes", "methanol", "methanol.xyz", *words, "--symmetry-number", "3"]) == 0
    out = capsys.readouterr().out
    text = "at 400 K and 10 bar, symmetry number 3, wavenumbers below 300 cm⁻¹ raised to it:"
    assert text in out
    assert not (methanol / "modes.png").exists()
    assert (methanol / "modes.csv").exists()


def test_options_of_a_gas_are_refused_for_a_crystal(methanol, capsys):
    write("si.xyz", bulk("Si", "diamond", a=5.469))
    assert main(["modes", "silicon", "si.xyz", "--symmetry-number", "24"]) == 2
    assert "--symmetry-number is for a gas, and si.xyz is periodic" in capsys.readouterr().err
    assert not (methanol / "modes.csv").exists()


def test_the_multiplicity_is_that_of_the_model(methanol, capsys):
    singlet = load_model("methanol")
    card = singlet.card | {"charge": 0, "multiplicity": 2}
    save_model("radical", replace(singlet, card=card))

    def entropy(model):
        assert main(["modes", model, "methanol.xyz", "--no-plot"]) == 0
        out = capsys.readouterr().out
        (line,) = (line for line in out.splitlines() if line.startswith("  entropy S"))
        return float(line.split(" = ")[1].split()[0]), "multiplicity 2" in out

    (singlet, named), (doublet, also) = entropy("methanol"), entropy("radical")
    assert (named, also) == (False, True)
    assert doublet - singlet == pytest.approx(8.314 * np.log(2), abs=0.05)


@pytest.mark.filterwarnings("default")
def test_an_energy_without_an_error_bar_is_told_as_such(methanol, capsys):
    write("h2.xyz", molecule("H2"))
    assert main(["modes", "organic", "h2.xyz", "--no-plot"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("eV, without an error bar: it is unlike all training")


def test_one_member_has_bands_without_error_bars(methanol, capsys):
    save_model("single", load_model("methanol").member(0))
    assert main(["modes", "single", "methanol.xyz", "--no-plot"]) == 0
    out = capsys.readouterr().out
    assert "(no errors: the model has one member)" in out
    assert "±" not in out
    header = (methanol / "modes.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "wavenumber (cm⁻¹),mode"


def test_members_that_rest_elsewhere_leave_bands_without_error_bars(methanol, capsys, monkeypatch):
    monkeypatch.setattr("ase_schnet.propagation.harmonic.OTHER_MINIMUM", 1e-9)
    assert main(["modes", "methanol", "methanol.xyz", "--no-plot"]) == 0
    out = capsys.readouterr().out
    assert "(no errors: member 0 comes to rest at another structure" in out
    assert "±" not in out.split("\n", 1)[1]


def test_a_saddle_point_has_exit_code_1_and_no_free_energy(methanol, capsys):
    eclipsed = molecule("CH3OH")  # its symmetry keeps it from relaxing to the staggered minimum
    eclipsed.set_dihedral(2, 0, 1, 3, 0, indices=[3])
    write("eclipsed.xyz", eclipsed)
    (methanol / "motions").mkdir()
    for name in (
        "mode_00_287cm.xyz",
        "mode_11_3712cm.xyz",
        "mode_0_3000cm.xyz",
        "mode_00_notes.xyz",
    ):
        (methanol / "motions" / name).touch()  # of an earlier call, and the last of the user
    assert main(["modes", "methanol", "eclipsed.xyz", "--animate", "motions"]) == 1
    out = capsys.readouterr().out
    assert "imaginary          1 (below 0): what was relaxed is a saddle point" in out
    assert "free energy        none: a mode of -" in out
    assert (methanol / "modes.png").stat().st_size > 10_000
    motions = sorted((methanol / "motions").iterdir())
    assert motions[0].name.startswith("mode_00_-")
    assert [path.stat().st_size > 0 for path in motions].count(False) == 1
    assert (motions.pop(1).name, len(motions)) == ("mode_00_notes.xyz", 12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--temperature", "-1"], "temperature must be above 0"),
        (["--pressure", "0"], "pressure must be above 0"),
        (["--symmetry-number", "0"], "--symmetry-number must be a whole number"),
        (["--raise-below", "-5"], "--raise-below must be 0 or more"),
        (["-o", "modes.doc"], "its name must end in"),
        (["--relaxed", "methanol.xyz"], "is read by this command"),
        (["--animate", "methanol.xyz"], "cannot be made"),
        (["--no-plot", "--save-data"], "--save-data writes the numbers behind a picture"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, message, methanol, capsys):
    assert main(["modes", "methanol", "methanol.xyz", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_of_what_the_dipole_of_a_model_does_not_know_there_are_bands_without_intensities(
    methanol, capsys
):
    pair, other = molecule("CH3OH"), molecule("CH3OH")
    other.positions[:, 2] += 4.0
    write("pair.xyz", pair + other)
    assert main(["modes", "methanol", "pair.xyz", "--no-plot"]) in (0, 1)
    out = capsys.readouterr().out
    assert "km/mol" not in out
    assert "O–H stretch" in out


def test_the_box_around_a_molecule_makes_no_modes_of_its_turns(methanol, capsys):
    boxed = molecule("CH3OH")
    boxed.center(vacuum=8)
    boxed.pbc = True
    write("boxed.xyz", boxed)
    outputs = []
    for name in ("boxed.xyz", "methanol.xyz"):
        words = ["modes", "methanol", name, "--pressure", "2", "--no-plot"]
        assert main(words) == 0
        outputs.append(capsys.readouterr().out.splitlines())
    boxed, free = outputs
    assert [line.split()[:1] for line in boxed] == [line.split()[:1] for line in free]
    assert "at 298.15 K and 2 bar, symmetry number 1:" in boxed
