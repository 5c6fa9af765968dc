"""Vibrational spectra from the frames of runs, of any atoms with any calculator.

``motion`` reads what a run saved, ``estimate`` makes power spectra with an error of it, ``spectrum`` holds
one, ``response`` turns them into what a spectrometer measures, ``harmonic`` is the harmonic answer to
compare with.
"""

from ase_schnet.spectra.harmonic import NormalModes, normal_modes
from ase_schnet.spectra.ir_raman import (
    ir_spectrum,
    raman_spectra,
    vibrational_density_of_states,
)
from ase_schnet.spectra.spectrum import Spectrum
from ase_schnet.spectra.trajectory_signals import Motion

__all__ = [
    "Motion",
    "NormalModes",
    "Spectrum",
    "ir_spectrum",
    "normal_modes",
    "raman_spectra",
    "vibrational_density_of_states",
]
