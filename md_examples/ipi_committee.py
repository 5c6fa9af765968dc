"""Run ethanol in i-PI with a model inside it, without a socket, and with the spread of its members.

    pip install ipi && python md_examples/ipi_committee.py 200

This file is also the driver: i-PI's FFDirect loads `Driver` from it (pes custom, pes_path) and evaluates it
in its own process. The energies and forces of all members are handed over as `committee_pot` and
`committee_force`, in Hartree and Bohr: i-PI writes them, and i-pi-committee-reweight averages with them. Of a
model of periodic structures the virial, of the mean of the members, is handed over too.

FFCommittee, which makes its `committee_uncertainty` from them, takes this FFDirect inside it (parse_json),
but i-PI 3.3.1 then fails when it writes its RESTART file, for which it knows other force fields only.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.io import read
from ase.units import Bohr, Hartree
from ipi.pes.dummy import Dummy_driver

from ase_schnet import SchNetCalculator

__DRIVER_NAME__ = "ase_schnet"
__DRIVER_CLASS__ = "Driver"

INPUT = """\
<simulation verbosity='quiet' threading='False'>
 <output prefix='run'>
  <properties stride='1'> [ potential ] </properties>
  <trajectory filename='pos' stride='1' format='xyz'> positions{{angstrom}} </trajectory>
  <trajectory filename='energies' stride='1' extra_type='committee_pot'> extras </trajectory>
 </output>
 <total_steps> {steps} </total_steps>
 <prng> <seed> 1 </seed> </prng>
 <ffdirect name='model' pbc='false'>
  <pes> custom </pes>
  <pes_path> {driver} </pes_path>
  <parameters> {{ template: start.xyz, model: {model} }} </parameters>
 </ffdirect>
 <system>
  <initialize nbeads='1'>
   <file mode='xyz' units='angstrom'> start.xyz </file>
   <velocities mode='thermal' units='kelvin'> 300 </velocities>
  </initialize>
  <forces> <force forcefield='model'/> </forces>
  <motion mode='dynamics'>
   <dynamics mode='nvt'>
    <timestep units='femtosecond'> 0.5 </timestep>
    <thermostat mode='svr'> <tau units='femtosecond'> 100 </tau> </thermostat>
   </dynamics>
  </motion>
  <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
 </system>
</simulation>
"""


class Driver(Dummy_driver):
    """Evaluate a model for i-PI, which counts in Hartree and Bohr; `template` tells the elements."""

    def __init__(self, template, model, *args, **kwargs):
        self.atoms = read(template)
        self.atoms.calc = SchNetCalculator(model)
        super().__init__(*args, **kwargs)

    def compute_structure(self, cell, pos):
        """Return energy, forces, virial and the values of the members."""
        atoms, calculator = self.atoms, self.atoms.calc
        atoms.positions = pos * Bohr
        atoms.pbc = calculator.trained.pbc
        if atoms.pbc.any():
            atoms.cell = cell.T * Bohr
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        virial = np.zeros((3, 3))
        if atoms.pbc.all():
            virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
        members = {}
        if "energy_committee" in calculator.implemented_properties:  # more than one member
            members["committee_pot"] = calculator.results["energy_committee"] / Hartree
            members["committee_force"] = calculator.results["forces_committee"] * Bohr / Hartree
            if not atoms.pbc.any():
                members["committee_virial"] = np.zeros((len(members["committee_pot"]), 3, 3))
        extras = json.dumps({name: values.tolist() for name, values in members.items()})
        return energy / Hartree, forces * Bohr / Hartree, virial / Hartree, extras


def main(steps: int) -> None:
    """Run i-PI, and hold what it wrote against the calculator."""
    atoms = molecule("CH3CH2OH")
    atoms.cell = [30, 30, 30]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atoms.write(folder / "start.xyz", format="xyz", comment="# CELL(abcABC): 30 30 30 90 90 90")
        driver = Path(__file__).resolve()
        text = INPUT.format(steps=steps, driver=driver, model="ethanol")
        (folder / "input.xml").write_text(text)
        i_pi = Path(sys.executable).with_name("i-pi")
        subprocess.run([i_pi, "input.xml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        frames = read(folder / "run.pos_0.xyz", index=":", format="xyz")
        potential = np.loadtxt(folder / "run.out", ndmin=1) * Hartree
        members = values(folder / "run.energies_0") * Hartree
    energies, of_members = [], []
    calculator = SchNetCalculator("ethanol")
    for frame in frames:
        frame.cell, frame.pbc, frame.calc = None, False, calculator
        energies.append(frame.get_potential_energy())
        of_members.append(calculator.results["energy_committee"])
    off, off_members = np.abs(potential - energies).max(), np.abs(members - of_members).max()
    print(
        f"{len(frames)} frames, {members.shape[1]} members, std {members.std(axis=1, ddof=1).mean():.1e} eV; "
        f"i-PI's files and the calculator differ by {off:.1e} eV (energy) and {off_members:.1e} eV (members)"
    )


def values(path: Path) -> np.ndarray:
    """Return the numbers of a file of extras, a line for each frame."""
    lines = [line for line in path.read_text().splitlines() if "#" not in line]
    return np.array([[float(x) for x in line.split()] for line in lines])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
