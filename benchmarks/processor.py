"""What the processor is, which vector instructions it has, and how to do without the newest of them.

Every page of figures of speed names them: what is 20 % of a step on one processor can be 90 % on another.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

from llvmlite.binding import get_host_cpu_features

FULL, AVX2 = "all it has", "limited to AVX2"
# torch's own kernels, oneDNN, MKL and numba each ask the processor by themselves
AS_ON_A_LAPTOP = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,-avx512f",  # else numba adds those of this machine to the name
}
SETTINGS = {FULL: {}, AVX2: AS_ON_A_LAPTOP}
_NAMES = {
    "avx512f": "AVX-512",
    "avx512bf16": "bfloat16",
    "amx-tile": "AMX",
    "avx2": "AVX2",
    "neon": "NEON",
    "sve": "SVE",
}


def instructions() -> str:
    """The vector instructions that numba and torch may use here, as "AVX-512, bfloat16, AVX2"."""
    with contextlib.suppress(RuntimeError):  # LLVM cannot tell on every platform
        features = get_host_cpu_features()
        names = [name for feature, name in _NAMES.items() if features.get(feature)]
        if all(os.environ.get(k) == v for k, v in AS_ON_A_LAPTOP.items()):
            return f"{', '.join(names)}, limited to AVX2"
        if names:
            return ", ".join(names)
    return "NEON" if platform.machine() in ("arm64", "aarch64") else "unknown"


def machine() -> str:
    """Processor, its vector instructions, cores, memory and Python in one line."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model} with {instructions()}, {os.cpu_count()} logical cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
