"""How large the inputs of the shifted softplus become: `python -m benchmarks.ssp_inputs [--data DIR]`.

The implementation report's Table 5: its network overfits one batch of eight frames of aspirin until an
input is too large for ln(½ eˣ + ½) in float32. Here with that form and with softplus(x) − ln 2, on whole
energies as in the report, and with their mean removed. Writes ssp_inputs.md; takes half a minute of a core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.rescaling import Rescaling
from ase_schnet.model.potential import Potential
from ase_schnet.model.radial import Activation, shifted_softplus
from ase_schnet.model.schnet import PRESETS, SchNet
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import MAX_ELEMENTS
from ase_schnet.training.batches import BatchSource
from ase_schnet.units import FileUnits

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
FRAMES, STEPS, RATE, RHO = 8, 200, 1e-3, 0.01
CONFIG = replace(PRESETS["default"], envelope="none")
LIMIT = float(np.log(np.finfo(np.float32).max))  # 88.7
LAYERS = (*(f"interaction {t}" for t in range(CONFIG.n_interactions)), "read-out")
REPORT = (8.78, 56.92, 300.01, float("nan"))


def naive(x: Tensor) -> Tensor:
    """ln(½ eˣ + ½) as it is written."""
    return torch.log(0.5 * torch.exp(x) + 0.5)


@dataclass(frozen=True)
class Case:
    """One training."""

    name: str
    activation: Callable[[Tensor], Tensor]
    mean_removed: bool


CASES = (
    Case("ln(½ eˣ + ½), whole energies", naive, False),
    Case("softplus(x) − ln 2, whole energies", shifted_softplus, False),
    Case("softplus(x) − ln 2, mean removed", shifted_softplus, True),
)


class Inputs:
    """Note the largest input of the function behind each block and of that in the read-out, in one pass."""

    def __init__(self, network: SchNet):
        layers = [block.atomwise_mid for block in network.interactions] + [network.readout_in]
        self.largest = [float("nan")] * len(layers)
        for k, layer in enumerate(layers):
            layer.register_forward_hook(lambda _, __, out, k=k: self._note(k, out))

    def _note(self, k: int, out: Tensor) -> None:
        self.largest[k] = float(out.detach().max())


def with_activation(network: SchNet, function: Callable[[Tensor], Tensor]) -> None:
    """Put a function into all places of the shifted softplus."""
    for block in network.interactions:
        block.activation = block.cfconv.activation = function
    network.readout_activation = Activation(function, torch.sigmoid)


def overfitted(case: Case, data: Dataset, steps: int = STEPS) -> dict:
    """Steps until the loss is no number (or all), the largest inputs then and before, and the last loss."""
    shift = np.zeros(MAX_ELEMENTS)
    if case.mean_removed:
        shift[data.elements] = data.E.mean() / data.n_atoms[0]
    potential = Potential.create(CONFIG, shift, 1.0, seed=0)
    with_activation(potential.schnet, case.activation)
    inputs = Inputs(potential.schnet)
    batch, labels = BatchSource(data, CONFIG.cutoff, torch.float32).batch(np.arange(len(data)))
    optimizer = torch.optim.Adam(potential.parameters(), lr=RATE)
    largest, most, loss = inputs.largest, 0.0, float("nan")
    for step in trange(steps, desc=case.name, disable=None):
        found = potential.properties(batch, create_graph=True)
        error = (RHO * (found.energies - labels.E) ** 2).mean()
        error = error + ((found.forces - labels.F) ** 2).sum() / len(data.Z)
        largest = list(inputs.largest)
        if not torch.isfinite(error):
            return {"steps": step, "nan": True, "largest": largest, "most": most, "loss": loss}
        loss, most = float(error.detach()), max(most, *largest)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return {"steps": steps, "nan": False, "largest": largest, "most": most, "loss": loss}


HEAD = f"""# Inputs of the shifted softplus

Written by `python -m benchmarks.ssp_inputs`; do not edit. The implementation report's Table 5: preset
`default` without an envelope, one batch of {FRAMES} frames of aspirin (MD17's labels in kcal/mol, whole
energies of some -4·10⁵), loss {RHO} ΔE² + |ΔF|²/n, Adam with a rate of {RATE:g}, float32, at most {STEPS}
steps. Largest input behind each block and in the read-out at the last step. In float32 eˣ is infinite above
{LIMIT:.1f}.

"""


def markdown(found: dict[str, dict]) -> str:
    """The page."""
    columns = ["case", "steps", *LAYERS, "largest of all steps", "last loss"]
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    for name, row in found.items():
        cells = [f"{row['steps']}" + " (then NaN)" * row["nan"]]
        cells += [f"{x:.3g}" for x in (*row["largest"], row["most"], row["loss"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = [*(f"{x:.3g}" for x in REPORT), "", ""]
    lines.append("| report | 4 epochs (then NaN) | " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Train, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ssp_inputs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="of the npz files")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    path = options.data / "rmd17_aspirin_train_01.npz"
    keys = {"energy_key": "old_energies", "forces_key": "old_forces"}
    frames = read_labelled(path, "kcal/mol", **keys)[0][:FRAMES]
    data = Rescaling.to_units(FileUnits("kcal/mol")).apply(Dataset.from_atoms(frames))
    text = markdown({case.name: overfitted(case, data) for case in CASES})
    write_whole(HERE / "ssp_inputs.md", text.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
