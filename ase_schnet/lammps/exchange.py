"""Exchange between two layers the rows of an array that other processes need.

A plan is made when atoms have migrated, and serves until they do again. Each process then sends one message
to each of its neighbours and gets one, per array; no process sends to all.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Exchange:
    """Fetch the rows of the ghosts of one process from their owners (``inference.ensemble.Ghosts``).

    Parameters
    ----------
    comm
        mpi4py communicator; all its processes make their plan together.
    tags
        (n,) ids of the atoms here; each atom has one owner.
    wanted
        (G,) ids of the ghosts, each once.

    Attributes
    ----------
    count
        Number of ghosts, G.
    order
        (G,) the ghosts' rows are wanted[order], those of one owner side by side.
    """

    def __init__(self, comm: Any, tags: np.ndarray, wanted: np.ndarray):
        self._comm, self.count = comm, len(wanted)
        owner, index = _find(comm, tags, wanted)  # (G,) each
        self.order = np.argsort(owner, kind="stable")
        asked = _swap(comm, owner, index)
        self._send = {r: rows for r, rows in enumerate(asked) if len(rows)}  # row numbers here
        counts = np.bincount(owner, minlength=comm.size)
        starts = np.cumsum(counts) - counts
        self._receive = {
            r: slice(starts[r], starts[r] + counts[r]) for r in np.flatnonzero(counts)
        }  # among the ghosts
        self._requests, self._shape = [], None

    @property
    def bytes_sent(self) -> int:
        """Return the bytes that this process sends for each array."""
        return sum(buffer.nbytes for buffer in self._out.values()) if self._shape else 0

    def update(self, array: np.ndarray) -> None:
        """Fill the last ``count`` rows of ``array``, (M, n + G, width), with those of their owners."""
        members, n_rows, width = array.shape
        if self._shape != (members, width, array.dtype):
            self._make_room(members, width, array.dtype)
        for r, rows in self._send.items():
            np.take(array, rows, axis=1, out=self._out[r], mode="clip")  # "raise" would copy twice
        for request in self._requests:
            request.Start()
        for request in self._requests:
            request.Wait()
        ghosts = array[:, n_rows - self.count :]
        for r, part in self._receive.items():
            ghosts[:, part] = self._in[r]

    def free(self) -> None:
        """Give the requests back to MPI; the exchange cannot be used again."""
        for request in self._requests:
            request.Free()
        self._requests = []

    def _make_room(self, members: int, width: int, dtype) -> None:
        self.free()
        self._shape = (members, width, dtype)
        self._out = {
            r: np.empty((members, len(rows), width), dtype) for r, rows in self._send.items()
        }
        self._in = {
            r: np.empty((members, part.stop - part.start, width), dtype)
            for r, part in self._receive.items()
        }
        self._requests = [self._comm.Recv_init(buffer, int(r)) for r, buffer in self._in.items()]
        self._requests += [self._comm.Send_init(buffer, int(r)) for r, buffer in self._out.items()]


def _find(comm: Any, tags: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the owner of each wanted atom, and its row there, (G,) each.

    Process ``tag % size`` keeps the directory entry of a tag: owners register with it, and others ask it. So
    no process ever holds a list of all atoms.
    """
    tags, wanted = np.asarray(tags, np.int64), np.asarray(wanted, np.int64)
    entries = np.stack([tags, np.arange(len(tags))], axis=1)  # (n, 2)
    registered = _swap(comm, tags % comm.size, entries)
    book = np.concatenate(
        [np.pad(e, ((0, 0), (0, 1)), constant_values=r) for r, e in enumerate(registered)]
    )
    book = book[np.argsort(book[:, 0])]  # (n, 3) tag, row, owner
    keeper = wanted % comm.size
    answers = []
    for question in _swap(comm, keeper, wanted):
        k = np.searchsorted(book[:, 0], question)
        answers.append(book[k, 1:])
    replies = np.concatenate(comm.alltoall(answers))  # (G, 2) in the order of the keepers
    found = np.empty((len(wanted), 2), np.int64)
    found[np.argsort(keeper, kind="stable")] = replies
    return found[:, 1], found[:, 0]


def _swap(comm: Any, destination: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Send each of ``values`` (n, ...) to its destination; return what came from each process, in order."""
    order = np.argsort(destination, kind="stable")
    ends = np.cumsum(np.bincount(destination, minlength=comm.size))[:-1]
    return comm.alltoall(np.split(values[order], ends))
