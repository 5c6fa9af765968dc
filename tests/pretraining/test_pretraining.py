"""A cheap method teaches the members: GFN2-xTB, with GFN1-xTB in the place of the dear method."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from factory import TINY, ethanol, labelled_crystals, random_model

from ase_schnet import PRESETS, DeltaCalculator, Pretraining, SchNetCalculator, pretrained
from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import read_reference
from ase_schnet.model_directories import ModelFileError
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.pretraining.difference import difference_of
from ase_schnet.pretraining.settings import read_pretraining, teacher_network, teacher_settings
from ase_schnet.pretraining.taught import Taught
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from ase_schnet.training.workdir import WorkDirectory

FAR = 0.4  # of the rms difference
POOL = "gfn2-xtb, n_thermal=24, n_far=40"
PICKY = """
from ase.calculators.calculator import CalculationFailed
from ase.calculators.lj import LennardJones

class Picky(LennardJones):
    def calculate(self, atoms, *rest):
        if abs(atoms.positions[0, 0] - {x!r}) < 1e-12:
            raise CalculationFailed("not this one")
        super().calculate(atoms, *rest)
"""


@pytest.fixture(scope="module")
def dear():
    """Ethanol labelled by GFN1-xTB, which stands for a dear method."""
    frames = [ethanol(0.06, seed) for seed in range(20)]
    return label_structures(frames, "gfn1-xtb", jobs=1).frames


@pytest.fixture(scope="module")
def trained(dear, tmp_path_factory):
    """A model directory of the whole way, and the options that made it."""
    folder = tmp_path_factory.mktemp("pretrained")
    write(folder / "dear.xyz", dear)
    options = ["train", str(folder / "dear.xyz"), "-o", str(folder / "m"), "--folds", "2"]
    options += ["--kept-out", "0.1", "--interactions", "1", "--epochs", "2", "--no-plot"]
    options += ["--jobs", "1", "--pretrain", POOL, "--level-of-theory", "GFN1-xTB"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ase_schnet.pretraining.settings.TEACHER_EPOCHS", (2, 4))
        # a teacher of four epochs knows no large differences: so that some are far, and some are not
        patch.setattr("ase_schnet.pretraining.taught.FAR_DIFFERENCE", FAR)
        patch.setattr(
            "ase_schnet.training.workdir.WorkDirectory.clean", lambda self, pool=True: None
        )
        assert main(options) in (0, 1)
    shutil.copytree(folder / "m/training/pretraining", folder / "pool")  # goes when all is done
    return options, folder / "m"


def test_the_difference_and_the_cheap_method_make_the_labels(dear, tmp_path):
    dataset = Dataset.from_atoms(dear)
    difference, kept = difference_of(
        dataset, read_reference("gfn2-xtb"), tmp_path / "c.extxyz", jobs=1
    )
    assert kept.tolist() == list(range(20))
    cheap = Dataset.from_atoms(read(tmp_path / "c.extxyz", ":"))
    np.testing.assert_allclose(cheap.E + difference.E, dataset.E, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cheap.F + difference.F, dataset.F, rtol=0, atol=1e-7)
    assert np.abs(difference.F).max() > 0.05  # eV/Å: they are two methods


def test_what_the_cheap_method_fails_on_is_left_out_and_named(dear, tmp_path):
    (tmp_path / "picky.py").write_text(PICKY.format(x=float(dear[3].positions[0, 0])))
    picky = read_reference(f"{tmp_path}/picky.py:Picky")
    dataset = Dataset.from_atoms(dear)
    with pytest.warns(UserWarning, match="1 of 20 structures have no label of"):
        _, kept = difference_of(dataset, picky, tmp_path / "c.extxyz", jobs=1)
    assert 3 not in kept
    assert len(kept) == 19
    plan = plan_folds(20, 2, n_kept_out=4)
    fewer = plan.restricted(kept)
    for before, after in zip(
        (*plan.folds, plan.kept_out), (*fewer.folds, fewer.kept_out), strict=True
    ):
        assert kept[after].tolist() == [k for k in before if k != 3]


@pytest.mark.slow
def test_no_member_learns_from_what_judges_it(trained, dear):
    _, model = trained
    card = json.loads((model / "model.json").read_text())["training"]
    work = model / "training/pretraining"
    settings = replace(read_pretraining(POOL), dear_share=0.0)
    taught = Taught(work, settings, "GFN2-xTB")
    with np.load(work / "teacher.npz") as file:
        origins, far = file["origins"], file["far"] & ~file["breaking"]
    assert not set(origins) & set(card["kept_out"])
    dataset = Dataset.from_atoms(dear)
    for fold, validation in enumerate(card["folds"]):
        training = np.setdiff1d(np.arange(20), [*validation, *card["kept_out"]])
        pool = taught(dataset, training, fold)
        assert len(pool) == (np.isin(origins, training) & ~far).sum()
        assert 0 < len(pool) < len(origins)


@pytest.mark.slow
def test_labels_are_cheap_plus_the_difference_of_the_own_teacher(trained, dear):
    _, model = trained
    work = model / "training/pretraining"
    taught = Taught(work, replace(read_pretraining(POOL), dear_share=0.0), "GFN2-xTB")
    cheap = taught._pool.read()
    teacher = DeltaCalculator(model / "teacher")
    with np.load(work / "teacher.npz") as file:
        far = file["far"]
    everything = np.arange(20)
    pools = [taught(Dataset.from_atoms(dear), everything, fold) for fold in (0, 1)]
    near = int(np.flatnonzero(~far)[0])
    atoms = cheap.atoms(near)
    atoms.calc = teacher
    atoms.get_potential_energy()
    for fold, pool in enumerate(pools):
        s = next(
            s for s in range(len(pool)) if np.array_equal(pool.atoms(s).positions, atoms.positions)
        )
        assert pool.E[s] == pytest.approx(teacher.results["energy_committee"][fold], abs=1e-4)
        forces = pool.F[pool.ptr[s] : pool.ptr[s + 1]]
        np.testing.assert_allclose(forces, teacher.results["forces_committee"][fold], atol=1e-4)
    assert (pools[0].weight > 0).all()


def test_where_bonds_break_the_spread_is_what_two_cheap_methods_differ_by(trained, dear):
    """Their mean is the first method; its multiples of the second one's difference spread by 0.35."""
    _, model = trained
    work = model / "training/pretraining"
    taught = Taught(work, replace(read_pretraining(POOL), dear_share=0.0), "GFN2-xTB")
    cheap = taught._pool.read()
    with np.load(work / "teacher.npz") as file:
        far = np.flatnonzero(file["far"] & file["breaking"])
        energy = float(np.median(file["dear_per_atom"]))
    assert len(far) > 0
    pools = [taught(Dataset.from_atoms(dear), np.arange(20), fold) for fold in (0, 1)]
    kept = [pools[0].atoms(s).positions for s in range(len(pools[0]))]
    for k in far[:3]:
        atoms = cheap.atoms(int(k))
        s = next(s for s, R in enumerate(kept) if np.array_equal(R, atoms.positions))
        rows, own = (slice(d.ptr[n], d.ptr[n + 1]) for d, n in ((pools[0], s), (cheap, int(k))))
        forces = np.stack([pool.F[rows] for pool in pools])
        np.testing.assert_allclose(forces.mean(axis=0), cheap.F[own], atol=1e-6)
        atoms.calc = read_reference("gfn1-xtb").calculator()
        differ = atoms.get_forces() - cheap.F[own]
        np.testing.assert_allclose(forces.std(axis=0, ddof=1), 0.35 * np.abs(differ), atol=1e-4)
        assert np.mean([pool.E[s] for pool in pools]) == pytest.approx(cheap.E[k] + 9 * energy)


