"""Defaults of the command line are those of the functions that it calls: --help imports none of them."""

import inspect
from dataclasses import replace

import pytest

from ase_schnet import (
    FitSettings,
    RPRSettings,
    SchNetCalculator,
    export_model,
    scan_distance,
    scan_map,
)
from ase_schnet.cli import build_parser
from ase_schnet.cli.train import _settings
from ase_schnet.dynamics.check import check_nve
from ase_schnet.dynamics.md import run_nve
from ase_schnet.lammps.run import run_lammps
from ase_schnet.pretraining.settings import POOL_FIT
from ase_schnet.spectra import ir_spectrum
from ase_schnet.training.settings import FINE_TUNING_RATE

MD, LAMMPS = (["md", "m", "s", "-o", "r"], ["lammps", "m", "s", "-o", "r"])
SCAN = ["scan", "m", "s", "--distance", "0", "1", "--from", "1", "--to", "2"]
RUN = {
    "time": "time_ps",
    "timestep": "timestep_fs",
    "record_every": "record_every",
    "trajectory_every": "trajectory_every",
    "seed": "seed",
}


@pytest.mark.parametrize(
    ("words", "function", "names"),
    [
        (MD, run_nve, RUN),
        (
            MD,
            check_nve,
            {"time": "time_ps", "timestep": "timestep_fs", "test_time": "test_time_ps"},
        ),
        (LAMMPS, run_lammps, RUN | {"ensemble": "ensemble", "monitor": "monitor"}),
        (MD, SchNetCalculator, {name: name for name in ("device", "dtype", "threads")}),
        (SCAN, scan_distance, {name: name for name in ("relaxed", "fmax", "reference")}),
        (SCAN, scan_map, {"relaxed": "relaxed", "fmax": "fmax"}),
        (
            ["export", "m", "--to", "metatomic", "-o", "x"],
            export_model,
            {"to": "to", "dtype": "dtype"},
        ),
        (["spectrum", "r"], ir_spectrum, {"resolution": "resolution_cm", "highest": "highest_cm"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_defaults_of_options_are_those_of_the_function(words, function, names):
    args = build_parser().parse_args(words)
    parameters = inspect.signature(function).parameters
    options = {option: getattr(args, option) for option in names}
    assert options == {option: parameters[name].default for option, name in names.items()}


def test_defaults_of_fits_are_those_of_their_settings():
    args = build_parser().parse_args(["train", "d", "-o", "m"])
    assert _settings(args) == FitSettings()
    args = build_parser().parse_args(["train", "d", "-o", "m", "--start-from", "ethanol"])
    assert _settings(args) == replace(FitSettings(), learning_rate=FINE_TUNING_RATE)
    args = build_parser().parse_args(["train", "d", "-o", "m", "--pretrain", "gfn2-xtb"])
    pool = POOL_FIT
    assert _settings(args) == replace(FitSettings(), **pool)
    args = build_parser().parse_args(["train-dipole", "d", "-o", "m"])
    given = RPRSettings(args.folds, args.centres, seed=args.seed, frame=args.frame)
    assert given == RPRSettings()
