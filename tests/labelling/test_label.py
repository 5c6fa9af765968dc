"""Labels of a pool: nothing twice, nothing lost, and no failure that goes unsaid."""

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import InputError
from ase.constraints import FixAtoms
from ase.io import read, write
from tblite.ase import TBLite

from ase_schnet import label_structures, read_labelled
from ase_schnet.cli import main
from ase_schnet.labelling.jobs import job_of
from ase_schnet.labelling.journal import journal_path

SCRIPT = """
import os
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT

class Picky(EMT):
    def calculate(self, atoms, properties, system_changes):
        with open({calls!r}, "a") as file:
            file.write("called\\n")
        distance = atoms.get_distance(0, 1)
        if distance > 3 and not os.path.exists({cure!r}):
            raise CalculationFailed("SCF not converged")
        if distance < 0.5:
            os._exit(1)
        super().calculate(atoms, properties, system_changes)
"""


def pool(n, seed=0):
    frames, rng = [], np.random.default_rng(seed)
    for k in range(n):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(0, 0.03, (3, 3))
        atoms.info |= {"sampled_by": "displaced", "sampled_from": k}
        frames.append(atoms)
    return frames


@pytest.fixture
def picky(tmp_path):
    """A calculator that counts its calls, fails where an O-H bond is long, and crashes where it is short."""
    script, calls, cure = tmp_path / "picky.py", tmp_path / "calls", tmp_path / "cure"
    script.write_text(SCRIPT.format(calls=str(calls), cure=str(cure)))
    calls.touch()
    return f"{script}:Picky", lambda: len(calls.read_text().splitlines()), cure


def stretched(distance):
    atoms = molecule("H2O")
    atoms.set_distance(0, 1, distance, fix=0)
    return atoms


def test_labels_are_those_of_the_method_in_the_order_of_the_pool_and_a_training_reads_them(
    tmp_path,
):
    frames = pool(12)
    frames[3].set_constraint(FixAtoms([0]))  # the force on it is a label all the same
    result = label_structures(frames, "gfn2-xtb", tmp_path / "labels.extxyz", jobs=1)
    assert (result.n_computed, result.failures) == (12, {})
    labelled, summary = read_labelled(tmp_path / "labels.extxyz")
    assert "eV" in str(summary.units)
    for given, atoms in zip(frames, labelled, strict=True):
        alone = Atoms(given.numbers, given.positions)
        alone.calc = TBLite(method="GFN2-xTB", electronic_temperature=5000.0, verbosity=0)
        assert atoms.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), alone.get_forces(), atol=1e-4)
        np.testing.assert_allclose(atoms.positions, given.positions, atol=1e-8)
        assert atoms.info["sampled_from"] == given.info["sampled_from"]
        assert atoms.info["level_of_theory"] == "GFN2-xTB"
    assert frames[3].constraints
    assert frames[3].calc is None