@pytest.mark.slow
def test_the_card_says_which_distances_rest_on_which_method(trained):
    _, path = trained
    model = load_model(path)
    assert model.level_of_theory == "GFN1-xTB"
    assert set(model.trained_on) == {"GFN1-xTB", "GFN2-xTB"}
    levels = ("GFN1-xTB", "GFN2-xTB")
    dear, cheap = (model.trained_on[k]["distance_ranges_Ang"]["C-H"] for k in levels)
    bond, far = dear[0], cheap[0]
    assert far[0] < bond[0] or far[1] > bond[1]  # squeezed or stretched
    between = (far[0] + bond[0]) / 2 if far[0] < bond[0] else (far[1] + bond[1]) / 2
    assert model.trained_range("C", "H", between) is None
    assert any(a <= between <= b for a, b in model.known_ranges["C-H"])
    assert model.card["training"]["augmentation"]["reference"] == "gfn2-xtb"


@pytest.mark.slow
def test_a_finished_training_is_not_begun_anew(trained, capsys, monkeypatch):
    options, _ = trained
    monkeypatch.setattr("ase_schnet.pretraining.run._prepare", None)
    assert main([*options, "--resume"]) in (0, 1)
    assert "nothing to do" in capsys.readouterr().out
    changed = [POOL + ", far_weight=0.5" if word == POOL else word for word in options]
    assert main([*changed, "--resume"]) == 2
    assert "far_weight" in capsys.readouterr().err


