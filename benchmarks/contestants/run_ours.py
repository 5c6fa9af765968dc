"""ase_schnet, through SchNetCalculator: one model directory with one member, one with five."""

from __future__ import annotations

from worker import ELEMENTS, MEMBERS, SHAPE, main


def prepare(directory):
    """Random models with a shift per element, written as a training would write them."""
    import numpy as np

    from ase_schnet.model.potential import Potential
    from ase_schnet.model.schnet import SchNetConfig
    from ase_schnet.modelfile import MAX_ELEMENTS, TrainedModel, save_model

    config = SchNetConfig(
        SHAPE["features"],
        SHAPE["features"],
        n_interactions=SHAPE["interactions"],
        n_rbf=SHAPE["gaussians"],
        cutoff=SHAPE["cutoff"],
    )
    shift = np.zeros(MAX_ELEMENTS)
    shift[list(ELEMENTS)] = [-13.6, -1029.0, -2042.0]
    for members in (1, MEMBERS):
        potentials = [Potential.create(config, shift, 1.0, seed=s) for s in range(members)]
        states = [p.schnet.state_dict() for p in potentials]
        model = TrainedModel(
            config=config.to_dict(),
            elements=list(ELEMENTS),
            energy_shift=np.stack([shift] * members),
            scale=np.ones(members),
            weights={k: np.stack([s[k].numpy() for s in states]) for k in states[0]},
            pbc=True,
            distance_ranges={},
        )
        save_model(directory / f"members-{members}", model)


def make_calculator(directory, members, dtype, threads):
    """Five members give energy_std and forces_std in the same call."""
    from inspect import signature

    from ase_schnet import SchNetCalculator

    known = signature(SchNetCalculator.__init__).parameters
    extra = {"threads": threads} if "threads" in known else {}
    return SchNetCalculator(directory / f"members-{members}", dtype=dtype, **extra)


if __name__ == "__main__":
    main(prepare, make_calculator, ("ase-schnet", "numpy", "numba", "vesin", "ase"))
