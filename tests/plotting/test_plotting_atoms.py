"""Pictures of what a model gives atoms and elements."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import InputError
from ase.calculators.emt import EMT
from ase.io import write
from factory import TINY, ethanol, random_model
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ase_schnet import SchNetCalculator, load_model, plot_atomic_energies
from ase_schnet.cli import main
from ase_schnet.inference.atomic_energies import atomic_energies, element_similarity
from ase_schnet.modelfile import save_model
from ase_schnet.plotting import plot_element_similarity
from ase_schnet.plotting.atoms import _view
from ase_schnet.propagation import member_calculators


@pytest.fixture(scope="module")
def calculator():
    return SchNetCalculator("ethanol")


def discs(ax) -> list[Circle]:
    return [patch for patch in ax.patches if isinstance(patch, Circle)]


def bars(figure) -> list[str]:
    return [ax.get_ylabel() for ax in figure.axes if ax.get_label() == "<colorbar>"]


def test_energies_and_offsets_of_the_atoms_sum_to_the_energy(calculator):
    atoms = ethanol()
    atoms.calc = calculator
    found = atomic_energies(atoms, calculator.trained)
    offsets = np.array([found.offsets_eV[s] for s in atoms.symbols])
    assert found.energies_eV.sum() + offsets.sum() == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(found.energies_eV + offsets, atoms.get_potential_energies())


def test_the_std_is_that_of_the_members_less_their_own_offsets(calculator):
    atoms, each = ethanol(), []
    for k, one in enumerate(member_calculators("ethanol")):
        offsets = calculator.trained.energy_shift[k, atoms.numbers]
        each.append(one.get_property("energies", atoms) - offsets)
    found = atomic_energies(atoms, calculator.trained)
    np.testing.assert_allclose(found.std_eV, np.std(each, axis=0, ddof=1), rtol=1e-6)
    alone = atomic_energies(atoms, calculator.trained.member(2))
    assert alone.std_eV is None
    np.testing.assert_allclose(alone.energies_eV, each[2], rtol=1e-6)


def test_a_structure_is_drawn_with_its_colours_units_and_bonds(calculator):
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator
    figure = plot_atomic_energies(atoms)
    assert bars(figure) == [
        "atomic energy − offset\nof the element (eV)",
        "std of the members (eV)",
    ]
    energies, std = figure.axes[:2]
    assert len(discs(energies)) == len(discs(std)) == 9
    assert len(energies.lines) == 2 * 8  # half a bond from either atom
    found = atomic_energies(atoms, calculator.trained)
    assert found.energies_eV[7] == pytest.approx(found.energies_eV[8], abs=1e-6)  # mirror images
    colours = np.array([disc.get_facecolor() for disc in discs(energies)])
    np.testing.assert_allclose(colours[7], colours[8])
    largest = np.abs(found.energies_eV).max()
    scale = colormaps["PuOr_r"]((found.energies_eV / largest + 1) / 2)  # white is the offset
    np.testing.assert_allclose(colours, scale)


def test_no_atom_hides_another_in_the_view_that_is_chosen(calculator):
    """In the plane of its heavy atoms ethanol has hydrogens behind each other."""
    ax = plot_atomic_energies(molecule("CH3CH2OH"), calculator).axes[0]
    centres = np.array([disc.center for disc in discs(ax)])
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1) + 9 * np.eye(9)
    assert distances.min() > 0.4


def test_the_view_of_many_atoms_needs_little_memory():
    positions = np.random.default_rng(0).normal(size=(5000, 3)) * (3, 2, 1)
    tracemalloc.start()
    view = _view(positions, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # a matrix of all pairs has 200 MB
    extent = (positions @ view).std(axis=0)
    assert extent[0] > extent[1] > extent[2]


def test_the_view_is_no_mirror_image(calculator):
    for seed in range(3):
        atoms = ethanol(0.3, seed)
        figure = plot_atomic_energies(atoms, calculator)
        figure2 = plot_atomic_energies(atoms, calculator, rotation="0x")
        drawn, plain = ([d.center for d in discs(f.axes[0])] for f in (figure, figure2))
        np.testing.assert_allclose(plain, atoms.positions[:, :2])
        depth = [d.get_zorder() for d in discs(figure.axes[0])]
        # right, up and towards the reader are right-handed: fit the third axis from the first two
        r = atoms.positions - atoms.positions.mean(axis=0)
        rows = np.linalg.lstsq(r, np.array(drawn) - np.mean(drawn, axis=0), rcond=None)[0].T
        towards = np.cross(*rows)
        assert (np.argsort(r @ towards) == np.argsort(depth)).all()


def test_it_draws_in_given_axes_and_a_cell_with_its_edges():
    figure = Figure()
    (ax,) = figure.subplots(1, 1, squeeze=False).ravel()
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=0)
    assert plot_atomic_energies(atoms, SchNetCalculator("silicon"), ax) is figure
    assert bars(figure) == ["atomic energy − offset\nof the element (eV)"]
    assert len(ax.lines) == 12 + 8 * 4  # edges of the cell; four half bonds at every atom


@pytest.mark.parametrize(
    ("atoms", "options", "error", "message"),
    [
        ("CH3CH2OH", {"calc": EMT()}, ValueError, "those of a SchNetCalculator, not of EMT"),
        ("CH3CH2OH", {}, ValueError, "not of NoneType: pass calc="),
        ("CH3CH2OH", {"rotation": "90q"}, ValueError, "rotation must be like '90x,30y'"),
        ("CH3CH2OH", {"rotation": "10x,"}, ValueError, "rotation must be like '90x,30y'"),
        ("NH3", {}, InputError, "was not trained on N"),
    ],
)
def test_what_cannot_be_drawn_is_refused(calculator, atoms, options, error, message):
    if options.keys() <= {"rotation"} and "not of" not in message:
        options = {"calc": calculator, **options}
    with pytest.raises(error, match=message):
        plot_atomic_energies(molecule(atoms), **options)


def test_similarity_is_the_cosine_of_the_embeddings():
    model = random_model(TINY, members=3)
    vectors = model.weights["embedding.weight"]
    vectors[:, 8] = 2 * vectors[:, 6]  # O as C
    vectors[:, 1] = -vectors[:, 6]
    found = element_similarity(model)
    assert found.symbols == ["H", "C", "O"]
    expected = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    np.testing.assert_allclose(found.cosine, expected, atol=1e-6)
    np.testing.assert_allclose(found.std, 0.0, atol=1e-6)
    assert found.by_chance == pytest.approx(1 / np.sqrt(3 * TINY.n_atom_basis))
    assert element_similarity(model.member(0)).std is None


def test_by_chance_is_what_random_embeddings_scatter_by():
    model, rng, cosines = random_model(members=2), np.random.default_rng(0), []
    for _ in range(300):
        vectors = rng.normal(size=model.weights["embedding.weight"].shape)
        found = element_similarity(replace(model, weights={"embedding.weight": vectors}))
        cosines.append(found.cosine[np.triu_indices(3, 1)])
    assert np.std(cosines) == pytest.approx(found.by_chance, rel=0.1)


def test_the_picture_of_the_elements_says_what_it_means():
    similarity = element_similarity(load_model("ethanol"))
    figure = plot_element_similarity(similarity)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["H", "C", "O"]
    written = "\n".join(t.get_text() for t in ax.texts)
    assert f"{similarity.cosine[0, 2]:.2f}\n± {similarity.std[0, 2]:.2f}" in written
    assert f"0 ± {similarity.by_chance:.2f}: as random vectors, nothing learnt" in ax.get_xlabel()


def test_info_draws_the_elements(tmp_path, capsys):
    picture = tmp_path / "elements.png"
    assert main(["info", "ethanol", "--picture", str(picture)]) == 0
    assert capsys.readouterr().out.endswith(f"picture: {picture}\n")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["info", "silicon", "--picture", str(picture)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "needs two of them" in said.err
    assert said.err.count("\n") == 1
    assert main(["info", "ethanol", "--picture", str(tmp_path / "elements.doc")]) == 2
    assert main(["info", "ethanol", "--picture", str(tmp_path / "no" / "elements.png")]) == 2


def test_predict_draws_the_first_structure(tmp_path, capsys):
    save_model(tmp_path / "m", replace(random_model(), distance_ranges={}))
    write(tmp_path / "in.xyz", [molecule("NH3"), molecule("H2O"), molecule("CH3CH2OH")])
    words = [
        "predict",
        str(tmp_path / "m"),
        str(tmp_path / "in.xyz"),
        "-o",
        str(tmp_path / "o.xyz"),
    ]
    assert main([*words, "--picture", str(tmp_path / "atoms.svg")]) == 1  # ammonia is left out
    assert f"picture: {tmp_path / 'atoms.svg'}" in capsys.readouterr().out
    assert "atomic energy" in (tmp_path / "atoms.svg").read_text()
    assert main([*words, "--picture", str(tmp_path / "atoms.doc")]) == 2