@pytest.mark.slow
def test_members_as_jobs_need_the_pool_first(trained, tmp_path, capsys):
    options, _ = trained
    options = [str(tmp_path / "n") if word.endswith("/m") else word for word in options]
    assert main([*options, "--fold", "1"]) == 2
    assert "--prepare" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["energy_committee", "forces_committee", "energy", "forces"])
def test_a_delta_calculator_adds_the_two(tmp_path, name):
    path = save_model(tmp_path / "d", replace(random_model(), baseline="gfn2-xtb"))
    atoms = ethanol()
    atoms.calc = DeltaCalculator(path)
    atoms.get_potential_energy()
    whole = save_model(tmp_path / "w", random_model())
    plain = atoms.copy()
    plain.calc = SchNetCalculator(whole)
    plain.get_potential_energy()
    cheap = atoms.copy()
    cheap.calc = read_reference("gfn2-xtb").calculator()
    added = cheap.get_forces() if "forces" in name else cheap.get_potential_energy()
    np.testing.assert_allclose(
        atoms.calc.results[name], plain.calc.results[name] + added, rtol=0, atol=1e-6
    )


def test_forces_of_a_delta_calculator_are_the_slope_of_its_energy(tmp_path):
    atoms = ethanol()
    path = save_model(tmp_path / "d", replace(random_model(), baseline="gfn2-xtb"))
    atoms.calc = DeltaCalculator(path)
    numerical = calculate_numerical_forces(atoms, eps=1e-3, iatoms=[2, 8])
    np.testing.assert_allclose(atoms.get_forces()[[2, 8]], numerical, atol=5e-4)


def test_a_model_of_differences_is_not_taken_for_a_whole_one(tmp_path, capsys):
    path = save_model(tmp_path / "d", replace(random_model(), baseline="gfn2-xtb"))
    with pytest.raises(ModelFileError, match="DeltaCalculator"):
        SchNetCalculator(path)
    whole = save_model(tmp_path / "w", random_model())
    with pytest.raises(ModelFileError, match="SchNetCalculator"):
        DeltaCalculator(whole)
    write(tmp_path / "a.xyz", ethanol())
    command = [
        "md",
        str(path),
        str(tmp_path / "a.xyz"),
        "--time",
        "0.01",
        "-o",
        str(tmp_path / "r"),
    ]
    assert main(command) == 2
    assert "DeltaCalculator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gfn2-xtb, far=3", "'far' is not known"),
        ("gfn2-xtb, n_far=many", "n_far='many' is not a whole number"),
        ("gfn2-xtb n_far=20", "after commas"),
        ("gfn2-xtb, n_far=20, n_far=30", "n_far is given twice"),
        ("gfn2-xtb, n_far=0", "n_far must be a whole number"),
        ("gfn2-xtb, dear_share=1", "dear_share must be"),
        ("gfn2-xtb, second_spread=-1", "second_spread must be"),
        ("gfn2-xtb, temperature=1e9", "temperature_K is 1e\\+09 K, above"),
    ],
)
def test_bad_settings_are_one_line(text, message):
    with pytest.raises(ValueError, match=message):
        read_pretraining(text)


