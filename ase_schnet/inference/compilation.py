"""How functions are compiled by numba, and how the result is kept on disk for every later process.

inner      for functions that only compiled functions call
exact_inner, exactly  likewise and for Python, with every operation rounded as numpy rounds it
call_at    calls compiled code where it lies, so that it is not compiled a second time into its caller
inlined    likewise, for the large ones with one caller: merged into it before anything is compiled,
           which spares the compiler from working through them twice
compiled   for what Python calls: kept on disk, beside the package or in the user's cache
first_use  around the first call: where it has to compile, it says so, and of several processes that
           start at once one compiles and the others wait for it
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numba
import numba.extending
from numba.core.caching import FunctionCache, NullCache
from numba.core.dispatcher import Dispatcher

from ase_schnet.inference.simd import BYTES

OPTIONS = {
    # fused and vectorised sums; nothing that would let NaN pass for a number
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "error_model": "numpy",
    "nogil": True,
}
NOT_FOR_PYTHON = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

EXACT = {"error_model": "numpy", "nogil": True}  # no sum is reordered, no product fused

inner = numba.njit(**OPTIONS, **NOT_FOR_PYTHON)
exact_inner = numba.njit(**EXACT, **NOT_FOR_PYTHON)
inlined = numba.njit(**OPTIONS, **NOT_FOR_PYTHON, inline="always")

# what every compiled function may contain besides the file that defines it
_SHARED_SOURCES = ("compilation.py", "geometry.py", "loops.py", "rows.py", "simd.py", "tables.py")


def compiled(function: Callable) -> Dispatcher:
    """Compile `function` when it is called: njit, kept on disk where there is a place to write to."""
    return _kept(function, OPTIONS, ())


def exactly(*sources: ModuleType) -> Callable[[Callable], Dispatcher]:
    """Compile as `compiled` does, but round as numpy does; `sources` define what else is compiled into it."""
    files = tuple(Path(inspect.getfile(module)) for module in sources)
    return lambda function: _kept(function, EXACT, files)


def _kept(function: Callable, options: dict, sources: tuple[Path, ...]) -> Dispatcher:
    dispatcher = numba.njit(**options, no_cfunc_wrapper=True)(function)
    try:
        dispatcher._cache = _Cache(function, sources)
    except RuntimeError:  # numba found no place: compiled in memory, in every process
        dispatcher._cache = _Nowhere()
    return dispatcher


def address_of(function: Dispatcher, *args: object) -> int:
    """Return where the machine code of a compiled function lies that has been called with such arguments.

    Compiled code that calls it there (`call_at`) is not compiled together with it.
    """
    made = function.overloads[tuple(numba.typeof(arg) for arg in args)]
    return made.library.get_pointer_to_function(made.fndesc.llvm_func_name)


@numba.extending.intrinsic
def call_at(typing, address, args):
    """Call, with the arguments in a tuple, a function that returns nothing, at an address."""

    def emit(context, builder, signature, values):
        types_of_args = tuple(numba.types.unliteral(one) for one in signature.args[1].types)
        kind = context.call_conv.get_function_type(numba.types.none, types_of_args)
        function = builder.inttoptr(values[0], kind.as_pointer())
        each = [
            context.cast(builder, builder.extract_value(values[1], k), one, wanted)
            for k, (one, wanted) in enumerate(
                zip(signature.args[1].types, types_of_args, strict=True)
            )
        ]
        status, _ = context.call_conv.call_function(
            builder, function, numba.types.none, types_of_args, each
        )
        with builder.if_then(status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return numba.types.none(numba.types.intp, args), emit


def kept_in(function: Dispatcher) -> Path | None:
    """Return the folder that keeps the machine code of a compiled function; None if there is no place."""
    return Path(function._cache.cache_path) if isinstance(function._cache, _Cache) else None


@contextmanager
def first_use(*modules: ModuleType) -> Iterator[None]:
    """Compile or load what is called inside, in one process at a time, and say on stderr if it takes long.

    Parameters
    ----------
    *modules
        Where the functions are defined that may have to be compiled; their number is the length of the bar.
    """
    with _one_thread:
        if _first_uses.modules is not None:  # a first use within a first use
            yield
            return
        _first_uses.modules = modules
        try:
            yield
        finally:
            _first_uses.end()


class _FirstUses:
    """Hold the first use that goes on, one at a time, and its turn, which most of them do not need."""

    def __init__(self):
        self.modules: tuple | None = None
        self._turn = None

    def wait(self, folder: Path | None) -> bool:
        """Wait for a turn to compile. Return True if another process may have compiled meanwhile."""
        if self.modules is None:  # called by whoever does not mind the silence
            return False
        if self._turn is None:  # loaded by name: most processes need no lock and no bar
            self._turn = import_module("ase_schnet.inference.compile_lock").Turn(self.modules)
        return folder is not None and self._turn.wait(folder)

    def end(self) -> None:
        """End the first use, and let the next process have its turn."""
        self.modules = None
        if self._turn is not None:
            self._turn.end()
            self._turn = None


_one_thread, _first_uses = threading.RLock(), _FirstUses()


class _Nowhere(NullCache):
    """Keep nothing: there is no place on disk for the machine code of a function."""

    def load_overload(self, sig, target_context):
        """Return None, after which numba compiles."""
        _first_uses.wait(None)


class _Cache(FunctionCache):
    """Keep the machine code of one function, as numba does; errors do not stop it.

    numba itself compares the file that defines the function, and no other file or option that the machine
    code was made of. Here all of them count.
    """

    def __init__(self, function, sources: tuple[Path, ...] = ()):
        super().__init__(function)
        here = Path(__file__).parent
        shared = (here / name for name in _SHARED_SOURCES)
        sources = (Path(inspect.getfile(function)), *shared, *sources)
        options = sorted(
            (name, sorted(value) if isinstance(value, set) else value)
            for name, value in OPTIONS.items()
        )
        digest = hashlib.sha256(repr((BYTES, options)).encode())
        for source in sources:
            digest.update(source.read_bytes())
        self._made_of = digest.hexdigest()

    def _index_key(self, sig, codegen):
        return *super()._index_key(sig, codegen), self._made_of

    def load_overload(self, sig, target_context):
        """Return machine code of an earlier process, or None, after which numba compiles."""
        found = self._load(sig, target_context)
        while found is None and _first_uses.wait(Path(self.cache_path)):
            found = self._load(sig, target_context)
        return found

    def _load(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            # truncated, emptied or garbled files raise whatever pickle or LLVM raises
            self._remove()
            return None

    def save_overload(self, sig, data):
        """Keep machine code. Say once if that fails: every start will have to compile."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn_once(
                f"ase_schnet: compiled code could not be kept in {self.cache_path} ({error}), so every start "
                "will compile again; set NUMBA_CACHE_DIR to a directory with space that can be written to"
            )

    def _remove(self) -> None:
        folder, base = Path(self.cache_path), self._impl.filename_base
        for path in [*folder.glob(f"{base}.*nbc"), *folder.glob(f"{base}.nbi")]:
            with suppress(OSError):  # not ours to remove, or gone: numba compiles in either case
                path.unlink()


_warned: set[str] = set()


def _warn_once(text: str) -> None:
    if not _warned:
        print(text, file=sys.stderr)
    _warned.add(text)
