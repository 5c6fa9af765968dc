"""A small MACE (64x0e, two layers, correlation 3), not a SchNet: what the next step in accuracy costs."""

from __future__ import annotations

from worker import ELEMENTS, MEMBERS, SHAPE, main


def prepare(directory):
    """Random weights."""
    import mace  # noqa: F401 (before e3nn, whose own files torch refuses to load otherwise)
    import numpy as np
    import torch
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    for k in range(MEMBERS):
        torch.manual_seed(k)
        model = modules.ScaleShiftMACE(
            r_max=SHAPE["cutoff"],
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=len(ELEMENTS),
            hidden_irreps=o3.Irreps("64x0e"),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros(len(ELEMENTS)),
            avg_num_neighbors=30.0,
            atomic_numbers=list(ELEMENTS),
            correlation=3,
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
        torch.save(model, directory / f"model-{k}.model")


def make_calculator(directory, members, dtype, threads):
    """Several models make its committee."""
    from mace.calculators import MACECalculator

    paths = [str(directory / f"model-{k}.model") for k in range(members)]
    return MACECalculator(model_paths=paths, device="cpu", default_dtype=dtype)


if __name__ == "__main__":
    main(prepare, make_calculator, ("mace-torch", "e3nn", "torch", "ase"))
