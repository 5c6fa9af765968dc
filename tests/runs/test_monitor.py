"""The monitor: what it notices, what it says, what it leaves behind."""

import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.io import read
from ase.optimize import BFGS
from factory import NARROW
from monitor_cases import RANGES, Knowing, flying, look, water

from ase_schnet import SchNetCalculator
from ase_schnet.applicability.distances import DistanceWatch
from ase_schnet.bonds import bonds_of
from ase_schnet.data.formats import read_labelled
from ase_schnet.dynamics.md import run_nve
from ase_schnet.runs.collected import COLLECTED_FILE
from ase_schnet.runs.failures import SimulationFailed, SimulationStopped
from ase_schnet.runs.monitor import Monitor

HELPERS = Path(__file__).parents[1] / "helpers"


# --- what it notices ------------------------------------------------------------------------------


def test_a_collision_that_training_has_seen_is_named():
    """No message was made of it, and the run ended in an error of Python."""
    atoms = Atoms("C2", [[0, 0, 0], [0, 0, 0.85]])
    found = DistanceWatch(atoms, {"C-C": [[0.8, 1.7]]}, 5.0, 0.15).find(atoms)
    assert found.collision
    assert found.message.endswith("0.85 Å apart, 0.6 of the sum of their covalent radii is 0.91 Å")


def test_a_good_structure_passes():
    look(water())
    look(water(d=0.85))  # by less than the tolerance below
    look(water(std=0.3))


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (
            water(d=0.61),
            r"^step 10 \(0.005 ps\): O0 and H1 0.61 Å apart, shortest in training 0.90",
        ),
        (water(d=1.35), "O0 and H1 1.35 Å apart, none in training between 1.10 and 1.70 Å"),
        (water(d=4.0), "O0 and H1 4.00 Å apart, longest in training 3.70 Å"),
        (water(angle=60), "H1 and H2 0.96 Å apart, shortest in training 1.40 Å"),
        (water(d=0.3), "O0 and H1 0.30 Å apart, shortest in training 0.90 Å"),
        (
            water(distance_ranges_Ang={"H-O": RANGES["H-O"]}),
            "H1 and H2 1.5. Å apart, training had no H and H within 5 Å",
        ),
    ],
    ids=["short", "broken bond", "far", "closed angle", "collision", "never seen together"],
)
def test_distances_beyond_training_are_named(atoms, message):
    with pytest.raises(SimulationStopped, match=message):
        look(atoms)


def test_what_the_model_does_not_see_is_not_its_fault():
    look(water(d=8.0))


def test_a_single_atom_is_outside_unless_training_had_one():
    gone = water(d=8.0, known_pieces=[])
    with pytest.raises(SimulationStopped, match="H1 has no other atom within 5 Å"):
        look(gone)
    look(water(d=8.0, known_pieces=["H"]))
    with pytest.raises(SimulationStopped, match="H1 has no other atom"):
        look(water(d=8.0, known_pieces=["H2O", "OH2", "HO"]))
    look(water(known_pieces=[]))


def test_a_neighbour_beyond_the_watched_distances_is_one():
    """All distances from 1.8 Å to the cutoff are known: what is looked through ends at 1.8 Å plus a skin."""
    atoms = Atoms("Si2", [[0, 0, 0], [4.9, 0, 0]], cell=[20, 20, 20], pbc=True)
    limits = {"distance_ranges_Ang": {"Si-Si": [[1.83, 5.0]]}, "cutoff_Ang": 5.0}
    atoms.calc = Knowing(**limits, known_pieces=[])
    look(atoms)
    atoms.positions[1, 0] = 5.1
    with pytest.raises(SimulationStopped, match="Si0 has no other atom within 5 Å"):
        look(atoms)
    alone = Atoms("Si", cell=[4.0, 20, 20], pbc=True)  # but for its images
    alone.calc = Knowing(**limits, known_pieces=[])
    look(alone)


