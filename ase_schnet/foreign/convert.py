"""Convert trained SchNets of other packages into one of our model directories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ase_schnet import __version__
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.pairs import extent_of
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.judge import forces_correlation, judged, self_checked
from ase_schnet.foreign.maker_check import check_with_maker
from ase_schnet.foreign.network import Assembled, ForeignNetwork, assembled
from ase_schnet.foreign.origins import read_network
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.foreign.torch_files import TorchFile, read_torch_file
from ase_schnet.model_directories import CARD, WEIGHTS, shipped_models
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.schnet_config import MAX_ELEMENTS
from ase_schnet.structures.electrons import LOWEST, MIXED
from ase_schnet.trained_model import UNSPECIFIED, TrainedModel
from ase_schnet.training.electrons import settled_electrons
from ase_schnet.units import FileUnits, parse_units

HARD_CUTOFF = (
    "no cutoff function: the energy jumps when a pair crosses the cutoff, so that dynamics does not "
    "conserve it"
)
UNKNOWN_DISTANCES = (
    "no structures were given: the distances of its training are not known, and no warning says that a "
    "structure leaves them"
)
ROUNDED = "weights are rounded to float32"


@dataclass(frozen=True, eq=False)
class Conversion:
    """Hold a converted model and what is to be known of it.

    Attributes
    ----------
    model
        As it was read back from its directory.
    """

    model: TrainedModel

    @property
    def converted(self) -> dict:
        """What the card says of it: files, units, errors of labels, the check against its maker, remarks."""
        return self.model.card["converted"]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the files leave open, and what differs from the network's own package, a sentence each."""
        return tuple(self.converted["remarks"])


def convert_model(
    files: str | Path | Sequence[str | Path],
    directory: str | Path,
    *,
    dataset: Dataset | None = None,
    elements: Sequence[str] | None = None,
    pbc: bool = False,
    units: str | FileUnits | None = None,
    level_of_theory: str = UNSPECIFIED,
    hints: ConversionHints | None = None,
    check_with: str | Path | None = None,
) -> Conversion:
    """Write trained SchNets of another package as a model of ours: the same function, in eV and Å.

    Nothing in the files is run. The model is held against the labels of `dataset` before it is written.

    Parameters
    ----------
    files
        File of a model; several of one shape become the members of an ensemble.
    directory
        Model directory to be made.
    dataset
        Structures of the training, or like them. They tell elements, distances, periodicity and errors.
    elements
        Chemical symbols that it was trained on; needed where neither a data set nor the file says them.
    pbc
        Whether it may be used for periodic structures; also so if the data set has some.
    units
        Of the model, such as "kcal/mol" or "Hartree, Bohr", where no file says them.
    level_of_theory
        Method of the labels that it was trained on.
    hints
        What else the files leave open.
    check_with
        A Python with the network's own package, which loads the files in a process of its own and evaluates
        up to 100 structures of `dataset`. Loading runs what the files say: only for files that you trust.

    Raises
    ------
    ForeignModelError
        If a file is damaged, wants to run something, or is a network that cannot be converted; a ValueError.
    ValueError
        If something must be said that the files leave open, or a model is already there.
    OSError
        If a file cannot be read, or the model cannot be written.
    """
    if (Path(directory) / CARD).exists():
        raise ValueError(f"{directory} holds a model already: give another directory, or remove it")
    if check_with is not None and dataset is None:
        raise ValueError("check_with needs structures to compare on: give dataset")
    paths = [files] if isinstance(files, (str, Path)) else list(files)
    _refuse_ours(paths)
    read = [read_torch_file(path) for path in paths]
    given = parse_units(units) if isinstance(units, str) else units
    about = _About(read, given, _numbers(elements), dataset, pbc, level_of_theory)
    said = _with_pair_list(about, hints or ConversionHints())
    model = _model(about, [read_network(file, said) for file in read], said)
    save_model(directory, _held_against(model, about, check_with))
    return Conversion(load_model(directory))


def _refuse_ours(paths: Sequence[str | Path]) -> None:
    """Refuse model directories of ours, files in them, and names of shipped models."""
    for path in paths:
        name = _name_of_ours(path)
        if name is not None:
            raise ValueError(
                f"{path} is a model of this package already, and needs no conversion: "
                f"SchNetCalculator({name!r}) runs it, and ase-schnet export {name} writes it for other "
                "programs"
            )


def _name_of_ours(path: str | Path) -> str | None:
    """Return the model of ours that a path is, or is a file of; None if it is of others."""
    there = Path(path)
    found = [p for p in (there, there.parent) if (p / CARD).is_file()]
    if (there.name in (CARD, WEIGHTS) and found) or (there / CARD).is_file():
        return str(found[0])
    return str(path) if str(path) in shipped_models() and not there.exists() else None


@dataclass(frozen=True, eq=False)
class _About:
    """Hold the files and what is said of them."""

    files: list[TorchFile]
    units: FileUnits | None
    elements: list[int] | None
    dataset: Dataset | None
    pbc: bool
    level_of_theory: str


