"""Reference methods by their text, held against other codes, published labels and their own slopes."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed, InputError
from ase.units import kcal, mol

from ase_schnet import SchNetCalculator, read_reference
from ase_schnet.labelling import dft

SCRIPT = """
from ase.calculators.emt import EMT
from ase.calculators.genericfileio import GenericFileIOCalculator
from ase.calculators.orca import ORCA, OrcaProfile
def emt():
    return EMT()
emt.level_of_theory = "EMT"
def ion(charge, multiplicity=1):
    calculator = EMT()
    calculator.told = charge, multiplicity
    return calculator
def orca():
    return ORCA(profile=OrcaProfile("orca"))
ready = EMT()
five = 5
def none():
    return None
def fails():
    raise RuntimeError("no licence\\nfound")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "methods.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("gfn2-xtb", "GFN2-xTB"),
        ("GFN1-xTB", "GFN1-xTB"),
        ("gfn2-xtb:300", "GFN2-xTB (300 K)"),
        ("pyscf:PBE/def2-SVP", "PBE/def2-SVP"),
        ("pyscf:wB97M-V/6-311+G(2d,p):fine:uks", "wB97M-V/6-311+G(2d,p)"),
        ("ethanol", "SchNet ethanol"),
    ],
)
def test_a_text_names_a_level_of_theory_and_the_reference_travels(text, level):
    reference = read_reference(text)
    assert reference.level_of_theory == level
    assert pickle.loads(pickle.dumps(reference)) == reference


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gfn3-xtb", "'gfn3-xtb' is no reference method; known are gfn2-xtb"),
        ("gfn2-xtb:hot", "electronic temperature in K, such as 300"),
        ("pyscf:PBE", "is not pyscf:FUNCTIONAL/BASIS, such as pyscf:PBE/def2-SVP"),
        ("pyscf:nope/sto-3g", "cannot use the functional 'nope'"),
        ("pyscf:PBE/nope", "knows no basis 'nope'"),
        ("pyscf:PBE/sto-3g:blue", "'blue' is not known; known are :uks, :exact, :fine"),
        ("pyscf:B3LYP-D3BJ/sto-3g", "its dispersion d3bj is not computed here"),
        ("methods.py", "say which name in the script returns the calculator"),
    ],
)
def test_what_is_no_reference_is_refused_in_one_line(text, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(")) as refused:
        read_reference(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("text", "package"), [("gfn2-xtb", "tblite"), ("pyscf:PBE/a", "pyscf")])
def test_a_missing_program_is_named_with_the_command_that_installs_it(monkeypatch, text, package):
    def missing(name):
        raise ImportError(f"No module named '{package}'")

    monkeypatch.setattr("ase_schnet.labelling.methods.import_module", missing)
    with pytest.raises(ValueError, match=rf"{package}.*pip install 'ase-schnet\[reference\]'"):
        read_reference(text)


@pytest.mark.parametrize(
    ("text", "atoms", "electrons", "told"),
    [
        ("gfn2-xtb", Atoms("UF", [[0, 0, 0], [0, 0, 2]]), (0, None), "no parameters for U"),
        ("gfn2-xtb", molecule("OH"), (0, 1), "HO with charge 0 has 9 electrons"),
        ("gfn2-xtb", molecule("H2O"), (1, 1), "cannot have multiplicity 1"),
        ("gfn2-xtb", molecule("H2O"), (11, None), "larger than that of all nuclei"),
        ("gfn2-xtb", Atoms("H", [[np.nan, 0, 0]]), (0, None), "not finite"),
        ("gfn2-xtb", Atoms("C2", cell=[3, 3, 9], pbc=[1, 1, 0]), (0, None), "molecules and cry"),
        ("gfn2-xtb", Atoms(), (0, None), "no atoms"),
        ("pyscf:PBE/sto-3g", bulk("Si"), (0, None), "is for molecules"),
        ("pyscf:PBE/sto-3g", Atoms("U"), (0, None), "no basis sto-3g for U"),
        ("ethanol", molecule("NH3"), (0, None), "was not trained on N"),
    ],
)
def test_a_structure_that_a_method_cannot_describe_is_refused(text, atoms, electrons, told):
    with pytest.raises(InputError, match=told):
        read_reference(text).require_supported(atoms, *electrons)


def test_a_script_gives_calculators_with_charge_and_multiplicity_if_it_takes_them(script):
    plain, ion = read_reference(f"{script}:emt"), read_reference(f"{script}:ion")
    assert plain.level_of_theory == "EMT"
    assert ion.level_of_theory == "methods.py:ion"
    assert ion.calculator(1, 2).told == (1, 2)
    assert ion.calculator().told == (0, 1)
    water = molecule("H2O")
    ion.require_supported(water, 1)
    with pytest.raises(InputError, match=r"charge \+1, and emt of .* takes no charge"):
        plain.require_supported(water, 1)
    assert (
        read_reference(f"{script}:ready").calculator()
        is read_reference(f"{script}:ready").calculator()
    )
    orca = read_reference(f"{script}:orca")
    here, there = orca.calculator(), orca.calculator()
    assert here.directory != there.directory  # two processes would write over each other's files


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("five", "is of type int, not an ASE calculator"),
        ("nothing", "has no nothing"),
        ("none", "returned an object of type NoneType"),
        ("fails", "fails of .* failed: RuntimeError: no licence found"),
    ],
)
def test_what_a_script_lacks_is_told_in_one_line(script, name, told):
    with pytest.raises(ValueError, match=told):
        read_reference(f"{script}:{name}").calculator()


