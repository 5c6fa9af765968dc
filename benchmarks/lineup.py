"""Who runs: packages, their settings, and which cases each is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

PACKAGES = ("ours", "schnetpack", "graph-pes", "mace", "floor")
SCRIPTS = {
    "ours": "run_ours.py",
    "schnetpack": "run_schnetpack.py",
    "graph-pes": "run_graph_pes.py",
    "mace": "run_mace.py",
    "floor": "run_nothing.py",
}
SMALL, LARGE = ("ethanol", "water-192"), ("water-1536", "water-12288")
# keeps freed arrays instead of returning them to the kernel: what an expert user could do for torch
TUNED_MALLOC = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296"
}


@dataclass(frozen=True)
class Contestant:
    """One line of the tables: a package with one set of settings.

    cases: the only cases it runs, or () for all. members: the numbers of models it runs.
    env: environment variables of its worker, besides the numbers of threads.
    starts: takes part in time to first forces and peak memory.
    """

    name: str
    package: str
    dtype: str = "float32"
    options: dict = field(default_factory=dict)
    cases: tuple[str, ...] = ()
    members: tuple[int, ...] = (1, 5)
    env: dict = field(default_factory=dict)
    starts: bool = True

    def runs(self, case: str, members: int) -> bool:
        """Whether it is asked for this."""
        if members > 1 and case == LARGE[-1] and self.package != "ours":
            return False  # five models in turn: half a minute for one call
        return members in self.members and (not self.cases or case in self.cases)


LINEUP = (
    Contestant("ours float32", "ours"),
    Contestant("ours float64", "ours", "float64"),
    Contestant("schnetpack float32", "schnetpack"),
    Contestant("schnetpack float32, skin 0.5 Å", "schnetpack", options={"skin": 0.5}, starts=False),
    Contestant("schnetpack float64", "schnetpack", "float64", members=(1,), starts=False),
    Contestant(
        "schnetpack float32, malloc tuned",
        "schnetpack",
        cases=LARGE,
        members=(1,),
        env=TUNED_MALLOC,
    ),
    Contestant("graph-pes float32, skin 1 Å", "graph-pes"),
    Contestant("MACE 64x0e float32", "mace", cases=SMALL),
    Contestant("do-nothing ASE Calculator", "floor", members=(1,)),
)
