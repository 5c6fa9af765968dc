"""Make the data of models/silicon: silicon of mlearn with two components of the stress corrected.

    git clone https://github.com/materialsvirtuallab/mlearn
    python md_examples/silicon_data.py mlearn/data/Si

writes Si_training_corrected.extxyz and Si_test_corrected.extxyz here. The source is PBE, 214 and 25 frames
of crystal, melt, vacancies and surfaces: Zuo et al., J. Phys. Chem. A 2020, 124, 731.

In the files, the yz and xz components of the stress are exchanged in all frames outside the group
"Elastic". This follows from the energies and forces: a model trained on them predicts the shear stress with
the two exchanged. So does ASE's Tersoff potential, which is independent of these data. Its shear stress has
a correlation of 0.0 with the labels of the 17 molecular dynamics and vacancy frames of the test set, and of
0.6 after the exchange; with the elastic frames it is 1.0 without the exchange.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import GPa

AS_MEANT = [0, 1, 2, 4, 3, 5]  # where xx, yy, zz, yz, xz, xy stand in the labels as distributed


KBAR = 0.1 * GPa
ORDER = [0, 1, 2, 4, 5, 3]  # where xx, yy, zz, yz, xz, xy stand in virial_stress


def of_json(path: Path) -> list[Atoms]:
    """The labelled frames of a file of mlearn: eV, Å, stress in kbar and positive where compressed."""
    frames = []
    for entry in json.loads(path.read_text()):
        structure, labels = entry["structure"], entry["outputs"]
        sites = structure["sites"]
        atoms = Atoms(
            [site["species"][0]["element"] for site in sites],
            positions=[site["xyz"] for site in sites],
            cell=structure["lattice"]["matrix"],
            pbc=True,
            info={key: entry[key] for key in ("group", "description")},
        )
        stress = -KBAR * np.array(labels["virial_stress"])[ORDER]
        known = {"energy": labels["energy"], "forces": labels["forces"], "stress": stress}
        atoms.calc = SinglePointCalculator(atoms, **known)
        frames.append(atoms)
    return frames


def put_right(frames: list[Atoms]) -> list[Atoms]:
    """The same labelled frames, in place, with the stress in ASE's order."""
    for atoms in frames:
        if atoms.info["group"] != "Elastic":
            atoms.calc.results["stress"] = atoms.calc.results["stress"][AS_MEANT]
    return frames


def main(mlearn: str) -> None:
    """Read both parts, correct, write."""
    for part in ("training", "test"):
        original = Path(mlearn) / f"{part}.json"
        converted = Path(mlearn) / f"Si_{part}.extxyz.gz"
        frames = put_right(of_json(original) if original.exists() else read(converted, ":"))
        target = f"Si_{part}_corrected.extxyz"
        write(target, frames)
        print(f"{target}: {len(frames)} frames")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
