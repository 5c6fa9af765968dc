"""Private names of ASE that this package uses: which one moved, and who needs it, in one line.

An upper bound in pyproject.toml keeps versions out that nobody has tried. To raise it, install the new ASE
and run this file first.
"""

import inspect
from importlib.util import find_spec
from operator import attrgetter

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT

from ase_schnet.dynamics.barostat import MTKFullCell, MTKIsothermalIsobaric
from ase_schnet.dynamics.thermostats import NoseHooverNVT

RNG = np.random.default_rng(0)
CHAIN = {"temperature_K": 300, "tdamp": 100 * units.fs}
CELL = {"pressure_au": 0.0, "pdamp": 1000 * units.fs}
OF_A_CELL = (
    "_barostat.get_barostat_energy",
    "_barostat.W",
    "_get_volume",
    "_pressure_au",
    "_num_atoms_global",
)
THERMOSTATS, BAROSTAT = "dynamics/thermostats.py", "dynamics/barostat.py"
FULL_CELL = ("_get_cell_kinetic_energy", *MTKFullCell.state_names)
USED = [
    (NoseHooverChainNVT, CHAIN, ("_p", *NoseHooverNVT.state_names), THERMOSTATS),
    (IsotropicMTKNPT, CHAIN | CELL, (*OF_A_CELL, *MTKIsothermalIsobaric.state_names), BAROSTAT),
    (MTKNPT, CHAIN | CELL, (*OF_A_CELL, *FULL_CELL), BAROSTAT),
    (LangevinBAOAB, {"temperature_K": 300, "T_tau": 1, "rng": RNG}, ("_BAOAB_OU",), THERMOSTATS),
]
CONSTANTS = ("_amu", "_c", "_Nav", "_e", "_eps0", "_hplanck", "_hbar", "_k")


def moved(name: str, owner: str, user: str) -> str:
    return (
        f"ASE {ase.__version__} has no {owner}.{name} any more: ase_schnet/{user} needs another way"
    )


@pytest.mark.parametrize(
    ("kind", "options", "names", "user"), USED, ids=lambda value: getattr(value, "__name__", "")
)
def test_integrators_have_the_fields_that_are_read_and_set(kind, options, names, user):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    dynamics = kind(atoms, 1 * units.fs, **options)
    for name in names:
        try:
            attrgetter(name)(dynamics)
        except AttributeError:
            pytest.fail(moved(name, kind.__name__, user))


def test_the_step_of_langevin_that_is_extended_has_its_argument():
    known = inspect.signature(LangevinBAOAB._BAOAB_OU).parameters
    assert "drag_gamma_mod" in known, moved(
        "_BAOAB_OU(drag_gamma_mod)", "LangevinBAOAB", "dynamics/thermostats.py"
    )


def test_constants_have_their_names():
    for name in CONSTANTS:
        assert hasattr(units, name), moved(name, "units", "spectra, propagation, sampling")


def test_the_plugin_system_is_where_it_was():
    """It came with ASE 3.29; older versions do not look for plugins."""
    if tuple(map(int, ase.__version__.split(".")[:2])) >= (3, 29):
        assert find_spec("ase._4.plugins.plugin"), moved("plugins.plugin", "_4", "plugin.py")


def test_a_field_that_moved_is_named(monkeypatch):
    monkeypatch.setattr(NoseHooverChainNVT, "__init__", lambda *_, **__: None)
    with pytest.raises(
        pytest.fail.Exception, match=r"no NoseHooverChainNVT._p any more: .*thermostats.py"
    ):
        test_integrators_have_the_fields_that_are_read_and_set(*USED[0])
