"""SchNet potentials for ASE: train on your molecule, attach, run dynamics whose energy is checked.

Each public name is imported when it is first used, so that ``import ase_schnet`` is quick.
"""

import warnings
from importlib import import_module

# type checkers take it for True; to import typing takes longer than all the rest
TYPE_CHECKING = False
if TYPE_CHECKING:  # for editors and type checkers; test_public_names.py holds it equal to _HOME
    from ase_schnet.applicability.calculator_parts import uncertainty_of as uncertainty_of
    from ase_schnet.augment.moves import RandomMoves as RandomMoves
    from ase_schnet.augment.moves import Stretches as Stretches
    from ase_schnet.augment.settings import Augmentation as Augmentation
    from ase_schnet.augment.springs import fit_springs as fit_springs
    from ase_schnet.calculator import SchNetCalculator as SchNetCalculator
    from ase_schnet.data.dataset import Dataset as Dataset
    from ase_schnet.data.formats import read_dataset as read_dataset
    from ase_schnet.data.formats import read_labelled as read_labelled
    from ase_schnet.data.outliers import label_outliers as label_outliers
    from ase_schnet.data.splits import plan_folds as plan_folds
    from ase_schnet.data.splits import twins_of as twins_of
    from ase_schnet.delta_calculator import DeltaCalculator as DeltaCalculator
    from ase_schnet.dipole.fit import fit_rpr as fit_rpr
    from ase_schnet.dipole.rpr import RotatePredictRotate as RotatePredictRotate
    from ase_schnet.dipole.settings import RPRSettings as RPRSettings
    from ase_schnet.dynamics.check import check_nve as check_nve
    from ase_schnet.dynamics.md import run_npt as run_npt
    from ase_schnet.dynamics.md import run_nve as run_nve
    from ase_schnet.dynamics.md import run_nvt as run_nvt
    from ase_schnet.dynamics.replicas import run_replicas as run_replicas
    from ase_schnet.export.save import export_model as export_model
    from ase_schnet.foreign.convert import Conversion as Conversion
    from ase_schnet.foreign.convert import convert_model as convert_model
    from ase_schnet.foreign.hints import ConversionHints as ConversionHints
    from ase_schnet.inference.options import EngineOptions as EngineOptions
    from ase_schnet.inference.training_watch import OutsideTrainingWarning as OutsideTrainingWarning
    from ase_schnet.labelling.label import LabelResult as LabelResult
    from ase_schnet.labelling.label import label_structures as label_structures
    from ase_schnet.labelling.reference import Reference as Reference
    from ase_schnet.labelling.reference import read_reference as read_reference
    from ase_schnet.lammps.run import run_lammps as run_lammps
    from ase_schnet.learning.learn import extend_learning as extend_learning
    from ase_schnet.learning.learn import learn as learn
    from ase_schnet.learning.result import LearnResult as LearnResult
    from ase_schnet.learning.settings import LearnSettings as LearnSettings
    from ase_schnet.modelfile import load_model as load_model
    from ase_schnet.plotting.atoms import plot_atomic_energies as plot_atomic_energies
    from ase_schnet.predictions import write_predictions as write_predictions
    from ase_schnet.pretraining.run import pretrained as pretrained
    from ase_schnet.pretraining.settings import Pretraining as Pretraining
    from ase_schnet.propagation.result import Spread as Spread
    from ase_schnet.propagation.spread import spread as spread
    from ase_schnet.recalibration import calibrate_intervals as calibrate_intervals
    from ase_schnet.recalibration.paired_members import pair_members as pair_members
    from ase_schnet.report.write import Report as Report
    from ase_schnet.report.write import write_report as write_report
    from ase_schnet.runs.drift import Drift as Drift
    from ase_schnet.runs.drift import drift as drift
    from ase_schnet.runs.exchange_log import ExchangeRecord as ExchangeRecord
    from ase_schnet.runs.failures import SimulationStopped as SimulationStopped
    from ase_schnet.runs.monitor import Monitor as Monitor
    from ase_schnet.runs.record import MDRecord as MDRecord
    from ase_schnet.sampling.plan import SamplingPlan as SamplingPlan
    from ase_schnet.sampling.run import sample_structures as sample_structures
    from ase_schnet.scan import ScanMap as ScanMap
    from ase_schnet.scan import ScanResult as ScanResult
    from ase_schnet.scan import scan_angle as scan_angle
    from ase_schnet.scan import scan_dihedral as scan_dihedral
    from ase_schnet.scan import scan_distance as scan_distance
    from ase_schnet.scan import scan_map as scan_map
    from ase_schnet.schnet_config import PRESETS as PRESETS
    from ase_schnet.schnet_config import SchNetConfig as SchNetConfig
    from ase_schnet.spectra import NormalModes as NormalModes
    from ase_schnet.spectra import Spectrum as Spectrum
    from ase_schnet.spectra import TrajectorySignals as TrajectorySignals
    from ase_schnet.spectra import ir_spectrum as ir_spectrum
    from ase_schnet.spectra import normal_modes as normal_modes
    from ase_schnet.spectra import raman_spectra as raman_spectra
    from ase_schnet.spectra import vibrational_density_of_states as vibrational_density_of_states
    from ase_schnet.training.crossval import assemble_ensemble as assemble_ensemble
    from ase_schnet.training.crossval import cross_validate as cross_validate
    from ase_schnet.training.fold import train_fold as train_fold
    from ase_schnet.training.hyperparameters import Hyperparameters as Hyperparameters
    from ase_schnet.training.loss_weights import LossWeights as LossWeights
    from ase_schnet.training.loss_weights import equivalent_loss_weights as equivalent_loss_weights
    from ase_schnet.training.recipe import Recipe as Recipe
    from ase_schnet.training.report import training_summary as training_summary
    from ase_schnet.training.settings import FitSettings as FitSettings
    from ase_schnet.tuning.result import TuneResult as TuneResult
    from ase_schnet.tuning.run import tune as tune
    from ase_schnet.tuning.settings import TuneSettings as TuneSettings
    from ase_schnet.tuning.space import SearchSpace as SearchSpace
    from ase_schnet.uncertainty.committee import calibrate_std as calibrate_std
    from ase_schnet.uncertainty.conformal import Intervals as Intervals
    from ase_schnet.uncertainty.conformal import fit_intervals as fit_intervals
    from ase_schnet.uncertainty.monte_carlo_dropout import dropout_samples as dropout_samples
    from ase_schnet.units import FileUnits as FileUnits

