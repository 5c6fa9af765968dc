"""Labels that cannot be what they claim are named before a training starts; real data are left in peace."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import Hartree, kcal, mol
from factory import labelled_crystals, labelled_molecules

from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.outliers import label_outliers, refuse_outliers

TINY_TRAINING = (
    "--units",
    "eV",
    "--folds",
    "2",
    "--epochs",
    "1",
    "--jobs",
    "1",
    "--no-plot",
    "--interactions",
    "1",
)


def spoilt(frames, index, **labels):
    """The frames, of which one has other labels."""
    frames[index].calc.results |= labels
    return Dataset.from_atoms(frames)


def molecules(n=40, unlike=False):
    """Molecules with total energies; `unlike`: no two of the same composition."""
    frames = labelled_molecules(n)
    for k, atoms in enumerate(frames):
        if unlike:
            atoms += Atoms(
                "H" * k + "C" * (k * k % 7), np.arange(3 * (k + k * k % 7)).reshape(-1, 3)
            )
        energies = {1: -13.6, 6: -1029.0, 8: -2042.0}
        energy = sum(energies[z] for z in atoms.numbers) + np.sin(k)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.ones((len(atoms), 3)))
    return frames


@pytest.mark.parametrize("unlike", [False, True])
@pytest.mark.parametrize("factor", [mol / kcal, 1 / Hartree, 27.2, 0.0])
def test_one_energy_in_another_unit_is_named(unlike, factor):
    frames = molecules(unlike=unlike)
    right = frames[17].calc.results["energy"] / len(frames[17])
    (outlier,) = label_outliers(spoilt(frames, 17, energy=factor * right * len(frames[17])))
    assert (outlier.structure, outlier.quantity) == (17, "energy")
    assert outlier.value == pytest.approx(factor * right)
    assert outlier.typical == pytest.approx(right, abs=1.0)


def test_one_force_of_a_million_is_named():
    frames = labelled_molecules(24)
    forces = frames[5].get_forces()
    forces[1, 2] = -1e6
    (outlier,) = label_outliers(spoilt(frames, 5, forces=forces))
    assert (outlier.structure, outlier.quantity, outlier.value) == (5, "forces", 1e6)
    assert outlier.typical < 1.0


def test_one_stress_in_gigapascal_is_named():
    frames = labelled_crystals(24)
    (outlier,) = label_outliers(spoilt(frames, 3, stress=frames[3].get_stress() * 160.2))
    assert (outlier.structure, outlier.quantity) == (3, "stress")


def test_many_are_counted_and_the_cure_is_said():
    frames = molecules()
    for k in range(8):
        frames[k].calc.results["energy"] *= 23.06
    with pytest.raises(ValueError, match=r"frame 0: .*frame 4: .*; and 3 more\. .*allow_outliers"):
        refuse_outliers(Dataset.from_atoms(frames))


def test_a_dissociation_is_no_outlier():
    """A well of 4.9 eV per atom, deeper than any other, seen from a long plateau."""
    frames = []
    for d in np.linspace(0.8, 20.0, 300):
        energy = 9.8 * ((1 - np.exp(-2.7 * (d - 1.1))) ** 2 - 1) - 2980.0
        atoms = Atoms("N2", [[0, 0, 0], [0, 0, d]])
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    assert label_outliers(Dataset.from_atoms(frames)) == []


def test_free_atoms_among_their_molecules_are_no_outliers():
    """4.9 eV per atom above N2, as in the files that carry their atomic references along."""
    frames = labelled_molecules(24, names=("N2", "NH3", "H2O"))
    for atoms in frames:
        bound = {7: -1490.9, 1: -16.0, 8: -2044.0}
        energy = sum(bound[z] for z in atoms.numbers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    for symbol, energy in (("N", -1486.0), ("H", -13.6), ("O", -2041.4)):
        atoms = Atoms(symbol)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    assert label_outliers(Dataset.from_atoms(frames)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "units"),
    [
        ("rmd17-npz/rmd17_azobenzene_test_01.npz", None),
        ("md17-ethanol/ethanol_first2000.npz", "kcal/mol"),
        ("nff-ethanol/ethanol_ccsd_t-train.npz", "kcal/mol"),
        ("botnet-ethanol/methanol_train.xyz", "eV"),
        ("botnet-ethanol/test_H_removal.xyz", "eV"),
        ("meuwly-dipoles/ch2o_ccf12_avtz_3601.npz", "eV"),
        ("mlearn/Si_training.extxyz.gz", "eV"),
        ("mlearn/Li_test.extxyz.gz", "eV"),
    ],
)
def test_real_data_raise_no_alarm(shared_data, path, units):
    frames, _ = read_labelled(shared_data(*path.split("/")), units)
    assert label_outliers(Dataset.from_atoms(frames)) == []


def test_the_command_line_names_file_and_frame_before_it_trains(tmp_path, capsys):
    first, second, model = tmp_path / "a.xyz", tmp_path / "b.xyz", tmp_path / "m"
    frames = molecules()
    frames[33].calc.results["energy"] *= mol / kcal
    write(first, frames[:30])
    write(second, frames[30:])
    arguments = ["train", str(first), str(second), "-o", str(model), *TINY_TRAINING]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{second}, frame 3: energy " in line
    assert "--allow-outliers" in line
    assert not model.exists()
    assert (
        main([*arguments, "--allow-outliers"]) == 1
    )  # an epoch or two come to nothing, and the verdict says so