def test_distances_are_taken_to_the_nearest_image():
    """Two atoms at either end of the cell, one of them many cells away from home."""
    atoms = Atoms("Si2", [[0.3, 0, 0], [7.6 - 90.0, 0, 0]], cell=[10, 10, 9], pbc=True)
    atoms.calc = Knowing(distance_ranges_Ang={"Si-Si": [[1.83, 5.0]]}, cutoff_Ang=5.0)
    look(atoms)
    atoms.positions[1, 0] += 1.1
    with pytest.raises(SimulationStopped, match=r"Si0 and Si1 1.60 Å apart, shortest in tr.* 1.83"):
        look(atoms)


def test_a_calculator_that_knows_nothing_is_watched_for_collisions_and_it_is_said():
    atoms = molecule("N2")
    atoms.calc = LennardJones()
    with pytest.warns(UserWarning, match="lennardjones does not say how far it may be believed"):
        look(atoms)
    atoms.set_distance(0, 1, 0.84)
    with (
        pytest.warns(UserWarning, match="watched for collisions and temperature only"),
        pytest.raises(SimulationStopped, match=r"N0 and N1 0.84 Å apart, 0.6 of the sum of their"),
    ):
        look(atoms)


def test_uncertain_forces_are_calibrated_and_the_worst_atom_is_named():
    std = np.zeros((3, 3))
    std[2] = 0.5
    look(water(std=std, forces_std_scale=1.9))
    with pytest.raises(SimulationStopped, match=r"force on H2 is uncertain by 1.05 eV/Å, .* 1.00"):
        look(water(std=std, forces_std_scale=2.1))
    with pytest.raises(SimulationStopped, match=r"uncertain by 0.50 eV/Å, the limit is 0.40"):
        look(water(std=std, max_forces_std_eV_per_Ang=0.4))
    look(water(std=std, max_forces_std_eV_per_Ang=0.4), max_forces_std_eV_per_Ang=0.6)
    std[1, 1] = np.nan
    with pytest.raises(SimulationStopped, match="force on H1 is uncertain by nan"):
        look(water(std=std))


def test_temperature():
    look(water(), temperature_K=9000)
    with pytest.raises(SimulationStopped, match=r"\): 12000 K, the monitor's limit is 10000 K"):
        look(water(), temperature_K=12000)
    with pytest.raises(SimulationStopped, match="nan K"):
        look(water(), temperature_K=np.nan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "panic"}, "action is 'warn', 'stop' or 'collect', not 'panic'"),
        ({"every": 0}, "every must be a whole number of at least 1, not 0"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"max_forces_std_eV_per_Ang": -1.0}, "max_forces_std_eV_per_Ang must be 0 or more"),
        ({"max_temperature_K": np.nan}, "max_temperature_K must be 0 or more, not nan"),
        ({"distance_tolerance_Ang": -0.1}, "distance_tolerance_Ang must be 0 or more"),
        ({"min_spacing_fs": np.nan}, "min_spacing_fs must be 0 or more, not nan"),
        ({"max_frames": 0}, "max_frames must be a whole number of at least 1"),
    ],
)
def test_limits_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Monitor(**arguments)


# --- what it does ---------------------------------------------------------------------------------


def test_a_run_is_stopped_at_the_step_and_its_last_frame_is_kept(tmp_path):
    """H2 of free atoms: 1.3 Å, 0.1 Å below training, after 85 fs, step 86 with 1 fs steps."""
    calculator = Knowing(distance_ranges_Ang=RANGES, cutoff_Ang=5.0)
    with pytest.raises(SimulationFailed, match=r"step 86 .*H0 and H1 1.28 Å apart.*The last frame"):
        run_nve(
            flying(calculator),
            keep_momenta=True,
            timestep_fs=1.0,
            time_ps=1.0,
            run_dir=tmp_path / "run",
            monitor=Monitor(every=1, distance_tolerance_Ang=0.1),
        )
    last = read(tmp_path / "run" / "trajectory.traj")
    assert last.info["step"] == 86
    assert last.get_distance(0, 1) == pytest.approx(1.28)


