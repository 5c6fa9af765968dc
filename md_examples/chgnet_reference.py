"""CHGNet as the teacher of a fast copy: a reference of `ase-schnet learn` and `label`. pip install chgnet.

    python md_examples/chgnet_reference.py                     writes li2o.cif, lithium oxide in 12 atoms
    ase-schnet learn li2o.cif --reference md_examples/chgnet_reference.py:chgnet --temperature 600 -o li2o

CHGNet (B. Deng et al., Nat. Mach. Intell. 2023, 5, 1031) carries its weights. A function that returns any
other ASE calculator (MACE, SevenNet, ORB ...) does the same.
"""

from ase.build import bulk


def chgnet(charge=0, multiplicity=1):
    """Return the calculator; it has no use for the charge and multiplicity that `learn` tells it."""
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    return CHGNetCalculator(CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")


if __name__ == "__main__":
    bulk("OLi2", "fluorite", a=4.65, cubic=True).write("li2o.cif")
