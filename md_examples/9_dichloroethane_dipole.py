"""Fit the dipole of 1,2-dichloroethane between gauche and trans, where it vanishes by symmetry.

    OMP_NUM_THREADS=1 python md_examples/9_dichloroethane_dipole.py      (needs tblite)

The case of the rotate–predict–rotate paper (Martinka et al., J. Chem. Phys. 161, 174104, 2024) with GFN2-xTB
as reference. Training data: hot dynamics from twenty dihedral angles. Test data: one free trajectory that
starts on the barrier and runs in both directions of time. All structures are rotated at random; otherwise a
regression without rotational symmetry would look too good. If it was stopped, the same command continues. A
second run reads the dynamics of the first.
"""

import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from ase.optimize import BFGS
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from tblite.ase import TBLite

from ase_schnet import run_nve, run_nvt
from ase_schnet.data.dataset import Dataset
from ase_schnet.dipole.fit import fit_rpr
from ase_schnet.plotting import save_figure

OUTPUT = Path(__file__).parent / "output"
RUNS = OUTPUT / "dichloroethane"
CLCCCL, CH2CL = (2, 0, 1, 5), [1, 5, 6, 7]  # the dihedral, and the atoms that turn with it
FRAME_FS = 2.0  # between frames of the test
REFERENCE, RPR, CONTROL = "#000000", "#0072B2", "#E69F00"


def dichloroethane(dihedral: float | None = None) -> Atoms:
    """Relaxed trans, or turned from it to a Cl–C–C–Cl angle in degrees and left so."""
    atoms = molecule("C2H6")
    for carbon, hydrogen in ((0, 2), (1, 5)):
        atoms.symbols[hydrogen] = "Cl"
        atoms.set_distance(carbon, hydrogen, 1.79, fix=0)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.002)
    if dihedral is not None:
        atoms.set_dihedral(*CLCCCL, dihedral, indices=CH2CL)
    return atoms


def angles(frames: list[Atoms]) -> np.ndarray:
    """Cl–C–C–Cl in degrees, 0 to 180: some 70 is gauche of either hand, 180 trans."""
    return np.array([180 - abs(180 - a.get_dihedral(*CLCCCL)) for a in frames])


def hot_frames() -> list[Atoms]:
    """1000 frames, 20 fs apart, of twenty runs of 1 ps at 1000 K."""
    frames = []
    for k in range(20):
        options = {"thermostat": "langevin", "time_constant_fs": 100, "seed": k, "resume": True}
        options |= {"time_ps": 1, "timestep_fs": 1, "trajectory_every": 20}
        run_nvt(
            dichloroethane(18 * k + 9), temperature_K=1000, run_dir=RUNS / f"hot_{k}", **options
        )
        frames += read(RUNS / f"hot_{k}" / "trajectory.traj", "1:")
    return frames


def crossing() -> list[Atoms]:
    """One trajectory of constant energy, gauche to trans: the first that leaves the barrier both ways."""
    for seed in range(20):
        halves, atoms, start_K = [], dichloroethane(120), 400
        for direction in ("on", "back"):
            options = {"time_ps": 1, "timestep_fs": 0.5, "trajectory_every": 4, "resume": True}
            run_dir = RUNS / f"crossing_{seed}_{direction}"
            run_nve(atoms, temperature_K=start_K, run_dir=run_dir, seed=seed, **options)
            halves.append(read(run_dir / "trajectory.traj", ":"))
            calculator, atoms, start_K = atoms.calc, halves[0][0].copy(), None
            atoms.calc = calculator
            atoms.set_momenta(-atoms.get_momenta())
        halves.sort(key=lambda half: angles(half).mean())
        gauche, trans = (angles(half)[150:] for half in halves)  # from 0.3 ps on
        if gauche.max() < 120 < trans.min():
            return halves[0][:0:-1] + halves[1]
    raise RuntimeError("none of twenty trajectories went from gauche to trans: take other seeds")


