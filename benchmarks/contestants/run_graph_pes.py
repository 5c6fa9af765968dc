"""graph-pes' SchNet (it has no cutoff function), through its calculator with its default skin of 1 Å."""

from __future__ import annotations

from worker import MEMBERS, SHAPE, main


def prepare(directory):
    """Random weights."""
    import torch
    from graph_pes.models import SchNet

    for k in range(MEMBERS):
        torch.manual_seed(k)
        model = SchNet(
            cutoff=SHAPE["cutoff"],
            channels=SHAPE["features"],
            expansion_features=SHAPE["gaussians"],
            layers=SHAPE["interactions"],
        )
        torch.save(model, directory / f"model-{k}.pt")


def make_calculator(directory, members, dtype, threads):
    """It has no ensemble calculator: five models are averaged by ASE's AverageCalculator."""
    from ase.calculators.mixing import AverageCalculator
    from graph_pes.models import load_model

    if dtype != "float32":
        raise ValueError("graph-pes builds its graphs in float32")
    models = [load_model(directory / f"model-{k}.pt") for k in range(members)]
    calculators = [m.ase_calculator() for m in models]
    return calculators[0] if members == 1 else AverageCalculator(calculators)


if __name__ == "__main__":
    main(prepare, make_calculator, ("graph-pes", "torch", "vesin", "ase"))
