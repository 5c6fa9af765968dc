"""The network of the paper (its Table 1) on its data, beside preset fast: part of benchmarks/augmentation.md.

OMP_NUM_THREADS=1 python md_examples/10_augmentation_study/paper_network.py            # all that is missing
OMP_NUM_THREADS=1 python md_examples/10_augmentation_study/paper_network.py --report   # the text alone

256 features, 256 filters, 32 trained Gaussians, 5 Å, dropout 0.2 (--preset nff), with and without 200
structures of the literal rule, weight 1. Finished trainings are kept in md_examples/output, an interrupted
one continues; what was measured lies in benchmarks/augmentation_network.json, so that the text can be made
anywhere.
"""

import argparse
import json

import numpy as np
import torch
from figure import network_curves
from jobs import NETWORKS, PAPER_EPOCHS, check_settings, directory, train
from measure import measure
from report import HEADER, NETWORKS_TITLE, TARGET, network_section, row_of

from ase_schnet.modelfile import load_model
from ase_schnet.plotting import save_figure
from ase_schnet.runtime.files import write_whole

STORE = TARGET.with_name("augmentation_network.json")
PICTURE = TARGET.with_name("augmentation_network.png")
DATA, SEED = "nff", 0


def measured(name: str) -> dict:
    """Train and measure one variant; figures and, of trained Gaussians, their narrowest and widest."""
    model_dir = train(DATA, name, SEED) / "model"
    model = load_model(model_dir)
    found = measure(model_dir, DATA, SEED)
    widths = [np.abs(w) for key, w in model.weights.items() if key.endswith(".widths")]
    sizes = [int(np.prod(w.shape)) for w in model.weights.values()]
    found |= {"parameters": sum(sizes)}
    if widths:
        found |= {
            "widths": [float(min(w.min() for w in widths)), float(max(w.max() for w in widths))]
        }
    return found


def section(results: dict[str, dict]) -> str:
    """The text: a row per network and augmentation, and what the augmentation changed in each network."""
    lines = [NETWORKS_TITLE, "", INTRODUCTION, "", HEADER]
    lines += [row_of(name, "1", [row]) for name, row in results.items()]
    lines += ["", *changes(results), ""]
    sizes = {name: row["parameters"] for name, row in results.items() if name in ("fast", "nff")}
    lines += [f"Parameters: {', '.join(f'{name} {n:,}' for name, n in sizes.items())}."]
    if spans := [row["widths"] for row in results.values() if "widths" in row]:
        low, high = min(s[0] for s in spans), max(s[1] for s in spans)
        lines[-1] += (
            f" Widths of the trained Gaussians, 0.156 Å at first, end between {low:.3f} and {high:.3f} Å."
        )
    lines += ["", f"![O–H curves of both networks and of PBE/def2-SVP]({PICTURE.name})"]
    return "\n".join(lines)


def changes(results: dict[str, dict]) -> list[str]:
    """A line for each augmented training: its errors over those of the same network without augmentation."""
    lines = []
    for name, row in results.items():
        network, _, augmented = name.partition("-")
        if not augmented or network not in results:
            continue
        base = results[network]
        ratios = [row[key] / base[key] for key in ("rmse_beyond_1.1", "forces_mae")]
        lines.append(
            f"- {name}: O–H error beyond 1.1 Å × {ratios[0]:.2f}, test force error × {ratios[1]:.2f} "
            f"of {network} without augmentation"
        )
    return lines


def write(results: dict[str, dict]) -> None:
    """Replace the section in the text, or put it before the line that counts the trainings."""
    save_figure(network_curves(results), PICTURE)
    text, new = TARGET.read_text(), section(results)
    if old := network_section(text):
        text = text.replace(old, new)
    else:
        before, mark, after = text.partition("\nTrained: ")
        text = f"{before}\n{new}\n{mark}{after}"
    write_whole(TARGET, text.encode())


INTRODUCTION = f"""\
Written by `md_examples/10_augmentation_study/paper_network.py`. `nff` is the network of the paper's Table
1 (`--preset nff`: 256 features and filters, 32 trained Gaussians, 5 Å, dropout 0.2; the table has neither
the number of interactions, three here, nor epochs); `fast` is `--preset fast`. Both: {PAPER_EPOCHS}
epochs of the 850 frames of nff-ethanol above, seed {SEED}, one member; literal-ε adds 200 structures of
the literal rule with weight 1."""


def main() -> None:
    """Train and measure what is missing, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="train nothing: write the text anew")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(STORE.read_text()) if STORE.exists() else {}
    if not args.report:
        check_settings()
        for name in args.only:
            print(name, directory(DATA, name, SEED), flush=True)
            known[name] = measured(name)
            in_order = {n: known[n] for n in NETWORKS if n in known}
            write_whole(STORE, json.dumps(in_order, indent=1).encode())
    write({n: known[n] for n in NETWORKS if n in known})
    print(f"written: {TARGET}")


if __name__ == "__main__":
    main()