def test_a_pool_that_has_grown_and_is_in_another_order_is_not_computed_again(tmp_path, picky):
    reference, calls, _ = picky
    frames, path = pool(8), tmp_path / "labels.extxyz"
    label_structures(frames[:5], reference, path, jobs=1)
    assert calls() == 5
    write(tmp_path / "again.xyz", [*frames[::-1], frames[0]], format="extxyz")  # with 8 decimals
    result = label_structures(read(tmp_path / "again.xyz", ":"), reference, path, jobs=1)
    assert calls() == 8
    assert result.n_computed == 3
    order = [atoms.info["sampled_from"] for atoms in read(path, ":")]
    assert order == [7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_charge_multiplicity_and_cell_make_another_structure():
    water, other = molecule("H2O"), molecule("H2O", vacuum=3)
    other.positions = water.positions
    other.pbc = True
    keys = {
        job_of(water, 0, None).key,
        job_of(water, 1, None).key,
        job_of(water, 0, 3).key,
        job_of(other, 0, None).key,
    }
    assert len(keys) == 4


def test_a_failure_is_recorded_with_its_reason_and_skipped(tmp_path, picky):
    reference, calls, cure = picky
    frames, path = [*pool(2), stretched(4.0), *pool(2, seed=1)], tmp_path / "labels.extxyz"
    result = label_structures(frames, reference, path, jobs=1)
    assert result.failures == {2: "SCF not converged"}
    assert "4 structures labelled with picky.py:Picky, 1 failed: 1 x SCF not" in result.summary()
    assert "1 of 5 structures (20 %) have no label, most often (1) because" in result.warning()
    assert "structure 2 is the first" in result.warning()
    assert len(read(path, ":")) == 4
    cure.touch()
    assert label_structures(frames, reference, path, jobs=1).failures
    assert calls() == 5
    assert not label_structures(frames, reference, path, jobs=1, retry_failed=True).failures
    assert calls() == 6
    assert len(read(path, ":")) == 5


def test_few_failures_are_no_warning(picky):
    frames = [*pool(30), stretched(4.0)]
    result = label_structures(frames, picky[0], jobs=1)
    assert list(result.failures) == [30]
    assert result.warning() is None


def test_a_cut_last_record_is_computed_again_and_a_damaged_one_is_told(tmp_path, picky):
    reference, _, _ = picky
    frames, path = pool(4), tmp_path / "labels.extxyz"
    first = label_structures(frames, reference, path, jobs=1).frames
    journal = journal_path(path)
    whole = journal.read_bytes()
    for cut in (whole[:-30], whole[:-30] + b"\0" * 30 + b"\n", whole[: whole.rfind(b'{"key') + 3]):
        journal.write_bytes(cut)
        result = label_structures(frames, reference, path, jobs=1)
        assert result.n_computed == 1
        assert journal.read_bytes() == whole
        again = [atoms.get_potential_energy() for atoms in result.frames]
        assert again == [atoms.get_potential_energy() for atoms in first]
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"rubbish\n", *lines[3:]]))
    with pytest.raises(ValueError, match="line 3 is damaged: delete this line"):
        label_structures(frames, reference, path, jobs=1)


def test_labels_of_another_reference_are_refused(tmp_path, picky):
    path = tmp_path / "labels.extxyz"
    label_structures(pool(2), "gfn2-xtb", path, jobs=1)
    with pytest.raises(ValueError, match="holds labels of gfn2-xtb, not of gfn2-xtb:300"):
        label_structures(pool(2), "gfn2-xtb:300", path, jobs=1)
    journal_path(path).unlink()
    with pytest.raises(ValueError, match="exists already, without the journal"):
        label_structures(pool(2), "gfn2-xtb", path, jobs=1)
    assert len(read(path, ":")) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"frames": []}, "no structures to label"),
        ({"jobs": 0}, "jobs must be a number >= 1, got 0"),
        ({"path": "labels.npz"}, "end the name in .extxyz"),
        ({"path": "nowhere/labels.xyz"}, "no folder nowhere"),
        ({"reference": "gfn7"}, "'gfn7' is no reference method"),
    ],
)
def test_bad_arguments_are_one_line(arguments, told):
    with pytest.raises(ValueError, match=told):
        label_structures(**({"frames": pool(1), "reference": "gfn2-xtb"} | arguments))


def test_structures_that_the_method_cannot_describe_are_failures_unless_all_are():
    odd = Atoms("UH", [[0, 0, 0], [0, 0, 2]])
    result = label_structures([*pool(1), odd], "gfn2-xtb", jobs=1)
    assert result.failures == {1: "GFN2-xTB has no parameters for U"}
    with pytest.raises(InputError, match="none of the structures can be labelled: GFN2-xTB has no"):
        label_structures([odd], "gfn2-xtb", jobs=1)


def test_charge_and_multiplicity_are_what_the_structure_states_or_what_is_given(tmp_path):
    water, plain = molecule("H2O"), Atoms("OH", [[0, 0, 0], [0, 0, 0.98]])
    hydroxide = plain.copy()
    hydroxide.info["charge"] = -1
    stated = label_structures([water, hydroxide], "gfn2-xtb", jobs=1).frames
    given = label_structures([plain], "gfn2-xtb", jobs=1, charge=-1).frames
    radical = label_structures([plain], "gfn2-xtb", jobs=1, multiplicity=2).frames
    assert stated[1].get_potential_energy() == given[0].get_potential_energy()
    assert abs(radical[0].get_potential_energy() - given[0].get_potential_energy()) > 1
    assert given[0].info["charge"] == -1
    with pytest.raises(InputError, match="9 electrons, which cannot have multiplicity 1"):
        label_structures([plain], "gfn2-xtb", jobs=1, multiplicity=1)
    with pytest.raises(InputError, match="HO has 9 electrons if it is neutral, an odd number"):
        label_structures([plain], "gfn2-xtb", jobs=1)
    half = plain.copy()
    half.info["charge"] = 0.5
    with pytest.raises(InputError, match=r"the charge 0\.5 is not a whole number"):
        label_structures([half], "gfn2-xtb", jobs=1)


