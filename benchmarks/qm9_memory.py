"""Peak memory of QM9's 134 thousand molecules: reading, packing, training.

    python -m benchmarks.qm9_memory --molecules 134000        writes benchmarks/qm9_memory.md

The molecules are synthetic, of QM9's elements and sizes, in an archive of QM9's layout. Each line of the
table is a process of its own; its peak is the kernel's (`resource.getrusage`). Needs 0.1 GB in --work.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.processor import machine

HERE = Path(__file__).parent
FREE_ATOMS = {"H": -0.500273, "C": -37.846772, "N": -54.583861, "O": -75.064579, "F": -99.71873}
ABUNDANCE = {"H": 0.511, "C": 0.352, "N": 0.058, "O": 0.078, "F": 0.001}
TARGET_GIB = 4.0


def write_archive(path: Path, n_molecules: int) -> None:
    """Molecules as chains of atoms 1.1 to 1.5 Å apart, with energies near those of their free atoms."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.normal(18.0, 3.0, n_molecules).round().astype(int), 3, 29)
    with tarfile.open(path, "w:bz2", compresslevel=1) as archive:
        for k, n_atoms in enumerate(sizes.tolist()):
            member = tarfile.TarInfo(f"dsgdb9nsd_{k + 1:06d}.xyz")
            content = _molecule(k + 1, n_atoms, rng).encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _molecule(index: int, n_atoms: int, rng: np.random.Generator) -> str:
    symbols = rng.choice(list(ABUNDANCE), size=n_atoms, p=list(ABUNDANCE.values()))
    turns = np.arange(n_atoms)[:, None] * [1.9, 1.9, 0.35] + rng.normal(
        scale=0.05, size=(n_atoms, 3)
    )
    positions = np.stack(
        [1.6 * np.cos(turns[:, 0]), 1.6 * np.sin(turns[:, 1]), turns[:, 2]], axis=1
    )
    energy = sum(FREE_ATOMS[s] for s in symbols) - 0.15 * n_atoms + 0.03 * rng.normal()
    properties = [*rng.uniform(size=10), energy, energy + 0.003, energy + 0.004, energy - 0.03, 6.5]
    lines = [str(n_atoms), f"gdb {index}\t" + "\t".join(f"{p:.6f}" for p in properties)]
    lines += [
        f"{s}\t{x:.10f}\t{y:.10f}\t{z:.10f}\t-0.1"
        for s, (x, y, z) in zip(symbols, positions, strict=True)
    ]
    return "\n".join([*lines, "1341.3\t1562.7", "C\tC", "InChI=1S/CH4\tInChI=1S/CH4"]) + "\n"


# The work of the processes; each returns what it wants to say.


def nothing(_: Path) -> str:
    """What the imports alone take."""
    import ase_schnet.training.trainer
    from ase_schnet.data import formats

    return f"{formats.__name__}, {ase_schnet.training.trainer.__name__} imported"


def as_atoms(path: Path) -> str:
    """The list of labelled Atoms that scripts work with."""
    from ase_schnet.data.formats import read_labelled

    frames, _ = read_labelled(path)
    return f"{len(frames)} Atoms"


def as_arrays(path: Path) -> str:
    """The packed arrays that a training wants."""
    from ase_schnet.data.formats import read_dataset

    dataset, _ = read_dataset(path)
    return f"{len(dataset)} structures, {len(dataset.Z)} atoms"


def pairs_kept(path: Path) -> str:
    """One member, an epoch of all but a thousand molecules: the pairs of all are kept."""
    from ase_schnet.training.batches import BatchSource

    return one_epoch(path, BatchSource)


def pairs_streamed(path: Path) -> str:
    """The same: the pairs of a batch are found when it is asked for."""
    from ase_schnet.training.streaming import StreamingSource

    return one_epoch(path, StreamingSource)


