"""Keep the old paths of ``runs``, ``dynamics``, ``scan`` and ``spectra`` until version 0.3."""

from ase_schnet.deprecation import keep_importable

keep_importable(
    __name__,
    {
        "md": "dynamics.md",
        "integrators": "dynamics.integrators",
        "thermostats": "dynamics.thermostats",
        "velocities": "dynamics.velocities",
        "propagate": "runs.failures",
        "record": "runs.record",
        "rundir": "runs.rundir",
        "monitor": "runs.monitor",
        "collected": "runs.collected",
        "drift": "runs.drift",
        "verdict": "runs.verdict",
        "structure_watch": "applicability.structure_watch",
        "distances": "applicability.distances",
        "calculator_parts": "applicability.calculator_parts",
        "scan": "scan",
        "scan.coordinate": "scan.coordinate",
        "scan.reference": "scan.reference",
        "scan.relax": "scan.relax",
        "scan.curve": "scan.scan_1d",
        "scan.surface": "scan.scan_2d",
        "spectra": "spectra",
        "spectra.bands": "spectra.measured_bands",
        "spectra.motion": "spectra.trajectory_signals",
        "spectra.estimate": "spectra.welch",
        "spectra.response": "spectra.ir_raman",
        "spectra.harmonic": "spectra.harmonic",
        "spectra.spectrum": "spectra.spectrum",
    },
)
