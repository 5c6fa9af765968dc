"""``ase-schnet spectrum`` as a user types it, and the picture: files, exit codes, one clear line."""

import re

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import write
from matplotlib.figure import Figure
from spectra_cases import triatomic

from ase_schnet.cli import main
from ase_schnet.dynamics.md import run_nve
from ase_schnet.plotting import plot_spectrum
from ase_schnet.propagation.harmonic import FoundModes
from ase_schnet.propagation.summary import zero_point
from ase_schnet.spectra import TrajectorySignals, ir_spectrum, normal_modes
from ase_schnet.spectra.harmonic import NormalModes
from ase_schnet.spectra.measured_bands import MeasuredBands

RESOLUTION = ["--resolution", "150"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Runs with dipoles and without, a structure and a table, by the names that the arguments use."""
    folder = tmp_path_factory.mktemp("spectrum")
    options = {"time_ps": 0.4, "timestep_fs": 0.5, "trajectory_every": 8, "temperature_K": 300}
    for seed in range(2):
        run_nve(triatomic(), run_dir=folder / f"dipoles{seed}", seed=seed, **options)
    water = molecule("H2O")
    water.calc = EMT()
    run_nve(water, run_dir=folder / "none", **options)
    run_nve(water, run_dir=folder / "coarse", **options | {"trajectory_every": 50, "time_ps": 0.1})
    ethanol = molecule("CH3CH2OH")
    write(folder / "ethanol.xyz", ethanol)
    ethanol.calc = EMT()
    run_nve(ethanol, run_dir=folder / "ethanol", **options)
    (folder / "measured.csv").write_text("# source: somebody 1950\n1033,C-O\n3681,O-H\n")
    (folder / "words.csv").write_text("1033\nC-O stretch\n")
    return folder


def command(places, *words) -> list[str]:
    return ["spectrum", *(word.format(here=places) for word in words)]


def test_runs_with_dipoles_make_an_infrared_spectrum_tabled_and_drawn(places, tmp_path, capsys):
    plot = tmp_path / "ir.png"
    runs = ["{here}/dipoles0", "{here}/dipoles1"]
    assert main(command(places, *runs, *RESOLUTION, "-o", str(plot))) == 0
    out = capsys.readouterr().out
    expected = ir_spectrum(
        [TrajectorySignals.read(run.format(here=places)) for run in runs], resolution_cm=150
    )
    area, error = expected.integral()
    assert f"integral           {area:.4g} ± {error:.2g} km/mol" in out
    assert "ir, 2 runs, " in out
    header = plot.with_suffix(".csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "wavenumber (cm⁻¹),ir (km/mol cm),standard error"
    table = np.genfromtxt(plot.with_suffix(".csv"), delimiter=",", skip_header=1)
    np.testing.assert_array_equal(table[:, 1], expected.intensity)
    assert plot.stat().st_size > 10_000


def test_a_model_adds_its_harmonic_frequencies_and_a_table_the_measured(places, tmp_path, capsys):
    plot = tmp_path / "vdos.svg"
    more = ["--harmonic", "ethanol", "{here}/ethanol.xyz", "--measured", "{here}/measured.csv"]
    run = ["{here}/ethanol", "--kind", "vdos", *RESOLUTION, "--skip", "0.05", "-o", str(plot)]
    assert main(command(places, *run, *more)) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"harmonic .* 371\d\.\d+ ± \d+\.\d+ cm⁻¹ \(90 %\)\nzero-point energy  2\.1\d+ ± ", out
    )
    table = np.genfromtxt(tmp_path / "vdos-harmonic.csv", delimiter=",", skip_header=1)
    assert table.shape[0] == 21
    assert (table[:, 1] > 0).all()
    assert plot.exists()
    run[0] = "{here}/none"  # water
    assert main(command(places, *run, *more)) == 2
    assert "its masses are not those of the atoms in the runs" in capsys.readouterr().err


def test_no_output_takes_the_place_of_an_input(places, tmp_path, capsys):
    given = (places / "measured.csv").read_bytes()
    words = ["{here}/dipoles0", "--measured", "{here}/measured.csv", "-o", "{here}/measured.png"]
    assert main(command(places, *words)) == 2
    assert "measured.csv is read by this command" in capsys.readouterr().err
    assert (places / "measured.csv").read_bytes() == given
    structure = tmp_path / "ethanol.xyz"
    structure.write_bytes((places / "ethanol.xyz").read_bytes())
    scan = [
        "scan",
        "ethanol",
        str(structure),
        "--distance",
        "2",
        "3",
        "--from",
        "0.9",
        "--to",
        "1.1",
    ]
    scan += ["--points", "3", "-o", str(tmp_path / "oh.png")]
    assert main([*scan, "--frames", str(structure)]) == 2
    assert main([*scan, "--reference", str(structure), "--frames", str(structure)]) == 2
    assert structure.read_bytes() == (places / "ethanol.xyz").read_bytes()


def test_a_tensor_that_does_not_change_scatters_nothing_and_is_drawn_nevertheless(tmp_path, capsys):
    atoms = triatomic(polarizability=np.eye(3))
    run_nve(atoms, time_ps=0.2, trajectory_every=8, run_dir=tmp_path / "run")
    plot = tmp_path / "raman.png"
    options = ["--kind", "raman", "--resolution", "300", "-o", str(plot)]
    assert main(["spectrum", str(tmp_path / "run"), *options]) == 0
    assert "integral           0 Å⁴/amu" in capsys.readouterr().out
    for name in ("raman-isotropic.csv", "raman-depolarised.csv", "raman.png"):
        assert (tmp_path / name).exists()


def test_no_plot_writes_the_table_alone(places, tmp_path):
    words = ["{here}/none", "--kind", "vdos", *RESOLUTION, "-o", str(tmp_path / "a.png")]
    assert main(command(places, *words, "--no-plot")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{here}/none"], "no dipoles, because their calculator has none"),
        (["{here}/none"], "(--kind vdos)"),
        (["{here}/coarse", "--kind", "vdos"], "(--trajectory-every 8) or less"),
        (["{here}/dipoles0"], "--resolution "),
        (["{here}/dipoles0", "{here}/none", "--kind", "vdos"], "different atoms"),
        (["{here}/dipoles0", "{here}/dipoles1", "{here}/dipoles0"], "runs 1 and 3 are the same"),
        (["{here}/dipoles0", "--kind", "raman"], "no polarizabilities"),
        (["{here}/dipoles0", "--skip", "9"], "more than 0 frames"),
        (["{here}/dipoles0", "--skip", "-1"], "--skip must be 0 or more"),
        (["{here}/absent"], "absent is no run directory"),
        (
            ["{here}/none", "--kind", "vdos", "--quantum-correction", "none"],
            "applies to --kind ir only",
        ),
        (["{here}/dipoles0", "--measured", "{here}/words.csv"], "line 2 of"),
        (["{here}/dipoles0", "-o", "absent/a.png"], "there is no folder absent"),
        (["{here}/dipoles0", *RESOLUTION, "-o", "a.xls"], "must end in"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(
    words, message, places, tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(command(places, *words)) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("ase-schnet spectrum: ")
    assert message in line


def test_the_picture_shows_error_sticks_names_and_measured_positions(places):
    runs = [TrajectorySignals.read(places / f"dipoles{k}") for k in range(2)]
    spectrum, modes = ir_spectrum(runs, resolution_cm=150), normal_modes(triatomic())
    measured = MeasuredBands.read(places / "measured.csv")
    figure = plot_spectrum(spectrum, modes=modes, measured=measured)
    top, below, right = figure.axes
    assert top.get_ylabel() == "absorption  (km/mol per cm⁻¹)"
    assert right.get_ylabel() == "harmonic intensity  (km/mol)"
    labels = top.get_legend_handles_labels()[1]
    assert {"± 1 standard error", "harmonic"} < set(labels)
    assert any(label.startswith("infrared, 2 runs, ") for label in labels)
    assert [text.get_text() for text in top.texts] == [n for n in dict.fromkeys(modes.names) if n]
    sticks = np.array(right.collections[0].get_segments())  # (M, 2, 2)
    np.testing.assert_allclose(sticks[:, 1, 0], modes.wavenumber_cm)
    np.testing.assert_allclose(sticks[:, 1, 1], modes.intensity_km_per_mol)
    shared = (
        right.get_ylim()[1] / top.get_ylim()[1]
    )  # a stick is as high as the peak of a sharp band
    assert shared == pytest.approx(150 * 0.5 * np.sqrt(np.pi / np.log(2)))
    ticks = np.array(below.collections[0].get_segments())[:, 0, 0]
    np.testing.assert_array_equal(ticks, [1033, 3681])
    assert "somebody 1950" in below.get_xlabel()
    axes = Figure().subplots(2, 1)
    assert plot_spectrum(spectrum, measured=measured, axes=axes) is axes[0].figure
    ax = Figure().subplots()
    assert plot_spectrum(spectrum, modes=modes, axes=ax) is ax.figure
    with pytest.raises(ValueError, match=r"2 of them \(spectrum, ticks\), not 1"):
        plot_spectrum(spectrum, measured=measured, axes=ax)
    with pytest.raises(ValueError, match=r"1 of them \(spectrum\), not Figure"):
        plot_spectrum(spectrum, axes=Figure())
    for wrong in ((), ([spectrum],), (None,)):
        with pytest.raises(ValueError, match=r"plot_spectrum\(\*spectra\)"):
            plot_spectrum(*wrong)
    three = plot_spectrum(spectrum, spectrum, spectrum).axes[0]
    assert len({line.get_color() for line in three.lines}) == 3


def test_one_run_is_printed_and_drawn_without_an_error_and_how_unequal_its_modes_are(
    places, capsys, tmp_path
):
    plot = tmp_path / "ir.png"
    assert main(command(places, "{here}/dipoles0", *RESOLUTION, "-o", str(plot))) == 0
    out = capsys.readouterr().out
    assert "±" not in out
    assert "km/mol (no error from one run: give several, with different seeds)" in out
    spectrum = ir_spectrum(places / "dipoles0", resolution_cm=150)
    energies, factor = spectrum.mode_energies, spectrum.energy_factor_text
    assert (
        f"vibrations         energies {energies[0]:.2g} to {energies[-1]:.2g} times kT: not equally"
        in out
    )
    assert f"intensities of single bands may be wrong by a factor of {factor};" in out
    top = plot_spectrum(spectrum).axes[0]
    (label,) = top.get_legend_handles_labels()[1]
    assert label.endswith(f"bands may be wrong by a factor of {factor}")
    table = plot.with_suffix(".csv").read_text(encoding="utf-8").splitlines()[0]
    assert "standard error" not in table


def test_crystals_and_few_frames_say_that_energies_were_not_tested(places, capsys, tmp_path):
    plot = tmp_path / "vdos.png"
    words = ["{here}/none", "--kind", "vdos", *RESOLUTION, "--skip", "0.3"]
    assert main(command(places, *words, "--resolution", "500", "-o", str(plot))) == 0
    assert (
        "not tested for equal energies: a crystal, a linear molecule, or too few frames"
        in capsys.readouterr().out
    )


def test_a_saddle_point_is_named_and_noise_is_not():
    saddle = NormalModes(np.array([-59.0, 71.0]), None, ("", ""))
    told = zero_point(FoundModes(saddle, None, "none"))
    assert "imaginary          1 (below 0): what was relaxed is a saddle point" in told
    noise = NormalModes(np.array([-2.0, 71.0]), None, ("", ""))
    assert "imaginary" not in zero_point(FoundModes(noise, None, "none"))