def one_epoch(path: Path, source: type) -> str:
    """Read, fit for an epoch with batches from `source`, find the sampled distances."""
    from ase_schnet.data.formats import read_dataset
    from ase_schnet.data.pairs import sampled_distances
    from ase_schnet.data.splits import random_split
    from ase_schnet.model.schnet import SchNetConfig
    from ase_schnet.training import trainer
    from ase_schnet.training.loss import LossWeights
    from ase_schnet.training.settings import FitSettings

    dataset, _ = read_dataset(path)
    train, validation = random_split(len(dataset), max(1, len(dataset) // 134))
    config = SchNetConfig(16, 16, n_interactions=1, n_rbf=20, cutoff=5.0, gamma=4.0)
    weights = LossWeights(energy=1.0, forces=0.0)
    settings = FitSettings(epochs=1, batch_size=64)
    chooser = "source_of" if hasattr(trainer, "source_of") else "BatchSource"
    with mock.patch.object(trainer, chooser, source):
        fit = trainer.Fit(
            config, dataset.subset(train), dataset.subset(validation), weights, settings
        )
    start = time.perf_counter()
    record = fit.run_epoch()
    seconds = time.perf_counter() - start
    ranges = sampled_distances(dataset, config.cutoff)
    return (
        f"epoch of {len(train)} molecules in {seconds:.0f} s by {type(fit.training).__name__}, "
        f"{record['validation_energy_mae_meV_per_atom']:.0f} meV/atom; {len(ranges)} element pairs"
    )


PHASES = {f.__name__: f for f in (nothing, as_atoms, as_arrays, pairs_kept, pairs_streamed)}


def measured(phase: str, path: Path) -> dict:
    """Run one phase in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.qm9_memory",
        "--phase",
        phase,
        "--archive",
        str(path),
    ]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(n_molecules: int, archive: Path) -> str:
    """The file that is written."""
    rows = {phase: measured(phase, archive) for phase in PHASES}
    lines = [
        "# Memory of QM9",
        "",
        "Written by `python -m benchmarks.qm9_memory`; do not edit. "
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; {machine()}, "
        f"numpy {np.__version__}.",
        "",
        f"{n_molecules} synthetic molecules of QM9's elements and sizes, in an archive of QM9's layout "
        f"({archive.stat().st_size / 2**20:.0f} MiB). Each phase is a process of its own and begins by "
        "reading the archive; peak is the kernel's resident maximum. The training is of energies alone, as "
        "QM9 has no forces; its network is small because its memory does not depend on how many molecules "
        "there are.",
        "",
        "| phase | peak GiB | seconds | |",
        "| --- | ---: | ---: | --- |",
    ]
    lines += [
        f"| {PHASES[p].__doc__.rstrip('.')} | {r['peak_GiB']:.2f} | {r['seconds']:.0f} | {r['says']} |"
        for p, r in rows.items()
    ]
    worst = max(r["peak_GiB"] for r in rows.values())
    verdict = "kept" if worst < TARGET_GIB else "NOT kept"
    return (
        "\n".join([*lines, "", f"The limit of {TARGET_GIB:g} GiB is {verdict}: {worst:.2f} GiB."])
        + "\n"
    )


def main() -> None:
    """Measure everything, or, with --phase, one process's share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", type=int, default=134_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--output", type=Path, default=HERE / "qm9_memory.md")
    parser.add_argument("--phase", choices=PHASES)
    parser.add_argument("--archive", type=Path)
    args = parser.parse_args()
    if args.phase:
        start = time.perf_counter()
        says = PHASES[args.phase](args.archive)
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = time.perf_counter() - start
        print(json.dumps({"peak_GiB": kib / 2**20, "seconds": seconds, "says": says}))
        return
    archive = args.archive or args.work / f"synthetic_qm9_{args.molecules}.tar.bz2"
    if not archive.exists():
        write_archive(archive, args.molecules)
    text = table(args.molecules, archive)
    args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
