"""The repulsion is on by default: exact within the trained distances, smooth at their end, no holes below."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read, write
from ase.mep import NEB
from ase.optimize import BFGS
from engine_cases import evaluate
from factory import NARROW, ethanol, random_model

from ase_schnet import SchNetCalculator, check_nve, run_nve
from ase_schnet.cli import main
from ase_schnet.data.formats import read_dataset
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.repulsion import Repulsion, onsets
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.neighbors import half_list


def minimum(dihedral_deg: float, model="ethanol"):
    """Ethanol at rest, from this C-C-O-H dihedral."""
    atoms = molecule("CH3CH2OH")
    atoms.set_dihedral(0, 1, 2, 3, dihedral_deg, indices=[3])
    atoms.calc = SchNetCalculator(model)
    BFGS(atoms, logfile=None).run(fmax=0.01)
    return atoms


# --- nothing within, smooth at the end ------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("ethanol", ("rmd17-npz", "rmd17_ethanol_train_01.npz")),
        ("silicon", ("mlearn", "Si_training.extxyz.gz")),
    ],
)
def test_not_a_bit_of_what_was_trained_on_changes(shared_data, model, path):
    """All members, energies, forces and virials of 40 training structures."""
    trained = load_model(model)
    data = read_dataset(shared_data(*path), "eV, Ang" if model == "silicon" else None)[0]
    engines = [Ensemble(trained, threads=1, repulsion=kind) for kind in (None, "zbl")]
    for s in range(0, len(data), max(1, len(data) // 40)):
        part = slice(data.ptr[s], data.ptr[s + 1])
        pairs = half_list(data.R[part], trained.config["cutoff"], data.cells[s], data.pbc[s])
        alone, safe = (e.evaluate(data.Z[part], data.R[part], pairs) for e in engines)
        for a, b in zip(alone, safe, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", [Ensemble, TorchEnsemble])
def test_forces_are_the_slope_and_change_smoothly_across_the_onset(engine):
    """Central differences of the energy to 1e-6; the curvature has no step: it shrinks with the distance."""
    evaluator = engine(load_model(NARROW), repulsion="zbl")
    atoms = molecule("CH3CH2OH")
    line = atoms.get_distance(2, 3, vector=True)
    line /= np.linalg.norm(line)
    onset = onsets(evaluator.model)["H-O"]

    def at(d):
        atoms.positions[3] = atoms.positions[2] + d * line
        got = evaluate(evaluator, atoms)
        return got.energies.mean(), got.forces.mean(axis=0)[3] @ line

    for d in (onset - 0.05, onset - 1e-4, onset, onset + 1e-4):
        h = 1e-4
        slope = (8 * (at(d + h)[0] - at(d - h)[0]) - (at(d + 2 * h)[0] - at(d - 2 * h)[0])) / (
            12 * h
        )
        assert slope == pytest.approx(-at(d)[1], abs=1e-6)

    def step(h):
        here = at(onset)[1]
        return abs((at(onset + h)[1] - here) - (here - at(onset - h)[1])) / h

    assert step(1e-3) < 10  # of a curvature of 50 eV/Å²
    assert step(1e-4) < step(1e-3) / 5
    assert step(1e-5) < step(1e-4) / 5


def test_only_pairs_below_their_onset_are_found():
    """Of all pairs and images, with the numbers that numpy gives."""
    net = Repulsion("zbl", random_model(pbc=True))
    atoms = bulk("C", a=2.6).repeat(2)
    atoms.rattle(0.2, seed=2)
    pairs = half_list(atoms.positions, 4.0, atoms.cell.array, True)
    distances = np.linalg.norm(pairs.vectors(atoms.positions), axis=1)
    expected = np.flatnonzero(distances < net.onset_of(atoms.numbers, pairs))
    assert 0 < len(expected) < len(distances)
    found = net.pairs_below(atoms.numbers, atoms.positions, pairs)
    np.testing.assert_array_equal(found, expected)
    assert len(net.pairs_below(atoms.numbers, 5 * atoms.positions, pairs)) < len(expected)
    apart = half_list(9 * atoms.positions, 4.0)
    assert len(net.pairs_below(atoms.numbers, 9 * atoms.positions, apart)) == 0


# --- what it cures --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["linear", "idpp"])
def test_a_band_between_two_conformers_of_ethanol_finds_the_barrier(method):
    """46 ± 10 meV; linear interpolation passes H at 0.56 Å, where the network alone is −700 eV deep."""
    trans, gauche = minimum(180), minimum(60)
    images = [trans.copy() for _ in range(8)] + [gauche.copy()]
    for image in images:
        image.calc = trans.calc
    band = NEB(images, climb=False, allow_shared_calculator=True, method="improvedtangent")
    band.interpolate(method=method)
    with BFGS(band, logfile=None) as optimiser:
        optimiser.run(fmax=0.05, steps=300)
        band.climb = True
        assert optimiser.run(fmax=0.03, steps=300)
    energies = [image.get_potential_energy() for image in images]
    assert max(energies) - energies[0] == pytest.approx(0.046, abs=0.010)


@pytest.mark.slow
def test_dynamics_that_passes_through_the_onsets_conserves_energy():
    """1500 K takes C-H and O-H bonds below their shortest in training many times."""
    atoms = minimum(180, NARROW)
    _, verdict = check_nve(
        atoms, temperature_K=1500, time_ps=1.0, timestep_fs=0.25, seed=5, test_time_ps=0.2
    )
    assert verdict.passed, str(verdict)
    atoms, seen = minimum(180, NARROW), []  # the same run, looked at
    net = Repulsion("zbl", atoms.calc.trained)

    class Look:
        every = 1

        def start(self, *_):
            pass

        def check(self, atoms, *_):
            pairs = half_list(atoms.positions, 5.0)
            seen.append(len(net.pairs_below(atoms.numbers, atoms.positions, pairs)))

    run_nve(atoms, temperature_K=1500, time_ps=1.0, timestep_fs=0.25, seed=5, monitor=Look())
    assert np.count_nonzero(np.diff(np.array(seen) > 0)) >= 10


# --- runs of before, cards and options ------------------------------------------------------------


def run_options(directory, *more):
    options = ["--time", "0.04", "--no-plot", "--test-time", "0", "-o", str(directory)]
    return [*options, *more]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("r") / "tiny", random_model(members=3)))


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "ethanol.xyz"
    write(path, ethanol())
    return str(path)


def repulsion_in(directory):
    return json.loads((directory / "run.json").read_text())["calculator"]["model_info"]["repulsion"]


@pytest.mark.parametrize("kind", ["none", "zbl"])
def test_a_resumed_run_keeps_the_repulsion_that_it_began_with(model, structure, tmp_path, kind):
    run = ["md", model, structure, "--monitor", "off"]
    assert main([*run, *run_options(tmp_path / "run", "--repulsion", kind)]) in (0, 1, 3)
    more = ["--resume", "--time", "0.05"]
    assert main([*run, *run_options(tmp_path / "run", *more)]) in (0, 1, 3)
    assert repulsion_in(tmp_path / "run") == (None if kind == "none" else kind)


def test_a_run_of_an_older_version_resumes_without_repulsion(model, structure, tmp_path):
    """Its run.json says nothing of any."""
    run = ["md", model, structure, "--monitor", "off"]
    assert main([*run, *run_options(tmp_path / "run", "--repulsion", "none")]) in (0, 1, 3)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    del about["calculator"]["model_info"]["repulsion"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    more = ["--resume", "--time", "0.05"]
    assert main([*run, *run_options(tmp_path / "run", *more)]) in (0, 1, 3)
    assert repulsion_in(tmp_path / "run") is None


def test_a_run_does_not_go_on_with_another_repulsion(model, structure, tmp_path, capsys):
    atoms = read(structure)
    atoms.calc = SchNetCalculator(model, repulsion=None)
    options = {"timestep_fs": 0.5, "run_dir": tmp_path / "run", "progress": False}
    run_nve(atoms, time_ps=0.04, **options)
    atoms = read(structure)
    atoms.calc = SchNetCalculator(model)
    with pytest.raises(ValueError, match=r"run with repulsion=None, .* give it repulsion=None"):
        run_nve(atoms, time_ps=0.05, resume=True, **options)
    more = ["--resume", "--time", "0.05", "--repulsion", "zbl", "--monitor", "off"]
    assert main(["md", model, structure, *run_options(tmp_path / "run", *more)]) == 2
    assert "--repulsion none" in capsys.readouterr().err


def test_the_card_says_where_the_repulsion_begins(capsys):
    assert main(["info", NARROW]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("repulsion"))
    assert "H-O 0.88" in line
    assert "--repulsion none" in line
