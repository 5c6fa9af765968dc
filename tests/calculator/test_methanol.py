"""models/methanol and the dipole of models/ethanol: errors on what they never saw, infrared by ASE."""

import numpy as np
import pytest
from ase.build import molecule
from ase.units import Debye
from ase.vibrations import Infrared
from scipy.spatial.transform import Rotation

from ase_schnet import Dataset, SchNetCalculator, load_model, normal_modes
from ase_schnet.data.formats import read_labelled
from ase_schnet.dipole.fit import errors
from ase_schnet.dipole.store import load_part
from ase_schnet.evaluation import compare
from ase_schnet.inference.engine import open_engine
from ase_schnet.modelfile import shipped_models


def methanol():
    """In the order of training: C, its three H, the H of O, O."""
    atoms = molecule("CH3OH")[[0, 2, 4, 5, 3, 1]]
    atoms.calc = SchNetCalculator("methanol")
    return atoms


@pytest.fixture(scope="module")
def test_structures(shared_data):
    """200 of the 2000 test structures of md_examples/methanol_data.py, each turned at random."""
    frames, _ = read_labelled(
        shared_data("meuwly-dipoles", "ch3oh_cc_avtz_7201.npz"), "eV, Ang, e*Ang"
    )
    chosen = np.random.default_rng(0).permutation(len(frames))[1000:1200]
    turns = Rotation.random(len(chosen), rng=np.random.default_rng(1)).as_matrix()
    turned = []
    for k, turn in zip(chosen, turns, strict=True):
        atoms = frames[k]
        atoms.positions = atoms.positions @ turn.T
        for name in ("forces", "dipole"):
            atoms.calc.results[name] = atoms.calc.results[name] @ turn.T
        turned.append(atoms)
    return Dataset.from_atoms(turned)


def test_errors_of_the_potential(test_structures):
    metrics = compare(open_engine(load_model("methanol")), test_structures).metrics()
    assert metrics["energy_mae_meV"] < 0.5
    assert metrics["forces_mae_meV_per_Ang"] < 4.0


def test_errors_of_the_dipole(test_structures):
    part = load_part(shipped_models()["methanol"], "dipole")
    assert np.abs(errors(part, test_structures)).mean() < 1e-4  # asked for: 5e-4 e·Å


@pytest.mark.parametrize("name", ["ethanol", "methanol"])
def test_intensities_of_ase_are_those_of_the_slopes_of_the_dipole(name, tmp_path):
    """Infrared moves atoms by 0.01 Å; the slopes here are taken over a hundredth of that."""
    atoms = methanol() if name == "methanol" else ethanol()
    infrared = Infrared(atoms, name=str(tmp_path / "ir"))
    infrared.run()
    infrared.read()
    slopes = np.array([slope(atoms, i, axis) for i in range(len(atoms)) for axis in range(3)])
    per_mode = infrared.modes @ (slopes * infrared.im[:, None])  # (3N, 3)
    expected = ((per_mode / Debye) ** 2).sum(axis=1)
    assert expected.sum() > 1.0  # (D/Å)²/amu
    assert np.abs(infrared.intensities - expected).max() < 0.01 * expected.max()


def slope(atoms, i, axis, step=1e-4):
    """∂μ/∂x in e, (3,)."""
    dipoles = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[i, axis] += sign * step
        dipoles.append(moved.get_dipole_moment())
    return (dipoles[0] - dipoles[1]) / (2 * step)


def test_stretches_are_where_methanol_has_them():
    """Within 8 % of the measured fundamentals: harmonic ones lie above."""
    modes = normal_modes(methanol())
    assert modes.names[-1] == "O–H stretch"
    assert 3681 < modes.wavenumber_cm[-1] < 1.08 * 3681
    assert modes.names.count("C–H stretch") == 3
    co = modes.wavenumber_cm[modes.names.index("C–O stretch")]
    assert 1033 < co < 1.08 * 1033


def ethanol():
    """In the order of rMD17: C, C, O, three and two H on carbon, the H of O."""
    atoms = molecule("CH3CH2OH")[[1, 0, 2, 4, 5, 6, 7, 8, 3]]
    atoms.calc = SchNetCalculator("ethanol")
    return atoms
