"""SchNet potentials for ASE: train on your molecule, attach, run dynamics that conserves energy.

Everything below is imported when it is first used, so that `import ase_schnet` is quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "SchNetCalculator": "calculator",
    "OutsideTrainingWarning": "inference.training_watch",
    "write_predictions": "predictions",
    "Dataset": "data.dataset",
    "read_dataset": "data.formats",
    "read_labelled": "data.formats",
    "FileUnits": "units",
    "equivalent_loss_weights": "units",
    "SchNetConfig": "schnet_config",
    "PRESETS": "schnet_config",
    "FitSettings": "training.settings",
    "LossWeights": "training.loss",
    "Recipe": "training.recipe",
    "cross_validate": "training.crossval",
    "train_fold": "training.fold",
    "assemble": "training.crossval",
    "label_outliers": "data.outliers",
    "summary": "training.report",
    "plan_folds": "data.splits",
    "twins_of": "data.splits",
    "Augmentation": "augment.recipe",
    "RandomMoves": "augment.moves",
    "Stretches": "augment.moves",
    "fit_springs": "augment.springs",
    "load_model": "modelfile",
    "RotatePredictRotate": "dipole.rpr",
    "RPRSettings": "dipole.fit",
    "fit_rpr": "dipole.fit",
    "calibrate": "uncertainty",
    "run_nve": "dynamics.md",
    "run_nvt": "dynamics.md",
    "run_npt": "dynamics.md",
    "run_lammps": "lammps.run",
    "MDRecord": "runs.record",
    "Monitor": "runs.monitor",
    "SimulationStopped": "runs.failures",
    "drift": "runs.drift",
    "check_nve": "dynamics.check",
    "Drift": "runs.drift",
    "scan_distance": "scan",
    "scan_angle": "scan",
    "scan_dihedral": "scan",
    "scan_map": "scan",
    "ScanResult": "scan",
    "ScanMap": "scan",
    "Motion": "spectra",
    "Spectrum": "spectra",
    "ir_spectrum": "spectra",
    "raman_spectra": "spectra",
    "vibrational_density_of_states": "spectra",
    "normal_modes": "spectra",
    "NormalModes": "spectra",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"ase_schnet.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ase_schnet' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
