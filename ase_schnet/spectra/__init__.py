"""Vibrational spectra from the frames of runs, of any atoms with any calculator.

``trajectory_signals`` reads what a run saved, ``input_runs`` reads several, ``welch`` estimates power
spectra, ``ir_raman`` turns them into what a spectrometer measures, ``spectrum`` holds the result with its
error, ``equipartition`` measures how the energy is distributed over the vibrations, ``harmonic`` computes
normal modes to compare with, ``thermochemistry`` turns them into free energies, and ``measured_bands`` reads
a table of measured ones.
"""

from ase_schnet.deprecation import warn_of_old_name
from ase_schnet.spectra.harmonic import NormalModes, normal_modes
from ase_schnet.spectra.ir_raman import (
    ir_spectrum,
    raman_spectra,
    vibrational_density_of_states,
)
from ase_schnet.spectra.spectrum import Spectrum
from ase_schnet.spectra.thermochemistry import thermal_corrections
from ase_schnet.spectra.trajectory_signals import TrajectorySignals

__all__ = [
    "NormalModes",
    "Spectrum",
    "TrajectorySignals",
    "ir_spectrum",
    "normal_modes",
    "raman_spectra",
    "thermal_corrections",
    "vibrational_density_of_states",
]


def __getattr__(name: str) -> object:
    """Return a name of an earlier version, with a warning."""
    if name == "Motion":
        warn_of_old_name("Motion", "TrajectorySignals")
        return TrajectorySignals
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
