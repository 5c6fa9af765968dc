"""Activations and cutoff functions by the names that other packages have for them."""

from __future__ import annotations

from ase_schnet.foreign.records import ForeignModelError

#: Names of classes and functions -> ours.
ACTIVATIONS = {
    "shifted_softplus": "ssp",
    "ShiftedSoftplus": "ssp",
    "silu": "silu",
    "SiLU": "silu",
    "swish": "silu",
    "Swish": "silu",
}
ENVELOPES = {
    "CosineCutoff": "cosine",
    "MollifierCutoff": "mollifier",
    "HardCutoff": "none",
}


def activation(path: str, name: str) -> str:
    """Return our name of an activation; ForeignModelError for one that our networks do not have."""
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    raise ForeignModelError(
        f"{path} has the activation {name}: only shifted softplus and SiLU can be converted"
    )


def require_softplus(path: str, name: str) -> None:
    """Refuse another activation than shifted softplus, where a package has no other."""
    if ACTIVATIONS.get(name) != "ssp":
        raise ForeignModelError(
            f"{path} has the activation {name}, where a SchNet of its kind has shifted softplus"
        )


def envelope(path: str, name: str) -> str:
    """Return our name of a cutoff function; ForeignModelError for one that our networks do not have."""
    if name in ENVELOPES:
        return ENVELOPES[name]
    raise ForeignModelError(
        f"{path} has the cutoff function {name}: only cosine, mollifier and a hard cutoff can be converted"
    )
