"""The same model inside other programs: LAMMPS, over as many processes as it has."""
