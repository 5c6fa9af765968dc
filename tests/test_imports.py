"""The house has floors: a room imports from the floors below it, never sideways in a circle or up."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "ase_schnet"
FLOORS = [
    # all but the first only lead old module paths to new ones
    {"__main__", "conformal", "interfaces", "simulation"},
    {"cli"},
    {"report", "doctor"},
    {"learning"},
    {
        *("pretraining", "delta_calculator", "recalibration", "propagation"),
        *("tuning", "foreign", "external"),
    },
    {"training", "calculator", "plugin", "predictions", "coverage"},
    {"model", "evaluation", "evaluator", "augment", "dipole", "lammps", "sampling", "export"},
    {"dynamics", "results", "spectra", "plotting"},
    {"inference", "runs", "scan", "labelling"},
    {"data", "applicability"},
    {"units", "neighbors", "modelfile", "structures"},
    {"trained_model"},
    {"uncertainty"},
    {
        "bonds",
        "runtime",
        "arguments",
        "atoms_state",
        "degrees_of_freedom",
        "deprecation",
        "model_directories",
        "schnet_config",
    },
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FORBIDDEN = {("calculator", "model"), ("training", "calculator"), ("calculator", "training")}
# third-party packages that only some files may import
RESERVED = {
    "torch": (
        *("model/", "training/", "inference/torch_ensemble.py", "export/"),
        "foreign/maker.py",  # a script for other Pythons
    ),
    "matplotlib": ("plotting/",),
}
#: The functions of more than 60 lines, at most one.
LONG_FUNCTIONS: set[str] = set()
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, but of what is imported for type checkers alone: it is no arrow when the code runs."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        left += node.orelse if is_for_type_checkers(node) else ast.iter_child_nodes(node)


def imported(tree: ast.AST) -> list[tuple[str, ast.AST]]:
    found = []
    for node in walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.append((node.module, node))
            found += [(f"{node.module}.{alias.name}", node) for alias in node.names]
    return found


def test_imports_run_downwards():
    for path in FILES:
        room = room_of(path)
        for name, _ in imported(parsed(path)):
            parts = name.split(".")
            if parts[0] != "ase_schnet" or len(parts) == 1 or parts[1] in ("__version__", room):
                continue
            other = parts[1]
            assert other in FLOOR, f"{path}: {name} is on no floor of the drawing"
            assert FLOOR[room] < FLOOR[other], f"{path}: {room} may not import {other}"
            assert (room, other) not in FORBIDDEN, f"{path}: {room} may not import {other}"


def test_heavy_packages_stay_in_their_rooms():
    for path in FILES:
        place = path.relative_to(PACKAGE).as_posix()
        for name, _ in imported(parsed(path)):
            homes = RESERVED.get(name.split(".")[0])
            assert homes is None or place.startswith(homes), f"{place} imports {name}"


def test_functions_import_nothing_except_in_the_command_line():
    for path in FILES:
        if room_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside = [n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))]
                assert not inside, f"{path}: {node.name} imports inside the function"


def test_modules_of_a_room_do_not_import_in_a_circle():
    modules = {
        ".".join(("ase_schnet", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in FILES
    }
    edges = {
        name: {n for n, _ in imported(parsed(p)) if n in modules and n != name}
        for name, p in modules.items()
        if room_of(p) != "cli"
    }

    def reach(name, seen):
        for other in edges.get(name, ()):
            if other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    circles = [name for name in edges if name in reach(name, set())]
    assert not circles


def test_import_is_light():
    code = (
        "import sys, ase_schnet; dir(ase_schnet);"
        "print([m for m in ('torch', 'matplotlib', 'numba', 'ase') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"


def test_evaluating_needs_neither_torch_nor_matplotlib():
    """They cost seconds and hundreds of MiB. vesin, which looks for torch, finds the crystal's pairs."""
    code = """
import sys
import ase_schnet
from ase.build import bulk, molecule
for model, atoms in (("ethanol", molecule("CH3CH2OH")), ("silicon", bulk("Si"))):
    atoms.calc = ase_schnet.SchNetCalculator(model)
    atoms.get_potential_energy()
    atoms.get_forces()
atoms.get_stress()
ase_schnet.SchNetCalculator("ethanol", device="cpu", dtype="float32", threads=2)
heavy = ("torch", "matplotlib", "sklearn", "pandas", "tqdm")
print([m for m in heavy if m in sys.modules], "vesin" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stderr:  # it had to compile, with a progress bar
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert done.stderr == ""


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path.relative_to(PACKAGE)}: {node.name}", node


def test_no_file_is_longer_than_300_lines():
    lines = {str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in FILES}
    assert {name: n for name, n in lines.items() if n > 300} == {}


def test_no_function_is_longer_than_60_lines():
    """Counted from ``def`` to the last line, with the docstring."""
    lines = {name: node.end_lineno - node.lineno + 1 for name, node in functions()}
    assert {name for name, n in lines.items() if n > 60} == LONG_FUNCTIONS


def test_no_function_has_more_than_ten_arguments():
    """By position or by keyword; ``self`` and ``cls`` are not counted, ``*`` and ``**`` are one each."""
    counts = {}
    for name, node in functions():
        a = node.args
        named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        counts[name] = sum(argument.arg not in ("self", "cls") for argument in named)
    assert {name: n for name, n in counts.items() if n > 10} == {}


def test_dataclasses_of_arrays_are_not_compared_by_their_values():
    """The == that dataclass would write raises for two arrays: such classes say eq=False."""
    wrong = []
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            fields = [field.annotation for field in node.body if isinstance(field, ast.AnnAssign)]
            parts = [part for annotation in fields for part in ast.walk(annotation)]
            types = {getattr(part, "id", getattr(part, "attr", None)) for part in parts}
            made = [ast.unparse(d) for d in node.decorator_list if "dataclass" in ast.unparse(d)]
            if made and types & {"ndarray", "NDArray", "Tensor"} and "eq=False" not in made[0]:
                wrong.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert wrong == []
