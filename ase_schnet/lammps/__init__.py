"""Move the atoms with LAMMPS, on as many processes as MPI has, by forces of a trained ensemble."""
