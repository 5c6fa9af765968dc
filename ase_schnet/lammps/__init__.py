"""Move the atoms with LAMMPS, on as many processes as MPI has, by forces of a trained ensemble.

``potential`` is what LAMMPS asks for forces: each process evaluates its own atoms (``domain``) and is told of
others between two layers (``exchange``), ``reduce`` sums over all, and ``rank_independence`` checks that the
answer is that of one process. ``run`` is a run like those of :mod:`~ase_schnet.dynamics`: ``steps`` lets
LAMMPS move the atoms (``box``, ``fixes``), ``recorder`` measures them, ``monitor`` may stop it, ``files``
keeps the run directory in the first process, and ``loop`` calls one after the other. ``mpi`` makes all
processes end alike.
"""
