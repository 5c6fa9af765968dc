"""How wide the vector registers are of the processor that numba compiles for.

| processor | bytes |
|---|---|
| x86 with AVX-512 | 64 |
| x86 with AVX or AVX2 | 32 |
| x86 with nothing more than SSE; ARM (NEON, also on machines that have SVE); anything else | 16 |

The environment variable ASE_SCHNET_REGISTER_BYTES = 16, 32 or 64 forces a width, for tests and measurements.
Every width gives right answers on every processor: LLVM splits a vector that is too long. They differ in the
last bits, because a sum over features is taken in as many parts as a register has lanes.
"""

from __future__ import annotations

import os

import llvmlite.binding
from numba.core import config
from numba.core.registry import cpu_target

TRIPLE = cpu_target.target_context.codegen().magic_tuple()[0]  # architecture and system, for LLVM
VARIABLE = "ASE_SCHNET_REGISTER_BYTES"
WIDTHS = (16, 32, 64)
SUM_OF_64_BYTES = """
define <16 x float> @sum(<16 x float> %a, <16 x float> %b) {
  %c = fadd <16 x float> %a, %b
  ret <16 x float> %c
}
"""


def register_bytes() -> int:
    """Return the width of a vector register in bytes: 16, 32 or 64.

    Raises
    ------
    ValueError
        If ASE_SCHNET_REGISTER_BYTES is set to anything else than 16, 32 or 64.
    """
    forced = os.environ.get(VARIABLE, "").strip()
    if forced:
        if forced not in map(str, WIDTHS):
            raise ValueError(
                f"the environment variable {VARIABLE} must be 16, 32 or 64, got {forced!r}; "
                "unset it to use the registers of this processor"
            )
        return int(forced)
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    width = widest_used(TRIPLE, name, features)
    if config.CPU_NAME is not None and config.CPU_FEATURES is None:
        # numba gives a processor named by NUMBA_CPU_NAME the features of this machine as well
        width = min(width, widest_used(TRIPLE, name, "+64bit"))
    return width


def widest_used(triple: str, name: str, features: str) -> int:
    """Return the bytes of the widest register that LLVM uses for this processor.

    LLVM alone knows what belongs to the name of a processor, so it is asked to add two long vectors.

    Parameters
    ----------
    triple
        LLVM's name of architecture and system, for example "x86_64-unknown-linux-gnu".
    name
        LLVM's name of the processor, for example "haswell".
    features
        What is added to the features of that name or taken from them, for example "+avx2,-avx512f".
    """
    if not triple.startswith("x86_64"):
        return 16  # NEON's; the length of SVE's registers is not known when code is compiled
    target = llvmlite.binding.Target.from_triple(triple)
    machine = target.create_target_machine(cpu=name, features=features)
    assembly = machine.emit_assembly(llvmlite.binding.parse_assembly(SUM_OF_64_BYTES))
    return 64 if "%zmm" in assembly else 32 if "%ymm" in assembly else 16
