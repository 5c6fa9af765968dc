"""Compare the O-H bond of ethanol with quantum and with classical nuclei at 300 K: i-PI with a model.

    pip install ipi && python md_examples/ipi_path_integrals.py

i-PI uses a socket protocol for which ASE has a client, so any other program with this protocol can use a
model in the same way. 32 beads, PILE thermostat; the classical run is the same with one bead.

Note the last column. The training data (classical dynamics at 500 K) have O-H between 0.88 and 1.09 Å. In 1
ps the classical bond stayed in this range (0.975 Å, std 0.016 Å), but a third of the lengths of the quantum
bond were outside (0.911 Å, std 0.059 Å), where the model is not reliable: a quantum bond must be longer
than a classical one, not shorter. Without the repulsion, atoms fall into the hole of the model below 0.78
Å. A model for quantum nuclei needs frames from path integrals in its training data.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.calculators.socketio import SocketClient
from ase.io import read
from ase.optimize import BFGS

from ase_schnet import SchNetCalculator

PICOSECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
TIMESTEP_FS, WARM_UP, OXYGEN, HYDROGEN = 0.5, 0.2, 2, 3  # of a run the first fifth is left out
INPUT = """\
<simulation verbosity='quiet'>
 <output prefix='run'>
  <trajectory filename='pos' stride='4' format='xyz'> positions{{angstrom}} </trajectory>
 </output>
 <total_steps> {steps} </total_steps>
 <prng> <seed> 1 </seed> </prng>
 <ffsocket name='model' mode='unix' pbc='false'> <address> {socket} </address> </ffsocket>
 <system>
  <initialize nbeads='{beads}'>
   <file mode='xyz' units='angstrom'> start.xyz </file>
   <velocities mode='thermal' units='kelvin'> 300 </velocities>
  </initialize>
  <forces> <force forcefield='model'/> </forces>
  <motion mode='dynamics'>
   <fixcom> True </fixcom>
   <dynamics mode='nvt'>
    <timestep units='femtosecond'> {timestep} </timestep>
    <thermostat mode='pile_l'> <tau units='femtosecond'> 100 </tau> </thermostat>
   </dynamics>
  </motion>
  <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
 </system>
</simulation>
"""


def bond_lengths(atoms, beads: int) -> np.ndarray:
    """O-H distances (Å) of all beads along a run."""
    with tempfile.TemporaryDirectory() as folder:
        here, socket = Path(folder), Path(folder).name
        boxed = atoms.copy()
        boxed.cell = [30, 30, 30]
        boxed.write(here / "start.xyz", format="xyz", comment="# CELL(abcABC): 30 30 30 90 90 90")
        settings = {"steps": round(1000 * PICOSECONDS / TIMESTEP_FS), "timestep": TIMESTEP_FS}
        (here / "input.xml").write_text(INPUT.format(socket=socket, beads=beads, **settings))
        i_pi = Path(sys.executable).with_name("i-pi")
        server = subprocess.Popen([i_pi, "input.xml"], cwd=here, stdout=subprocess.DEVNULL)
        while not Path(f"/tmp/ipi_{socket}").exists():
            if server.poll() is not None:
                raise SystemExit("i-PI did not start: try i-pi --version")
            time.sleep(0.1)
        SocketClient(unixsocket=socket, timeout=60).run(atoms, use_stress=False)
        server.wait(timeout=60)
        found = [read(path, index=":", format="xyz") for path in sorted(here.glob("run.pos_*.xyz"))]
    frames = [frame for bead in found for frame in bead[int(WARM_UP * len(bead)) :]]
    return np.array([frame.get_distance(OXYGEN, HYDROGEN) for frame in frames])


atoms = molecule("CH3CH2OH")
atoms.calc = SchNetCalculator("ethanol", repulsion="zbl")
BFGS(atoms, logfile=None).run(fmax=0.01)
low, high = atoms.calc.trained.distance_ranges["H-O"][0]
print(f"relaxed: {atoms.get_distance(OXYGEN, HYDROGEN):.4f} Å")
for name, beads in (("classical", 1), ("quantum", 32)):
    lengths = bond_lengths(atoms, beads)
    outside = np.mean((lengths < low) | (lengths > high))
    print(
        f"{name:10} {lengths.mean():.4f} Å, std {lengths.std():.4f} Å, "
        f"{100 * outside:.1f} % outside of {low:.2f} to {high:.2f} Å"
    )
