"""Frames and models for dipoles and polarizabilities, every structure turned at random first.

    python -m benchmarks.dipoles            # some minutes on one core; writes dipoles.md and dipoles.png

The files' structures are aligned, which flatters every method and the one without rotation above all.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import ase
import numpy as np
import scipy
from ase.data import atomic_masses
from scipy.spatial.transform import Rotation

from ase_schnet.dipole.fit import fit_rpr
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.uncertainty.committee import calibrate_std
from benchmarks.dichloroethane import STORE, section
from benchmarks.dipole_data import Case, malonaldehyde, physnet, split, tensoap
from benchmarks.dipole_path import largest_change, plot
from benchmarks.dipole_rivals import RIVALS, both, in_frame, no_rotation, principal_frames
from benchmarks.processor import machine

HERE = Path(__file__).resolve().parent


def ours(case: Case, train: np.ndarray, **settings):
    """The model, and a predictor of the members' mean like those of the rivals."""
    model = fit_rpr(
        case.dataset(train),
        case.quantity,
        charge=case.charge,
        labels_about="centre of mass" if case.charge else None,
        settings=RPRSettings(**settings),
    )
    width = case.labels.shape[1]

    def predict(positions):
        blocks = np.array_split(positions, -(-len(positions) // 64))
        parts = [model.predict_many(b).mean(axis=0).reshape(-1, width) for b in blocks]
        return np.concatenate(parts)

    return model, predict


def frames_and_models(case: Case) -> tuple[list[str], dict]:
    """One row per method on methanol, and the predictors."""
    train, test = split(case, 1000, 2000)
    masses = atomic_masses[case.numbers]
    rows, predictors = [], {}

    def add(name, predict, seconds):
        error = predict(case.positions[test]) - case.labels[test]
        jumps = [largest_change(predict, case, n) for n in (1001, 4001)]
        smooth = "no" if jumps[1] < 0.3 * jumps[0] else "yes"
        rows.append(
            f"| {name} | {np.abs(error).mean():.6f} | {np.sqrt((error**2).mean()):.6f} "
            f"| {jumps[0]:.6f} | {jumps[1]:.6f} | {smooth} | {seconds:.1f} |"
        )
        print(rows[-1], flush=True)
        predictors[name] = predict

    for name, method in RIVALS.items():
        start = time.process_time()
        predict = method(case.positions[train], case.labels[train], masses, case.numbers)
        add(name, predict, time.process_time() - start)
    for name, settings in {
        "**followed axes**, no exchanges, 1000 centres": dict(max_exchanges=1, n_centres=1000),
        "**followed axes**, 250 centres": dict(n_centres=250),
        "**followed axes**, 500 centres: the default": {},
        "**followed axes**, 1000 centres": dict(n_centres=1000),
    }.items():
        start = time.process_time()
        model, predict = ours(case, train, **settings)
        add(name, predict, time.process_time() - start)
        if not settings:
            predictors["default"] = model
    return rows, predictors


def milliseconds(model, positions: np.ndarray) -> float:
    """Processor time of one prediction, mean and std: median of batches of 50."""
    times = []
    for _ in range(20):
        begin = time.process_time()
        for r in positions[:50]:
            model.predict(r)
        times.append((time.process_time() - begin) / 50)
    return 1e3 * float(np.median(times))


def covariance_error(model, positions: np.ndarray) -> float:
    """Largest |value(Q r + c) − Q value(r)| over 100 structures and rotations, and their inversions."""
    worst = 0.0
    for r, q in zip(positions, Rotation.random(100, rng=np.random.default_rng(5)), strict=False):
        for turn in (q.as_matrix(), -q.as_matrix()):
            a, b = model.predict(r).mean, model.predict(r @ turn.T + 3.0).mean
            worst = max(worst, np.abs(b - (turn @ a if a.ndim == 1 else turn @ a @ turn.T)).max())
    return worst


def data_set_row(case: Case, n_train: int, n_test: int) -> str:
    train, test = split(case, n_train, n_test)
    start = time.process_time()
    model, predict = ours(case, train)
    seconds = time.process_time() - start
    truth, masses = case.labels[test], atomic_masses[case.numbers]
    controls = [in_frame(no_rotation), in_frame(principal_frames, both, average=True)]
    if case.quantity == "dipole":
        controls.append(RIVALS["latent charges, KRR"])
    few = train[:1000]  # the controls' kernel matrices are of all structures
    others = [m(case.positions[few], case.labels[few], masses, case.numbers) for m in controls]
    relative = [
        f"{100 * np.linalg.norm(p(case.positions[test]) - truth) / np.linalg.norm(truth):.3f}"
        for p in (predict, *others)
    ] + ["—"] * (3 - len(others))
    mae = np.abs(predict(case.positions[test]) - truth).mean()
    row = (
        f"| {case.name} | {case.quantity} | {len(train)} / {len(test)} | {mae:.6f} | "
        + " | ".join(relative)
        + f" | {seconds:.1f} | {milliseconds(model, case.positions[test]):.2f}"
        + f" | {covariance_error(model, case.positions[test]):.0e} |"
    )
    print(row, flush=True)
    return row


def calibration_line(model, case: Case) -> str:
    _, test = split(case, 1000, 2000)
    members = np.concatenate(
        [model.predict_many(b) for b in np.array_split(case.positions[test], 40)], 1
    )
    judged = calibrate_std(members.mean(axis=0) - case.labels[test], members.std(axis=0, ddof=1))
    return (
        f"The std of the default's five members against its errors on the 2000 test structures: rank "
        f"correlation {judged.spearman:.2f}, scale {judged.scale:.2f} (above 1: too small), "
        f"miscalibration area {judged.miscalibration_area:.3f} after scaling."
    )


HEAD = """# Dipoles and polarizabilities

Written by `python -m benchmarks.dipoles`; do not edit. {about}

Every structure is turned at random about its centre of mass before anything else; the files' own are
aligned. KRR is kernel ridge regression with a Gaussian kernel, width and penalty chosen on held-out training
structures.

## Frames and models: methanol, CCSD(T)/aug-cc-pVTZ, 1000 structures to train, 2000 others to test

Errors of the dipole in e·Å per component; the labels' root mean square is {rms:.3f}. *Largest change* is that
of the predicted dipole from one point to the next along a path on which two moments of inertia change places
(`dipoles.png`), in e·Å, for 1001 and 4001 points: a continuous method's falls fourfold. The models marked
with followed axes are ensembles of five; the others are single. *Both* are positions and inverse distances.
Seconds are processor time of one thread on a busy machine, for the choice of width and penalty and the fit.

| method | MAE | RMSE | largest change, 1001 | 4001 | jumps | fit s |
| --- | ---: | ---: | ---: | ---: | --- | ---: |
"""
MIDDLE = """
{calibration}

## Other data

Relative error is |error| / |label|, root mean square over the test structures, in percent; that of the
tensors in the Frobenius norm. The controls have at most 1000 structures to train with. Seconds and
milliseconds are processor time; the latter for one structure, mean and std of five members. *Covariance* is
the largest deviation of a prediction for a turned, moved or inverted structure from the turned
prediction, in e·Å or e²Å²/eV. The dipole of the Zundel ion is about the centre of mass.

"""
COLUMNS = (
    *("molecule", "quantity", "train / test", "MAE", "ours %", "no rotation %"),
    *("average of 4 inertia frames %", "latent charges %", "fit s", "ms", "covariance"),
)


def main() -> None:
    """Measure, print, write."""
    methanol = physnet("methanol", "ch3oh_cc_avtz_7201.npz")
    about = (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; one thread, {machine()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}, "
        f"ase {ase.__version__}."
    )
    rows, predictors = frames_and_models(methanol)
    plot(methanol, predictors, HERE / "dipoles.png")
    formaldehyde = physnet("formaldehyde", "ch2o_ccf12_avtz_3601.npz")
    sets = [
        (methanol, 1000, 2000),
        (methanol, 4000, 3000),
        (formaldehyde, 1000, 2000),
        (tensoap("water", "water_monomer_1000.xyz", "mu"), 700, 300),
        (tensoap("water", "water_monomer_1000.xyz", "alpha"), 700, 300),
        (tensoap("Zundel ion", "water_zundel_1000.xyz", "mu", charge=1), 700, 300),
        (tensoap("Zundel ion", "water_zundel_1000.xyz", "alpha"), 700, 300),
        (malonaldehyde(), 1000, 1000),
    ]
    rms = np.sqrt(np.mean(methanol.labels**2))
    text = HEAD.format(about=about, rms=rms) + "\n".join(rows) + "\n"
    text += MIDDLE.format(calibration=calibration_line(predictors["default"], methanol))
    text += f"| {' | '.join(COLUMNS)} |\n| --- | ---{' | ---:' * (len(COLUMNS) - 2)} |\n"
    text += "\n".join(data_set_row(*arguments) for arguments in sets) + "\n"
    text += "\n" + section(json.loads(STORE.read_text()))
    (HERE / "dipoles.md").write_text(text)


if __name__ == "__main__":
    main()
