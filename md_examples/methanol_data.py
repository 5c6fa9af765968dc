"""Make the data of models/methanol: 1000 frames for training and 2000 for testing, from a file of 7201.

    python md_examples/methanol_data.py ch3oh_cc_avtz_7201.npz

writes methanol_train.extxyz and methanol_test.extxyz here. CCSD(T)/aug-cc-pVTZ energies (eV, from free
atoms), forces and dipoles of normal-mode samples: Käser, Boittier, Upadhyay, Meuwly, J. Chem. Theory Comput.
2021, doi:10.1021/acs.jctc.1c00249; the file is in Data/ of github.com/dralgroup/ani1ccxgelu.
"""

import sys

import numpy as np
from ase.io import write

from ase_schnet import read_labelled

PARTS = {"train": slice(0, 1000), "test": slice(1000, 3000)}


def main(source: str) -> None:
    """Read, shuffle, write."""
    frames, found = read_labelled(source, "eV, Ang, e*Ang")
    print(found)
    order = np.random.default_rng(0).permutation(len(frames))
    for part, chosen in PARTS.items():
        target = f"methanol_{part}.extxyz"
        write(target, [frames[k] for k in order[chosen]])
        print(f"{target}: {len(order[chosen])} frames")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
