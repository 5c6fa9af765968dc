"""An ensemble as a model of metatomic, which LAMMPS, GROMACS, i-PI, PLUMED, torch-sim and eOn run."""

# no `from __future__ import annotations`: metatomic and TorchScript read these as types
from typing import Dict, List, Optional  # noqa: UP035 - TorchScript reads these

import torch
from metatensor.torch import (  # pyright: ignore[reportMissingImports]
    Labels,
    TensorBlock,
    TensorMap,
    slice,
    sum_over_samples,
)
from metatomic.torch import (  # pyright: ignore[reportMissingImports]
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from torch import Tensor, nn

from ase_schnet.export.module import EnsembleModule
from ase_schnet.trained_model import TrainedModel


class MetatomicEnsemble(nn.Module):
    """Answer as metatomic asks: ``energy``, ``energy_ensemble`` and ``energy_uncertainty`` in eV."""

    def __init__(self, module: EnsembleModule, cutoff: float, dtype: torch.dtype):
        super().__init__()
        self.module, self.n_members, self.dtype = module, module.n_members, dtype
        self.neighbors = NeighborListOptions(cutoff=cutoff, full_list=False, strict=True)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        """Return the list of pairs that it needs: each pair once, below the cutoff."""
        return [self.neighbors]

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        """Return the outputs that are asked for, of structures or of atoms."""
        results: Dict[str, TensorMap] = {}  # noqa: UP006
        if len(outputs) == 0:
            return results
        atoms = self.of_atoms(systems)
        if selected_atoms is not None:
            atoms = slice(atoms, "samples", selected_atoms)
        structures = sum_over_samples(atoms, ["atom"])
        for name, output in outputs.items():
            members = atoms if output.sample_kind == "atom" else structures
            block = members.block()
            values = block.values  # (samples, M)
            if name == "energy":
                values = values.mean(dim=1, keepdim=True)
            elif name == "energy_uncertainty":
                values = values.std(dim=1, keepdim=True)
            n = values.shape[1]
            one = TensorBlock(
                values=values.to(self.dtype),  # at the end: sums and std are of float64
                samples=block.samples,
                components=torch.jit.annotate(List[Labels], []),  # noqa: UP006
                properties=Labels(
                    ["energy"], torch.arange(n, device=values.device).to(torch.int32)[:, None]
                ),
            )
            results[name] = TensorMap(keys=members.keys, blocks=[one])
        return results

    def of_atoms(self, systems: List[System]) -> TensorMap:  # noqa: UP006
        """Return the energies of all atoms, a property for each member."""
        numbers: List[Tensor] = []  # noqa: UP006
        vectors: List[Tensor] = []  # noqa: UP006
        idx_i: List[Tensor] = []  # noqa: UP006
        idx_j: List[Tensor] = []  # noqa: UP006
        samples: List[Tensor] = []  # noqa: UP006
        first = 0
        for s, system in enumerate(systems):
            pairs = system.get_neighbor_list(self.neighbors)
            n = len(system)
            numbers.append(system.types.to(torch.int64))
            vectors.append(pairs.values[:, :, 0])
            idx_i.append(pairs.samples.column("first_atom").to(torch.int64) + first)
            idx_j.append(pairs.samples.column("second_atom").to(torch.int64) + first)
            which = torch.arange(n, device=system.types.device)
            samples.append(torch.stack([torch.full_like(which, s), which], dim=1))
            first += n
        energies = self.module(
            torch.cat(numbers), torch.cat(vectors), torch.cat(idx_i), torch.cat(idx_j)
        )
        device = energies.device
        block = TensorBlock(
            values=energies.T.contiguous(),
            samples=Labels(["system", "atom"], torch.cat(samples).to(torch.int32)),
            components=torch.jit.annotate(List[Labels], []),  # noqa: UP006
            properties=Labels(
                ["energy"],
                torch.arange(self.n_members, device=device).to(torch.int32)[:, None],
            ),
        )
        keys = Labels(["_"], torch.zeros((1, 1), dtype=torch.int32, device=device))
        return TensorMap(keys=keys, blocks=[block])


def metatomic_model(
    model: TrainedModel, dtype: torch.dtype, repulsion: str | None
) -> AtomisticModel:
    """Return an ensemble as metatomic's model; its range is the cutoff once for each interaction block."""
    config = model.network
    ensemble = MetatomicEnsemble(
        EnsembleModule(model, dtype, repulsion), float(config.cutoff), dtype
    )
    names = ["energy"]
    if model.n_members > 1:
        names += ["energy_ensemble", "energy_uncertainty"]
    both = {name: ModelOutput(unit="eV", sample_kind="system") for name in names}
    capabilities = ModelCapabilities(
        outputs=both,
        atomic_types=list(model.elements),
        interaction_range=config.n_interactions * float(config.cutoff),
        length_unit="angstrom",
        supported_devices=["cuda", "cpu"],
        dtype=str(dtype).removeprefix("torch."),
    )
    described = f"{model.n_members} SchNets trained on {model.level_of_theory}"
    metadata = ModelMetadata(name="ase_schnet", description=f"{described}; card {model.checksum}")
    return AtomisticModel(ensemble.eval(), metadata, capabilities)