__version__ = "0.2.0"

_HOME = {
    "SchNetCalculator": "calculator",
    "DeltaCalculator": "delta_calculator",
    "Pretraining": "pretraining.settings",
    "pretrained": "pretraining.run",
    "EngineOptions": "inference.options",
    "OutsideTrainingWarning": "inference.training_watch",
    "uncertainty_of": "applicability.calculator_parts",
    "write_predictions": "predictions",
    "plot_atomic_energies": "plotting.atoms",
    "Dataset": "data.dataset",
    "read_dataset": "data.formats",
    "read_labelled": "data.formats",
    "FileUnits": "units",
    "equivalent_loss_weights": "training.loss_weights",
    "SchNetConfig": "schnet_config",
    "PRESETS": "schnet_config",
    "FitSettings": "training.settings",
    "LossWeights": "training.loss_weights",
    "Recipe": "training.recipe",
    "Hyperparameters": "training.hyperparameters",
    "cross_validate": "training.crossval",
    "train_fold": "training.fold",
    "assemble_ensemble": "training.crossval",
    "label_outliers": "data.outliers",
    "training_summary": "training.report",
    "plan_folds": "data.splits",
    "twins_of": "data.splits",
    "Augmentation": "augment.settings",
    "RandomMoves": "augment.moves",
    "Stretches": "augment.moves",
    "fit_springs": "augment.springs",
    "label_structures": "labelling.label",
    "LabelResult": "labelling.label",
    "Reference": "labelling.reference",
    "read_reference": "labelling.reference",
    "tune": "tuning.run",
    "TuneSettings": "tuning.settings",
    "TuneResult": "tuning.result",
    "SearchSpace": "tuning.space",
    "learn": "learning.learn",
    "extend_learning": "learning.learn",
    "LearnSettings": "learning.settings",
    "LearnResult": "learning.result",
    "load_model": "modelfile",
    "export_model": "export.save",
    "convert_model": "foreign.convert",
    "Conversion": "foreign.convert",
    "ConversionHints": "foreign.hints",
    "RotatePredictRotate": "dipole.rpr",
    "RPRSettings": "dipole.settings",
    "fit_rpr": "dipole.fit",
    "calibrate_std": "uncertainty.committee",
    "dropout_samples": "uncertainty.monte_carlo_dropout",
    "calibrate_intervals": "recalibration",
    "pair_members": "recalibration.paired_members",
    "fit_intervals": "uncertainty.conformal",
    "Intervals": "uncertainty.conformal",
    "run_nve": "dynamics.md",
    "run_replicas": "dynamics.replicas",
    "ExchangeRecord": "runs.exchange_log",
    "run_nvt": "dynamics.md",
    "run_npt": "dynamics.md",
    "run_lammps": "lammps.run",
    "spread": "propagation.spread",
    "Spread": "propagation.result",
    "MDRecord": "runs.record",
    "Monitor": "runs.monitor",
    "SimulationStopped": "runs.failures",
    "drift": "runs.drift",
    "check_nve": "dynamics.check",
    "Drift": "runs.drift",
    "write_report": "report.write",
    "Report": "report.write",
    "SamplingPlan": "sampling.plan",
    "sample_structures": "sampling.run",
    "scan_distance": "scan",
    "scan_angle": "scan",
    "scan_dihedral": "scan",
    "scan_map": "scan",
    "ScanResult": "scan",
    "ScanMap": "scan",
    "TrajectorySignals": "spectra",
    "Spectrum": "spectra",
    "ir_spectrum": "spectra",
    "raman_spectra": "spectra",
    "vibrational_density_of_states": "spectra",
    "normal_modes": "spectra",
    "NormalModes": "spectra",
}
__all__ = sorted(_HOME)

#: Old public name -> the one that it has now.
_RENAMED: dict[str, str] = {
    "assemble": "assemble_ensemble",
    "calibrate": "calibrate_std",
    "Motion": "TrajectorySignals",
    "summary": "training_summary",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"ase_schnet.{_HOME[name]}"), name)
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(
            f"ase_schnet.{name} is now named {new}; the old name will be removed in 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return __getattr__(new)
    raise AttributeError(f"module 'ase_schnet' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
