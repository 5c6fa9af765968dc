"""The options of runs: one list of them for Python, for help() and for type checkers."""

import inspect
from dataclasses import fields

import pytest
from ase.build import molecule
from ase.calculators.emt import EMT

import ase_schnet
from ase_schnet.dynamics.check import NVEKeywords, NVEOptions
from ase_schnet.lammps.options import LammpsKeywords, LammpsOptions
from ase_schnet.runs.options import RunKeywords, RunOptions


@pytest.mark.parametrize(
    ("options", "keywords"),
    [(RunOptions, RunKeywords), (NVEOptions, NVEKeywords), (LammpsOptions, LammpsKeywords)],
)
def test_type_checkers_are_told_of_the_same_options(options, keywords):
    types = {field.name: field.type for field in fields(options)}
    assert set(types) == keywords.__optional_keys__


@pytest.mark.parametrize("name", ["run_nve", "run_nvt", "run_npt", "check_nve", "run_lammps"])
def test_help_shows_every_option_with_its_default(name):
    parameters = inspect.signature(getattr(ase_schnet, name)).parameters
    assert parameters["time_ps"].default == 10.0
    assert parameters["take_over"].default is False
    assert "keep_momenta" in parameters
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())


@pytest.mark.parametrize("name", ["run_nve", "check_nve"])
def test_an_option_that_there_is_not_is_named_and_nothing_moves(name):
    atoms = molecule("CO")
    atoms.calc = EMT()
    before = atoms.positions.copy()
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected .* 'time_fs'"):
        getattr(ase_schnet, name)(atoms, time_fs=3)
    assert (atoms.positions == before).all()
