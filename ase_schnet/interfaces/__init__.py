"""Keep the old paths of ``ase_schnet.lammps`` until version 0.3."""

from ase_schnet.deprecation import keep_importable

keep_importable(
    __name__,
    {
        "lammps": "lammps.potential",
        "lammps_run": "lammps.run",
        "box": "lammps.box",
        "domain": "lammps.domain",
        "exchange": "lammps.exchange",
        "mpi": "lammps.mpi",
    },
)
