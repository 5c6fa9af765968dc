"""`ase-schnet lammps`: the same run directory, a run that survives a kill, and refusals of one line."""

import pickle
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import lammps_cases
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import read, write
from factory import random_model
from mpi_runs import commands_in_turn, mpirun, needs_lammps

from ase_schnet import (
    SchNetCalculator,
    TrajectorySignals,
    drift,
    run_nve,
    vibrational_density_of_states,
)
from ase_schnet.lammps import mpi
from ase_schnet.lammps.box import Box
from ase_schnet.lammps.elements import numbers_of_types
from ase_schnet.lammps.fixes import commands, physics_of
from ase_schnet.lammps.mpi import PATIENCE_S
from ase_schnet.lammps.options import LammpsOptions
from ase_schnet.modelfile import save_model
from ase_schnet.runs.record import MDRecord


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("run") / "model", random_model(pbc=True))


@pytest.fixture(scope="module")
def structure(model):
    path = model.parent / "structure.xyz"
    write(path, lammps_cases.mixture((2, 2, 3)))
    return path


def command_line(processes: int, folder: Path, *arguments) -> str:
    """Run `ase-schnet lammps` on so many processes, with success; return what the first has printed."""
    (answers,) = commands_in_turn(folder, [[["lammps", *arguments]] * processes])
    assert {answer.code for answer in answers} <= {0, 3}, answers  # 3: too short to judge
    return answers[0].stdout


@pytest.fixture(scope="module")
def nve(model, structure):
    """Run directory and output of a run at constant energy on two processes.

    Without repulsion: many atoms of the mixture lie below its onset, whose walls want steps of 0.25 fs.
    """
    run_dir = model.parent / "nve"
    options = ("--time", "0.04", "--timestep", "0.5", "--trajectory-every", "4", "--monitor", "off")
    options += ("--repulsion", "none")
    return run_dir, command_line(2, model.parent, model, structure, *options, "-o", run_dir)


@pytest.mark.slow
@needs_lammps
def test_a_run_follows_that_of_ase(nve, model, structure):
    """From the same velocities, until constants of 1986 have made a difference."""
    atoms = read(structure)
    atoms.calc = SchNetCalculator(model, repulsion=None)
    ours, theirs = MDRecord.read(nve[0]), run_nve(atoms, time_ps=0.04, progress=False)
    assert len(ours) == len(theirs) == 81
    for name in ("potential_energy_eV", "kinetic_energy_eV", "pressure_GPa", "energy_std_eV"):
        assert abs(getattr(ours, name) - getattr(theirs, name)).max() < 1e-5
    assert abs(ours.temperature_K - theirs.temperature_K).max() < 1e-2
    with_frames = read(nve[0] / "trajectory.traj", index=":")
    assert len(with_frames) == 21
    last = with_frames[-1]
    assert abs(last.positions - atoms.positions).max() < 1e-6  # not wrapped
    assert abs(last.get_momenta() - atoms.get_momenta()).max() < 1e-5
    assert abs(last.get_forces() - atoms.get_forces()).max() < 1e-4
    assert abs(last.get_stress() - atoms.get_stress()).max() < 1e-6
    assert last.info["forces_std"].shape == (len(atoms), 3)


@needs_lammps
def test_what_reads_a_run_directory_reads_this(nve):
    run_dir, printed = nve
    verdict = drift(MDRecord.read(run_dir))
    assert "2 processes; ghosts reach 5.5 Å (cutoff 4 + skin 1.5)" in printed
    assert str(verdict) in printed
    assert verdict.translation_gained_over_thermal < 1e-20
    spectrum = vibrational_density_of_states(
        [TrajectorySignals.read(run_dir)], resolution_cm=2000.0
    )
    assert np.isfinite(spectrum.intensity).all()
    assert {p.name for p in run_dir.iterdir()} == {
        *("run.json", "log.csv", "trajectory.traj", "restart.npz", "drift.png")
    }


