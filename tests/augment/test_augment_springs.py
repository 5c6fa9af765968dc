"""Spring constants from distances: equipartition, the paper's table, and data that cannot tell."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from sklearn.mixture import GaussianMixture

from ase_schnet import Dataset, read_labelled
from ase_schnet.augment.springs import (
    KCAL_PER_MOL,
    bic,
    fit_springs,
    pair_distances,
    temperature_of,
)
from ase_schnet.dynamics.velocities import draw_momenta, thermalise

# papers/physics_based_augmentation.txt, Table 2: distance (Å), k (kcal/mol/Å²)
PAPER = {
    "C-C": [(1.54, 388)],
    "C-O": [(1.45, 433), (2.47, 122)],
    "C-H": [(1.11, 533), (2.16, 64.5), (2.91, 14.2)],
    "H-O": [(0.97, 737), (2.08, 125), (2.76, 85.6), (3.38, 23.5)],
    "H-H": [(1.79, 129), (2.48, 27.7), (3.00, 25.0), (3.69, 14.0)],
}
#: Those that differ from a plain fit: the paper lists the two of H-O the other way round.
SWAPPED = {("H-O", 2.76): 23.5, ("H-O", 3.38): 85.6}


def packed(frames) -> Dataset:
    return Dataset.from_atoms(frames)


def dimers(k_eV_per_Ang2: float, temperature_K: float, n: int = 4000, seed: int = 0) -> Dataset:
    """Two atoms whose distance is as a spring's in one dimension at that temperature."""
    sigma = np.sqrt(units.kB * temperature_K / k_eV_per_Ang2)
    lengths = np.random.default_rng(seed).normal(1.5, sigma, n)
    return packed([Atoms("CO", [[0, 0, 0], [r, 0, 0]]) for r in lengths])


@pytest.mark.parametrize("temperature_K", [300.0, 900.0])
def test_equipartition_gives_the_spring_back(temperature_K):
    pair = fit_springs(dimers(20.0, temperature_K), temperature_K, {"C-O": 1}).pairs["C-O"]
    assert pair.means_Ang == pytest.approx([1.5], abs=0.005)
    assert pair.k_eV_per_Ang2 == pytest.approx([20.0], rel=0.05)


def test_twice_the_temperature_is_twice_the_spring():
    data = dimers(20.0, 300)
    k = [fit_springs(data, T, {"C-O": 1}).pairs["C-O"].k_eV_per_Ang2 for T in (300, 600)]
    np.testing.assert_allclose(k[1], 2 * k[0])


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False], ids=["numbers given", "numbers by BIC"])
def test_the_papers_table_2(shared_data, given):
    path = shared_data("nff-ethanol", "ethanol_ccsd_t-train.npz")
    data = packed(read_labelled(path, "kcal/mol")[0])
    numbers = {name: len(rows) for name, rows in PAPER.items()} if given else None
    springs = fit_springs(data, 500.0, numbers)
    for name, rows in PAPER.items():
        pair = springs.pairs[name]
        np.testing.assert_allclose(pair.means_Ang, [mean for mean, _ in rows], atol=0.02)
        expected = [SWAPPED.get((name, mean), k) for mean, k in rows]
        tolerance = 0.06 if name in ("C-C", "C-O", "C-H") else 0.13
        k = pair.k_eV_per_Ang2 / KCAL_PER_MOL
        np.testing.assert_allclose(k, expected, rtol=tolerance)
    firm = {"H-O": [0, 1], "H-H": [0, 3]}
    for name, which in firm.items():
        k = springs.pairs[name].k_eV_per_Ang2[which] / KCAL_PER_MOL
        np.testing.assert_allclose(k, [PAPER[name][w][1] for w in which], rtol=0.06)
    assert "1.110" in springs.table()
    assert springs.to_dict()["pairs"]["C-C"]["means_Ang"] == pytest.approx([1.538], abs=1e-3)


def test_every_pair_of_atoms_counts_once():
    distances = pair_distances(packed([molecule("CH3CH2OH"), molecule("H2O")]))
    counts = {name: len(values) for name, values in distances.items()}
    assert counts == {"C-C": 1, "C-H": 12, "C-O": 2, "H-H": 15 + 1, "H-O": 6 + 2}
    water = molecule("H2O")
    assert distances["H-H"][-1] == pytest.approx(water.get_distance(1, 2))