def _electrons(dataset: Dataset | None, hints: ConversionHints) -> dict:
    """Return charge and multiplicity for the card; nothing where nobody says anything."""
    said = hints.charge, hints.multiplicity
    if dataset is not None:
        said = settled_electrons(dataset, *said)
    elif said == (None, None):
        return {}
    charge, multiplicity = said
    lowest = MIXED if charge == MIXED else LOWEST
    return {"charge": charge or 0, "multiplicity": multiplicity or lowest}


def _numbers(elements: Sequence[str] | None) -> list[int] | None:
    if elements is None:
        return None
    odd = [s for s in elements if not 0 < atomic_numbers.get(s, 0) < MAX_ELEMENTS]
    if odd or not elements:
        raise ValueError(
            f"elements must be chemical symbols up to Es, got {', '.join(odd) or 'none'}"
        )
    return sorted({atomic_numbers[s] for s in elements})


def _with_pair_list(about: _About, hints: ConversionHints) -> ConversionHints:
    """Return the hints with the pair list of NeuralForceField that labelled forces speak for."""
    data = about.dataset
    if hints.pair_list is not None or data is None or data.F is None:
        return hints
    trials = [replace(hints, pair_list=kind) for kind in ("once", "twice")]
    both = [[read_network(file, trial) for file in about.files] for trial in trials]
    if not both[0][0].has_pair_list:
        return hints
    fits = [
        forces_correlation(_model(about, networks, trial), data)
        for networks, trial in zip(both, trials, strict=True)
    ]
    return hints if None in fits else trials[int(np.argmax(fits))]


def _model(about: _About, networks: list[ForeignNetwork], hints: ConversionHints) -> TrainedModel:
    """Return the networks as an ensemble, whose card says where it is from."""
    units = about.units or _units(about, networks)
    parts, data = assembled(networks, units), about.dataset
    extent = {"distance_ranges_Ang": {}} if data is None else extent_of(data, parts.config.cutoff)
    converted = {
        "origin": ", ".join(sorted({network.origin for network in networks})),
        "units": f"{units.energy}, {units.length}",
        "files": [
            {"name": f.path.name, "sha256": f.sha256, "has_checksums": f.has_checksums}
            for f in about.files
        ],
        "remarks": _remarks(networks, parts, data),
        "checked": None,
        "by": f"ase_schnet {__version__}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return TrainedModel(
        config=parts.config.to_dict(),
        elements=_elements(about, networks),
        energy_shift=parts.energy_shift,
        scale=parts.scale,
        weights=parts.weights,
        pbc=about.pbc or (data is not None and bool(data.pbc.any())),
        distance_ranges=extent["distance_ranges_Ang"],
        card={"converted": converted, **_electrons(data, hints)},
        path="the converted model",
        level_of_theory=about.level_of_theory,
        trained_on={about.level_of_theory: extent},
        element_scale=parts.element_scale,
    )


def _units(about: _About, networks: list[ForeignNetwork]) -> FileUnits:
    """Return the units that the files, or those beside them, say."""
    said: dict[FileUnits, Path] = {}
    for network, file in zip(networks, about.files, strict=True):
        if network.units is None:
            raise ValueError(
                f"{file.path} does not say its units: say units='eV', units='kcal/mol' or what its "
                "training data had"
            )
        said[network.units] = file.path
    if len(said) > 1:
        each = ", ".join(f"{path} in {units}" for units, path in said.items())
        raise ForeignModelError(f"members of an ensemble have one unit: {each}")
    return next(iter(said))


def _remarks(
    networks: list[ForeignNetwork], parts: Assembled, dataset: Dataset | None
) -> list[str]:
    remarks = [remark for network in networks for remark in network.remarks]
    remarks += [HARD_CUTOFF] if parts.config.envelope == "none" else []
    remarks += [ROUNDED] if parts.is_rounded else []
    remarks += [UNKNOWN_DISTANCES] if dataset is None else []
    return list(dict.fromkeys(remarks))


def _elements(about: _About, networks: list[ForeignNetwork]) -> list[int]:
    """Return the atomic numbers that the model may be used for."""
    each = [set(network.elements) for network in networks if network.elements is not None]
    known = set.intersection(*each) if each else None
    found = about.elements
    if found is None and about.dataset is not None:
        found = about.dataset.elements
    found = sorted(known) if found is None and known is not None else found
    if found is None:
        raise ValueError(
            f"{about.files[0].path} does not say which elements it was trained on: give structures, or "
            "elements=['H', 'C', ...]"
        )
    rows = min(len(network.embedding) for network in networks)
    odd = [z for z in found if z >= rows or (known is not None and z not in known)]
    if odd:
        raise ForeignModelError(
            f"{about.files[0].path} was not trained on {', '.join(chemical_symbols[z] for z in odd)}"
        )
    return found


def _held_against(
    model: TrainedModel, about: _About, check_with: str | Path | None
) -> TrainedModel:
    """Return the model with what its card says of labels, of its maker's answers and of our engines."""
    converted, data = dict(model.card["converted"]), about.dataset
    if data is not None:
        converted |= judged(model, data)
        if check_with is not None:
            units = FileUnits(*converted["units"].split(", "))
            files = [file.path for file in about.files]
            converted["checked"] = check_with_maker(check_with, files, model, data, units)
    return replace(model, card={**model.card, "converted": converted, **self_checked(model, data)})
