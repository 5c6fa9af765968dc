"""What people do with this program, in the order in which they do it: ``ase-schnet`` without arguments."""

from __future__ import annotations

TASKS = (
    (
        "make a model of your molecule, from nothing but its structure",
        "learn ethanol.xyz -o my_ethanol",
    ),
    ("or train on labelled structures that you have", "train data.xyz --units eV -o my_model"),
    ("hold it against labels that it has not seen", "evaluate my_model test.xyz -o parity.png"),
    (
        "run dynamics, which judges itself",
        "md my_model ethanol.xyz --temperature 300 --time 10 -o run",
    ),
    (
        "scan a bond, an angle or a dihedral",
        "scan my_model ethanol.xyz --distance 2 3 --from 0.7 --to 2.5 -o scan.png",
    ),
    ("see all of it on one page that you can click through", "report run -o report.html"),
)


def guide() -> str:
    """Return the tasks with an example each, and where to go on."""
    lines = ["ase-schnet: SchNet potentials for ASE: train, test, run.", ""]
    for number, (what, command) in enumerate(TASKS, start=1):
        lines += [f"{number}. {what}", f"     ase-schnet {command}"]
    return "\n".join(
        [
            *lines,
            "",
            "ethanol, methanol, silicon and organic come with the package: ase-schnet info organic",
            "(`ase build CH3CH2OH ethanol.xyz` writes a molecule to begin with)",
            "",
            "ase-schnet --help           all commands;  ase-schnet COMMAND --help  one, with examples",
            "ase-schnet doctor           is this installation complete, and right?",
            "ase-schnet completion bash  completes commands and options with the Tab key",
        ]
    )
