"""Run silicon under LAMMPS with your own input script, on any number of processes.

    pip install 'ase-schnet[lammps]'
    mpiexec -n 2 python md_examples/lammps_script.py

The box is strained with LAMMPS commands, and its stress gives C11. The thermo output also has the ensemble's
standard deviation of the energy. (If mpi4py is loaded, as here, ASE's `read` and `write` must be called by
all processes together, never by one alone.)
"""

import sys
from pathlib import Path

from ase_schnet.lammps.potential import attach, new_lammps

CELLS_PER_EDGE = int(sys.argv[1]) if len(sys.argv) > 1 else 3
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 200
STRAIN = 0.01

lmp = new_lammps(log="none")
lmp.command(f"variable n index {CELLS_PER_EDGE}")
lmp.file(str(Path(__file__).with_name("lammps_silicon.in")))
potential = attach(lmp, "silicon", ["Si"])  # the element of each atom type
lmp.command("thermo_style custom step temp pe press pxx f_schnet[1] f_schnet[2]")

# The crystal at rest, stretched along x by ±1 %: C11 = dσxx/dεxx.
pxx_bar = {}
for strain in (STRAIN, -STRAIN):
    lmp.command(f"change_box all x scale {1 + strain} remap")
    lmp.command("velocity all set 0 0 0")
    potential.command("run 0 post no")
    pxx_bar[strain] = lmp.get_thermo("pxx")
    lmp.command(f"change_box all x scale {1 / (1 + strain)} remap")
c11_GPa = (pxx_bar[-STRAIN] - pxx_bar[STRAIN]) / (2 * STRAIN) / 1e4

# And some dynamics. potential.command is lmp.command that raises what goes wrong in the model.
lmp.command("velocity all create 600 87287 loop geom mom yes")
potential.command(f"run {STEPS} post no")
printed = lmp.last_thermo()
if potential.comm.rank == 0:
    print(f"C11 {c11_GPa:.1f} GPa")
    print(
        f"step {printed['Step']:.0f}: {printed['Temp']:.0f} K, {printed['PotEng']:.4f} eV ± "
        f"{printed['f_schnet[1]']:.4f} eV, {printed['Press'] / 1e4:+.3f} GPa"
    )
