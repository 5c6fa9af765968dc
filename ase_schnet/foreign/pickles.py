"""Read a pickle as data: nothing in it is imported, called or run.

A pickle is a program for a stack machine, whose instructions may import any function and call it. The
machine below has no such instructions. A name of a module stays a name; a "call" makes a :class:`Record`
that says what was to be called with what, except for the few names of `values.py` for which there is a plain
value, such as an ordered dictionary or a tensor. Names that no model needs are refused with the file.
"""

from __future__ import annotations

import pickletools
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from ase_schnet.foreign.records import ForeignModelError, Name, Record

#: Instructions; a pickle of a model of 20 MB has some ten thousand, as its tensors lie outside.
MOST_INSTRUCTIONS = 5_000_000


@dataclass(frozen=True)
class Vocabulary:
    """Hold what names of a pickle may stand for.

    Attributes
    ----------
    allows
        Returns whether a name of a module may stand in the pickle.
    build
        Returns the value of a "call" of an allowed name with arguments.
    outside
        Returns the value of what lies outside the pickle, such as a storage, from its identity.
    """

    allows: Callable[[str], bool]
    build: Callable[[str, tuple], object]
    outside: Callable[[object], object]


def read_pickle(file: IO[bytes], name: str, vocabulary: Vocabulary) -> object:
    """Return what one pickle holds, as plain values and records; the file is left behind its end.

    Parameters
    ----------
    file
        Where the pickle begins.
    name
        Of the file, for messages.
    vocabulary
        What names may stand in it, and for what.

    Raises
    ------
    ForeignModelError
        For a name or an instruction that no model needs, and for what is no complete pickle.
    """
    machine = _Machine(name, vocabulary)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_INSTRUCTIONS:
                raise ForeignModelError(f"{name}: the pickle is too long for a model")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.follow(opcode.name, argument)
    except ForeignModelError:
        raise
    # what pickletools and lists raise for bytes that are no pickle, or a damaged one
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, EOFError) as error:
        raise ForeignModelError(
            f"{name} is damaged, or not a file of torch: its pickle cannot be followed ({error})"
        ) from None
    raise ForeignModelError(f"{name} is damaged: its pickle has no end")


# instructions that push their own argument, and those that push a constant
_VALUES = frozenset(
    [
        *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
    ]
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,  # what it holds may be no key of a Python set
}
_MARK = object()  # on the stack where a tuple, list or dictionary begins


class _Machine:
    """Follow the instructions of a pickle, as far as they make data; one method for each kind."""

    def __init__(self, file: str, vocabulary: Vocabulary):
        self._file, self._vocabulary = file, vocabulary
        self.stack: list = []
        self._memo: dict[int, object] = {}

    def follow(self, name: str, argument) -> None:
        """Follow one instruction, by its name in `pickletools`."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PROTO", "FRAME"):
            return
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[argument])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise ForeignModelError(
                f"{self._file}: its pickle has the instruction {name}, which no model needs"
            )

    def _since_mark(self) -> list:
        """Take what is above the last mark, and the mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # IndexError where there is none
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def mark(self, _) -> None:
        self.stack.append(_MARK)

    def pop(self, _) -> None:
        self.stack.pop()

    def pop_mark(self, _) -> None:
        self._since_mark()

    def dup(self, _) -> None:
        self.stack.append(self.stack[-1])

    def memoize(self, _) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def make_tuple(self, _) -> None:
        self.stack.append(tuple(self._since_mark()))

    def tuple_of_last(self, n: int) -> None:
        items = [self.stack.pop() for _ in range(n)]
        self.stack.append(tuple(reversed(items)))

    def make_list(self, _) -> None:
        self.stack.append(self._since_mark())

    def make_dict(self, _) -> None:
        self.stack.append(_pairs(self._since_mark()))

    def append(self, _) -> None:
        self._extend([self.stack.pop()])

    def appends(self, _) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, Record) else target).extend(items)

    def set_item(self, _) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update(_pairs([key, value]))

    def set_items(self, _) -> None:
        self._update(_pairs(self._since_mark()))

    def _update(self, entries: dict) -> None:
        target = self.stack[-1]
        (target.entries if isinstance(target, Record) else target).update(entries)

    def _name(self, full: str) -> None:
        if not self._vocabulary.allows(full):
            raise ForeignModelError(
                f"{self._file} wants {full:.100}, which no SchNet needs. The file is refused; nothing in it "
                "was run"
            )
        self.stack.append(Name(full))

    def name(self, argument: str) -> None:
        self._name(argument.replace(" ", ".", 1))

    def name_on_stack(self, _) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(f"{module}.{name}")

    def _call(self, what: object, arguments: object) -> None:
        if not isinstance(what, Name) or not isinstance(arguments, tuple):
            raise ForeignModelError(f"{self._file} calls {reprlib.repr(what)}, which is no class")
        self.stack.append(self._vocabulary.build(what.full, arguments))

    def call(self, _) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        self._call(what, arguments)

    def call_by_names(self, _) -> None:
        self.stack.pop()  # the arguments by name
        self.call(None)

    def call_named(self, argument: str) -> None:
        arguments = tuple(self._since_mark())
        self.name(argument)
        self._call(self.stack.pop(), arguments)

    def call_since_mark(self, _) -> None:
        what, *arguments = self._since_mark()
        self._call(what, tuple(arguments))

    def set_state(self, _) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):  # attributes of an ordered dictionary: of no use
            raise ForeignModelError(
                f"{self._file} changes {reprlib.repr(self.stack[-1])}, which is no object"
            )

    def outside(self, _) -> None:
        self.stack.append(self._vocabulary.outside(self.stack.pop()))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    "MEMOIZE": _Machine.memoize,
    "TUPLE": _Machine.make_tuple,
    "TUPLE1": lambda machine, _: machine.tuple_of_last(1),
    "TUPLE2": lambda machine, _: machine.tuple_of_last(2),
    "TUPLE3": lambda machine, _: machine.tuple_of_last(3),
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "FROZENSET": _Machine.make_tuple,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_by_names,
    "INST": _Machine.call_named,
    "OBJ": _Machine.call_since_mark,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.outside,
}


def _pairs(items: list) -> dict:
    """Return keys and values in turn as a dictionary; keys that are no plain values by their text."""
    return {_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)}


def _key(key: object) -> object:
    return key if isinstance(key, (str, int, float, bytes, Name, type(None))) else reprlib.repr(key)
