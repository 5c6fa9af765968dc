"""What stands for the objects of a pickle: their names, and what the pickle says of them."""

from __future__ import annotations


class ForeignModelError(ValueError):
    """Say why a model of another package cannot be read or cannot be converted."""


class Name:
    """Hold the name of a class or function of another package, which is never imported.

    Attributes
    ----------
    full
        Module and name, such as "schnetpack.nn.cutoff.CosineCutoff".
    """

    def __init__(self, full: str):
        self.full = full

    def __repr__(self) -> str:
        return self.full

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and other.full == self.full

    def __hash__(self) -> int:
        return hash(self.full)


class Record:
    """Hold an object of another package as what its pickle says of it.

    Attributes
    ----------
    kind
        Name of its class, or of what was called to make it.
    arguments
        What it was made from.
    state
        Its attributes, or whatever else the pickle would restore it from.
    items, entries
        What it holds as a list, and as a dictionary.
    """

    def __init__(self, kind: str, arguments: tuple = ()):
        self.kind, self.arguments, self.state = kind, arguments, {}
        self.items: list = []
        self.entries: dict = {}

    def __repr__(self) -> str:
        return f"<{self.kind}>"

    @property
    def class_name(self) -> str:
        """Name of its class without the module."""
        return self.kind.rpartition(".")[2]
