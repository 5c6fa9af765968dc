"""The floor: an ordinary subclass of ASE's Calculator that computes nothing."""

from __future__ import annotations

from worker import main


def prepare(directory):
    """Nothing to write."""


def make_calculator(directory, members, dtype, threads):
    """Zeros; what remains is the time ASE spends comparing and copying Atoms."""
    import numpy as np
    from ase.calculators.calculator import Calculator, all_changes

    class DoNothing(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}

    return DoNothing()


if __name__ == "__main__":
    main(prepare, make_calculator, ("ase", "numpy"))
