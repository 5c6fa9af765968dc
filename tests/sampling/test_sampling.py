"""A sampling is what its seed says, whoever does the work and however often it is stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from sampling_cases import STIFFNESS, MakeSprings, MakeUntil, Springs

from ase_schnet import SamplingPlan, read_reference, sample_structures
from ase_schnet.bonds import overlapping
from ase_schnet.runtime.locks import InUseError
from ase_schnet.sampling.modes import mode_frames
from ase_schnet.sampling.parts import Parts, remove_parts

ETHANOL = molecule("CH3CH2OH")
SHORT = replace(SamplingPlan(), interval=2, frames_per_run=5)


def sample(n=24, plan=SHORT, make=None, **options):
    return sample_structures([ETHANOL], make or MakeSprings(ETHANOL), n, plan=plan, **options)


def positions(frames):
    return np.array([atoms.positions for atoms in frames])


def kinds(frames):
    return [atoms.info["sampled_by"] for atoms in frames]


def test_structures_say_where_they_come_from_and_have_no_labels():
    start = ETHANOL.copy()
    start.info = {"charge": 1, "multiplicity": 2, "energy": -3.0, "name": "x"}
    frames = sample_structures([ETHANOL, start], MakeSprings(ETHANOL), 50, plan=SHORT, jobs=1)
    assert len(frames) == 50
    assert {atoms.info["sampled_from"] for atoms in frames} == {0, 1}
    assert set(kinds(frames)) >= {"md 500 K", "md 2500 K", "displaced", "rotated", "two stretched"}
    for atoms in frames:
        told = {"charge": 1, "multiplicity": 2} if atoms.info["sampled_from"] else {}
        assert {k: v for k, v in atoms.info.items() if not k.startswith("sampled")} == told
        assert atoms.calc is None
        assert set(atoms.arrays) == {"numbers", "positions"}
        assert not overlapping(atoms, SHORT.shortest)
    assert len({atoms.positions.tobytes() for atoms in frames}) == 50


def test_the_same_seed_gives_the_same_structures_and_another_seed_others():
    first, again, other = sample(jobs=1), sample(jobs=1), sample(jobs=1, seed=1)
    np.testing.assert_array_equal(positions(first), positions(again))
    assert kinds(first) == kinds(again)
    assert not np.array_equal(positions(first), positions(other))


def test_how_long_a_slow_calculator_will_take_is_said_before_its_runs(monkeypatch, capsys):
    """A calculator of half a second a step made no frame, and said nothing, for ten minutes."""
    sample(jobs=1)
    assert "evaluations" not in capsys.readouterr().err
    monkeypatch.setattr("ase_schnet.sampling.run.QUICK_S", -1.0)
    monkeypatch.setattr("ase_schnet.sampling.run._call_s", lambda atoms: 600.0)
    sample(jobs=1)
    # 24 structures: 40 % from runs, in which a frame is two steps
    assert "some 20 evaluations of 6e+02 s, about 3 h 20 min" in capsys.readouterr().err
    sample(jobs=1, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_two_processes_give_the_structures_of_one():
    one, two = sample(jobs=1), sample(jobs=2)
    np.testing.assert_array_equal(positions(one), positions(two))
    assert kinds(one) == kinds(two)


def test_a_stopped_sampling_goes_on_and_ends_as_if_it_had_not_been_stopped(tmp_path):
    make, parts = MakeSprings(ETHANOL), tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        sample(make=MakeUntil(make, 4), jobs=1, directory=parts)
    assert len(list(parts.glob("md*.npz"))) == 3  # and one calculator that tried the start
    later = MakeUntil(make, 1000)
    frames = sample(make=later, jobs=1, directory=parts)
    whole = MakeUntil(make, 1000)
    np.testing.assert_array_equal(positions(frames), positions(sample(make=whole, jobs=1)))
    assert later.made == whole.made - 3
    remove_parts(parts)
    assert not parts.exists()


def test_parts_are_removed_also_after_a_kill_in_the_middle_of_that(tmp_path, monkeypatch):
    """Without their settings they would look like files of others."""
    parts = tmp_path / "parts"
    sample(jobs=1, directory=parts)
    remove, removed = Path.unlink, []

    def unlink(path, **options):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(path.name)
        remove(path, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        remove_parts(parts)
    assert (parts / "sampling.json").exists()
    monkeypatch.undo()
    remove_parts(parts)
    assert not parts.exists()


def test_parts_of_another_sampling_are_refused_by_the_name_of_what_differs(tmp_path):
    parts = tmp_path / "parts"
    sample(jobs=1, directory=parts)
    for options, name in (
        ({"seed": 1}, "seed"),
        ({"n": 25}, "n"),
        ({"plan": replace(SHORT, shortest=0.5)}, "shortest"),
    ):
        with pytest.raises(ValueError, match=f"a sampling with another {name} "):
            sample(jobs=1, directory=parts, **options)
    with pytest.raises(ValueError, match="another starts"):
        sample_structures(
            [ETHANOL, ETHANOL], MakeSprings(ETHANOL), 24, plan=SHORT, jobs=1, directory=parts
        )


def test_a_directory_of_parts_is_for_one_process_and_no_other_directory_is_taken(tmp_path):
    with Parts(tmp_path / "parts", {"n": 1}), pytest.raises(InUseError, match="in use by"):
        Parts(tmp_path / "parts", {"n": 1})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    for do in (lambda path: Parts(path, {}), remove_parts):
        with pytest.raises(ValueError, match=r"chapter\.tex is in it"):
            do(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_a_damaged_part_is_named(tmp_path):
    sample(jobs=1, directory=tmp_path / "parts")
    part = next((tmp_path / "parts").glob("md*.npz"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{part.name} cannot be read.* remove it"):
        sample(jobs=1, directory=tmp_path / "parts")


def test_a_run_ends_where_the_calculator_fails_and_goes_on_with_another():
    plan = replace(SHORT, shares={"md": 1.0}, temperatures_K=(500.0,))
    frames = sample(20, plan, MakeSprings(ETHANOL, fails_after=7), jobs=1)  # 3 of 5 frames a run
    assert len(frames) == 20
    with pytest.warns(UserWarning, match="only 0 of 20 .*'md 500 K'.*SCF not converged"):
        assert sample(20, plan, MakeSprings(ETHANOL, fails_after=1), jobs=1) == []


def test_a_run_ends_above_the_largest_force():
    plan = replace(SHORT, shares={"md": 1.0}, temperatures_K=(2500.0,), max_force_eV_per_Ang=7.0)
    largest = []
    for atoms in sample(30, plan, jobs=1):
        atoms.calc = MakeSprings(ETHANOL)(atoms)
        largest.append(np.abs(atoms.get_forces()).max())
    assert 5.0 < max(largest) <= 7.0


def test_equal_structures_are_dropped():
    plan = SamplingPlan(shares={"displaced": 1.0}, noise_Ang=(0.0, 0.0))
    with pytest.warns(UserWarning, match="only 1 of 10"):
        assert len(sample_structures([ETHANOL], None, 10, plan=plan, jobs=1)) == 1


def test_of_more_candidates_each_kind_keeps_its_most_different():
    plan = SamplingPlan(shares={"displaced": 0.5, "stretched": 0.5})
    plain = sample_structures([ETHANOL], None, 40, plan=plan, jobs=1)
    chosen = sample_structures([ETHANOL], None, 40, plan=replace(plan, candidates=400), jobs=1)
    assert kinds(chosen).count("stretched") == kinds(plain).count("stretched") == 20
    widths = [
        np.std([a.get_distance(0, 1) for a in frames if a.info["sampled_by"] == "displaced"])
        for frames in (plain, chosen)
    ]
    assert widths[1] > 1.1 * widths[0]


def test_normal_modes_have_the_energy_of_their_temperature():
    """A spring between two atoms: the mean of its energy is k_B T / 2."""
    nitrogen = Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])
    plan = SamplingPlan(temperatures_K=(800.0,))
    rng = np.random.default_rng(0)
    frames, reason = mode_frames(nitrogen, MakeSprings(nitrogen), plan, rng, 2000)
    assert reason == ""
    stretch = np.array([atoms.get_distance(0, 1) for atoms in frames]) - 1.1
    assert 0.5 * STIFFNESS * (stretch**2).mean() == pytest.approx(0.5 * units.kB * 800, rel=0.1)


def test_an_imaginary_mode_is_as_wide_as_a_soft_one():
    """Ammonia turns inside out over its flat shape: 971i cm⁻¹, from which the way down begins."""
    flat = Atoms(
        "NH3", [[0, 0, 0], *([np.cos(a), np.sin(a), 0] for a in np.radians([0, 120, 240]))]
    )
    plan = SamplingPlan(temperatures_K=(500.0,))
    method = read_reference("gfn2-xtb:300")
    frames, reason = mode_frames(flat, method, plan, np.random.default_rng(0), 200)
    assert reason == ""
    height = [a.positions[0, 2] - a.positions[1:, 2].mean() for a in frames]
    assert np.std(height) > 0.2


def test_turns_of_a_molecule_in_a_box_are_no_normal_modes():
    start = molecule("H2O", cell=[30.0] * 3, pbc=True)
    plan = SamplingPlan(temperatures_K=(300.0,))
    frames, reason = mode_frames(start, MakeSprings(start), plan, np.random.default_rng(0), 200)
    assert reason == ""
    assert all(atoms.pbc.all() for atoms in frames)
    # to first order a vibration has no angular momentum about the middle, with the masses of the atoms
    mass, middle = start.get_masses()[:, None], start.get_center_of_mass()
    arms = start.positions - middle
    turned = [(mass * np.cross(arms, a.positions - start.positions)).sum(axis=0) for a in frames]
    assert np.abs(turned).max() < 0.02


def copper(atoms):
    return EMT()


def test_a_crystal_has_kinds_of_its_own():
    start = bulk("Cu", cubic=True) * (2, 1, 1)
    plan = replace(SamplingPlan.for_starts([start]), interval=1, frames_per_run=3)
    frames = sample_structures([start], copper, 40, plan=plan, jobs=1)
    assert set(kinds(frames)) >= {"md 300 K", "melt 3000 K", "strained", "vacancies", "displaced"}
    for atoms in frames:
        assert atoms.pbc.all()
        assert len(atoms) == (7 if atoms.info["sampled_by"] == "vacancies" else 8)
        strained = not np.allclose(atoms.cell, start.cell)
        assert strained == (atoms.info["sampled_by"] in ("strained", "melt 3000 K"))


@pytest.mark.parametrize(
    ("starts", "options", "message"),
    [
        ([], {}, "no structure to start from"),
        ([Atoms("He")], {}, "one atom"),
        ([Atoms("H2", [[0, 0, 0], [0, 0, np.nan]])], {}, "not finite"),
        ([ETHANOL], {"n": 0}, "n must be a whole number"),
        ([ETHANOL], {"seed": -1}, "seed must be a whole number"),
        (
            [ETHANOL],
            {"calculator": MakeSprings(ETHANOL, fails_after=0)},
            "fails on the first structure",
        ),
        ([ETHANOL], {"jobs": 0}, "jobs must be a whole number"),
        ([ETHANOL], {"plan": replace(SHORT, candidates=5)}, "candidates=5 are fewer"),
        ([ETHANOL], {"calculator": None}, "'md' need a calculator"),
        ([ETHANOL], {"calculator": lambda a: Springs(0), "jobs": 2}, "cannot be sent to other"),
    ],
)
def test_bad_input_is_one_line(starts, options, message):
    given = {"calculator": MakeSprings(ETHANOL), "n": 10, "jobs": 1, **options}
    with pytest.raises(ValueError, match=message):
        sample_structures(starts, **given)