def turned(frames: list[Atoms], seed: int) -> list[Atoms]:
    """The same structures with their dipoles, each about its centre of mass and turned at random."""
    copies = []
    rotations = Rotation.random(len(frames), rng=np.random.default_rng(seed))
    for atoms, rotation in zip(frames, rotations, strict=True):
        centred = rotation.apply(atoms.positions - atoms.get_center_of_mass())
        copies.append(Atoms(atoms.numbers, centred))
        dipole = rotation.apply(atoms.get_dipole_moment())
        copies[-1].calc = SinglePointCalculator(copies[-1], dipole=dipole)
    return copies


def no_rotation(data: Dataset) -> GridSearchCV:
    """Kernel ridge regression of the dipole on Cartesian coordinates, as they lie."""
    grid = {"gamma": np.logspace(-4, -2, 5), "alpha": np.logspace(-6, 0, 4)}
    search = GridSearchCV(KernelRidge(kernel="rbf"), grid, scoring="neg_mean_absolute_error", cv=3)
    return search.fit(data.R.reshape(len(data), -1), data.dipole)


def picture(phi, truth, rpr, std, control) -> Figure:
    """Dihedral, |dipole| and the length of its error along the trajectory."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    top, middle, below = figure.subplots(3, sharex=True, height_ratios=(1, 2.5, 2.5))
    t = FRAME_FS * np.arange(len(phi))
    top.plot(t, phi, color=REFERENCE, lw=1)
    middle.plot(t, np.linalg.norm(control, axis=1), ".", ms=3, color=CONTROL, label="no rotation")
    middle.plot(t, np.linalg.norm(truth, axis=1), color=REFERENCE, lw=2.5, label="GFN2-xTB")
    sizes = np.linalg.norm(rpr, axis=1)
    middle.plot(t, sizes, "--", color=RPR, lw=1.2, label="rotate–predict–rotate")
    for value, color in ((control, CONTROL), (rpr, RPR)):
        below.semilogy(t, np.linalg.norm(value - truth, axis=1), ".", ms=3, color=color)
    below.plot(t, std, color=RPR, lw=0.8, label="its std, of five members")
    top.set(ylabel="Cl–C–C–Cl  (°)", yticks=(60, 120, 180), ylim=(30, 190))
    middle.set(ylabel="|dipole|  (e·Å)", ylim=(0, None))
    below.set(xlabel="time  (fs)", ylabel="|error of the dipole|  (e·Å)", xlim=(0, t[-1]))
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Dynamics, both fits, figures and picture."""
    train = Dataset.from_atoms(turned(hot_frames(), seed=0))
    path = crossing()
    phi, test = angles(path), Dataset.from_atoms(turned(path, seed=1))
    positions, truth = test.R.reshape(len(test), -1, 3), test.dipole
    start = time.perf_counter()
    model = fit_rpr(train, "dipole")
    print(
        f"{len(train)} structures to train, {time.perf_counter() - start:.1f} s; {len(test)} to test"
    )
    members = model.predict_many(positions)
    rpr, std = members.mean(axis=0), np.linalg.norm(members.std(axis=0, ddof=1), axis=1)
    other = no_rotation(train)
    control = other.predict(positions.reshape(len(test), -1))
    print("MAE of a component in e·Å, of rotate–predict–rotate (RPR) and without rotation:")
    parts = {"gauche": phi < 100, "between": (phi >= 100) & (phi <= 140), "trans": phi > 140}
    for name, chosen in {**parts, "all": phi > 0}.items():
        errors = [np.abs(value[chosen] - truth[chosen]).mean() for value in (rpr, control)]
        size = np.linalg.norm(truth[chosen], axis=1).mean()
        print(
            f"{name:8s} {chosen.sum():4d} frames, mean |dipole| {size:.3f}: "
            "RPR {:.5f}, no rotation {:.4f}".format(*errors)
        )
    rest = turned([dichloroethane()], seed=2)[0]
    values = model.predict(rest.positions).mean, other.predict(rest.positions.reshape(1, -1))
    sizes = [np.linalg.norm(v) for v in (rest.get_dipole_moment(), *values)]
    print("trans at rest, |dipole|: GFN2-xTB {:.0e}, RPR {:.0e}, no rotation {:.0e}".format(*sizes))
    figure = picture(phi, truth, rpr, std, control)
    print(f"picture: {save_figure(figure, OUTPUT / 'dichloroethane_dipole.png')}")


if __name__ == "__main__":
    main()