def test_one_independent_distance_per_structure():
    """Repeating what each structure says is no further evidence for a Gaussian more."""
    skewed = 1.0 + 0.1 * np.random.default_rng(1).gamma(4.0, size=300)
    mixture = GaussianMixture(2, random_state=0).fit(skewed[:, None])
    once = bic(mixture, skewed, 300)
    assert bic(mixture, np.repeat(skewed, 15), 300) == pytest.approx(once)
    assert once == pytest.approx(mixture.bic(skewed[:, None]))  # where they are independent


def test_responsibilities_join_the_springs_smoothly():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.normal(1.0, 0.05, 1000), rng.normal(2.0, 0.2, 1000)])
    pair = fit_springs(packed([Atoms("CO", [[0, 0, 0], [r, 0, 0]]) for r in lengths]), 300.0).pairs[
        "C-O"
    ]
    stiff, soft = pair.k_eV_per_Ang2
    grid = np.linspace(0.8, 2.4, 2000)
    nearest, weighted = pair.nearest(grid), pair.weighted(grid)
    assert set(np.unique(nearest)) == {stiff, soft}
    assert weighted[0] == pytest.approx(stiff, rel=1e-3)
    assert weighted[-1] == pytest.approx(soft)
    assert np.abs(np.diff(weighted)).max() < 0.05 * stiff  # nearest jumps by stiff - soft
    assert ((weighted >= soft - 1e-9) & (weighted <= stiff + 1e-9)).all()


def test_the_temperature_of_momenta():
    """Over the degrees of freedom that move: here without and with overall motion."""
    still, whole, two = molecule("CH3CH2OH"), molecule("CH3CH2OH"), molecule("H2")
    thermalise(still, 400.0, seed=0)
    thermalise(two, 400.0, seed=0)
    assert temperature_of([two]) == pytest.approx(400.0)
    draw_momenta(whole, 400.0, seed=0)
    assert temperature_of([still] * 2) == pytest.approx(400.0)
    assert temperature_of([whole]) == pytest.approx(whole.get_temperature())
    assert temperature_of([still, molecule("H2O")]) is None
    assert temperature_of([]) is None


@pytest.mark.parametrize(
    ("data", "temperature_K", "message"),
    [
        (lambda: dimers(20, 300), 0.0, "temperature must be positive, got 0"),
        (lambda: dimers(20, 300), float("nan"), "temperature must be positive"),
        (lambda: dimers(20, 300, n=1), 300.0, "one structure has no spread"),
        (
            lambda: packed([molecule("H2O")] * 5),
            300.0,
            "all H-H distances are equal|spread by only",
        ),
        (lambda: packed([Atoms("H"), Atoms("O")]), 300.0, "single atoms have no distances"),
        (lambda: packed([bulk("C", cubic=True)] * 3), 300.0, "periodic"),
    ],
)
def test_data_that_cannot_tell(data, temperature_K, message):
    with pytest.raises(ValueError, match=message):
        fit_springs(data(), temperature_K)


def test_a_scan_is_not_thermal(shared_data):
    scan = read(shared_data("botnet-ethanol", "test_H_removal.xyz"), ":")
    with pytest.raises(ValueError, match="frames of a thermal run"):
        fit_springs(packed(scan), 500.0)


def test_pairs_that_do_not_occur_and_too_many_gaussians():
    with pytest.raises(ValueError, match=r"no pair H-O in the data: there are C-O"):
        fit_springs(dimers(20, 300), 300, {"H-O": 2})
    with pytest.raises(ValueError, match="3 C-O distances are too few for 5 Gaussians"):
        fit_springs(dimers(20, 300, n=3), 300, {"C-O": 5})


def test_labels_of_frames_do_not_matter_to_springs():
    frames = [Atoms("CO", [[0, 0, 0], [r, 0, 0]]) for r in (1.4, 1.5, 1.6, 1.55)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    assert fit_springs(packed(frames), 300, {"C-O": 1}).pairs["C-O"].k_eV_per_Ang2 > 0
