"""A spectrum with its error."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.signal import find_peaks

from ase_schnet.simulation.tables import write_csv

#: Bands lower than this share of the highest, or less than this above their surroundings, are noise.
SMALLEST_BAND = 0.03


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Intensity over wavenumber: the mean of S independent samples.

    Attributes
    ----------
    kind : "vdos", "ir", "raman-isotropic" or "raman-depolarised"
    wavenumber_cm : (K,) array
        cm⁻¹, rising; finer than the resolution.
    samples : (S, K) array
        Intensities of the runs, or of blocks of one or few runs.
    weights : (S,) array
        Of the samples, by their length; they sum to 1.
    variance_factor
        By which the correlation of neighbouring samples raises the variance of their mean.
    unit
        Of the intensity; its integral over wavenumber has the same without "cm".
    temperature_K
        Mean kinetic temperature of the runs.
    resolution_cm
        Full width at half maximum of an infinitely sharp line.
    n_runs
        That were averaged.
    """

    kind: str
    wavenumber_cm: NDArray
    samples: NDArray
    weights: NDArray
    variance_factor: float
    unit: str
    temperature_K: float
    resolution_cm: float
    n_runs: int

    @property
    def intensity(self) -> NDArray:
        """Mean intensity, (K,)."""
        return self.weights @ self.samples

    @property
    def error(self) -> NDArray | None:
        """Standard error of the intensity, (K,); None for a single sample."""
        return self._standard_error(self.samples)

    def integral(self, low_cm: float = 0.0, high_cm: float = np.inf) -> tuple[float, float | None]:
        """Integrated intensity between two wavenumbers and its standard error."""
        inside = (self.wavenumber_cm >= low_cm) & (self.wavenumber_cm <= high_cm)
        if inside.sum() < 2:
            raise ValueError(f"the spectrum has nothing between {low_cm:g} and {high_cm:g} cm⁻¹")
        areas = trapezoid(self.samples[:, inside], self.wavenumber_cm[inside])  # (S,)
        error = self._standard_error(areas)
        return float(self.weights @ areas), None if error is None else float(error)

    def bands_cm(self) -> NDArray:
        """Wavenumbers of the maxima, (B,)."""
        intensity = self.intensity
        least = SMALLEST_BAND * intensity.max()
        apart = max(1, int(self.resolution_cm / np.diff(self.wavenumber_cm).max()))
        return self.wavenumber_cm[
            find_peaks(intensity, height=least, prominence=least, distance=apart)[0]
        ]

    def write_csv(self, path: str | Path) -> None:
        """Write wavenumber, intensity and its standard error, one line per wavenumber."""
        name = f"{self.kind} ({self.unit})"
        columns = {"wavenumber (cm⁻¹)": self.wavenumber_cm, name: self.intensity}
        write_csv(path, columns | {"standard error": self.error})

    def _standard_error(self, samples: NDArray) -> NDArray | None:
        """Of the weighted mean of samples (S, ...)."""
        n = len(samples)
        if n < 2:
            return None
        deviation = samples - np.tensordot(self.weights, samples, 1)
        spread = np.tensordot(self.weights**2, deviation**2, 1)
        return np.sqrt(self.variance_factor * spread * n / (n - 1))
