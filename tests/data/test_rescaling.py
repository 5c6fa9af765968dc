"""Energies, positions and forces in other units, or in none (docs/sources.md, units and transformations)."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from factory import labelled_crystals, labelled_molecules, small_dataset
from scipy.spatial.transform import Rotation

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.rescaling import Rescaling
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.units import FileUnits
from benchmarks.unit_trainings import UNITS, Job, fit_of
from benchmarks.units import factors

ATOMIC = Rescaling.to_units(FileUnits("Hartree", "Bohr"))
STEP = 1e-4  # Å


def test_numbers_in_other_units_are_those_that_ase_converts():
    data = Dataset.from_atoms(labelled_crystals(6))
    new = ATOMIC.apply(data)
    np.testing.assert_allclose(new.E * units.Hartree, data.E, rtol=1e-12)
    np.testing.assert_allclose(new.F * units.Hartree / units.Bohr, data.F, rtol=1e-12)
    np.testing.assert_allclose(new.stress * units.Hartree / units.Bohr**3, data.stress, rtol=1e-12)
    np.testing.assert_allclose(new.volumes * units.Bohr**3, data.volumes, rtol=1e-12)


def test_forces_of_standardised_labels_are_minus_the_slope_of_their_energies():
    """Finite differences of E'(r') itself, with both moved structures made by the law of the labels."""
    data = small_dataset(12)
    scaled = Rescaling.standardising(data)
    assert abs(scaled.apply(data).E.mean()) < 1e-12
    assert scaled.apply(data).E.std() == pytest.approx(1)
    for atom, axis in ((0, 0), (4, 2)):
        moved = [scaled.apply(_moved(atom, axis, step)) for step in (-STEP, STEP)]
        slope = (moved[1].E[0] - moved[0].E[0]) / (moved[1].R[atom, axis] - moved[0].R[atom, axis])
        assert -slope == pytest.approx(scaled.apply(data).F[atom, axis], rel=1e-6)


def _moved(atom: int, axis: int, step: float) -> Dataset:
    """The first structure of `small_dataset` with one coordinate moved, and its energy."""
    frame = labelled_molecules(1)[0]
    frame.positions[atom, axis] += step
    i, j = np.triu_indices(len(frame), k=1)
    energy = np.exp(-np.linalg.norm(frame.positions[j] - frame.positions[i], axis=1)).sum()
    frame.calc = SinglePointCalculator(frame, energy=energy - 10.0 * len(frame))
    return Dataset.from_atoms([frame])


def test_one_scale_of_lengths_does_not_know_how_a_structure_lies():
    data = small_dataset(12)
    turned = data.R.copy()
    for s in range(len(data)):
        part = slice(data.ptr[s], data.ptr[s + 1])
        turned[part] = data.R[part] @ Rotation.random(random_state=s).as_matrix().T + 7.0 * s
    there = Rescaling.standardising(replace(data, R=turned))
    assert there.length_scale == pytest.approx(Rescaling.standardising(data).length_scale)


def test_a_scale_for_each_axis_is_refused_because_of_rotations():
    with pytest.raises(
        ValueError, match=r"one number for all axes, not 3: .*invariant under rotation"
    ):
        Rescaling(1.0, np.array([1.0, 1.1, 0.9]))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_scales_are_positive(bad):
    with pytest.raises(ValueError, match="energy_scale must be above 0"):
        Rescaling(bad, 1.0)
    with pytest.raises(ValueError, match="length_scale must be above 0"):
        Rescaling(1.0, bad)


def test_what_has_no_spread_cannot_be_standardised():
    data = small_dataset(6)
    with pytest.raises(ValueError, match="no energies"):
        Rescaling.standardising(replace(data, E=None))
    with pytest.raises(ValueError, match="energy_scale"):
        Rescaling.standardising(replace(data, E=np.full(6, -3.0)))


def test_a_network_sees_rescaled_distances_as_it_saw_those_in_angstrom():
    config = SchNetConfig(
        n_rbf=3, cutoff=4.0, gamma=2.0, centres=(0.5, 1.0, 2.0), widths=(0.1, 0.2, 0.4)
    )
    d = np.linspace(0.5, 3.9, 7)[:, None]
    for before in (config, replace(config, centres=None, widths=None)):
        after = ATOMIC.network(before)
        values = [
            np.exp(-gamma * (distance - centres) ** 2)
            for distance, (centres, gamma) in (
                (d, before.gaussians()),
                (d / units.Bohr, after.gaussians()),
            )
        ]
        np.testing.assert_allclose(*values, rtol=1e-10)
        assert after.cutoff * units.Bohr == pytest.approx(before.cutoff)


def losses(network: str, loss: str, *names: str) -> list[float]:
    """Training loss of the third epoch, two steps from the start, on eight structures; of all units."""
    data, found = small_dataset(10), []
    for name in names or UNITS:
        fit = fit_of(Job(network, loss, name, 0), data, 3)[0]
        found.append([fit.run_epoch()["training_loss"] for _ in range(3)][-1])
    return found


@pytest.mark.parametrize("loss", ["transformed", "standardised"])
def test_trainings_in_other_units_are_the_same_training(loss):
    found = losses("scaled", loss)
    assert len(found) == 4
    assert found == pytest.approx([found[0]] * 4, rel=1e-4)


def test_raw_weights_and_an_output_in_the_unit_of_the_labels_make_other_trainings():
    electronvolt, hartree = losses("scaled", "raw", "eV, Å", "Hartree, bohr")
    assert electronvolt / hartree > 100
    electronvolt, hartree = losses("plain", "transformed", "eV, Å", "Hartree, bohr")
    assert hartree / electronvolt > 2


def test_in_electronvolts_transformed_weights_are_the_raw_ones():
    data = small_dataset(10)
    job = Job("scaled", "transformed", "eV, Å", 0)
    both = [fit_of(one, data, 1)[0].weights for one in (job, job.same_as)]
    assert both[0] == both[1]
    assert job.same_as.loss == "raw"


def test_the_page_tells_units_from_seeds():
    assert factors({"a": [1.0, 3.0, 2.0], "b": [4.0, 4.0, 4.0]}) == pytest.approx((2.0, 3.0))