def test_a_script_that_changes_is_another_reference(script):
    reference = read_reference(f"{script}:emt")
    script.write_text(SCRIPT.replace("EMT()", "EMT(asap_cutoff=True)"))
    assert read_reference(f"{script}:emt").identity != reference.identity
    with pytest.raises(ValueError, match="has changed since the labelling began"):
        reference.calculator()


def test_the_labels_of_a_model_are_those_of_its_calculator():
    ethanol = molecule("CH3CH2OH")
    ethanol.calc, other = read_reference("ethanol").calculator(), SchNetCalculator("ethanol")
    assert ethanol.get_potential_energy() == other.get_potential_energy(ethanol)


def test_xtb_of_a_structure_does_not_depend_on_the_one_before():
    water, calculator = molecule("H2O"), read_reference("gfn2-xtb").calculator()
    first = calculator.get_potential_energy(water)
    moved = water.copy()
    moved.rattle(0.1, seed=1)
    calculator.get_potential_energy(moved)
    calculator.forget()
    assert calculator.get_potential_energy(water) == first
    assert first == pytest.approx(-137.96777625, abs=1e-5)  # tblite's documentation


def test_xtb_that_does_not_converge_says_so_and_does_not_spoil_the_next():
    water, calculator = molecule("H2O"), read_reference("gfn2-xtb").calculator()
    calculator.set(max_iterations=2)
    with pytest.raises(CalculationFailed, match="GFN2-xTB: SCF not converged in 2 cycles"):
        calculator.get_potential_energy(water)
    calculator.set(max_iterations=250)
    assert calculator.get_potential_energy(water) == pytest.approx(-137.96777625, abs=1e-5)


def test_forces_of_pyscf_are_the_slope_of_its_energy():
    water = molecule("H2O")
    water.rattle(0.05, seed=1)
    water.calc = read_reference("pyscf:PBE/sto-3g").calculator()
    forces, h = water.get_forces(), 1e-3
    energies = []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[1, 1] += sign * h
        energies.append(water.calc.get_potential_energy(moved))
    assert forces[1, 1] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-3)


def test_pyscf_starts_from_the_density_of_a_structure_nearby_unless_it_is_to_forget(monkeypatch):
    starts, solve = [], dft.DFTCalculator._solve
    monkeypatch.setattr(
        dft.DFTCalculator, "_solve", lambda self, at: (starts.append(at), solve(self, at))[1]
    )
    calculator = read_reference("pyscf:PBE/sto-3g").calculator()
    calculator.get_potential_energy(molecule("H2"))
    calculator.get_potential_energy(Atoms("H2", [[0, 0, 0.4], [0, 0, -0.4]]))
    calculator.get_potential_energy(Atoms("H2", [[0, 0, 0], [0, 0, 4]]))
    calculator.forget()
    calculator.get_potential_energy(Atoms("H2", [[0, 0, 0], [0, 0, 4.1]]))
    assert [start is not None for start in starts] == [False, True, False, False]


def test_unrestricted_orbitals_are_tried_where_pairs_are_not_stable():
    calculator = read_reference("pyscf:PBE/sto-3g:uks").calculator()
    kinds = []
    for distance in (0.74, 3.0):
        calculator.get_potential_energy(Atoms("H2", [[0, 0, 0], [0, 0, distance]]))
        kinds.append(isinstance(calculator._solution[0], dft.dft.uks.UKS))
    assert kinds == [False, True]


def test_two_hydrogen_atoms_far_apart_have_twice_the_energy_of_one():
    """By broken symmetry; restricted orbitals are 2 eV too high."""
    atom = read_reference("pyscf:PBE/sto-3g").calculator().get_potential_energy(Atoms("H"))
    pair = Atoms("H2", [[0, 0, 0], [0, 0, 6.0]])
    broken = read_reference("pyscf:PBE/sto-3g:uks").calculator().get_potential_energy(pair)
    closed = read_reference("pyscf:PBE/sto-3g").calculator().get_potential_energy(pair)
    assert broken == pytest.approx(2 * atom, abs=1e-3)
    assert closed > broken + 1.5


def test_an_scf_is_tried_again_by_second_order_and_then_says_that_it_failed(monkeypatch):
    water = molecule("H2O")
    good = read_reference("pyscf:PBE/sto-3g").calculator()
    monkeypatch.setattr(dft, "MAX_CYCLES", 4)
    again = read_reference("pyscf:PBE/sto-3g").calculator()
    forces = again.get_forces(water)
    monkeypatch.setattr(dft, "MAX_CYCLES", 100)
    np.testing.assert_allclose(forces, good.get_forces(water), atol=1e-4)
    monkeypatch.setattr(dft, "MAX_CYCLES", 1)
    with pytest.raises(dft.SCFNotConverged, match="SCF of H2O did not converge in 1 cycles"):
        again.get_potential_energy(molecule("H2O", vacuum=1.0))


def test_heavy_elements_of_def2_have_their_core_potentials():
    """Without them iodine's 28 inner electrons stand in orbitals that the basis does not have."""
    assert dft.core_potentials("def2-SVP", {"H", "I"}) == {"I": "def2-SVP"}


@pytest.mark.slow
def test_pyscf_agrees_with_the_labels_of_rmd17(shared_data):
    """PBE/def2-SVP by another code, with density fitting; here on a coarse grid, which is quick."""
    with np.load(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz")) as data:
        numbers, positions = data["nuclear_charges"], data["coords"][0]
        energy, forces = data["energies"][0] * kcal / mol, data["forces"][0] * kcal / mol
    calculator = dft.DFTCalculator(dft.DFTSettings("PBE", "def2-SVP", grid_level=1))
    frame = Atoms(numbers, positions, calculator=calculator)
    assert np.abs(frame.get_forces() - forces).mean() < 2e-3
    assert frame.get_potential_energy() == pytest.approx(energy, abs=5e-3)
