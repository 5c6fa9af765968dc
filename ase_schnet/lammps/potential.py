r"""Make a model a force field of LAMMPS, with as many processes as LAMMPS has.

For those who have an input script of their own, in Python, under ``mpiexec -n 4 python script.py``::

    from ase_schnet.lammps.potential import attach, new_lammps

    lmp = new_lammps()
    lmp.file("in.silicon")                       # units metal, box, atoms, masses; no pair_style
    potential = attach(lmp, "silicon", ["Si"])   # the element of each atom type
    lmp.commands_string("fix move all nve\nthermo_style custom step temp pe press f_schnet[1]")
    potential.command("run 1000")

LAMMPS moves the atoms, builds the domains and the ghosts; its ``fix external`` asks for forces. Each process
evaluates its own atoms, layer by layer. Between two layers it receives the features of the atoms next to its
own (:mod:`~ase_schnet.lammps.exchange`). So ghosts reach one cutoff, whatever the number of layers, and the
answer is that of one process, which is checked at the first step
(:mod:`~ase_schnet.lammps.rank_independence`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ctypes import POINTER, c_double
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError

from ase_schnet.applicability.model import require_supported
from ase_schnet.inference.engine import open_engine, self_check
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import AtomsCoincideError, Prediction
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.lammps import mpi
from ase_schnet.lammps.domain import Domain
from ase_schnet.lammps.elements import numbers_of_types
from ase_schnet.lammps.mpi import Refusal
from ase_schnet.lammps.rank_independence import require_rank_independence
from ase_schnet.lammps.reduce import GlobalPrediction
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.neighbors import Pairs

#: Å beyond the cutoff; pair lists and exchange plans last until an atom has moved half of it.
SKIN = 1.5


def new_lammps(log: str | Path = "none"):
    """Return a silent ``lammps.lammps`` on all processes; LammpsUnavailable where there is none."""
    return mpi.load().lammps.lammps(cmdargs=["-log", str(log), "-screen", "none"])


def attach(
    lmp: Any,
    model: str | Path | TrainedModel,
    elements: Sequence[str],
    *,
    dtype: str = "float64",
    threads: int | None = None,
    skin: float = SKIN,
    repulsion: str | None = DEFAULT_REPULSION,
    fix_id: str = "schnet",
) -> LammpsPotential:
    """Make a model the potential of a LAMMPS instance that has its box, atoms and masses.

    Sets ``pair_style zero`` (for the ghosts), ``neighbor``, ``neigh_modify``, ``comm_modify cutoff`` and a
    ``fix external`` with energy, virial and energies per atom. Its vector is for ``thermo_style``:
    f_schnet[1] is the standard deviation of the energy over the ensemble (eV), f_schnet[2] the largest of a
    force component (eV/Å).

    Parameters
    ----------
    lmp
        ``lammps.lammps``, in ``units metal``.
    model
        Name of a shipped model, or path of a model directory.
    elements
        Chemical symbol of each atom type.
    dtype, threads, skin, repulsion
        As in :class:`~ase_schnet.inference.options.EngineOptions`; threads are per process.
    fix_id
        Name of the fix.

    Raises
    ------
    ValueError
        If LAMMPS is not ready, or the elements are not those of model and masses.
    InputError
        If the model does not know such a structure.
    """
    if not skin > 0:
        raise ValueError(f"skin must be above 0 Å, not {skin}")
    trained = model if isinstance(model, TrainedModel) else load_model(model)
    numbers = numbers_of_types(lmp, trained, elements)
    comm = lmp.get_mpi_comm().Dup()
    if threads is None and comm.size > 1:
        threads = 1
    engine = open_engine(trained, "cpu", dtype, threads, repulsion)
    self_check(engine)
    lmp.commands_list(_commands(trained.config["cutoff"], skin, fix_id))
    potential = LammpsPotential(lmp, comm, engine, numbers, skin, fix_id)
    lmp.fix_external_set_vector_length(fix_id, 2)
    lmp.set_fix_external_callback(fix_id, potential, None)
    return potential


def _commands(cutoff: float, skin: float, fix_id: str) -> list[str]:
    """Return the commands with which LAMMPS keeps ghosts up to cutoff + skin (Å) and asks for forces."""
    return [
        f"pair_style zero {cutoff:.17g} nocoeff",
        "pair_coeff * *",
        f"neighbor {skin:.17g} bin",
        "neigh_modify every 1 delay 0 check yes",
        f"comm_modify mode single cutoff {cutoff + skin:.17g}",
        f"fix {fix_id} all external pf/callback 1 1",
        f"fix_modify {fix_id} energy yes virial yes",
    ]


class Neighbourhood(NamedTuple):
    """Hold the own atoms of a process and the N - n_own others that it sees, as they are now.

    Attributes
    ----------
    n_own
        Number of own atoms, which come first.
    numbers, indices
        (N,), atomic numbers, and LAMMPS's ids less one.
    positions
        (N, 3), Å.
    pairs
        Those nearer than the cutoff, and more, that have an own atom.
    """

    n_own: int
    numbers: np.ndarray
    indices: np.ndarray
    positions: np.ndarray
    pairs: Pairs


class LammpsPotential:
    """Give LAMMPS energy and forces at every step; made by :func:`attach`.

    Attributes
    ----------
    answer
        Prediction of the last step, the same in all processes except for the values per atom.
    failure
        Why LAMMPS was stopped; None if it was not.
    axes
        (3, 3) directions of the standard deviations of forces, where they are not those of LAMMPS.
    """

    def __init__(
        self, lmp: Any, comm: Any, engine: Ensemble, numbers: np.ndarray, skin: float, fix_id: str
    ):
        self.lmp, self.comm, self.engine = lmp, comm, engine
        self.answer: GlobalPrediction | None = None
        self.failure: Exception | None = None
        self.axes: np.ndarray | None = None
        self._numbers, self._skin, self._id = numbers, skin, fix_id
        self._domain: Domain | None = None
        self._checked = self._asked = False

    def command(self, text: str) -> None:
        """Run a command of LAMMPS, and raise what went wrong in the potential."""
        self._asked = True
        try:
            self.lmp.command(text)
        finally:
            self._asked = False
        if self.failure is not None:
            raise self.failure

    def report(self) -> str:
        """Return a line on reach and number of the ghosts, for the log; all processes call it together."""
        domain, cutoff = self._domain, self.engine.model.config["cutoff"]
        counts = self.comm.allgather(
            (domain.n_own, domain.exchange.count, domain.exchange.bytes_sent)
        )
        own, ghosts, sent = np.array(counts).T
        updates = 2 * self.engine.model.config["n_interactions"] - 1
        return (
            f"{self.comm.size} processes; ghosts reach {cutoff + self._skin:g} Å (cutoff {cutoff:g} + skin "
            f"{self._skin:g}); atoms per process {own.min()} to {own.max()}, ghosts {ghosts.min()} to "
            f"{ghosts.max()}, up to {updates * sent.max() / 1e6:.3g} MB sent per step"
        )

    def neighbourhood(self) -> Neighbourhood:
        """Return the atoms of this process after a complete step."""
        domain = self._domain
        positions, tags, _ = self._atoms()
        slots = domain.slots
        pairs = domain.pairs(cell_of(self.lmp)[0])
        return Neighbourhood(domain.n_own, domain.numbers, tags[slots] - 1, positions[slots], pairs)

    def __call__(self, _, step: int, n_own: int, tags, positions, forces) -> None:
        """Fill ``forces`` (n_own, 3) for LAMMPS."""
        if self.failure is not None:
            return
        try:
            self._step(forces)
        except Refusal as error:  # in all processes
            self.failure = Refusal(f"step {step}: {error}")
            if self.comm.rank == 0 and not self._asked:
                print(f"ase_schnet: {self.failure}", file=sys.stderr, flush=True)
            self.lmp.force_timeout()  # an exception cannot pass through LAMMPS
        except BaseException as error:  # an error of ours, perhaps in one process alone
            if self.comm.size > 1:
                mpi.end_all(self.comm, error)
            self.failure = error
            self.lmp.force_timeout()

    def _step(self, forces: np.ndarray) -> None:
        lmp = self.lmp
        cell, pbc = cell_of(lmp)
        positions, tags, n_own = self._atoms()
        stale = self._domain is None or self._domain.is_stale(positions, tags, n_own, self._skin)
        if self.comm.allreduce(int(stale)):
            self._renew(positions, tags, n_own, cell, pbc)
        domain = self._domain
        try:
            prediction, error = self._predict(positions, cell), ""
        except AtomsCoincideError as coincide:
            i, j = sorted(tags[domain.slots[k]] for k in coincide.args)
            prediction, error = None, f"atoms with ids {i} and {j} are in the same place"
        members = self.engine.model.n_members
        self.answer = GlobalPrediction.of(self.comm, prediction, members, error, self.axes)
        if not self._checked:
            require_rank_independence(
                self.comm, self.engine, domain, positions, cell, pbc, self.answer
            )
            self._checked, report = True, self.report()
            if self.comm.rank == 0:
                print(report, flush=True)
        forces[:] = self.answer.forces
        self._tell(self.answer)

    def _predict(self, positions: np.ndarray, cell: np.ndarray) -> Prediction:
        domain = self._domain
        there = positions[domain.slots]
        return self.engine.evaluate(domain.numbers, there, domain.pairs(cell), domain.exchange)

    def _renew(self, positions, tags, n_own: int, cell, pbc) -> None:
        """Make the domain anew, after atoms have migrated or moved far."""
        try:
            require_supported(self.engine.model, Atoms(self._numbers[1:2], cell=cell, pbc=pbc))
        except InputError as error:
            raise Refusal(str(error)) from None
        types = self.lmp.numpy.extract_atom("type", nelem=len(tags)) if len(tags) else tags
        if self._domain is not None:
            self._domain.exchange.free()
        reach = self.engine.model.config["cutoff"] + self._skin
        numbers = self._numbers[types]
        self._domain = Domain(self.comm, positions, tags, numbers, n_own, cell, reach)

    def _atoms(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return positions (n_all, 3), tags (n_all,) of own atoms and ghosts, and the number of own atoms."""
        lmp = self.lmp
        n_own = lmp.extract_global("nlocal")
        n_all = n_own + lmp.extract_global("nghost")
        if not n_all:
            return np.zeros((0, 3)), np.zeros(0, np.int64), 0
        positions = lmp.numpy.extract_atom("x", nelem=n_all, dim=3)
        return positions, lmp.numpy.extract_atom("id", nelem=n_all), n_own

    def _tell(self, answer: GlobalPrediction) -> None:
        lmp = self.lmp
        lmp.fix_external_set_energy_global(self._id, answer.energy)
        xx, yy, zz = np.diag(answer.virial)
        (xy, xz), yz = answer.virial[0, 1:], answer.virial[1, 2]
        lmp.fix_external_set_virial_global(self._id, [xx, yy, zz, xy, xz, yz])
        lmp.fix_external_set_vector(self._id, 1, answer.energy_std)
        lmp.fix_external_set_vector(self._id, 2, answer.max_forces_std)
        # lmp.fix_external_set_energy_peratom would copy number by number
        energies = answer.energies.ctypes.data_as(POINTER(c_double))
        lmp.lib.lammps_fix_external_set_energy_peratom(lmp.lmp, self._id.encode(), energies)


def cell_of(lmp: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return lattice vectors (3, 3) in Å and periodicity (3,) of LAMMPS's box."""
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    x, y, z = np.subtract(high, low)
    return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), np.array(periodic, bool)
