"""QCEngine asks for energies and gradients, and geomeTRIC optimises through it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree

from ase_schnet import SchNetCalculator

qcengine = pytest.importorskip(
    "qcengine", reason="QCEngine is not installed: pip install 'ase-schnet[interop]'"
)


@pytest.fixture(scope="module", autouse=True)
def registered():
    from ase_schnet.external.qcengine import register

    register()
    register()  # as a notebook does whose cell is run again
    assert "ase_schnet" in qcengine.list_available_programs()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Optimisers leave files where they run."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.03, seed=1)
    atoms.calc = SchNetCalculator("ethanol")
    return atoms


def structure(atoms, **more):
    symbols = atoms.get_chemical_symbols()
    return {"symbols": symbols, "geometry": (atoms.positions / Bohr).tolist(), **more}


def task(atoms, driver="gradient", method="ethanol", **more):
    """Return a request in the first version of the schema, which geomeTRIC speaks."""
    return {
        "molecule": structure(atoms, **more),
        "driver": driver,
        "model": {"method": method, "basis": None},
    }


def second_version(atoms, driver):
    return {
        "schema_version": 2,
        "molecule": structure(atoms, fix_com=True, fix_orientation=True),
        "specification": {"driver": driver, "model": {"method": "ethanol"}, "program": ""},
    }


@pytest.mark.parametrize("version", [task, second_version])
def test_energy_and_gradient_are_those_of_the_calculator(ethanol, version):
    energy = ethanol.get_potential_energy() / Hartree
    found = qcengine.compute(version(ethanol, "energy"), "ase_schnet", raise_error=True)
    assert found.return_result == pytest.approx(energy, abs=1e-9)
    fixed = version(ethanol, "gradient")
    fixed["molecule"] |= {"fix_com": True, "fix_orientation": True}
    found = qcengine.compute(fixed, "ase_schnet", raise_error=True, return_dict=True)
    # QCElemental rounds positions to 1e-8 Bohr
    gradient = np.reshape(found["return_result"], (9, 3)) * Hartree / Bohr
    np.testing.assert_allclose(gradient, -ethanol.get_forces(), rtol=0, atol=1e-6)
    assert found["properties"]["return_energy"] == pytest.approx(energy, abs=1e-9)
    dipole = np.array(found["properties"]["scf_dipole_moment"]) * Bohr
    np.testing.assert_allclose(dipole, ethanol.get_dipole_moment(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"driver": "hessian"}, "drivers energy and gradient, not hessian"),
        ({"method": "nothing"}, "no model 'nothing'"),
        ({"molecular_charge": 1, "molecular_multiplicity": 2}, "charge"),
        ({"real": [True] * 8 + [False]}, "ghost"),
    ],
)
def test_what_it_cannot_do_fails_with_the_reason(ethanol, changes, reason):
    failed = qcengine.compute(task(ethanol, **changes), "ase_schnet")
    assert not failed.success
    assert failed.error.error_type == "input_error"
    assert reason in failed.error.error_message


def test_geometric_optimises_to_the_minimum_that_ase_finds(ethanol):
    pytest.importorskip("geometric", reason="geomeTRIC is not installed: pip install geometric")
    from ase.optimize import BFGS

    found = qcengine.compute(
        {
            "initial_molecule": structure(ethanol),
            "input_specification": {"driver": "gradient", "model": {"method": "ethanol"}},
            "keywords": {"program": "ase_schnet", "convergence_set": "GAU_TIGHT"},
        },
        "geometric",
        raise_error=True,
        return_dict=True,
    )
    end = found["final_molecule"]
    optimised = Atoms(end["symbols"], np.reshape(end["geometry"], (9, 3)) * Bohr)
    BFGS(ethanol, logfile=None).run(fmax=1e-3)
    energy = found["energies"][-1] * Hartree
    assert energy == pytest.approx(ethanol.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(
        optimised.get_all_distances(), ethanol.get_all_distances(), rtol=0, atol=0.01
    )
