"""Batches found as they are asked for: the same bits as those from stored pairs, in no memory to speak of."""

import tracemalloc

import numpy as np
import pytest
import torch
from ase import Atoms
from factory import TINY, labelled_crystals, labelled_molecules, small_dataset
from qm9_cases import qm9_text, synthetic, write_archive

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.training import streaming
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.streaming import StreamingSource, source_of
from ase_schnet.training.trainer import Fit


@pytest.mark.parametrize(
    "frames",
    [
        labelled_molecules(11),
        labelled_crystals(7),
        [Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 9]])],
    ],
    ids=["molecules", "crystals", "no pairs"],
)
def test_streamed_batches_are_the_stored_ones_bit_for_bit(frames):
    data = Dataset.from_atoms(frames)
    stored, streamed = (K(data, 3.5, torch.float32) for K in (BatchSource, StreamingSource))
    order = np.random.default_rng(0).permutation(len(data))
    pairs = list(zip(stored.epoch(4, order), streamed.epoch(4, order), strict=True))
    assert len(pairs) == -(-len(data) // 4)
    for (batch, labels), (other_batch, other_labels) in pairs:
        for a, b in zip((*batch, *labels), (*other_batch, *other_labels), strict=True):
            assert type(a) is type(b)
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else np.array_equal(a, b)


def test_a_fit_from_streamed_batches_ends_with_the_same_bits():
    def losses(kind):
        data = small_dataset(18)
        settings = FitSettings(epochs=2, batch_size=5)
        fit = Fit(TINY, data, small_dataset(6, seed=1), LossWeights(), settings)
        fit.training = kind(data, TINY.cutoff, torch.float32)
        return [fit.run_epoch()["training_loss"] for _ in range(2)]

    assert losses(StreamingSource) == losses(BatchSource)


@pytest.mark.parametrize(
    ("frames", "limit"),
    [
        (labelled_molecules(6), "STORED_ATOMS_OF_SMALL"),
        (labelled_crystals(4), "STORED_ATOMS"),
        ([Atoms("H70", np.arange(210).reshape(70, 3))], "STORED_ATOMS"),
    ],
    ids=["molecules", "crystals", "large molecule"],
)
def test_pairs_are_kept_where_they_fit(monkeypatch, frames, limit):
    data = Dataset.from_atoms(frames)
    assert isinstance(source_of(data, 4.0, torch.float32), BatchSource)
    monkeypatch.setattr(streaming, limit, len(data.Z) - 1)
    assert isinstance(source_of(data, 4.0, torch.float32), StreamingSource)


@pytest.mark.parametrize("n_atoms", [20, 300])
def test_stored_pairs_are_those_of_each_molecule(n_atoms):
    """Their numbers are kept in a byte where the largest is 255, and else whole."""
    positions = np.random.default_rng(0).uniform(0, 12, (n_atoms, 3))
    data = Dataset.from_atoms([Atoms("He3", np.eye(3)), Atoms(f"He{n_atoms}", positions)])
    batch, _ = BatchSource(data, 3.0, torch.float64).batch(np.array([1]))
    i, j = np.triu_indices(n_atoms, 1)
    near = np.linalg.norm(positions[i] - positions[j], axis=1) < 3.0
    found = set(zip(batch.idx_i.tolist(), batch.idx_j.tolist(), strict=True))
    assert {(min(p), max(p)) for p in found} == set(
        zip(i[near].tolist(), j[near].tolist(), strict=True)
    )
    assert batch.shifts.shape == (len(found), 3)
    assert not batch.shifts.any()


def test_pairs_of_small_molecules_take_few_bytes():
    """Of 20 atoms some 100 pairs: 220 bytes, where whole numbers and shifts took 4 kB."""
    rng = np.random.default_rng(0)
    frames = [Atoms("C20", rng.uniform(0, 6, (20, 3))) for _ in range(400)]
    data = Dataset.from_atoms(frames)
    tracemalloc.start()
    try:
        source = BatchSource(data, 5.0, torch.float32)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(source.batch(np.arange(400))[0].idx_i) > 100 * len(data)
    assert kept / len(data) < 500


def test_memory_is_that_of_the_arrays(tmp_path):
    """Bytes per molecule of 18 atoms: 2.4 and 0.3 kB. By way of a list of Atoms it is 5.7 kB.

    `python -m benchmarks.qm9_memory` does it for all of QM9.
    """
    rng = np.random.default_rng(0)
    texts = [qm9_text(k, *synthetic(rng, 18)) for k in range(800)]
    path = write_archive(tmp_path / "qm9.tar", texts)
    read_dataset(path)  # what reading imports is not of the molecules
    tracemalloc.start()
    try:
        dataset, _ = read_dataset(path)
        kept, peak_of_reading = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        source = StreamingSource(dataset, 5.0, torch.float32)
        order = rng.permutation(len(dataset))
        n_pairs = sum(len(batch.idx_i) for batch, _ in source.epoch(10, order))
        _, peak_of_epoch = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_pairs > 140 * len(dataset)
    assert peak_of_reading / len(dataset) < 4000
    assert (peak_of_epoch - kept) / len(dataset) < 1000
