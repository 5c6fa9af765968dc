"""A spectrum and its error."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.signal import find_peaks

from ase_schnet.runtime.files import write_csv

#: Bands with a height or prominence below this share of the highest intensity count as noise.
SMALLEST_BAND = 0.03
#: The energy counts as equally distributed if every vibration has k_B T within this factor.
SHARED_WITHIN = 1.5
#: A larger factor is not printed as a number, because it is dominated by noise.
LARGEST_SAID = 100.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Hold an intensity as a function of wavenumber: the mean of S runs.

    Attributes
    ----------
    kind
        "vdos", "ir", "raman-isotropic" or "raman-depolarised".
    wavenumber_cm
        Wavenumbers (K,), cm⁻¹, rising; finer than the resolution.
    samples
        Intensities of the runs, (S, K).
    weights
        Weights of the runs, (S,), proportional to their length; their sum is 1.
    unit
        Unit of the intensity. The unit of its integral over wavenumber is the same without "cm".
    temperature_K
        Mean kinetic temperature of the runs, K.
    resolution_cm
        Full width at half maximum of an infinitely sharp line, cm⁻¹.
    mode_energies
        Mean energies (M,) of the vibrations over all runs, in units of k_B T, rising; all 1 in equilibrium.
        None if they are unknown: for crystals and linear molecules, or with too few frames.
    equal_energy_gain
        Factor (K,) by which the intensity would change if every vibration had the energy k_B T, or None.
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
        """Return the mean intensity, (K,), in ``unit``."""
        return self.weights @ self.samples

    @property
    def n_runs(self) -> int:
        """Return the number of runs S."""
        return len(self.samples)

    @property
    def error(self) -> NDArray | None:
        """Return the standard error of the intensity, (K,); None for one run.

        It combines, in quadrature, the differences between the runs and the effect of unequal energies of
        their vibrations: a few runs may agree by chance, and runs that start from a relaxed structure all
        lack energy in the vibrations that receive it slowly.
        """
        return self._error(self.samples, self._unequal)

    def integral(self, low_cm: float = 0.0, high_cm: float = np.inf) -> tuple[float, float | None]:
        """Integrate the intensity between two wavenumbers; return the integral and its standard error.

        Parameters
        ----------
        low_cm, high_cm
            Limits, cm⁻¹.

        Returns
        -------
        tuple
            The integral, and its standard error, None for one run.

        Raises
        ------
        ValueError
            If there are fewer than two wavenumbers between the limits.
        """
        inside = (self.wavenumber_cm >= low_cm) & (self.wavenumber_cm <= high_cm)
        if inside.sum() < 2:
            raise ValueError(f"the spectrum has no points between {low_cm:g} and {high_cm:g} cm⁻¹")

        def area(values: NDArray) -> NDArray:
            return trapezoid(values[..., inside], self.wavenumber_cm[inside])

        areas = area(self.samples)  # (S,)
        error = self._error(areas, area(self._unequal))
        return float(self.weights @ areas), None if error is None else float(error)

    @property
    def energy_factor(self) -> float | None:
        """Return the largest factor between the energy of a vibration and k_B T; None if it is unknown.

        The intensity of the band of that vibration is wrong by the same factor.
        """
        if self.mode_energies is None:
            return None
        return float(max(self.mode_energies[-1], 1 / self.mode_energies[0]))

    @property
    def has_shared_energy(self) -> bool | None:
        """Return whether every vibration has k_B T within the factor SHARED_WITHIN; None if unknown."""
        return None if self.energy_factor is None else self.energy_factor <= SHARED_WITHIN

    @property
    def energy_factor_text(self) -> str:
        """Write ``energy_factor`` as text, such as "2.3", "47" or "more than 100"; "" if it is unknown."""
        factor = self.energy_factor
        if factor is None:
            return ""
        if factor > LARGEST_SAID:
            return f"more than {LARGEST_SAID:.0f}"
        return f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"

    def bands_cm(self) -> NDArray:
        """Find the wavenumbers of the maxima, (B,), cm⁻¹."""
        intensity = self.intensity
        least = SMALLEST_BAND * intensity.max()
        apart = max(1, int(self.resolution_cm / np.diff(self.wavenumber_cm).max()))
        return self.wavenumber_cm[
            find_peaks(intensity, height=least, prominence=least, distance=apart)[0]
        ]

    def write_csv(self, path: str | Path) -> None:
        """Write a csv file: wavenumber (cm⁻¹), intensity and its standard error in each line."""
        name = f"{self.kind} ({self.unit})"
        columns = {"wavenumber (cm⁻¹)": self.wavenumber_cm, name: self.intensity}
        write_csv(path, columns | {"standard error": self.error})

    @property
    def _unequal(self) -> NDArray:
        """Return what equal energies would add to the intensity, (K,); 0 if that is unknown."""
        if self.equal_energy_gain is None:
            return np.zeros_like(self.wavenumber_cm)
        return self.intensity * (self.equal_energy_gain - 1)

    def _error(self, samples: NDArray, unequal: NDArray) -> NDArray | None:
        """Return the error of the weighted mean of samples (S, ...), given what equal energies would add."""
        n = len(samples)
        if n < 2:
            return None
        deviation = samples - np.tensordot(self.weights, samples, 1)
        spread = np.tensordot(self.weights**2, deviation**2, 1)
        return np.sqrt(spread * n / (n - 1) + unequal**2)