def test_a_cheap_method_that_cannot_do_it_is_one_line(tmp_path, dear, capsys):
    write(tmp_path / "a.xyz", dear)
    command = ["train", str(tmp_path / "a.xyz"), "-o", str(tmp_path / "m"), "--folds", "2"]
    command += ["--kept-out", "0.1"]
    for options, message in [
        (["--pretrain", "gfn9-xtb"], "gfn9-xtb"),
        (["--pretrain", "gfn2-xtb", "--charge", "1", "--multiplicity", "1"], "charge"),
        (["--pretrain", "gfn2-xtb", "--baseline", "gfn2-xtb"], "not both"),
        (["--prepare"], "--pretrain"),
        (["--baseline", "gfn2-xtb", "--fold", "1"], "--fold"),
    ]:
        assert main([*command, *options]) == 2, options
        error = capsys.readouterr().err.strip()
        assert message in error.splitlines()[-1]
        assert "Traceback" not in error


def test_teachers_take_as_many_steps_for_few_structures_as_for_many(dear):
    few = teacher_settings(FitSettings(), Dataset.from_atoms(dear), 10_000, False)
    assert few.epochs == 2000
    assert few.batch_size == 10
    assert (
        few.learning_rate > teacher_settings(few, Dataset.from_atoms(dear), 100, True).learning_rate
    )
    network = teacher_network(PRESETS["fast"])  # the members' own, with wider Gaussians
    assert replace(network, gamma=PRESETS["fast"].gamma) == PRESETS["fast"]
    assert network.gamma < PRESETS["fast"].gamma
    assert Pretraining("gfn2-xtb").to_dict()["n_far"] == 20_000


@pytest.mark.slow
def test_a_pool_that_was_made_for_something_else_is_not_used(trained, tmp_path, capsys):
    """Other settings, other data or another split: the pool of the directory is refused by name."""
    options, model = trained
    shutil.copytree(model.parent / "pool", tmp_path / "m/training/pretraining")
    options = [str(tmp_path / "m") if word.endswith("/m") else word for word in options]
    others = read(options[1], ":")[1:]
    write(tmp_path / "others.xyz", others)
    changes = [
        (
            [POOL + ", temperature=300" if word == POOL else word for word in options],
            "temperature_K",
        ),
        ([*options, "--seed", "7"], "seed"),
        ([*options, "--cutoff", "4"], "network"),
        ([str(tmp_path / "others.xyz") if k == 1 else w for k, w in enumerate(options)], "data"),
    ]
    for words, name in changes:
        assert main([*words, "--prepare"]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"another {name}" in error
    assert main([*options, "--prepare"]) == 0  # as it was made: found


def test_a_pool_is_kept_from_a_script_without_a_guard_and_removed_with_the_rest(tmp_path):
    work = WorkDirectory(tmp_path)
    (work.path / "pretraining").mkdir(parents=True)
    (work.path / "pretraining/pool.npz").touch()
    work.clean(pool=False)
    assert (work.path / "pretraining/pool.npz").exists()
    work.clean()
    assert not (work.path / "pretraining").exists()


@pytest.mark.slow
def test_a_baseline_is_trained_from_the_command_line(dear, tmp_path, capsys):
    """The card names it, the calculator adds it, and a finished training is found again."""
    write(tmp_path / "dear.xyz", dear)
    options = ["train", str(tmp_path / "dear.xyz"), "-o", str(tmp_path / "d"), "--folds", "2"]
    options += ["--kept-out", "0.1", "--interactions", "1", "--epochs", "120", "--no-plot"]
    options += ["--jobs", "1", "--baseline", "gfn2-xtb", "--level-of-theory", "GFN1-xTB"]
    assert main(options) in (0, 1)
    model = load_model(tmp_path / "d")
    assert (model.baseline, model.level_of_theory) == ("gfn2-xtb", "GFN1-xTB")
    atoms = dear[0].copy()
    atoms.calc = DeltaCalculator(tmp_path / "d")
    error = np.abs(atoms.get_forces() - dear[0].get_forces()).mean()
    cheap = dear[0].copy()
    cheap.calc = read_reference("gfn2-xtb").calculator()
    assert error < 0.7 * np.abs(cheap.get_forces() - dear[0].get_forces()).mean()
    capsys.readouterr()
    assert main([*options, "--resume"]) in (0, 1)
    assert "nothing to do" in capsys.readouterr().out
    assert main([*options[:-4], "--resume", *options[-2:]]) == 2  # without the baseline
    assert "baseline" in capsys.readouterr().err


def test_an_interrupted_step_of_a_delta_calculator_leaves_no_half_result(tmp_path, monkeypatch):
    """Ctrl-C while the baseline computes: what comes next is the whole energy, not the difference alone."""
    atoms = ethanol()
    atoms.calc = calculator = DeltaCalculator(
        save_model(tmp_path / "d", replace(random_model(), baseline="gfn2-xtb"))
    )
    atoms.get_potential_energy()
    atoms.positions[8] += 0.05
    with monkeypatch.context() as patch:
        patch.setattr(calculator._baseline, "get_property", interrupt)
        with pytest.raises(KeyboardInterrupt):
            atoms.get_potential_energy()
    fresh = atoms.copy()
    fresh.calc = DeltaCalculator(tmp_path / "d")
    assert atoms.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-6)
    again = pickle.loads(pickle.dumps(calculator))
    assert again.get_potential_energy(atoms) == pytest.approx(
        atoms.get_potential_energy(), abs=1e-6
    )


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("electrons", "works"),
    [
        ({"charge": 0, "multiplicity": "lowest"}, True),
        ({"charge": "mixed", "multiplicity": "mixed"}, False),
        ({"charge": 0, "multiplicity": "mixed"}, False),
    ],
)
def test_a_baseline_needs_one_charge_and_multiplicity(tmp_path, electrons, works):
    model = replace(random_model(), baseline="gfn2-xtb", card=electrons)
    path = save_model(tmp_path / "d", model)
    if works:
        assert np.isfinite(DeltaCalculator(path).get_potential_energy(ethanol()))
    else:
        with pytest.raises(ModelFileError, match="several charges or multiplicities"):
            DeltaCalculator(path)


