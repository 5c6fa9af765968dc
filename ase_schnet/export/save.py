"""Write a model as a file that other programs run: metatomic, or a plain module of TorchScript."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch

from ase_schnet.export.module import EnsembleModule
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.modelfile import load_model
from ase_schnet.runtime.files import naming, replaced
from ase_schnet.structures.electrons import LOWEST
from ase_schnet.trained_model import TrainedModel

FORMATS = ("metatomic", "torchscript")
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def export_model(
    model: str | Path,
    path: str | Path,
    to: str = "metatomic",
    *,
    dtype: str = "float64",
    repulsion: str | None = DEFAULT_REPULSION,
) -> Path:
    """Write a model as one file that runs without this package.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.
    path
        File to write, such as "model.pt".
    to
        "metatomic", for the programs that run its models, with energies, their std and those of all members;
        or "torchscript", a module that takes atomic numbers (N,), pair vectors (P, 3) in Å and the indices
        i and j of their atoms (P,), each pair once, and returns energies of atoms (M, N) in eV.
    dtype
        Precision of the network, "float32" or "float64". Energies of atoms are added in float64 in any case;
        what metatomic is given in float32 has a grain of 0.2 to 0.5 meV in thousands of eV, its std and
        forces do not.
    repulsion
        "zbl" or None, as for calculators.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For an unknown format or precision, without metatomic where it is needed, and for a model that holds
        the difference to another method.
    OSError
        If the file cannot be written.
    """
    if to not in FORMATS:
        raise ValueError(f"to is 'metatomic' or 'torchscript', got {to!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is 'float32' or 'float64', got {dtype!r}")
    if to == "metatomic" and find_spec("metatomic") is None:
        raise ValueError(
            "metatomic is not installed: pip install metatomic-torch, or to='torchscript'"
        )
    trained, path = load_model(model), Path(path)
    trained.require_whole()
    with naming(path), replaced(path) as there, warnings.catch_warnings():
        # torch says that TorchScript grows old; these programs want it
        warnings.simplefilter("ignore")
        if to == "metatomic":
            made = import_module("ase_schnet.export.metatomic")
            made.metatomic_model(trained, DTYPES[dtype], repulsion).save(there)
        else:
            _save_torchscript(trained, there, dtype, repulsion)
    return path


def _save_torchscript(model: TrainedModel, path: Path, dtype: str, repulsion: str | None) -> None:
    """Write the module with ``ase_schnet.json`` in the archive: cutoff, elements, electrons, units."""
    about = {
        "cutoff_Ang": model.config["cutoff"],
        "elements": model.symbols,
        "charge": model.card.get("charge", 0),
        "multiplicity": model.card.get("multiplicity", LOWEST),
        "n_members": model.n_members,
        "dtype": dtype,
        "units": {"energy": "eV", "length": "Ang"},
        "level_of_theory": model.level_of_theory,
        "card_sha256": model.checksum,
    }
    module = torch.jit.script(EnsembleModule(model, DTYPES[dtype], repulsion).eval())
    torch.jit.save(module, str(path), _extra_files={"ase_schnet.json": json.dumps(about)})