@pytest.mark.slow
@needs_lammps
def test_velocities_are_kept_and_a_run_too_short_to_judge_is_run(nve, model):
    start, run_dir = nve[0] / "trajectory.traj", model.parent / "kept"
    options = ("--time", "0.002", "--monitor", "off", "--repulsion", "none", "--keep-momenta")
    said = command_line(1, model.parent, model, start, *options, "-o", run_dir)
    assert f"velocities: kept from {start}: {MDRecord.read(nve[0]).temperature_K[-1]:.0f} K" in said
    assert "no verdict: 5 samples are too few" in said
    begin = read(run_dir / "trajectory.traj", index=0).get_momenta()
    assert abs(begin - read(start).get_momenta()).max() < 1e-9


NPT = ("--ensemble", "npt", "--temperature", "600", "--pressure", "50", "--time", "0.04")
NPT += ("--timestep", "0.5", "--trajectory-every", "8", "--monitor", "off", "--no-plot")


@pytest.fixture(scope="module")
def npt(model, structure):
    """Record, last frame and output of a run at constant pressure on one process."""
    run_dir = model.parent / "npt"
    options = (*NPT, "--repulsion", "none", "-o", run_dir)
    said = command_line(1, model.parent, model, structure, *options)
    return MDRecord.read(run_dir), read(run_dir / "trajectory.traj", index=":"), said


@pytest.mark.slow
@needs_lammps
def test_a_barostat_moves_the_cell_and_conserves_its_energy(npt):
    record, frames, said = npt
    assert "FAIL" not in said  # too short to pass
    assert np.ptp(record.volume_Ang3) > 1.0
    assert frames[-1].cell.volume == pytest.approx(record.volume_Ang3[-1])
    # what the conserved energy leaves out, the total energy shows
    assert np.ptp(record.conserved_energy_eV) < 0.02 * np.ptp(record.total_energy_eV)


@pytest.mark.slow
@needs_lammps
def test_a_run_of_which_a_process_was_killed_goes_on(npt, model, structure):
    """With its thermostat, its barostat and no repulsion, as it began, and on another number of processes."""
    run_dir = model.parent / "killed"
    done = mpirun(2, lammps_cases.__file__, "kill", model, structure, run_dir, check=False)
    assert done.returncode != 0
    assert len(MDRecord.read(run_dir)) == lammps_cases.KILLED_AT
    command_line(1, model.parent, model, structure, *NPT, "-o", run_dir, "--resume")
    resumed, straight = MDRecord.read(run_dir), npt[0]
    assert len(resumed) == len(straight) == 81
    for name in ("potential_energy_eV", "kinetic_energy_eV", "conserved_energy_eV", "volume_Ang3"):
        assert abs(getattr(resumed, name) - getattr(straight, name)).max() < 1e-6
    frames = read(run_dir / "trajectory.traj", index=":")
    assert len(frames) == len(npt[1]) == 11
    for a, b in zip(frames, npt[1], strict=True):
        assert abs(a.positions - b.positions).max() < 1e-7


@pytest.mark.slow
@needs_lammps
def test_a_run_is_resumed_by_what_made_it(nve, model, structure, tmp_path):
    """Each other's, no run at all, a damaged one, nor what a model does not know: one line, nobody waits."""
    atoms = read(structure)
    atoms.calc = SchNetCalculator(model, repulsion=None)
    run_nve(atoms, time_ps=0.02, run_dir=tmp_path / "ase", seed=0, temperature_K=300)
    foreign, damaged = tmp_path / "foreign", tmp_path / "damaged"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    shutil.copytree(nve[0], damaged)
    (damaged / "restart.npz").write_bytes(b"PK not really")
    arguments = (model, structure, "--resume", "--time", "0.04", "--trajectory-every", "4")
    arguments += ("--repulsion", "none", "--monitor", "off")
    messages = {
        tmp_path / "ase": "holds a run of ase-schnet md, which ase-schnet lammps cannot continue",
        foreign: "holds no run to resume",
        damaged: "is damaged",
    }
    cases = []
    for run_dir in messages:
        options = list(arguments)
        if run_dir.name == "ase":
            options[options.index("4")] = "100"
        cases.append([["lammps", *options, "-o", run_dir]] * 2)
    write(tmp_path / "si.xyz", bulk("Si"))
    messages[tmp_path / "run"] = "was not trained on Si"
    cases.append([["lammps", model, tmp_path / "si.xyz", "-o", tmp_path / "run"]] * 2)
    refused = commands_in_turn(tmp_path, cases)
    for (first, second), message in zip(refused, messages.values(), strict=True):
        assert (first.code, second.code, second.stderr) == (2, 2, "")
        (line,) = first.stderr.splitlines()
        assert line.startswith("ase-schnet lammps: ")
        assert message in line
    assert not (tmp_path / "run").exists()
    atoms, options = read(structure), {"trajectory_every": 4, "temperature_K": 300.0}
    atoms.calc = SchNetCalculator(model, repulsion=None)
    with pytest.raises(
        ValueError, match="holds a run of ase-schnet lammps, which ase-schnet md cannot"
    ):
        run_nve(atoms, time_ps=0.04, run_dir=nve[0], resume=True, **options)


