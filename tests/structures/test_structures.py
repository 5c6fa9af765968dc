"""A structure is read from any file, as it was meant, or one line says what is wrong and how to mend it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import iread, write
from factory import random_model

from ase_schnet.cli import main
from ase_schnet.modelfile import save_model
from ase_schnet.structures.reading import read_frames, recognised_format
from ase_schnet.structures.single import read_structure

WATER = "O 0 0 0.119\n{0} 0 0.763 -0.477\n{0} 0 -0.763 -0.477\n"
CIF = """data_x
_cell_length_a 3
_cell_length_b 3
_cell_length_c 3
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
D1 D 0.1 0 0
O1 O 0 0 0
"""
POSCAR = "no symbols\n1.0\n3 0 0\n0 3 0\n0 0 3\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
MOL = """
 x

  2  1  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 D   0  0
    0.0000    0.0000    1.0000 H   0  0
  1  2  1  0
M  END
"""


def put(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    return path


@pytest.mark.parametrize(("symbol", "mass"), [("D", 2.014), ("T", 3.016), ("d", 2.014)])
@pytest.mark.parametrize(
    "comment", ["", "heavy water", 'Properties=species:S:1:pos:R:3 pbc="F F F"']
)
def test_isotopes_of_hydrogen_are_hydrogen_with_their_mass(tmp_path, symbol, mass, comment):
    path = put(tmp_path / "w.xyz", f"3\n{comment}\n{WATER.format(symbol)}")
    atoms, remark = read_structure(path)
    assert str(atoms.symbols) == "OH2"
    assert atoms.get_masses() == pytest.approx([15.999, mass, mass], abs=1e-3)
    assert remark == ""


def test_deuterium_of_a_cif_has_the_mass_of_the_atom(tmp_path):
    atoms, _ = read_structure(put(tmp_path / "d.cif", CIF))
    assert atoms.get_masses() == pytest.approx([2.0141, 15.999], abs=1e-4)


@pytest.mark.parametrize("name", ["mass", "masses"])
def test_a_column_of_masses_is_kept(tmp_path, name):
    text = f"2\nProperties=species:S:1:pos:R:3:{name}:R:1\nC 0 0 0 13.003\nO 0 0 1.1 15.9\n"
    atoms, _ = read_structure(put(tmp_path / "m.xyz", text))
    assert atoms.get_masses() == pytest.approx([13.003, 15.9])


@pytest.mark.parametrize(
    ("content", "formula"),
    [
        ("3\n\n8 0 0 0\n1 0 0 1\n1 0 1 0\n", "OH2"),
        ("2\n\nC12 0 0 0\nH1 0 0 1.1\n", "CH"),
        ("1\n\nCL 0 0 0\n", "Cl"),
        (b"\xef\xbb\xbf3\n\n" + WATER.format("H").encode(), "OH2"),
        (("3\n\n" + WATER.format("H")).encode("utf-16"), "OH2"),
        (b"1\nat 10 \xb0C\nC 0 0 0\n", "C"),
        ("1\n\nC 1.0D-01 1.0*^-3 0\n", "C"),
        ("1\r\n\r\nC 0.1 0 0\r\n\r\n\r\n", "C"),
        ("  1 \nenergy\nC 0.1 0 0 extra words\n", "C"),
    ],
)
@pytest.mark.parametrize("name", ["a.xyz", "a@1.xyz", "DATA"])
def test_xyz_files_that_ase_does_not_read(tmp_path, content, formula, name):
    atoms, _ = read_structure(put(tmp_path / name, content))
    assert str(atoms.symbols) == formula


def test_cell_and_periodicity_are_read_in_any_spelling(tmp_path):
    text = '1\nPBC="1 1 0" lattice="3 0 0 1 4 0 0 0 9" properties=species:S:1:pos:R:3\nC 0 0 0\n'
    atoms, _ = read_structure(put(tmp_path / "slab.xyz", text))
    assert atoms.pbc.tolist() == [True, True, False]
    assert atoms.cell.array.tolist() == [[3, 0, 0], [1, 4, 0], [0, 0, 9]]
    atoms, _ = read_structure(
        put(tmp_path / "s.xyz", text.replace('"3 0', ' "3 0').replace("lattice", "Lattice "))
    )
    assert atoms.cell.array.tolist() == [[3, 0, 0], [1, 4, 0], [0, 0, 9]]
    with pytest.raises(ValueError, match=r"line 2: pbc is .*not three of T or F"):
        read_structure(put(tmp_path / "s.xyz", text.replace("1 1 0", "1 1 0.5")))


def test_the_last_of_several_frames_is_taken_and_said(tmp_path):
    frames = [Atoms("H", [(0, 0, z)]) for z in range(4)]
    for name in ("f.xyz", "f.traj", "f.json", "f@2.xyz"):
        path = tmp_path / name
        write(path.with_stem("plain"), frames)
        path.with_stem("plain").rename(path)
        atoms, remark = read_structure(path)
        assert atoms.positions[0, 2] == 3
        assert remark == f"{path}: the last of 4 frames is taken (the first would be {path}@0)"
        for index, z in ((0, 0), (2, 2), (-2, 2)):
            atoms, remark = read_structure(f"{path}@{index}")
            assert atoms.positions[0, 2] == z
            assert remark == f"{path}: frame {z} of 4 is taken, counted from 0"
        with pytest.raises(ValueError, match="has no frame 4: it holds 4, counted from 0"):
            read_structure(f"{path}@4")
        with pytest.raises(ValueError, match=r"has no frame -10{30}: it holds 4, counted from 0"):
            read_structure(f"{path}@-{10**30}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "comma.xyz",
            "1\n\nC 0,1 0 0\n",
            "line 3, column 2: '0,1' is not a number: .* decimal point",
        ),
        ("dummy.xyz", "1\n\nXx 0 0 0\n", "atom 0 is 'Xx', which is not an element"),
        ("short.xyz", "5\n\nC 0 0 0\n", "has 1 atoms, expected 5"),
        ("cols.xyz", "1\n\nC 0 0\n", "line 3 has 3 columns, 4 are needed"),
        ("count.xyz", "-1\n\nC 0 0 0\n", "line 1 should be the number of atoms, but is '-1'"),
        ("none.xyz", "0\n\n", "has no atoms"),
        ("nan.xyz", "1\n\nC 0 0 nan\n", "positions hold NaN"),
        ("mass.xyz", "1\nProperties=species:S:1:pos:R:3:mass:R:1\nC 0 0 0 -1\n", "mass of -1 u"),
        ("gap.xyz", "1\n\nC 0 0 0\n\n1\n\nC 0 0 1\n", r"frame 1 comes after a blank line \(line 4"),
        ("prop.xyz", "1\nProperties=species:S:1\nC\n", "Properties name no species, or no pos"),
        (
            "z.xyz",
            "1\nProperties=Z:R:1:pos:R:3\n6.5 0 0 0\n",
            r"atomic numbers \(Z\) are not whole",
        ),
        ("zonly.xyz", "1\nProperties=Z:I:1\n6\n", "Properties name no species, or no pos"),
        (
            "two.xyz",
            "1\nProperties=species:S:2:pos:R:3\nC C 0 0 0\n",
            "species is one column, not 2",
        ),
        (
            "flat.xyz",
            "1\nProperties=species:S:1:pos:R:2\nC 0 0\n",
            "line 2: a column is not what its",
        ),
        (
            "word.xyz",
            "1\nProperties=species:S:1:pos:R:3:mass:S:1\nC 0 0 0 a\n",
            "line 2: a column is",
        ),
        (
            "huge.xyz",
            f"{10**30}\n\nC 0 0 0\n",
            "line 1 should be the number of atoms, but is '1000",
        ),
        ("empty.xyz", "", "is empty"),
        ("empty", "", "is empty"),
        ("foo.bar", "hello\nworld\n", "no format that ASE recognises .* suffix of its format"),
        ("foo", "hello\nworld\n", "no format that ASE recognises .* suffix of its format"),
        ("noise.xyz", bytes(range(256)), "is binary, not an xyz file"),
        ("noise", bytes(range(256)), "it is binary, of no format"),
        ("noise.traj", bytes(range(256)), "cannot be read by ASE as traj .*is it complete"),
        ("noise.xyz.gz", bytes(range(256)), "Not a gzipped file"),
        ("broken.cif", CIF[:60], "cannot be read by ASE as cif .*is it complete"),
        ("POSCAR", POSCAR, "chemical symbols.* symbols of the elements on the line above"),
        ("d.mol", MOL, "frame 0 holds D, which ASE's reader of mol does not know: write it as xyz"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_a_cure(tmp_path, name, content, message):
    path = put(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as caught:
        read_structure(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_missing_files_and_directories_say_what_may_be_meant(tmp_path):
    write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    with pytest.raises(
        FileNotFoundError, match=r"etanol.xyz: no such file; is .*/ethanol.xyz meant"
    ):
        read_structure(tmp_path / "etanol.xyz")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        read_structure(tmp_path / "nowhere" / "ethanol.xyz")
    with pytest.raises(
        ValueError, match="is a directory, not a file of structures: name a file in it"
    ):
        read_structure(tmp_path)
    (tmp_path / "trajectory.traj").touch()
    with pytest.raises(ValueError, match=r"is a directory, .*: take .*trajectory.traj"):
        read_structure(tmp_path)


def test_formats_of_other_tools_come_through(tmp_path):
    crystal = bulk("NaCl", "rocksalt", 5.6)
    for name in ("a.cif", "a.vasp", "a.json", "a.pdb", "a.traj", "a.db", "a.xyz.gz", "a.xsf"):
        write(tmp_path / name, crystal)
        atoms, remark = read_structure(tmp_path / name)
        assert str(atoms.symbols) == "NaCl"
        assert atoms.pbc.all()
        assert remark == ""


def test_extended_xyz_reads_as_ase_reads_it(tmp_path):
    """All that ASE writes: cells, labels, arrays of every type, constraints, odd keys and values."""
    rng = np.random.default_rng(3)
    frames = []
    for k in range(3):
        atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
        atoms.rattle(0.1, rng=rng)
        atoms.pbc = (True, k > 0, False)
        atoms.info = {
            "name": "a b",
            "flag": True,
            "n": k,
            "x": 0.5,
            "list": np.arange(4),
            "none": "",
        }
        atoms.info |= {
            "text": 'quo"ted',
            "nested": {"a": [1, 2]},
            "virial": rng.normal(size=(3, 3)),
        }
        atoms.arrays |= {
            "forces": rng.normal(size=(8, 3)),
            "tags": np.arange(8),
            "mask": np.arange(8) % 2 == 0,
            "kind": np.array(["a", "b"] * 4),
            "momenta": rng.normal(size=(8, 3)),
        }
        frames.append(atoms)
    path = tmp_path / "all.extxyz"
    write(path, frames)
    for ours, theirs in zip(read_frames(path), iread(path), strict=True):
        assert ours == theirs
        assert ours.arrays.keys() == theirs.arrays.keys()
        assert all(np.array_equal(ours.arrays[k], theirs.arrays[k]) for k in theirs.arrays)
        assert ours.info.keys() == theirs.info.keys()
        assert all(np.array_equal(ours.info[k], theirs.info[k]) for k in theirs.info)
        assert np.array_equal(ours.calc.results["forces"], theirs.calc.results["forces"])


def test_move_masks_are_constraints_as_in_ase(tmp_path):
    for column, rows in (("move_mask:L:1", "F T"), ("move_mask:L:3", "FTT TTF")):
        lines = [f"C 0 0 {k} {' '.join(row)}" for k, row in enumerate(rows.split())]
        text = f"2\nProperties=species:S:1:pos:R:3:{column}\n" + "\n".join(lines) + "\n"
        path = put(tmp_path / "m.xyz", text)
        (ours,), (theirs,) = read_frames(path), iread(path)
        assert [c.todict() for c in ours.constraints] == [c.todict() for c in theirs.constraints]


def test_the_format_of_a_name_without_suffix_is_that_of_its_content(tmp_path):
    write(tmp_path / "x.extxyz", molecule("H2O"))
    (tmp_path / "train").write_bytes((tmp_path / "x.extxyz").read_bytes())
    write(tmp_path / "y.traj", molecule("H2O"))
    (tmp_path / "run").write_bytes((tmp_path / "y.traj").read_bytes())
    assert [recognised_format(tmp_path / n) for n in ("x.extxyz", "train", "run")] == [
        *("extxyz", "extxyz", "traj")
    ]


# ------------------------------------------------------------------ the command line


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("model") / "m", random_model()))


def test_commands_say_which_frame_they_took_and_keep_masses(model_dir, tmp_path, capsys):
    heavy = f"3\n\n{WATER.format('D')}"
    path = put(tmp_path / "heavy@300K.xyz", heavy + heavy)
    scan = ["scan", model_dir, str(path), "--distance", "0", "1", "--from", "0.9", "--to", "1.1"]
    assert main([*scan, "--points", "2", "--no-plot", "-o", str(tmp_path / "s.png")]) == 0
    assert "the last of 2 frames is taken" in capsys.readouterr().out
    command = ["md", model_dir, f"{path}@0", "--time", "0.2", "--test-time", "0", "--monitor=off"]
    main([*command, "--no-plot", "-o", str(tmp_path / "run")])
    assert "frame 0 of 2 is taken" in capsys.readouterr().out
    atoms, _ = read_structure(tmp_path / "run" / "trajectory.traj")
    assert atoms.get_masses()[1] == pytest.approx(2.014, abs=1e-3)


@pytest.mark.parametrize("command", ["md", "scan", "evaluate"])
def test_a_structure_in_the_place_of_the_model_is_recognised(command, model_dir, tmp_path, capsys):
    write(tmp_path / "water.xyz", molecule("H2O"))
    rest = {
        "md": ["-o", str(tmp_path / "run")],
        "scan": ["--distance", "0", "1", "--from", "1", "--to", "2"],
        "evaluate": [],
    }[command]
    water = str(tmp_path / "water.xyz")
    assert main([command, water, model_dir, *rest]) == 2
    error = capsys.readouterr().err
    assert f"are in the wrong order: MODEL comes first, so '{model_dir} {water}'" in error
    assert main([command, water, water, *rest]) == 2
    assert "is a file, not a model" in capsys.readouterr().err


def test_a_reference_curve_may_have_an_at_sign_in_its_name(tmp_path):
    path = put(tmp_path / "a@1.xyz", "1\n\nC 0 0 0\n")
    assert [str(atoms.symbols) for atoms in read_frames(path)] == ["C"]


def test_a_move_mask_that_holds_nothing_is_no_constraint(tmp_path):
    """It would count as a hold on the whole, whose motion then is neither removed nor left out."""
    rows = "".join(f"H 0 0 {k} {'T T T'}\n" for k in range(2))
    for columns in ("move_mask:L:3", "move_mask:L:1"):
        text = f"2\nProperties=species:S:1:pos:R:3:{columns}\n{rows}"
        (tmp_path / "a.xyz").write_text(text if columns[-1] == "3" else text.replace("T T T", "T"))
        assert read_structure(tmp_path / "a.xyz").atoms.constraints == []
