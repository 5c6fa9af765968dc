"""schnetpack: its documented way (ASE database, data module, Lightning), or its model in a bare loop.

train_schnetpack.py serve lightning | bare
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from train_worker import frames, serve

CUTOFF = 5.0


def network(features):
    """The model of schnetpack's tutorial on MD17, of our size."""
    import schnetpack as spk

    return spk.model.NeuralNetworkPotential(
        representation=spk.representation.SchNet(
            n_atom_basis=features,
            n_interactions=3,
            radial_basis=spk.nn.GaussianRBF(n_rbf=50, cutoff=CUTOFF),
            cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=features, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )


def database(data, directory):
    """The frames as schnetpack stores them, energies from their mean."""
    import numpy as np
    from ase import Atoms
    from schnetpack.data import ASEAtomsData

    numbers, positions, energies, forces = frames(data)
    store = ASEAtomsData.create(
        str(directory / "data.db"),
        distance_unit="Ang",
        property_unit_dict={"energy": "eV", "forces": "eV/Ang"},
    )
    labels = [
        {"energy": np.array([e]), "forces": f}
        for e, f in zip(energies - energies.mean(), forces, strict=True)
    ]
    store.add_systems(labels, [Atoms(numbers, r) for r in positions])
    return store, len(positions)


def lightning(data, features, batch):
    """An epoch of the trainer, from its own callbacks; no validation."""
    import pytorch_lightning as lightning_
    import schnetpack as spk
    import torch
    from schnetpack import transform

    directory = Path(tempfile.mkdtemp())
    os.chdir(directory)  # it leaves a lock file where it runs
    _, n = database(data, directory)
    module = spk.data.AtomsDataModule(
        str(directory / "data.db"),
        batch_size=batch,
        num_train=n - 2,
        num_val=2,
        split_file=str(directory / "split.npz"),
        transforms=[
            transform.MatScipyNeighborList(cutoff=CUTOFF),
            transform.CastTo32(),
        ],
        num_workers=0,
        distance_unit="Ang",
        property_units={"energy": "eV", "forces": "eV/Ang"},
    )
    module.prepare_data()
    module.setup()
    loss = torch.nn.MSELoss()
    task = spk.task.AtomisticTask(
        model=network(features),
        outputs=[
            spk.task.ModelOutput(name="energy", loss_fn=loss, loss_weight=0.01, metrics={}),
            spk.task.ModelOutput(name="forces", loss_fn=loss, loss_weight=0.99, metrics={}),
        ],
        optimizer_cls=torch.optim.AdamW,
        optimizer_args={"lr": 1e-4},
    )

    class Clock(lightning_.Callback):
        def on_train_epoch_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, module):
            self.seconds = time.perf_counter() - self.start

    def epoch():
        clock = Clock()
        trainer = lightning_.Trainer(
            max_epochs=1,
            limit_val_batches=0,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            default_root_dir=str(directory),
        )
        trainer.fit(task, datamodule=module)
        return n - 2, clock.seconds, {}

    return epoch


def bare(data, features, batch):
    """Structures with their pairs in memory, its own collation, AdamW: no database, no Lightning."""
    import torch
    from schnetpack import transform
    from schnetpack.data import loader

    directory = Path(tempfile.mkdtemp())
    store, n = database(data, directory)
    store.transforms = [transform.MatScipyNeighborList(cutoff=CUTOFF), transform.CastTo32()]
    structures = [store[k] for k in range(n)]
    shutil.rmtree(directory)
    model = network(features)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    mse = torch.nn.functional.mse_loss
    generator = torch.Generator().manual_seed(0)

    def epoch():
        start = time.perf_counter()
        for chosen in torch.randperm(n, generator=generator).split(batch):
            inputs = loader._atoms_collate_fn([structures[k] for k in chosen])
            target = {k: inputs.pop(k) for k in ("energy", "forces")}
            out = model(inputs)
            loss = 0.01 * mse(out["energy"], target["energy"].view(-1))
            loss = loss + 0.99 * mse(out["forces"], target["forces"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return n, time.perf_counter() - start, {}

    return epoch


if __name__ == "__main__":
    serve({"lightning": lightning, "bare": bare}[sys.argv[2]])