@needs_lammps
@pytest.mark.parametrize("error", [KeyError("lost"), ZeroDivisionError("a bug")])
def test_what_the_first_process_raises_all_of_them_raise(error):
    class Comm:
        """Both sides of a broadcast, one after the other."""

        def __init__(self, rank, sent):
            self.rank, self.sent = rank, sent

        def bcast(self, value):
            self.sent[:] = self.sent or [pickle.loads(pickle.dumps(value))]
            return self.sent[0]

    def fail():
        raise error

    sent = []
    for rank in (0, 1):
        with pytest.raises(type(error), match=str(error.args[0])):
            mpi.by_the_first(Comm(rank, sent), fail)


@pytest.mark.slow
@needs_lammps
@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("first look", "no-such-model"),  # of the last process alone, before LAMMPS
        ("sample", "MemoryError: of the last process"),  # while the others wait for its numbers
        ("end", "process 1: of the last process"),  # when the others have come to the end
        ("bug in the first", "ZeroDivisionError: of the first process"),
    ],
)
def test_an_error_in_one_process_ends_all_within_seconds(
    moment, message, model, structure, tmp_path
):
    arguments = (moment, model, structure, tmp_path / "run")
    begin = time.monotonic()
    done = mpirun(2, lammps_cases.__file__, "fail", *arguments, check=False)
    assert (
        time.monotonic() - begin < 30 + PATIENCE_S
    )  # the imports alone take 10 s on a machine that is busy with other tests
    assert done.returncode != 0
    assert message in done.stderr


def test_a_missing_library_is_named_with_its_cure(monkeypatch):
    def nothing(path, mode=None):
        raise OSError(path)

    monkeypatch.setattr(mpi.ctypes, "CDLL", nothing)
    with pytest.raises(
        mpi.LammpsUnavailable, match=r"no libmpi.so.12 .* pip install 'ase-schnet\[lammps\]'"
    ):
        mpi.load()


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(mpi, "_load_library", lambda: None)

    def nothing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(mpi, "import_module", nothing)
    with pytest.raises(mpi.LammpsUnavailable, match="mpi4py cannot be used: No module named"):
        mpi.load()


@pytest.mark.parametrize(
    ("vendor", "launched", "message"),
    [("Open MPI", "1", "mpi4py speaks Open MPI"), ("MPICH", "4", "mpiexec started 4 processes")],
)
def test_an_mpi_that_does_not_fit_is_refused(monkeypatch, vendor, launched, message):
    fake = SimpleNamespace(
        get_vendor=lambda: (vendor, (5, 0, 0)), COMM_WORLD=SimpleNamespace(size=1)
    )
    monkeypatch.setattr(mpi, "_load_library", lambda: None)
    monkeypatch.setattr(mpi, "import_module", lambda name: fake)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", launched)
    monkeypatch.delenv("PMI_SIZE", raising=False)
    with pytest.raises(mpi.LammpsUnavailable, match=message):
        mpi.load()


