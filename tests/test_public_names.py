"""Public names: where editors see them, and old ones that still import."""

import ast
import subprocess
import sys
from importlib import import_module

import pytest

import ase_schnet

#: What README, CHANGELOG and md_examples of version 0.1 imported, and where it lies now.
OLD = [
    ("interfaces.lammps", "attach", "lammps.potential"),
    ("interfaces.lammps", "new_lammps", "lammps.potential"),
    ("simulation.propagate", "SimulationFailed", "runs.failures"),
    ("simulation.velocities", "thermalise", "dynamics.velocities"),
    ("simulation.spectra.bands", "MeasuredBands", "spectra.measured_bands"),
    ("simulation.spectra", "NormalModes", "spectra"),
    ("simulation.scan", "scan_distance", "scan"),
    ("simulation.monitor", "Monitor", "runs.monitor"),
    ("conformal", "Residuals", "uncertainty.conformal"),  # docs/uncertainty.md
]


def test_every_public_name_exists():
    for name in ase_schnet.__all__:
        assert getattr(ase_schnet, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ase_schnet.nothing


def test_editors_see_the_names_that_are_loaded_when_first_used():
    with open(ase_schnet.__file__) as file:
        tree = ast.parse(file.read())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "without 'as', a type checker takes it for private"
            seen[alias.name] = node.module.removeprefix("ase_schnet.")
    assert seen == ase_schnet._HOME


@pytest.mark.parametrize(("module", "name", "now"), OLD)
def test_old_paths_import_and_warn(module, name, now):
    old = import_module(f"ase_schnet.{module}")
    with pytest.warns(
        DeprecationWarning, match=f"{module} is deprecated and will be removed in 0.3"
    ):
        found = getattr(old, name)
    assert found is getattr(import_module(f"ase_schnet.{now}"), name)


def test_an_old_script_runs_in_a_fresh_process():
    code = (
        "from ase_schnet.simulation.spectra.bands import MeasuredBands\n"
        "from ase_schnet.interfaces import lammps\n"
        "from ase_schnet.interfaces.lammps import attach\n"
        "import ase_schnet.simulation.md as md\n"
        "print(attach.__module__, lammps.attach is attach, MeasuredBands.__name__, md.run_nve.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "ase_schnet.lammps.potential",
        "True",
        "MeasuredBands",
        "run_nve",
    ]
    assert "from ase_schnet.lammps.potential" in done.stderr


@pytest.mark.parametrize("package", ["interfaces", "simulation"])
def test_old_modules_lead_to_modules_that_exist(package):
    prefix = f"{import_module(f'ase_schnet.{package}').__name__}."
    moved = [name for name in sys.modules if name.startswith(prefix)]
    assert moved
    for name in moved:
        import_module(sys.modules[name].__getattr__.new)
        with pytest.raises(AttributeError, match=r"has moved to .*, which has no 'nothing'"):
            _ = sys.modules[name].nothing


def test_a_renamed_public_name_warns_and_is_the_new_one(monkeypatch):
    monkeypatch.setitem(ase_schnet._RENAMED, "Verdict", "Drift")
    text = "ase_schnet.Verdict is now named Drift; the old name will be removed in 0.3"
    with pytest.warns(DeprecationWarning, match=text):
        assert ase_schnet.Verdict is ase_schnet.Drift
    assert "Verdict" not in ase_schnet.__all__


def test_every_renamed_public_name_leads_to_one_that_exists():
    assert set(ase_schnet._RENAMED.values()) <= set(ase_schnet.__all__)
    assert not set(ase_schnet._RENAMED) & set(ase_schnet.__all__)
