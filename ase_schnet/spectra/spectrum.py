"""A spectrum with its error."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.signal import find_peaks

from ase_schnet.files import write_csv

#: Bands lower than this share of the highest, or less than this above their surroundings, are noise.
SMALLEST_BAND = 0.03
#: Runs whose vibrations all have k_B T within this factor have shared their energy.
SHARED_WITHIN = 1.5
#: A larger factor is not said as a number: noise decides which it is.
LARGEST_SAID = 100.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Intensity over wavenumber: the mean of S runs.

    Attributes
    ----------
    kind : "vdos", "ir", "raman-isotropic" or "raman-depolarised"
    wavenumber_cm : (K,) array
        cm⁻¹, rising; finer than the resolution.
    samples : (S, K) array
        Intensities of the runs.
    weights : (S,) array
        Of the runs, by their length; they sum to 1.
    unit
        Of the intensity; its integral over wavenumber has the same without "cm".
    temperature_K
        Mean kinetic temperature of the runs.
    resolution_cm
        Full width at half maximum of an infinitely sharp line.
    mode_energies : (M,) array or None
        Mean energy of each vibration in the runs together over k_B T, rising: all 1 in equilibrium. None
        where it is unknown: of crystals, or too few frames.
    equal_energy_gain : (K,) array or None
        By what factor the intensity would change if every vibration had the energy k_B T.
    """

    kind: str
    wavenumber_cm: NDArray
    samples: NDArray
    weights: NDArray
    unit: str
    temperature_K: float
    resolution_cm: float
    mode_energies: NDArray | None = None
    equal_energy_gain: NDArray | None = None

    @property
    def intensity(self) -> NDArray:
        """Mean intensity, (K,)."""
        return self.weights @ self.samples

    @property
    def n_runs(self) -> int:
        """S."""
        return len(self.samples)

    @property
    def error(self) -> NDArray | None:
        """Standard error of the intensity, (K,); None for one run.

        That between runs, and in quadrature what the unequal energies of their vibrations do: few runs may
        agree by chance, and all that start from a relaxed structure lack energy where it comes slowly.
        """
        return self._error(self.samples, self._unequal)

    def integral(self, low_cm: float = 0.0, high_cm: float = np.inf) -> tuple[float, float | None]:
        """Integrated intensity between two wavenumbers and its standard error."""
        inside = (self.wavenumber_cm >= low_cm) & (self.wavenumber_cm <= high_cm)
        if inside.sum() < 2:
            raise ValueError(f"the spectrum has nothing between {low_cm:g} and {high_cm:g} cm⁻¹")

        def area(values: NDArray) -> NDArray:
            return trapezoid(values[..., inside], self.wavenumber_cm[inside])

        areas = area(self.samples)  # (S,)
        error = self._error(areas, area(self._unequal))
        return float(self.weights @ areas), None if error is None else float(error)

    @property
    def energy_factor(self) -> float | None:
        """How far the energy of a vibration is from k_B T at most, and with it the intensity of its band.

        None where the energies are unknown.
        """
        if self.mode_energies is None:
            return None
        return float(max(self.mode_energies[-1], 1 / self.mode_energies[0]))

    @property
    def has_shared_energy(self) -> bool | None:
        """Whether every vibration had k_B T within SHARED_WITHIN; None where that is unknown."""
        return None if self.energy_factor is None else self.energy_factor <= SHARED_WITHIN

    @property
    def energy_factor_text(self) -> str:
        """The same for people, such as "2.3", "47" or "more than 100"; "" where it is unknown."""
        factor = self.energy_factor
        if factor is None:
            return ""
        if factor > LARGEST_SAID:
            return f"more than {LARGEST_SAID:.0f}"
        return f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"

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

    @property
    def _unequal(self) -> NDArray:
        """What equal energies would add to the intensity, (K,), as far as that is known."""
        if self.equal_energy_gain is None:
            return np.zeros_like(self.wavenumber_cm)
        return self.intensity * (self.equal_energy_gain - 1)

    def _error(self, samples: NDArray, unequal: NDArray) -> NDArray | None:
        """Of the weighted mean of samples (S, ...), to which equal energies would add `unequal` (...)."""
        n = len(samples)
        if n < 2:
            return None
        deviation = samples - np.tensordot(self.weights, samples, 1)
        spread = np.tensordot(self.weights**2, deviation**2, 1)
        return np.sqrt(spread * n / (n - 1) + unequal**2)