def test_no_engine_takes_a_difference_for_an_energy(tmp_path, capsys, dear):
    """Neither LAMMPS nor evaluate adds the baseline: both refuse, as the calculator does."""
    path = save_model(tmp_path / "d", replace(random_model(pbc=True), baseline="gfn2-xtb"))
    write(tmp_path / "a.xyz", dear)
    box = ethanol()
    box.set_cell([14, 14, 14])
    box.pbc = True
    write(tmp_path / "box.xyz", box)
    for command in (
        [
            "lammps",
            str(path),
            str(tmp_path / "box.xyz"),
            "--time",
            "0.01",
            "-o",
            str(tmp_path / "r"),
        ],
        ["evaluate", str(path), str(tmp_path / "a.xyz")],
        ["predict", str(path), str(tmp_path / "a.xyz"), "-o", str(tmp_path / "p.xyz")],
    ):
        assert main(command) == 2, command[0]
        assert "DeltaCalculator" in capsys.readouterr().err
    for model, baseline in ((random_model(), "gfn2-xtb"), (load_model(path), None)):
        plan = plan_folds(24, 2, n_kept_out=4)
        with pytest.raises(ValueError, match="whole energies and differences"):
            Recipe(
                TINY, LossWeights(), FitSettings(), plan, start=Start(model, "m"), baseline=baseline
            )


