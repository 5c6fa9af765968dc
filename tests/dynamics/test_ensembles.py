"""Options of a run that its ensemble would ignore are refused, from one table."""

import inspect

import pytest

from ase_schnet import run_npt, run_nve, run_nvt
from ase_schnet.dynamics.ensembles import ENSEMBLES_OF_OPTION, refuse_options_of_other_ensembles


def test_the_table_says_what_the_functions_take():
    functions = {"nve": run_nve, "nvt": run_nvt, "npt": run_npt}
    for option, allowed in ENSEMBLES_OF_OPTION.items():
        takers = {
            name
            for name, function in functions.items()
            if option in inspect.signature(function).parameters
        }
        if option == "thermostat":  # npt has its own
            takers.discard("npt")
        assert takers == set(allowed), option


def test_what_is_not_given_is_not_refused():
    refuse_options_of_other_ensembles("nve", pressure_GPa=None, full_cell=False, seed=3)
    refuse_options_of_other_ensembles("npt", pressure_GPa=0.0, full_cell=True)


def test_what_the_ensemble_would_ignore_is_refused():
    with pytest.raises(ValueError, match="pressure_GPa= applies to ensemble='npt' only"):
        refuse_options_of_other_ensembles("nvt", pressure_GPa=0.0)
    with pytest.raises(ValueError, match="no ensemble 'nph'"):
        refuse_options_of_other_ensembles("nph")