class FakeLammps:
    """What `numbers_of_types` asks of LAMMPS."""

    def __init__(self, masses, units="metal", box=1):
        self._settings = {"box_exist": box, "ntypes": len(masses)}
        self._units, masses = units, np.array([0.0, *masses])
        self.numpy = SimpleNamespace(extract_atom=lambda name: masses)

    def extract_setting(self, name):
        return self._settings[name]

    def extract_global(self, name):
        return self._units


def test_types_are_mapped_to_elements_and_isotopes_pass():
    assert numbers_of_types(FakeLammps([15.999, 2.014]), random_model(), ["O", "H"]).tolist() == [
        0,
        8,
        1,
    ]


@pytest.mark.parametrize(
    ("lammps", "elements", "message"),
    [
        (FakeLammps([1.0, 16.0], box=0), ["H", "O"], "has no box yet"),
        (FakeLammps([1.0, 16.0], units="real"), ["H", "O"], "runs in units real; .* `units metal`"),
        (FakeLammps([1.0, 16.0]), ["H"], "2 atom types, elements names"),
        (FakeLammps([1.0, 16.0]), "HO", "2 atom types, elements names 'HO'"),
        (FakeLammps([1.0, 16.0]), ["H", "Ox"], "'Ox' is no chemical symbol"),
        (FakeLammps([1.0, 28.0]), ["H", "Si"], "not trained on Si"),
        (FakeLammps([1.0, 16.0]), ["O", "H"], "type 1 is mapped to O, but its mass 1 is that of H"),
        (FakeLammps([1.0, 0.0]), ["H", "O"], "type 2 has no mass"),
    ],
)
def test_a_wrong_mapping_of_elements_is_refused(lammps, elements, message):
    with pytest.raises(ValueError, match=message):
        numbers_of_types(lammps, random_model(), elements)


def test_structures_that_are_none_for_lammps_are_refused():
    fixed, flat = bulk("C"), bulk("C")
    fixed.set_constraint(FixAtoms([0]))
    flat.cell[2] = 0
    flat.pbc = (True, True, False)
    for atoms, message in (
        (molecule("H2O"), "is not periodic: .* `ase-schnet md`"),
        (fixed, "constraints are not carried over"),
        (flat, "a cell of three vectors"),
    ):
        with pytest.raises(ValueError, match=message):
            Box(atoms)


@pytest.mark.parametrize(
    ("ensemble", "options", "message"),
    [
        (
            "nvt",
            {"thermostat": "langevin"},
            "that LAMMPS can restart: there are bussi, nose-hoover",
        ),
        (
            "nve",
            {"pressure_GPa": 1.0},
            "pressure_GPa= applies to ensemble='npt' only, not to 'nve'",
        ),
        ("nvt", {"full_cell": True}, "full_cell= applies to ensemble='npt'"),
        ("npt", {"pressure_GPa": float("nan")}, "must be a finite number"),
        ("nvt", {"time_constant_fs": -1.0}, "time_constant_fs must be above 0"),
        ("npte", {}, "choose one of nve, nvt, npt"),
    ],
)
def test_settings_that_make_no_ensemble_are_refused(ensemble, options, message):
    with pytest.raises(ValueError, match=message):
        physics_of(ensemble, 300.0, LammpsOptions(**options))


KEPT = LammpsOptions(keep_momenta=True)


def test_kept_momenta_are_a_setting_and_need_no_temperature():
    assert physics_of("nve", 300.0, KEPT)["temperature_K"] is None
    assert physics_of("nvt", 200.0, KEPT)["keep_momenta"]
    with pytest.raises(ValueError, match="temperature_K=200 is for drawn momenta"):
        physics_of("nve", 200.0, KEPT)


def test_commands_are_in_the_units_of_lammps():
    npt = physics_of("npt", 300.0, LammpsOptions(pressure_GPa=1.5, time_constant_fs=50.0))
    (line,) = commands(npt, seed=3)
    assert line == "fix move all npt temp 300.0 300.0 0.05 iso 15000.0 15000.0 1.0 flip no"
    assert (
        commands(physics_of("nvt", 300.0, LammpsOptions()), seed=3)[1]
        == "fix bath all temp/csvr 300.0 300.0 0.1 4"
    )
