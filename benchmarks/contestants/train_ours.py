"""ase_schnet: `Fit.run_epoch`, all of it, as `ase-schnet train` runs it, with a watch on its parts."""

from __future__ import annotations

import time

import numpy as np
from train_worker import frames, serve


def setup(data, features, batch):
    """Validation is on two frames, which costs nothing."""
    import torch
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    from ase_schnet.data.dataset import Dataset
    from ase_schnet.model.schnet import SchNetConfig
    from ase_schnet.training.loss import Loss, LossWeights
    from ase_schnet.training.settings import FitSettings
    from ase_schnet.training.trainer import Fit

    numbers, positions, energies, forces = frames(data)
    structures = []
    for r, e, f in zip(positions, energies, forces, strict=True):
        atoms = Atoms(numbers, r)
        atoms.calc = SinglePointCalculator(atoms, energy=float(e), forces=f)
        structures.append(atoms)
    dataset = Dataset.from_atoms(structures)
    config = SchNetConfig(features, features, n_interactions=3, n_rbf=50, cutoff=5.0)
    settings = FitSettings(epochs=1000, batch_size=batch)
    fit = Fit(config, dataset, dataset.subset(np.arange(2)), LossWeights(), settings)

    spent = {"network": 0.0, "optimiser": 0.0}

    def watched(function, part):
        def call(*arguments, **options):
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[part] += time.perf_counter() - start

        return call

    Loss.__call__ = watched(Loss.__call__, "network")  # validation goes around it
    torch.Tensor.backward = watched(torch.Tensor.backward, "network")
    for optimizer in fit.optimizers:
        optimizer.step = watched(optimizer.step, "optimiser")

    def epoch():
        spent.update(dict.fromkeys(spent, 0.0))
        start = time.perf_counter()
        fit.run_epoch()
        seconds = time.perf_counter() - start
        return len(dataset), seconds, dict(spent)

    return epoch


if __name__ == "__main__":
    serve(setup)
