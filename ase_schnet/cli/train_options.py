"""Options of ase-schnet train: data and network, labels, fit, work."""

from __future__ import annotations

import argparse

from ase_schnet.cli.inputs import add_reading_options
from ase_schnet.cli.pictures import add_save_data
from ase_schnet.cli.train_cheap import add_cheap_options
from ase_schnet.cli.train_labels import add_label_options
from ase_schnet.training.settings import FitSettings


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of the command."""
    parser.add_argument(
        "-o", "--output", required=True, metavar="MODEL_DIR", help="directory of the model"
    )
    add_cheap_options(parser.add_argument_group("cheap labels"))
    add_recipe_options(parser)
    add_work_options(parser, "members trained at the same time")
    _add_parts(parser)


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add DATA and the options that say what is trained on them and how."""
    _add_data(parser)
    _add_network(parser.add_argument_group("network"))
    labels = parser.add_argument_group("labels")
    add_label_options(labels)
    add_reading_options(labels)
    _add_fit(parser.add_argument_group("fit (defaults in brackets)"))


def _add_data(parser: argparse.ArgumentParser) -> None:
    text = "npz, extxyz, ASE db, HDF5 or QM9 files, or directories of DeePMD-kit"
    parser.add_argument("data", nargs="+", metavar="DATA", help=text)
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="defaults for the options below and the shape of the network, in a JSON file",
    )
    parser.add_argument(
        "--units",
        help="units of the files, e.g. kcal/mol, 'eV, Ang, kB' or 'Hartree, Ang, Hartree/Bohr'",
    )
    parser.add_argument("--energy-key", help="name of the energies in the file")
    parser.add_argument("--forces-key", help="name of the forces in the file")
    parser.add_argument(
        "--folds", type=int, default=5, help="number of members of the ensemble (default: 5)"
    )
    parser.add_argument(
        "--kept-out",
        type=float,
        metavar="FRACTION",
        help="fraction of the data that no member sees: it tests the ensemble and gives its error bars "
        "(default: 0.05; of 90 to 180 structures nine)",
    )
    parser.add_argument(
        "--contiguous",
        action="store_true",
        help="use blocks of consecutive frames as folds, for data from one trajectory",
    )
    parser.add_argument(
        "--level-of-theory",
        default="unspecified",
        metavar="TEXT",
        help='level of theory of the labels, for the card of the model, such as "PBE/def2-SVP"',
    )
    parser.add_argument(
        "--augment",
        metavar="HOW",
        help="train on displaced structures too, such as 'delta, stretch, ensemble=MODEL, weight=0.1': see "
        "ase-schnet augment --help. They are made from the training part of each fold only",
    )


def _add_network(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--preset",
        choices=("small", "default", "large", "fast", "accurate", "nff"),
        help="size of the network (default: fast). nff: 256 features, trainable Gaussians, dropout 0.2",
    )
    parser.add_argument(
        "--cutoff", type=float, help="cutoff in Å (default: from the preset, fast: 5)"
    )
    parser.add_argument(
        "--interactions",
        type=int,
        help="number of interaction blocks (default: from the preset)",
    )
    parser.add_argument(
        "--envelope",
        choices=("cosine", "none"),
        help="function that takes the filters to zero at the cutoff; none leaves a step in the energy there "
        "(default: from the preset, cosine)",
    )
    parser.add_argument(
        "--trainable-gaussians",
        action=argparse.BooleanOptionalAction,
        help="train centres and widths of the Gaussians too, in each block its own (default: by the preset)",
    )
    parser.add_argument(
        "--dropout",
        type=float,
        metavar="P",
        help="share of the hidden units, 0 to below 1, that each training step leaves out at random; "
        "a trained model has all of them (default: by the preset, or by the model of --start-from)",
    )
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="start from the weights of a model, member by member, instead of random ones (fine-tuning). The "
        "network is that of the model; the energy offsets are refitted; new elements get new embeddings",
    )
    parser.add_argument(
        "--freeze",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="with --start-from: layers whose weights stay as they are: embedding, interactions, "
        "interactions.0, ..., readout",
    )


def _add_fit(fit: argparse._ArgumentGroup) -> None:
    def number(option: str, text: str, otherwise: str = "") -> None:
        default = getattr(FitSettings, option.replace("-", "_"))
        text = f"{text} [{default:g}{otherwise}]"
        # without a default: it depends on what is trained
        fit.add_argument(f"--{option}", type=type(default), help=text)

    number("epochs", "number of passes over the training data", "; with --pretrain 40")
    number("batch-size", "structures per step", "; with --pretrain 20")
    number(
        "learning-rate",
        "largest learning rate of Adam; the one of Muon is 10 times larger",
        "; with --start-from 0.0005, with --pretrain 0.0003",
    )
    fit.add_argument(
        "--optimizer",
        choices=("muon", "adam"),
        default=FitSettings.optimizer,
        help=f"Muon for the weight matrices and Adam for the rest, or Adam for all [{FitSettings.optimizer}]",
    )
    fit.add_argument(
        "--schedule",
        choices=("cosine", "exponential"),
        default=FitSettings.schedule,
        help="decay of the learning rate: cosine to zero, or exponential by ×0.96 every 100 000 steps "
        f"[{FitSettings.schedule}]",
    )
    number("weight-decay", "decoupled, as in AdamW; of dense matrices, not of biases or Gaussians")
    number("ema-decay", "decay of the running average of the weights, per step")
    number("clip-norm", "largest norm of the gradient")
    number("patience", "stop after so many epochs without progress; 0: never")
    fit.add_argument(
        "--loss",
        choices=("standardised", "schnet"),
        default="standardised",
        help="standardised: independent of units, size and composition; schnet: the loss of the SchNet paper "
        "[standardised]",
    )
    fit.add_argument(
        "--energy-weight",
        type=float,
        help="weight of the energies in the loss; 0: train on forces only, and fit the constant of the "
        "energy afterwards [0.001; 0.05 suits crystals; with --loss schnet ρ = 0.01]",
    )
    fit.add_argument(
        "--forces-weight",
        type=float,
        default=1.0,
        help="weight of the forces in the loss; 0: train on energies only [1]",
    )
    fit.add_argument(
        "--stress-weight",
        type=float,
        help="weight of the stress in the loss; 0: do not train on it [0.1 where the data have stress]",
    )
    fit.add_argument(
        "--seed", type=int, default=0, help="seed of the folds and the initial weights [0]"
    )


def add_work_options(parser: argparse.ArgumentParser, side_by_side: str) -> None:
    """Add device, processes and what to accept; `side_by_side` says what the processes do."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--jobs", type=int, help=f"{side_by_side} (default: number of cores)")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="continue although a process of another host is noted as training here; it must have ended",
    )
    parser.add_argument(
        "--allow-outliers",
        action="store_true",
        help="train even if some labels are far from all others; without it this is an error",
    )
    parser.add_argument("--no-plot", action="store_true", help="draw nothing")
    add_save_data(parser.add_argument)


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler that trains each member as a job: tcp://HOST:PORT or its scheduler file; its "
        "workers must see MODEL_DIR",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted training; a finished one is not continued",
    )
    parser.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="train only member K (1 to --folds), as a job of its own. It continues where it was stopped and "
        "ends at once if it is done. When all are done, `ase-schnet assemble MODEL_DIR` joins them. Under "
        "torchrun all processes share this fit",
    )
