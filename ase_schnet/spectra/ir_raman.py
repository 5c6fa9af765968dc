r"""From the motion of a run to what a spectrometer measures.

Linear response gives the absorption cross section of a molecule (McQuarrie, Statistical Mechanics,
ch. 21; Gaussian units turned to SI, both senses of ω in the autocorrelation)

    σ(ω) = π ω (1 - exp(-βħω)) / (3 ε0 ħ c) · I(ω),    I(ω) = 1/2π ∫ exp(-iωt) <M(0)·M(t)> dt.

Dynamics yields the classical I. Its harmonic quantum correction βħω / (1 - exp(-βħω)) (Ramírez et al.,
J. Chem. Phys. 121, 3973 (2004)) turns the prefactor into the classical limit of it, and ω² M into dM/dt:

    σ(ω) = π β / (3 ε0 c) · I'(ω),    I' that of dM/dt.

With the one-sided power spectrum P of dM/dt over wavenumber ν (its integral is <|dM/dt|²>),
I' = P / 4πc, so that the integral of the molar N_A σ over ν is

    A = N_A β <|dM/dt|²> / (12 ε0 c²).

A normal mode Q has <|dM/dt|²> = |∂M/∂Q|² kT, and A is then the textbook N_A |∂M/∂Q|² / (12 ε0 c²) of the
double-harmonic approximation, the same for all temperatures, that ``ase.vibrations.Infrared`` gives.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.spectra.equipartition import sharing
from ase_schnet.spectra.spectrum import Spectrum
from ase_schnet.spectra.trajectory_signals import SPEED_OF_LIGHT, Motion, read_motions
from ase_schnet.spectra.welch import power_spectrum

#: Molar integrated absorption in km/mol of |∂M/∂Q|² = 1 e²/amu: N_A e² / (12 ε0 c² amu).
KM_PER_MOL = 1e-3 * units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu)
#: Polarizability volume in Å³ of 1 e²Å²/eV: e²/4πε0.
ANG3 = units._e * 1e10 / (4 * np.pi * units._eps0)
#: hc/k, K per cm⁻¹.
KELVIN_PER_CM = 100 * units._hplanck * units._c / units._k
#: Beyond this the time step is too coarse for its error in the wavenumber to be corrected.
LARGEST_PHASE = np.pi / 3


#: One run or several, each as its directory or as Motion.
Runs = Motion | str | Path | Iterable[Motion | str | Path]


def vibrational_density_of_states(
    motions: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
) -> Spectrum:
    """Power spectrum of the mass-weighted velocities, averaged over runs.

    In modes per cm⁻¹: its integral is the number of degrees of freedom, and that of a harmonic mode's
    band is 1.

    Parameters
    ----------
    motions
        One or more runs of the same atoms, with frames at the same intervals: their directories, or
        Motion. One run has no error: it does not know how slowly it shares its energy among vibrations.
    resolution_cm
        Full width at half maximum of a sharp line, cm⁻¹; 20 takes runs of 2.4 ps.
    highest_cm
        Highest wavenumber there is; frames too far apart for it are refused. By default 4000 cm⁻¹ with
        hydrogen, less without.

    The wavenumbers are those of the exact motion: a harmonic oscillator of frequency ω goes at
    2/Δt arcsin(ωΔt/2) ≈ ω (1 + (ωΔt)²/24) in velocity Verlet, 19 cm⁻¹ too fast at 3700 cm⁻¹ for
    0.5 fs. This is taken out where the time step is known.

    Raises
    ------
    ValueError
        If runs cannot be averaged, are too short for the resolution, or have frames too far apart.
    """
    motions = read_motions(motions)

    def signal(motion: Motion) -> NDArray:
        mass_weighted = motion.momenta / np.sqrt(motion.masses)[:, None]  # (T, N, 3) sqrt(eV)
        return mass_weighted.reshape(len(motion), -1)

    found = _spectrum("vdos", "cm", motions, signal, resolution_cm, highest_cm, derivative=False)
    n_dof = motions[0].n_degrees_of_freedom
    return _scaled(found, n_dof / found.integral()[0])


def ir_spectrum(
    motions: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
    quantum_correction: str = "harmonic",
) -> Spectrum:
    """Infrared absorption, from the autocorrelation of the dipole's derivative, averaged over runs.

    In km/mol per cm⁻¹: the integral over a band is its molar (napierian) intensity in km/mol. Times
    43.43 it is the decadic molar absorption coefficient in L/(mol cm). Derivation: see the module.

    Parameters
    ----------
    quantum_correction
        Of the classical autocorrelation. "harmonic" is exact for harmonic modes. "none" leaves the
        quantum-mechanical prefactor alone with it: absorption falls short by (1 - exp(-x))/x of
        x = hcν/kT, a factor of 18 at 3700 cm⁻¹ and 300 K.
    motions, resolution_cm, highest_cm
        As for :func:`vibrational_density_of_states`.

    Raises
    ------
    ValueError
        As there, and if a run has no dipoles.
    """
    if quantum_correction not in ("harmonic", "none"):
        raise ValueError(f'quantum_correction is "harmonic" or "none", not {quantum_correction!r}')
    motions = read_motions(motions)
    if any(motion.dipoles is None for motion in motions):
        raise ValueError(
            "the frames have no dipoles, their calculator had none: the density of states needs "
            "none (--kind vdos)"
        )
    found = _spectrum(
        "ir", "km/mol cm", motions, lambda m: m.dipoles, resolution_cm, highest_cm, derivative=True
    )
    factor = np.full_like(found.wavenumber_cm, KM_PER_MOL)
    if quantum_correction == "none":
        x = KELVIN_PER_CM * found.wavenumber_cm / found.temperature_K
        factor *= -np.expm1(-x) / np.where(x > 0, x, 1) + (x == 0)
    return _scaled(found, factor)


def raman_spectra(
    motions: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
) -> tuple[Spectrum, Spectrum]:
    """Isotropic and depolarised Raman activity, from the derivative of the polarizability.

    In Å⁴/amu per cm⁻¹: the integrals over a band are 45 a'² and 3 γ'², with a the mean polarizability, γ
    its anisotropy and ' the derivative along the normal mode (Wilson, Decius & Cross, Molecular Vibrations,
    ch. 3). The latter is what is scattered with polarisation perpendicular to the laser's; parallel is
    isotropic + 4/3 depolarised. Measured intensities also have the factor
    (ν0 - ν)⁴ / (ν (1 - exp(-hcν/kT))), ν0 the laser's wavenumber.

    Parameters and errors as of :func:`ir_spectrum`.
    """
    motions = read_motions(motions)
    if any(motion.polarizabilities is None for motion in motions):
        raise ValueError('the frames have no polarizabilities, (3, 3) in info["polarizability"]')

    def isotropic(motion: Motion) -> NDArray:
        return np.trace(motion.polarizabilities, axis1=1, axis2=2)[:, None] / 3  # (T, 1)

    def anisotropic(motion: Motion) -> NDArray:
        rest = motion.polarizabilities - isotropic(motion)[:, :, None] * np.eye(3)  # (T, 3, 3)
        return np.sqrt(1.5) * rest.reshape(len(motion), 9)  # its square is γ²

    found = []
    for name, signal, factor in (("isotropic", isotropic, 45), ("depolarised", anisotropic, 3)):
        kind, unit, widths = f"raman-{name}", "Å⁴/amu cm", (resolution_cm, highest_cm)
        spectrum = _spectrum(kind, unit, motions, signal, *widths, derivative=True)
        found.append(_scaled(spectrum, factor * ANG3**2))
    return found[0], found[1]


def _spectrum(
    kind: str,
    unit: str,
    motions: Sequence[Motion],
    signal: Callable[[Motion], NDArray],
    resolution_cm: float,
    highest_cm: float | None,
    *,
    derivative: bool,
) -> Spectrum:
    """Power spectrum over kT of a signal (T, C), or of its derivative."""
    _check_alike(motions)
    _check_different(motions)
    motions[0].check_resolves(highest_cm)
    interval_fs = motions[0].interval_fs
    signals = []
    for motion in motions:
        values = signal(motion) / np.sqrt(units.kB * motion.temperature_K)
        if derivative:  # differences take out what is constant, which a window would leak
            values = np.diff(values, axis=0) / (interval_fs * units.fs)
        signals.append(values)
    estimate = power_spectrum(signals, interval_fs, resolution_cm)
    wavenumber, samples = estimate.wavenumber_cm, estimate.samples
    if derivative:  # a difference over Δ is the derivative times sin(ωΔ/2) / (ωΔ/2)
        samples = samples / np.sinc(SPEED_OF_LIGHT * wavenumber * interval_fs) ** 2
    shared = sharing(motions, interval_fs, resolution_cm)
    timestep_fs = motions[0].timestep_fs
    if timestep_fs is not None:
        wavenumber, samples = _exact(wavenumber, samples, timestep_fs)
    return Spectrum(
        kind=kind,
        wavenumber_cm=wavenumber,
        samples=samples,
        weights=estimate.weights,
        unit=unit,
        temperature_K=float(np.mean([motion.temperature_K for motion in motions])),
        resolution_cm=resolution_cm,
        mode_energies=None if shared is None else shared.energies,
        equal_energy_gain=None if shared is None else shared.gain[: len(wavenumber)],
    )


def _exact(wavenumber: NDArray, samples: NDArray, timestep_fs: float) -> tuple[NDArray, NDArray]:
    """Undo velocity Verlet's shift: sin of half the phase per step is ωΔt/2 of the exact motion."""
    half_phase = np.pi * SPEED_OF_LIGHT * timestep_fs * wavenumber
    keep = half_phase < LARGEST_PHASE
    half_phase = half_phase[keep]
    exact = np.sin(half_phase) / (np.pi * SPEED_OF_LIGHT * timestep_fs)
    return exact, samples[:, keep] / np.cos(half_phase)  # integrals stay as they are


def _check_alike(motions: Sequence[Motion]) -> None:
    if not motions:
        raise ValueError("there are no runs to make a spectrum of")
    first = motions[0]
    for motion in motions[1:]:
        if not np.array_equal(motion.masses, first.masses):
            raise ValueError("the runs are of different atoms: their spectra cannot be averaged")
        for name in ("interval_fs", "timestep_fs", "n_degrees_of_freedom"):
            mine, its = getattr(first, name), getattr(motion, name)
            if mine != its:
                raise ValueError(
                    f"the runs cannot be averaged: {name} is {mine} in one and {its} in another"
                )


def _check_different(motions: Sequence[Motion]) -> None:
    """The same run twice has an error of nothing; ValueError."""
    seen: dict[bytes, int] = {}
    for k, motion in enumerate(motions):
        first = seen.setdefault(motion.momenta[-1].tobytes(), k)
        if first != k:
            raise ValueError(
                f"runs {first + 1} and {k + 1} are the same: run again with another seed= (--seed)"
            )


def _scaled(spectrum: Spectrum, factor: float | NDArray) -> Spectrum:
    return replace(spectrum, samples=spectrum.samples * factor)
