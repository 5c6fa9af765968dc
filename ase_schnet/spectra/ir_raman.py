r"""Compute what a spectrometer measures from the signals of runs: infrared, Raman, density of states.

Linear response theory gives the absorption cross section of a molecule (McQuarrie, Statistical Mechanics,
ch. 21; converted from Gaussian to SI units, with positive and negative ω in the autocorrelation)

    σ(ω) = π ω (1 - exp(-βħω)) / (3 ε0 ħ c) · I(ω),    I(ω) = 1/2π ∫ exp(-iωt) <M(0)·M(t)> dt.

Dynamics yields the classical I. Its harmonic quantum correction βħω / (1 - exp(-βħω)) (Ramírez et al.,
J. Chem. Phys. 121, 3973 (2004), doi:10.1063/1.1774986) turns the prefactor into its classical limit,
which has a factor ω². Because ω² I(ω) = I'(ω), the same integral of dM/dt, the result is

    σ(ω) = π β / (3 ε0 c) · I'(ω).

Let P be the one-sided power spectrum of dM/dt over wavenumber ν; its integral is <|dM/dt|²>. Then
I' = P / 4πc, and the integral of the molar cross section N_A σ over ν is

    A = N_A β <|dM/dt|²> / (12 ε0 c²).

A normal mode Q has <|dM/dt|²> = |∂M/∂Q|² kT. Then A = N_A |∂M/∂Q|² / (12 ε0 c²) at all temperatures: the
result of the double-harmonic approximation, which ``ase.vibrations.Infrared`` computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.spectra.equipartition import mode_energies
from ase_schnet.spectra.input_runs import (
    Runs,
    accept_old_name,
    check_alike,
    check_different,
    read_runs,
)
from ase_schnet.spectra.spectrum import Spectrum
from ase_schnet.spectra.trajectory_signals import SPEED_OF_LIGHT, TrajectorySignals
from ase_schnet.spectra.welch import power_spectrum

#: Molar integrated absorption in km/mol of |∂M/∂Q|² = 1 e²/amu: N_A e² / (12 ε0 c² amu).
KM_PER_MOL = 1e-3 * units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu)
#: Polarizability volume of 1 e²Å²/eV, Å³: e²/4πε0.
ANG3 = units._e * 1e10 / (4 * np.pi * units._eps0)
#: hc/k, K per cm⁻¹.
KELVIN_PER_CM = 100 * units._hplanck * units._c / units._k
#: Largest half phase per time step for which the error in the wavenumber is corrected, rad.
LARGEST_PHASE = np.pi / 3


@accept_old_name
def vibrational_density_of_states(
    runs: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
) -> Spectrum:
    """Compute the vibrational density of states, in modes per cm⁻¹, averaged over runs.

    It is the power spectrum of the mass-weighted velocities. Its integral is the number of degrees of
    freedom, and the band of a harmonic mode has the integral 1.

    Parameters
    ----------
    runs
        One or more runs of the same atoms, with frames at the same intervals: their directories, or
        TrajectorySignals. One run gives no error, because it does not show how slowly energy is distributed
        over the vibrations.
    resolution_cm
        Full width at half maximum of a sharp line, cm⁻¹; 20 needs runs of 2.4 ps.
    highest_cm
        Highest wavenumber of the vibrations, cm⁻¹; frames too far apart for it are refused. By default
        4000 cm⁻¹ with hydrogen (4500 of two atoms), less without.

    Returns
    -------
    Spectrum
        The density of states, with the error of the mean over the runs.

    Raises
    ------
    ValueError
        If runs cannot be averaged, are too short for the resolution, or have frames too far apart.

    Notes
    -----
    In velocity Verlet a harmonic oscillator of frequency ω has the frequency 2/Δt arcsin(ωΔt/2) ≈
    ω (1 + (ωΔt)²/24), which is 19 cm⁻¹ too high at 3700 cm⁻¹ and 0.5 fs. The wavenumbers are corrected for
    this if the time step is known.
    """
    runs = read_runs(runs)

    def signal(run: TrajectorySignals) -> NDArray:
        mass_weighted = run.momenta / np.sqrt(run.masses)[:, None]  # (T, N, 3) sqrt(eV)
        return mass_weighted.reshape(len(run), -1)

    found = _spectrum("vdos", "cm", runs, signal, resolution_cm, highest_cm, derivative=False)
    n_dof = runs[0].n_degrees_of_freedom
    return _scaled(found, n_dof / found.integral()[0])


@accept_old_name
def ir_spectrum(
    runs: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
    quantum_correction: str = "harmonic",
) -> Spectrum:
    """Compute the infrared absorption, in km/mol per cm⁻¹, averaged over runs.

    It follows from the autocorrelation of the time derivative of the dipole; the derivation stands at the top
    of this module. The integral over a band is its molar (Napierian) intensity in km/mol. The spectrum times
    43.43 is the decadic molar absorption coefficient in L/(mol cm).

    Parameters
    ----------
    runs, resolution_cm, highest_cm
        As for :func:`vibrational_density_of_states`.
    quantum_correction
        Quantum correction of the classical autocorrelation. "harmonic" is exact for harmonic modes. "none"
        combines the classical autocorrelation with the quantum-mechanical prefactor: the absorption is then
        too small by a factor of (1 - exp(-x))/x with x = hcν/kT, for example 1/18 at 3700 cm⁻¹ and 300 K.

    Returns
    -------
    Spectrum
        The absorption, with the error of the mean over the runs.

    Raises
    ------
    ValueError
        As for :func:`vibrational_density_of_states`, and if a run has no dipoles.
    """
    if quantum_correction not in ("harmonic", "none"):
        raise ValueError(f'quantum_correction is "harmonic" or "none", not {quantum_correction!r}')
    runs = read_runs(runs)
    if any(run.dipoles is None for run in runs):
        raise ValueError(
            "the frames have no dipoles, because their calculator has none; the density of states needs none "
            "(--kind vdos)"
        )
    found = _spectrum(
        "ir", "km/mol cm", runs, lambda m: m.dipoles, resolution_cm, highest_cm, derivative=True
    )
    factor = np.full_like(found.wavenumber_cm, KM_PER_MOL)
    if quantum_correction == "none":
        x = KELVIN_PER_CM * found.wavenumber_cm / found.temperature_K
        factor *= -np.expm1(-x) / np.where(x > 0, x, 1) + (x == 0)
    return _scaled(found, factor)


@accept_old_name
def raman_spectra(
    runs: Runs,
    *,
    resolution_cm: float = 20.0,
    highest_cm: float | None = None,
) -> tuple[Spectrum, Spectrum]:
    """Compute the isotropic and depolarised Raman activity, in Å⁴/amu per cm⁻¹, averaged over runs.

    They follow from the autocorrelation of the time derivative of the polarizability. The integrals over a
    band are 45 a'² and 3 γ'², where a is the mean polarizability, γ its anisotropy, and ' the derivative
    along the normal mode (Wilson, Decius & Cross, Molecular Vibrations, ch. 3). Light with polarisation
    perpendicular to that of the laser is the depolarised part; parallel light is isotropic + 4/3
    depolarised. Measured intensities have the additional factor (ν0 - ν)⁴ / (ν (1 - exp(-hcν/kT))), where
    ν0 is the wavenumber of the laser.

    Parameters
    ----------
    runs, resolution_cm, highest_cm
        As for :func:`vibrational_density_of_states`.

    Returns
    -------
    tuple of two Spectrum
        The isotropic and the depolarised activity.

    Raises
    ------
    ValueError
        As for :func:`vibrational_density_of_states`, and if a run has no polarizabilities.
    """
    runs = read_runs(runs)
    if any(run.polarizabilities is None for run in runs):
        raise ValueError('the frames have no polarizabilities, (3, 3) in info["polarizability"]')

    def isotropic(run: TrajectorySignals) -> NDArray:
        return np.trace(run.polarizabilities, axis1=1, axis2=2)[:, None] / 3  # (T, 1)

    def anisotropic(run: TrajectorySignals) -> NDArray:
        rest = run.polarizabilities - isotropic(run)[:, :, None] * np.eye(3)  # (T, 3, 3)
        return np.sqrt(1.5) * rest.reshape(len(run), 9)  # its square is γ²

    found = []
    for name, signal, factor in (("isotropic", isotropic, 45), ("depolarised", anisotropic, 3)):
        kind, unit, widths = f"raman-{name}", "Å⁴/amu cm", (resolution_cm, highest_cm)
        spectrum = _spectrum(kind, unit, runs, signal, *widths, derivative=True)
        found.append(_scaled(spectrum, factor * ANG3**2))
    return found[0], found[1]


def _spectrum(
    kind: str,
    unit: str,
    runs: Sequence[TrajectorySignals],
    signal: Callable[[TrajectorySignals], NDArray],
    resolution_cm: float,
    highest_cm: float | None,
    *,
    derivative: bool,
) -> Spectrum:
    """Compute the power spectrum over kT of a signal (T, C), or of its time derivative."""
    check_alike(runs)
    check_different(runs)
    runs[0].check_resolves(highest_cm)
    interval_fs = runs[0].interval_fs
    signals = []
    for run in runs:
        values = signal(run) / np.sqrt(units.kB * run.temperature_K)
        if derivative:  # differences remove constants, which would leak through the window
            values = np.diff(values, axis=0) / (interval_fs * units.fs)
        signals.append(values)
    estimate = power_spectrum(signals, interval_fs, resolution_cm)
    wavenumber, samples = estimate.wavenumber_cm, estimate.samples
    if derivative:  # a difference over Δ is the derivative times sin(ωΔ/2) / (ωΔ/2)
        samples = samples / np.sinc(SPEED_OF_LIGHT * wavenumber * interval_fs) ** 2
    energies = mode_energies(runs, interval_fs, resolution_cm)
    timestep_fs = runs[0].timestep_fs
    if timestep_fs is not None:
        wavenumber, samples = _exact(wavenumber, samples, timestep_fs)
    return Spectrum(
        kind=kind,
        wavenumber_cm=wavenumber,
        samples=samples,
        weights=estimate.weights,
        unit=unit,
        temperature_K=float(np.mean([run.temperature_K for run in runs])),
        resolution_cm=resolution_cm,
        mode_energies=None if energies is None else energies.energies,
        equal_energy_gain=None if energies is None else energies.gain[: len(wavenumber)],
    )


def _exact(wavenumber: NDArray, samples: NDArray, timestep_fs: float) -> tuple[NDArray, NDArray]:
    """Correct wavenumbers for velocity Verlet: sin(half the phase per step) is ωΔt/2 of the exact motion."""
    half_phase = np.pi * SPEED_OF_LIGHT * timestep_fs * wavenumber
    keep = half_phase < LARGEST_PHASE
    half_phase = half_phase[keep]
    exact = np.sin(half_phase) / (np.pi * SPEED_OF_LIGHT * timestep_fs)
    return exact, samples[:, keep] / np.cos(half_phase)  # integrals do not change


def _scaled(spectrum: Spectrum, factor: float | NDArray) -> Spectrum:
    """Multiply the intensities by a factor, () or (K,)."""
    return replace(spectrum, samples=spectrum.samples * factor)
