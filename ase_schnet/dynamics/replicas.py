"""Run many trajectories of one structure side by side: other seeds, other temperatures.

Each is the run that ``run_nve``, ``run_nvt`` or ``run_npt`` would make of it alone, to the last bit, in a run
directory of its own. Who moves which of them when is in ``turns.py``.
"""

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms

from ase_schnet.arguments import whole
from ase_schnet.dynamics.arguments import START_TEMPERATURE_K, warn_of_coarse_steps
from ase_schnet.dynamics.exchange import Exchange
from ase_schnet.dynamics.plans import PLANS, Plan
from ase_schnet.dynamics.start import begun, check
from ase_schnet.dynamics.turns import move_all
from ase_schnet.runs.identity import require_no_run
from ase_schnet.runs.options import RunKeywords, RunOptions, refuse_unknown, takes
from ase_schnet.runs.record import REPLICA_PREFIX, MDRecord
from ase_schnet.runtime.cores import allowed_threads


@takes(RunOptions)
def run_replicas(
    atoms: Atoms | Sequence[Atoms],
    replicas: int | None = None,
    *,
    ensemble: str = "nve",
    temperature_K: float | Sequence[float] | None = START_TEMPERATURE_K,
    physics: dict[str, Any] | None = None,
    exchange_every: int | None = None,
    threads: int | None = None,
    **options: Unpack[RunKeywords],
) -> list[MDRecord]:
    """Run independent replicas of a structure at once, and return the record of each.

    A replica that fails or is stopped does not stop the others; the ``failure`` of its record says why.
    ``atoms`` are left as they are.

    Parameters
    ----------
    atoms
        With a :class:`~ase_schnet.calculator.SchNetCalculator` on the CPU; or a structure for each replica,
        all of the same atoms, the first with the calculator.
    replicas
        Number of replicas; None: that of the structures or of the temperatures.
    ensemble
        "nve", "nvt" or "npt".
    temperature_K
        One for all, or one for each.
    physics
        What else :func:`~ase_schnet.dynamics.md.run_nvt` and its like take of the ensemble, for example
        ``{"thermostat": "langevin"}``.
    exchange_every
        Steps between attempts to exchange the structures of neighbours in ``temperature_K``, which must
        rise: see :class:`~ase_schnet.dynamics.exchange.Exchange`. None: they are independent.
    threads
        None: ``OMP_NUM_THREADS`` where it is set, else one per core.
    **options
        Fields of :class:`~ase_schnet.runs.options.RunOptions`. Replica k has ``seed + k``, and its files are
        in ``run_dir/replica_00k``.

    Raises
    ------
    ValueError
        For arguments that make no runs, before any of them begins.
    OSError
        If a directory cannot be written; all can be resumed.
    """
    _refuse_unknown(ensemble, options)
    starts = _starts(atoms, replicas, temperature_K)
    plans = _plans(ensemble, temperature_K, physics or {}, len(starts))
    asked = RunOptions(**options)
    for start, plan in zip(starts, plans, strict=True):
        check(start, plan)
    warn_of_coarse_steps(starts[0], asked.timestep_fs, stacklevel=3)
    threads = allowed_threads(None if threads is None else whole("threads", threads, 1))
    exchange = None
    if exchange_every is not None:
        exchange = Exchange(starts, plans, exchange_every, asked)
    return _run(starts, plans, asked, exchange, threads)


def _run(
    starts: list[Atoms],
    plans: list[Plan],
    asked: RunOptions,
    exchange: Exchange | None,
    threads: int,
) -> list[MDRecord]:
    if asked.run_dir is not None:
        require_no_run(Path(asked.run_dir))
    if exchange is not None:  # no run goes on without it: kept in each run.json
        every = {"exchange_every": exchange.every}
        plans = [plan._replace(physics=plan.physics | every) for plan in plans]
    own = [_own_options(asked, k) for k in range(len(starts))]
    states = [None] * len(starts) if exchange is None else exchange.states
    with ExitStack() as opened:
        runs = [
            opened.enter_context(begun(start, plan, options, state))
            for start, plan, options, state in zip(starts, plans, own, states, strict=True)
        ]
        if exchange is not None:
            opened.enter_context(exchange.among(runs))
        return move_all(runs, exchange, threads, asked)