def test_the_second_method_is_another_one_and_there(tmp_path, dear):
    dataset = Dataset.from_atoms(dear)
    recipe = Recipe(TINY, LossWeights(), FitSettings(), plan_folds(20, 2, n_kept_out=4))
    for text, message in (
        ("gfn1-xtb", "second method is gfn1-xtb too"),
        ("gfn2-xtb, second=x", "'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            pretrained(dataset, tmp_path / "m", recipe, read_pretraining(text))
    assert not (tmp_path / "m").exists()


def test_cells_are_taught_no_stress_of_the_cheap_method(tmp_path):
    """The teacher corrects energies and forces of the pool; its stresses would be those of another method."""
    cells = labelled_crystals(6)
    dataset = Dataset.from_atoms(cells)
    assert dataset.stress is not None
    for k, atoms in enumerate(cells):
        atoms.info |= {"sampled_by": "thermal", "sampled_from": k}
    settings = replace(Pretraining("gfn2-xtb"), dear_share=0.0)
    taught = Taught(tmp_path, settings, "cheap")
    model = replace(random_model(pbc=True), elements=dataset.elements)
    taught.write(cells, model, dataset, np.arange(6), contrast=None)
    pool = taught(dataset, np.arange(6), 0)
    assert len(pool) > 0
    assert pool.stress is None


def test_a_pool_of_ones_own(dear, tmp_path, capsys):
    frames = [ethanol(0.03, seed) for seed in range(50, 62)]
    hot = [ethanol(0.2, seed) for seed in range(5)]
    torn = ethanol(0.0, 0)
    torn.positions[8] += 2 * (torn.positions[8] - torn.positions[2])
    pool = label_structures([*frames, *hot, torn], "gfn2-xtb", tmp_path / "pool.extxyz", jobs=1)
    shifted = pool.frames[-1].copy()  # labels that are there are taken as they are
    shifted.calc = SinglePointCalculator(shifted, energy=-300.0, forces=np.zeros((9, 3)))
    write(tmp_path / "pool.extxyz", [*pool.frames[:-1], shifted])
    write(tmp_path / "dear.xyz", dear)
    options = ["train", str(tmp_path / "dear.xyz"), "-o", str(tmp_path / "m"), "--folds", "2"]
    options += [
        "--kept-out",
        "0.1",
        "--interactions",
        "1",
        "--epochs",
        "1",
        "--no-plot",
        "--jobs",
        "1",
    ]
    assert read_pretraining(str(tmp_path / "pool.extxyz")).reference == "gfn2-xtb"
    with pytest.raises(ValueError, match="n_far is for structures that are sampled"):
        read_pretraining(f"{tmp_path / 'pool.extxyz'}, n_far=7")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ase_schnet.pretraining.settings.TEACHER_EPOCHS", (1, 1))
        code = main([*options, "--pretrain", str(tmp_path / "pool.extxyz"), "--prepare"])
    assert code == 0, capsys.readouterr().err
    place = WorkDirectory(tmp_path / "m").path / "pretraining"
    assert not (place / "thermal.parts").exists()
    assert not (place / "pool_labelled.extxyz").exists()
    taught = Taught(place, Pretraining("gfn2-xtb"), "GFN2-xTB")
    data = Dataset.from_atoms(dear)
    with np.load(place / "teacher.npz") as file:
        assert file["origins"].tolist() == [-1] * 18  # every member learns all
        assert 6 <= file["thermal"].sum() < 18
        assert not file["thermal"][-1]
        assert file["breaking"][-1]
    training = np.arange(10)
    assert -300.0 in taught._pool.read().E
    assert taught(data, training, 0).weight is not None
    capsys.readouterr()
    write(tmp_path / "pool.extxyz", pool.frames)
    assert main([*options, "--pretrain", str(tmp_path / "pool.extxyz")]) == 2
    assert "another pool_file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.info.update(level_of_theory="PBE"), "states PBE: name the cheap method too"),
        (lambda a: a.info.pop("level_of_theory"), "does not state its method"),
        (lambda a: a.info.update(charge=1), "structure 0 states charge 1, the data have 0"),
        (
            lambda a: a.set_atomic_numbers([7, *a.numbers[1:]]),
            "structure 0 has N, the data have none",
        ),
    ],
)
def test_a_pool_that_does_not_fit_is_one_line(dear, tmp_path, capsys, change, message):
    [atoms] = label_structures([ethanol(0.0, 0)], "gfn2-xtb", jobs=1).frames
    change(atoms)
    write(tmp_path / "pool.extxyz", atoms)
    write(tmp_path / "dear.xyz", dear)
    options = ["train", str(tmp_path / "dear.xyz"), "-o", str(tmp_path / "m"), "--folds", "2"]
    assert main([*options, "--pretrain", str(tmp_path / "pool.extxyz")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "m").exists()  # so that a mended pool can be given
