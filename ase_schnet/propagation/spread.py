"""One function: the spread of an observable over the members of an ensemble."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_schnet.arguments import positive
from ase_schnet.calculator import SchNetCalculator
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.propagation.cumulant import expanded_averages
from ase_schnet.propagation.frames import Frames, frames_of, require_energies, require_temperature
from ase_schnet.propagation.members import member_calculators, open_calculator
from ase_schnet.propagation.observables import density, volume
from ase_schnet.propagation.result import Spread, finite
from ase_schnet.runtime.progress import Tally
from ase_schnet.uncertainty.bars import LEVEL, student_quantile

#: Observables of frames that go by a name, with their units.
NAMED = {"potential_energy": "eV", "volume": "Å³", "density": "g/cm³"}


def spread(
    observable: Callable[..., ArrayLike] | str,
    model: str | Path | SchNetCalculator,
    *,
    frames: str | Path | Sequence[str | Path] | Sequence[Atoms] | None = None,
    temperature_K: float | None = None,
    skip_ps: float | None = None,
    of_members: bool = False,
    level: float = LEVEL,
    factor: float | None = None,
    progress: bool | None = None,
) -> Spread:
    """Return an observable with the error bar that the members of an ensemble give it.

    Without ``frames`` the ensemble and each member compute the observable. With the frames of runs at
    constant temperature it is averaged, and the averages of members' own runs follow from the cumulant
    expansion (G. Imbalzano et al., doi:10.1063/5.0036522). See docs/spread.md.

    Parameters
    ----------
    observable
        Without ``frames`` a function of a calculator. With them a function of a frame, or "potential_energy"
        (eV), "volume" (Å³), "density" (g/cm³). It returns a float or an array; the result has its unit.
    model
        The ensemble: name, model directory or calculator, which keeps its options.
    frames
        Directory of a run by this model, directories of several that differ by their seeds, or frames. The
        ensemble is evaluated again at each frame.
    temperature_K
        Temperature at which a list of frames was sampled, K; a run directory says it.
    skip_ps
        Time at the start of each run directory in ps that is left out. None: a tenth of the run.
    of_members
        The observable of a frame depends on the potential: each member is the calculator of the frame once.
    level
        Probability that the truth lies within ``value`` ± ``half_width``.
    factor
        How many times larger errors are than members' disagreement has them; None: what the model's card
        knows of it from the forces of kept-out frames, at least 1.
    progress
        Show a progress bar; None shows it on a terminal only.

    Raises
    ------
    ValueError
        The model has one member; the run is not at constant temperature, of another model or too short.
    """
    student_quantile(1, level)  # refuses a level before the work
    whole = open_calculator(model)
    known = {"level": level, "factor": _factor(factor, whole)}
    if frames is not None:
        run = frames_of(frames, whole, temperature_K, skip_ps)
        seen = _observe(observable, run.atoms, whole, of_members, progress)
        return _averaged(seen, run, known)
    if isinstance(observable, str):
        raise ValueError(f"{observable!r} is an average over a run: give its frames=")
    if of_members or temperature_K is not None or skip_ps is not None:
        raise ValueError("of_members, temperature_K and skip_ps are for frames=")
    value, *members = _calculate(observable, whole, progress)
    return Spread(value[()], np.array(members), **known)


def _factor(factor: float | None, whole: SchNetCalculator) -> float:
    return whole.trained.overconfidence if factor is None else positive("factor", factor)


def _averaged(seen: tuple, run: Frames, known: dict) -> Spread:
    """Return the spread of an average of what was seen at each frame, with level and factor as known."""
    value, members, replicas, sampling = expanded_averages(
        *seen, run.temperature_K, run.least_inefficiency
    )
    require_temperature(run, sampling.inefficiency)
    how = {"method": "cumulant", "sampling": sampling, "replicas": replicas}
    return Spread(value[()], members, **known, **how)


def _calculate(
    observable: Callable[[SchNetCalculator], ArrayLike],
    whole: SchNetCalculator,
    progress: bool | None,
) -> list[NDArray]:
    """Return the observable by the ensemble, and then by each member."""
    values = []
    with Tally(1 + whole.trained.n_members, "spread", "calculation", show=progress) as tally:
        values.append(finite(observable(whole)))
        tally.update()
        with warnings.catch_warnings():  # the ensemble has said it
            warnings.simplefilter("ignore", OutsideTrainingWarning)
            for member in member_calculators(whole):
                values.append(finite(observable(member)))
                tally.update()
    shapes = [value.shape for value in values]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"the observable has the shape {shapes[0]} of the ensemble and {shapes[1:]} of its members: it "
            "must return as many numbers for each"
        )
    return values


def _named(name: str) -> Callable[[Atoms], float] | None:
    """Return the observable of a name; None for the energy, which is evaluated anyhow."""
    known = {"potential_energy": None, "volume": volume, "density": density}
    if name not in known:
        raise ValueError(f"observable is a function or one of {', '.join(known)}, not {name!r}")
    return known[name]


def _observe(
    wanted: Callable[[Atoms], ArrayLike] | str,
    frames: Sequence[Atoms],
    whole: SchNetCalculator,
    of_members: bool,
    progress: bool | None,
) -> tuple[NDArray, NDArray | None, NDArray]:
    """Return the observable by the ensemble (T, ...) and by members (T, M, ...), and energies (T, M), eV."""
    observable = _named(wanted) if isinstance(wanted, str) else wanted
    energies, observed, by_members = [], [], []
    members = member_calculators(whole) if of_members and observable is not None else []
    with Tally(len(frames), "spread", "frame", show=progress) as tally:
        for frame in frames:
            ask = partial(_ask, observable, frame)
            energies.append(_energies(frame, whole))
            if observable is not None:
                observed.append(ask(whole))
                by_members.append([ask(member) for member in members])
            tally.update()
    energies = np.array(energies)
    require_energies(frames, energies.mean(axis=1))
    if observable is None:
        return energies.mean(axis=1), energies, energies
    return np.array(observed), np.array(by_members) if members else None, energies


def _energies(frame: Atoms, whole: SchNetCalculator) -> NDArray:
    atoms = frame.copy()
    atoms.calc = whole
    atoms.get_potential_energy()
    return np.array(whole.results["energy_committee"])


def _ask(observable: Callable[[Atoms], ArrayLike], frame: Atoms, calculator: SchNetCalculator):
    atoms = frame.copy()
    atoms.calc = calculator
    return finite(observable(atoms))
