"""Which atoms, calculator and software a run was made with."""

import platform
from importlib import metadata

import ase
import numpy as np
from ase import Atoms


def provenance(atoms: Atoms) -> dict:
    """For run.json: plain values, with name and checksum of the model where the calculator tells."""
    try:
        package = metadata.version("ase_schnet")
    except metadata.PackageNotFoundError:
        package = "not installed"
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "calculator": describe_calculator(atoms.calc),
        "versions": {
            "ase_schnet": package,
            "ase": ase.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def describe_calculator(calculator) -> dict:
    """Its name and, where it tells, its model's."""
    return {
        "name": getattr(calculator, "name", None) or type(calculator).__name__,
        "model_info": getattr(calculator, "model_info", None),
    }
