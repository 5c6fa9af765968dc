"""Train schnetpack's tutorial model on a file of rMD17 with its own trainer, in a Python that has schnetpack.

    PYTHON train_schnetpack.py DATA.npz RUN_DIR [--minutes M]

Its documented way: ASE database, data module, Lightning, and its checkpoint callback, which writes
`best_model`. Energies are in eV.
"""

import argparse
import os
from datetime import timedelta
from pathlib import Path

import ase.units
import numpy as np
import pytorch_lightning as lightning
import schnetpack as spk
import torch
from ase import Atoms
from schnetpack import transform

FEATURES, LAYERS, GAUSSIANS, CUTOFF = 64, 3, 50, 5.0
EV = ase.units.kcal / ase.units.mol


def database(data: Path, path: Path) -> int:
    """Write the frames as schnetpack stores them; return how many."""
    file = np.load(data)
    store = spk.data.ASEAtomsData.create(
        str(path), distance_unit="Ang", property_unit_dict={"energy": "eV", "forces": "eV/Ang"}
    )
    labels = [
        {"energy": np.array([e * EV]), "forces": f * EV}
        for e, f in zip(file["energies"], file["forces"], strict=True)
    ]
    store.add_systems(labels, [Atoms(file["nuclear_charges"], r) for r in file["coords"]])
    return len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    data, run = options.data.absolute(), options.run.absolute()
    run.mkdir(parents=True, exist_ok=True)
    os.chdir(run)  # it leaves a lock file where it runs
    (run / "data.db").unlink(missing_ok=True)
    lightning.seed_everything(0)
    torch.set_num_threads(1)
    n = database(data, run / "data.db")
    module = spk.data.AtomsDataModule(
        str(run / "data.db"),
        batch_size=10,
        num_train=n - 100,
        num_val=100,
        split_file=str(run / "split.npz"),
        transforms=[
            transform.MatScipyNeighborList(cutoff=CUTOFF),
            transform.RemoveOffsets("energy", remove_mean=True),
            transform.CastTo32(),
        ],
        num_workers=0,
        distance_unit="Ang",
        property_units={"energy": "eV", "forces": "eV/Ang"},
    )
    model = spk.model.NeuralNetworkPotential(
        representation=spk.representation.SchNet(
            n_atom_basis=FEATURES,
            n_interactions=LAYERS,
            radial_basis=spk.nn.GaussianRBF(n_rbf=GAUSSIANS, cutoff=CUTOFF),
            cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
        postprocessors=[transform.CastTo64(), transform.AddOffsets("energy", add_mean=True)],
    )
    loss = torch.nn.MSELoss()
    task = spk.task.AtomisticTask(
        model=model,
        outputs=[
            spk.task.ModelOutput(name="energy", loss_fn=loss, loss_weight=0.01, metrics={}),
            spk.task.ModelOutput(name="forces", loss_fn=loss, loss_weight=0.99, metrics={}),
        ],
        optimizer_cls=torch.optim.AdamW,
        optimizer_args={"lr": 1e-3},
    )
    trainer = lightning.Trainer(
        max_time=timedelta(minutes=options.minutes),
        callbacks=[
            spk.train.ModelCheckpoint(
                model_path=str(run / "best_model"), save_top_k=1, monitor="val_loss"
            )
        ],
        logger=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=str(run),
    )
    trainer.fit(task, datamodule=module)


if __name__ == "__main__":
    main()
