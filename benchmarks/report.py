"""The results as markdown: every figure with its ratio to ours, every failure with its reason."""

from __future__ import annotations

OURS = ("ours float32", "ours float64")
IDLE_LOAD = 0.5  # more than this before the start, and the figures are not to be quoted
FAST = 100.0  # ms; below this three digits after the point


def markdown(results: dict) -> str:
    """The whole of speed.md."""
    about = results["about"]
    parts = [
        "# Speed\n",
        "Written by `" + about["command"] + "`; do not edit. Ratios are of medians: how many times "
        "slower than ours.\n",
        _about(about),
        _call_tables(results),
        _nve_table(results),
        _start_table(results),
        _memory_table(results),
        _roofline_table(results),
        _failures(results),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def table(header: list[str], rows: list[list]) -> str:
    """A markdown table; numbers to the right."""
    lines = [header, ["---" if k == 0 else "---:" for k in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines) + "\n"


def _about(about: dict) -> str:
    installed = "\n".join(
        f"- {package}: "
        + ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        + (f" ({found['installed']})" if found["installed"] else "")
        for package, found in about["packages"].items()
    )
    busy = "**The machine was busy before the start: do not quote these figures.**\n\n"
    return (busy if about["load_before"] > IDLE_LOAD else "") + (
        f"{about['date']}; {about['machine']}; load average before {about['load_before']:.2f}, after "
        f"{about['load_after']:.2f}; commit {about['commit']}.\n\n{installed}\n\n{about['method']}\n"
    )


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < FAST else f"{value:.0f}"


def _ratios(value: float, ours: dict[str, float]) -> list[str]:
    return [f"{value / ours[name]:.2f}" if name in ours else "" for name in OURS]


def _call_tables(results: dict) -> str:
    text = []
    calls = [r for r in results["records"] if r["measure"] == "call"]
    for threads, members in sorted({(r["threads"], r["members"]) for r in calls}):
        here = [r for r in calls if (r["threads"], r["members"]) == (threads, members)]
        rows = []
        for case in results["about"]["cases"]:
            rows += _case_rows(
                case,
                [r for r in here if r["case"] == case],
                [f for f in results["failures"] if _about_case(f, case, members, threads)],
            )
        text.append(
            f"## ms per call, {members} member{'s' * (members > 1)}, "
            f"{threads} thread{'s' * (threads > 1)}\n"
        )
        header = ["case", "contestant", "median", "min", "calls", "÷ ours f32", "÷ ours f64"]
        text.append(table(header, rows))
    return "\n".join(text)


def _about_case(failure: dict, case: str, members: int, threads: int) -> bool:
    wanted = {"measure": "call", "case": case, "members": members, "threads": threads}
    return all(failure.get(k, v) == v for k, v in wanted.items())


def _case_rows(case: str, records: list[dict], failures: list[dict]) -> list[list]:
    ours = {r["contestant"]: r["median_ms"] for r in records}
    rows = []
    for r in sorted(records, key=lambda r: r["median_ms"]):
        times = [_ms(r["median_ms"]), _ms(r["min_ms"]), r["calls"]]
        rows.append([case, r["contestant"], *times, *_ratios(r["median_ms"], ours)])
    return rows + [[case, f["contestant"], f["reason"], "", "", "", ""] for f in failures]


def _nve_table(results: dict) -> str:
    rows = []
    records = [r for r in results["records"] if r["measure"].startswith("nve")]
    for key in sorted({(r["threads"], r["members"], r["measure"]) for r in records}):
        here = [r for r in records if (r["threads"], r["members"], r["measure"]) == key]
        ours = {r["contestant"]: 1 / r["steps_per_s"] for r in here}
        for r in sorted(here, key=lambda r: -r["steps_per_s"]):
            rates = [f"{r['steps_per_s']:.0f}", f"{r['best_steps_per_s']:.0f}"]
            rows.append([r["contestant"], *key, *rates, *_ratios(1 / r["steps_per_s"], ours)])
    if not rows:
        return ""
    header = [
        "contestant",
        "threads",
        "members",
        "what",
        "steps/s",
        "best",
        "÷ ours f32",
        "÷ ours f64",
    ]
    return "## NVE, ethanol, 0.5 fs, ASE's VelocityVerlet\n\n" + table(header, rows)


def _start_table(results: dict) -> str:
    rows = [
        [
            r["contestant"],
            f"{r['first_forces_s']:.2f}",
            f"{r['process_s']:.2f}",
            f"{r['rss_MiB']:.0f}",
            f"{r['peak_MiB']:.0f}",
        ]
        for r in results["records"]
        if r["measure"] == "start"
    ]
    header = ["contestant", "s to first forces", "s, whole process", "MiB resident", "MiB peak"]
    title = (
        "## Fresh process: import, load the model, one get_forces (ethanol, 1 member, 1 thread)\n\n"
    )
    return title + table(header, rows) if rows else ""


def _memory_table(results: dict) -> str:
    rows = [
        [r["contestant"], r["members"], f"{r['peak_MiB']:.0f}"]
        for r in results["records"]
        if r["measure"] == "memory"
    ]
    cases = {r["case"] for r in results["records"] if r["measure"] == "memory"}
    title = f"## Peak memory of a process, two calls, {', '.join(cases)}, 1 thread\n\n"
    return title + table(["contestant", "members", "MiB"], rows) if rows else ""


def _roofline_table(results: dict) -> str:
    rows = [
        [
            r["case"],
            r["contestant"],
            r["members"],
            r["threads"],
            r["directed_pairs"],
            f"{r['megaflop']:.1f}",
            f"{r['gflops']:.1f}",
            f"{r['peak_gflops']:.0f}",
            f"{r['percent_of_peak']:.0f}",
        ]
        for r in results["roofline"]
    ]
    header = ["case", "contestant", "members", "threads", "pairs", "MFLOP", "GFLOP/s", "peak", "%"]
    title = (
        "## Roofline\n\nOperations that any tabulated SchNet needs (formula in `benchmarks/floor.py`), "
        "over the peak of as many threads (see floor.py).\n\n"
    )
    return title + table(header, rows) if rows else ""


def _failures(results: dict) -> str:
    rows = [
        [f["contestant"], f.get("measure", "all"), f.get("case", "all"), f["reason"]]
        for f in results["failures"]
    ]
    return (
        "## What did not run\n\n" + table(["contestant", "measure", "case", "why"], rows)
        if rows
        else ""
    )