def _starts(atoms: Atoms | Sequence[Atoms], replicas: int | None, temperature_K) -> list[Atoms]:
    """Return a structure for each replica, with a calculator of its own."""
    given = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    for one in given:
        if not isinstance(one, Atoms):
            raise ValueError(
                f"replicas start from structures (ase.Atoms), not {type(one).__name__}"
            )
    if not given:
        raise ValueError("there are no structures to start replicas from")
    counts = {} if replicas is None else {"replicas": whole("replicas", replicas, 1)}
    if len(given) > 1:
        counts["structures"] = len(given)
    if np.ndim(temperature_K):
        counts["temperatures"] = len(_temperatures(temperature_K))
    if not counts:
        raise ValueError("say how many replicas: replicas=16")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise ValueError(f"one number of replicas is needed, got {said}")
    number = next(iter(counts.values()))
    given = given * number if len(given) == 1 else given
    calculator = given[0].calc
    sibling = getattr(calculator, "sibling", None)
    if calculator is not None and sibling is None:
        raise ValueError(
            f"{type(calculator).__name__} cannot be shared by replicas: they need a SchNetCalculator; run "
            "others one after the other"
        )
    starts = [one.copy() for one in given]
    for k, start in enumerate(starts):
        if not np.array_equal(start.numbers, starts[0].numbers):
            raise ValueError(f"structure {k} has other atoms than the first: replicas are of one")
        start.calc = None if sibling is None else sibling()
    return starts


def _refuse_unknown(ensemble: str, options: dict) -> None:
    """Raise TypeError for what is no option of a run, such as a setting of the ensemble."""
    known = inspect.signature(PLANS[ensemble]).parameters if ensemble in PLANS else ()
    for name in options:
        if name in known:
            raise TypeError(
                f"run_replicas() takes {name} of ensemble {ensemble!r} in physics: "
                f"physics={{{name!r}: {options[name]!r}}}"
            )
    refuse_unknown("run_replicas", options, RunOptions)


def _temperatures(given: Sequence[float]) -> list[float]:
    """Return one temperature for each replica; ValueError unless they are numbers, one or more."""
    kelvin = np.asarray(given)
    if kelvin.ndim != 1 or not len(kelvin) or kelvin.dtype.kind not in "iuf":
        raise ValueError(f"temperature_K must be a number, or one for each replica, not {given!r}")
    return [float(one) for one in kelvin]


def _plans(ensemble: str, temperature_K, physics: dict[str, Any], number: int) -> list[Plan]:
    if ensemble not in PLANS:
        raise ValueError(f"no ensemble {ensemble!r}: choose one of {', '.join(PLANS)}")
    takes_ = [n for n in inspect.signature(PLANS[ensemble]).parameters if n != "temperature_K"]
    for name in physics:
        if name not in takes_:
            raise ValueError(
                f"physics of ensemble {ensemble!r} has no {name}: it takes {', '.join(takes_)}"
            )
    listed = np.ndim(temperature_K) > 0
    each = _temperatures(temperature_K) if listed else [temperature_K] * number
    if ensemble == "nve" and physics.get("keep_momenta") and number > 1:
        raise ValueError(
            "replicas that keep their momenta at constant energy would all be one run: leave keep_momenta out"
        )
    return [PLANS[ensemble](temperature_K=one, **physics) for one in each]


def _own_options(options: RunOptions, k: int) -> RunOptions:
    """Return the options of replica ``k``: its seed, its directory, its monitor."""
    directory = None
    if options.run_dir is not None:
        directory = Path(options.run_dir) / f"{REPLICA_PREFIX}{k:03d}"
    return replace(options, seed=options.seed + k, run_dir=directory, monitor=copy(options.monitor))
