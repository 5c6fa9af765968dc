"""schnetpack, through SpkCalculator and SpkEnsembleCalculator, models loaded from its own files."""

from __future__ import annotations

from worker import MEMBERS, SHAPE, main


def prepare(directory):
    """The model of schnetpack's tutorials, random weights."""
    import schnetpack as spk
    import torch

    for k in range(MEMBERS):
        torch.manual_seed(k)
        cutoff = SHAPE["cutoff"]
        radial = spk.nn.GaussianRBF(n_rbf=SHAPE["gaussians"], cutoff=cutoff)
        representation = spk.representation.SchNet(
            n_atom_basis=SHAPE["features"],
            n_interactions=SHAPE["interactions"],
            radial_basis=radial,
            cutoff_fn=spk.nn.CosineCutoff(cutoff),
        )
        model = spk.model.NeuralNetworkPotential(
            representation=representation,
            input_modules=[spk.atomistic.PairwiseDistances()],
            output_modules=[
                spk.atomistic.Atomwise(n_in=SHAPE["features"], output_key="energy"),
                spk.atomistic.Forces(energy_key="energy", force_key="forces"),
            ],
        )
        model.spk_version = spk.__version__  # as its training task does; its loader asks for it
        torch.save(model, directory / f"model-{k}.pt")


def make_calculator(directory, members, dtype, threads, skin=0.0):
    """`skin` > 0 keeps the neighbour list in a SkinNeighborList. Threads come from the environment."""
    import torch
    from schnetpack import interfaces, transform

    neighbors = transform.VesinNeighborList(cutoff=SHAPE["cutoff"])  # the fastest it has
    if skin:
        neighbors = transform.SkinNeighborList(neighbors, cutoff_skin=skin)
    common = {
        "neighbor_list": neighbors,
        "energy_unit": "eV",
        "position_unit": "Ang",
        "dtype": getattr(torch, dtype),
    }
    paths = [str(directory / f"model-{k}.pt") for k in range(members)]
    if members == 1:
        return interfaces.SpkCalculator(paths[0], **common)
    return interfaces.SpkEnsembleCalculator(paths, **common)


if __name__ == "__main__":
    main(prepare, make_calculator, ("schnetpack", "torch", "vesin", "matscipy", "ase"))