def test_a_crystal_has_its_stress(tmp_path):
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.05, seed=0)
    script = tmp_path / "metal.py"
    script.write_text("from ase.calculators.emt import EMT\n")
    path = tmp_path / "labels.extxyz"
    label_structures([copper], f"{script}:EMT", path, jobs=1)
    labelled = read(path)
    assert labelled.get_stress().shape == (6,)
    assert labelled.pbc.all()


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same_labels(kind):
    """Each thread has calculators of its own: one that two threads share mixes their structures."""
    frames = pool(40)
    here = label_structures(frames, "gfn2-xtb", jobs=1).frames
    with kind(2) as executor:
        there = label_structures(frames, "gfn2-xtb", executor=executor).frames
    assert [a.get_potential_energy() for a in here] == [a.get_potential_energy() for a in there]


def test_small_jobs_are_bundled_and_long_ones_go_singly(monkeypatch, picky):
    sizes = []

    class Watched(ThreadPoolExecutor):
        def submit(self, fn, /, reference, jobs):
            sizes.append(len(jobs))
            return super().submit(fn, reference, jobs)

    with Watched(1) as executor:
        label_structures(pool(400), picky[0], executor=executor)
    assert sum(sizes) == 400
    assert sizes[0] == 1
    assert len(sizes) < 80
    sizes.clear()
    monkeypatch.setattr("ase_schnet.labelling.dispatch.BUNDLE_S", 1e-9)
    with Watched(1) as executor:
        label_structures(pool(20), picky[0], executor=executor)
    assert sizes == [1] * 20


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_structure_that_crashes_its_process_is_found_and_the_others_are_labelled(picky):
    frames = [*pool(10), stretched(0.3), *pool(10, seed=1)]
    result = label_structures(frames, picky[0], jobs=2)
    assert result.failures == {10: "its process was killed or crashed (out of memory?)"}
    assert len(result.frames) == 20


def test_a_second_process_on_one_output_is_refused(tmp_path, picky):
    path, begun, end = tmp_path / "labels.extxyz", threading.Event(), threading.Event()

    class Waiting(ThreadPoolExecutor):
        def submit(self, fn, /, *args):
            begun.set()
            end.wait(30)
            return super().submit(fn, *args)

    with Waiting(1) as executor:
        first = threading.Thread(
            target=label_structures, args=(pool(1), picky[0], path), kwargs={"executor": executor}
        )
        first.start()
        begun.wait(30)
        with pytest.raises(ValueError, match=r"is in use by process \d+ on"):
            label_structures(pool(1), picky[0], path, jobs=1)
        end.set()
        first.join()
    assert len(read(path, ":")) == 1


def test_the_command_says_what_it_did(tmp_path, picky, capsys):
    source, path = tmp_path / "pool.xyz", tmp_path / "labels.extxyz"
    write(source, [*pool(3), stretched(4.0)], format="extxyz")
    command = ["label", str(source), "--reference", picky[0], "--jobs", "1", "-o"]
    assert main([*command, str(path)]) == 0
    out, err = capsys.readouterr()
    assert f"{path}: 3 structures labelled" in out
    assert "1 failed: 1 x SCF not converged" in out
    assert "warning: 1 of 4 structures (25 %) have no label" in err
    write(source, stretched(4.0), format="extxyz")
    assert main([*command, str(tmp_path / "none.extxyz")]) == 1
    assert "nothing written: 0 structures labelled" in capsys.readouterr().out
    assert main([*command, str(source)]) == 2
    assert main(["label", "nowhere.xyz", "--reference", picky[0], "-o", str(path)]) == 2
    assert "nowhere.xyz: no such file" in capsys.readouterr().err