def test_a_warning_is_said_once_for_each_cause():
    def uncertain_late(atoms):
        return 3.0 if atoms.get_distance(0, 1) < 0.9 else 0.0

    calculator = Knowing(uncertain_late, distance_ranges_Ang=RANGES, cutoff_Ang=5.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_nve(
            flying(calculator),
            keep_momenta=True,
            timestep_fs=1.0,
            time_ps=0.3,
            monitor=Monitor("warn", every=2, distance_tolerance_Ang=0.1),
        )
    messages = [str(w.message) for w in caught]
    assert all(w.category is UserWarning for w in caught)
    assert len(messages) == 3
    assert "step 86 (0.086 ps): H0 and H1 1.28 Å apart" in messages[0]
    assert "step 106 (0.106 ps)" in messages[1]
    assert "force on H0 is uncertain by 3.00 eV/Å" in messages[1]
    assert "0.36 Å apart" in messages[2]  # a collision, below 0.6 · 0.62 Å


def collect(directory, time_ps=0.12, resume=False, **arguments):
    calculator = Knowing(0.2, distance_ranges_Ang=RANGES, cutoff_Ang=5.0)
    run_nve(
        flying(calculator),
        keep_momenta=True,
        timestep_fs=1.0,
        time_ps=time_ps,
        run_dir=directory,
        resume=resume,
        monitor=Monitor("collect", every=2, distance_tolerance_Ang=0.1, **arguments),
    )


def test_collected_frames_are_spaced_bounded_and_carry_their_uncertainty(tmp_path):
    collect(tmp_path / "run", min_spacing_fs=7.0, max_frames=3)
    frames = read(tmp_path / "run" / COLLECTED_FILE, ":")
    assert [f.info["step"] for f in frames] == [86, 94, 102]
    assert [f.info["time_fs"] for f in frames] == [86.0, 94.0, 102.0]
    assert "1.28 Å apart, shortest in training 1.40 Å" in frames[0].info["reason"]
    assert frames[0].info["energy_std"] == 0.01
    np.testing.assert_allclose(frames[0].arrays["forces_std"], 0.2)
    assert frames[1].get_distance(0, 1) == pytest.approx(1.12)


def test_collected_frames_have_no_labels(tmp_path):
    """The model's own energy must not come back as training data."""
    collect(tmp_path / "run")
    path = tmp_path / "run" / COLLECTED_FILE
    assert all(f.calc is None for f in read(path, ":"))
    with pytest.raises(ValueError, match=r"energy|forces|label"):
        read_labelled(path)


def test_collecting_stops_at_frames_of_no_use(tmp_path):
    with pytest.raises(SimulationStopped, match=r"0.36 Å apart, shortest in training"):
        collect(tmp_path / "run", time_ps=0.3, min_spacing_fs=0.0)
    steps = [f.info["step"] for f in read(tmp_path / "run" / COLLECTED_FILE, ":")]
    assert steps == list(range(86, 132, 2))


def test_collecting_needs_a_directory():
    with pytest.raises(ValueError, match="pass run_dir"):
        look(water(), action="collect")


def test_resumed_a_run_collects_what_it_would_have_collected(tmp_path):
    """Cut back to a restart point: frames beyond it go, also one cut short, and none comes twice."""
    collect(tmp_path / "whole", time_ps=0.12, min_spacing_fs=3.0)
    collect(tmp_path / "parts", time_ps=0.1, min_spacing_fs=3.0)
    expected = (tmp_path / "whole" / COLLECTED_FILE).read_text()
    path = tmp_path / "parts" / COLLECTED_FILE
    begun = path.read_text()
    assert expected.startswith(begun)
    beyond = expected[len(begun) :]
    for text in (begun, expected, begun + beyond[:100], begun + beyond[:-7], begun + "2"):
        monitor = Monitor("collect", min_spacing_fs=3.0)
        path.write_text(text)
        monitor.start(flying(Knowing()), tmp_path / "parts", 100)
        assert path.read_text() == begun
    collect(tmp_path / "parts", time_ps=0.12, min_spacing_fs=3.0, resume=True)
    assert path.read_text() == expected


def test_collected_frames_survive_a_kill(tmp_path):
    code = f"""
    import os, signal, sys
    sys.path.append({str(HELPERS)!r})
    from ase_schnet.runs.monitor import Monitor
    from monitor_cases import Knowing, RANGES, flying
    monitor = Monitor("collect", min_spacing_fs=0.0)
    atoms = flying(Knowing(distance_ranges_Ang=RANGES, cutoff_Ang=5.0))
    monitor.start(atoms, {str(tmp_path)!r}, 0)
    atoms.set_distance(0, 1, 1.0)
    atoms.get_forces()
    for step in range(3):
        monitor.check(atoms, step, float(step), 300.0)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=False)
    assert done.returncode == -9
    assert [f.info["step"] for f in read(tmp_path / COLLECTED_FILE, ":")] == [0, 1, 2]


# --- models/ethanol -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    BFGS(atoms, logfile=None).run(fmax=0.01)
    return atoms


def test_the_shipped_model_says_how_far_it_may_be_believed(ethanol):
    limits = ethanol.calc.limits
    assert limits["cutoff_Ang"] == 5.0
    assert limits["distance_ranges_Ang"]["C-C"][0][0] == pytest.approx(
        1.026, abs=1e-3
    )  # of GFN2-xTB
    assert limits["forces_std_scale"] == pytest.approx(1.164, abs=1e-3)
    assert 0.5 < limits["max_forces_std_eV_per_Ang"] < 2.0


def test_ethanol_at_3000_K_stays_whole_and_is_left_alone(ethanol):
    """Half of that is potential energy soon: ethanol at 1500 K, thrice the temperature of its dear data."""
    atoms = ethanol.copy()
    atoms.calc = ethanol.calc
    bonds = bonds_of(atoms)
    lengths = np.array([atoms.get_distance(*bond) for bond in bonds])
    run_nve(atoms, temperature_K=3000, time_ps=2.0, seed=1, monitor=Monitor())
    assert (np.array([atoms.get_distance(*bond) for bond in bonds]) < 1.5 * lengths).all()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ethanol_at_room_temperature_is_left_alone(ethanol, seed):
    atoms = ethanol.copy()
    atoms.calc = ethanol.calc
    run_nve(atoms, temperature_K=600, time_ps=1.0, seed=seed, monitor=Monitor(every=1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_of_few_frames_is_stopped_at_3000_K_before_all_is_gone(seed, tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(NARROW)
    BFGS(atoms, logfile=None).run(fmax=0.01)
    with pytest.raises(SimulationStopped, match=r"Å apart|uncertain by"):
        run_nve(
            atoms,
            temperature_K=3000,
            time_ps=5.0,
            seed=seed,
            run_dir=tmp_path / "run",
            monitor=Monitor(),
        )
    frames = read(tmp_path / "run" / "trajectory.traj", ":")
    last = frames[-1]
    assert np.abs(last.info["forces_std"]).max() > 0.3
    i, j = np.triu_indices(9, 1)
    assert last.get_all_distances()[i, j].min() > 0.5  # not yet in a hole
    assert last.get_kinetic_energy() < 2 * frames[0].get_kinetic_energy()


class Guessing(Monitor):
    """Find something in every step."""

    def _findings(self, atoms, temperature_K):
        return {"distance": "odd"}


def test_a_collected_frame_states_the_charge_and_multiplicity_of_its_structure(tmp_path):
    """Else a dication would be labelled as the neutral molecule, a triplet as a singlet."""
    atoms = molecule("H2O", calculator=LennardJones(epsilon=0.01, sigma=0.8))
    atoms.info = {"charge": 2, "spin_multiplicity": 3, "remark": "mine"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lennard-Jones does not say what it knows
        run_nve(atoms, time_ps=0.01, run_dir=tmp_path / "run", monitor=Guessing("collect"))
    (first, *_) = read(tmp_path / "run" / COLLECTED_FILE, ":")
    assert (first.info["charge"], first.info["spin_multiplicity"]) == (2, 3)
    assert "remark" not in first.info
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more = {"time_ps": 0.1, "run_dir": tmp_path / "run", "resume": True}
        run_nve(atoms, monitor=Guessing("collect"), **more)
    assert len(read(tmp_path / "run" / COLLECTED_FILE, ":")) > 1
