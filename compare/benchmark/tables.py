"""Showing what was measured: ratios first, then the medians they come from, then the machine."""

from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]
RACES = ("step", "limit", "lockstep", "growth", "recording")


def show(results: dict[str, Any], console: Console | None = None) -> None:
    """Print the results of `run_benchmarks`."""
    console = console or Console()
    races = [(name, row) for name in RACES for row in results.get(name, []) if "ratio" in row]
    if races:
        console.print(ratio_table(races))
        console.print(median_table(races))
    for name, reasons in absences(results.get("step", [])).items():
        console.print(f"{name} was not measured in {len(reasons)} cases: {'; '.join(dict.fromkeys(reasons))}.")
    for row in results.get("sweep", []):
        console.print(f"sweep, {row['case']}: {row['runs_per_minute']:.1f} runs per minute")
    if layers := results.get("layers"):
        console.print(layer_table(layers))
    if waits := results.get("startup"):
        console.print(startup_table(waits))
    if peaks := results.get("memory"):
        console.print(memory_table(peaks))
    console.print(conditions(results), style="dim", highlight=False, soft_wrap=True)


def absences(rows: list[Row]) -> dict[str, list[str]]:
    """Return who was not measured, with a reason for every case."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if "absent" in row:
            reasons.setdefault(row["of"][0], []).append(row["absent"])
    return reasons


def ratio_table(races: list[tuple[str, Row]]) -> Table:
    """Return the ratios: the median of all rounds, and the quartiles, which tell how noisy the machine was."""
    table = table_of("benchmark", "", "ratio", "quartiles", "rounds", "target", "")
    for name, row in races:
        slow, fast = row["of"]
        low, high = row["quartiles"]
        case = f"{slow} / {fast}: {row['case']}"
        spread = f"{low:.2f} - {high:.2f}"
        table.add_row(name, case, f"{row['ratio']:.2f}", spread, str(row["rounds"]), wanted(row["target"]), mark(row))
    return table


def median_table(races: list[tuple[str, Row]]) -> Table:
    """Return the medians in microseconds a step."""
    table = table_of("median of a step", "", "us")
    for _, row in races:
        for contestant, seconds in row["seconds"].items():
            table.add_row(row["case"], contestant, f"{1e6 * seconds:.1f}")
    return table


def layer_table(rows: list[Row]) -> Table:
    """Return the ratios of single layers, losses and steps, with the medians of a call in microseconds."""
    table = table_of("layers", "", "ratio", "quartiles", "us", "manual's", "target", "")
    for row in rows:
        slow, fast = row["of"]
        low, high = row["quartiles"]
        medians = (f"{1e6 * row['seconds'][name]:.1f}" for name in (slow, fast))
        spread, target = f"{low:.2f} - {high:.2f}", wanted(row["target"])
        table.add_row(f"{slow} / {fast}", row["case"], f"{row['ratio']:.2f}", spread, *medians, target, mark(row))
    return table


def startup_table(rows: list[Row]) -> Table:
    """Return the waits in seconds."""
    table = table_of("startup", "imports", "s", "range", "rounds", "target", "")
    for row in rows:
        imports = ", ".join(row["imports"]) or "nothing heavy" if "imports" in row else ""
        low, high = row["range"]
        spread, target = f"{low:.3f} - {high:.3f}", wanted(row["target"])
        table.add_row(row["case"], imports, f"{row['seconds']:.3f}", spread, str(row["rounds"]), target, mark(row))
    return table


def memory_table(rows: list[Row]) -> Table:
    """Return the peaks in MiB, and by what factor the longer run's is larger."""
    table = table_of("memory", "", "MiB", "growth", "", "target", "")
    for row in rows:
        growth = f"x {row['growth']:.3f}" if "growth" in row else ""
        limit = f"<= {row['target']['at_most'] / 2**20:.0f} MiB"
        if growth:
            limit += f", x {row['growth_target']['at_most']}"
        table.add_row("default run", row["case"], f"{row['bytes'] / 2**20:.0f}", growth, "", limit, mark(row))
    return table


def table_of(*headings: str) -> Table:
    """Return an empty table, numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position < 2 else "right", no_wrap=position != 1)
    return table


def wanted(target: dict[str, float]) -> str:
    """Return a target in words: `>= 4`; nothing where there is none."""
    if not target:
        return ""
    ((bound, value),) = target.items()
    return f"{'>=' if bound == 'at_least' else '<='} {value:g}"


def mark(row: Row) -> str:
    """Return whether the target was met; nothing where there is none."""
    if not row["target"]:
        return ""
    return "met" if row["met"] else "MISSED"


def conditions(results: dict[str, Any]) -> str:
    """Return what the numbers depend on: the machine, the versions, the threads."""
    environment = results["environment"]
    packages = environment["packages"]
    versions = f"Python {environment['python']}, NumPy {packages['numpy']}, torch {packages['torch']}"
    machine = f"{environment['cpu']} ({environment['cpu_count']} cores), {environment['system']}"
    pools = [pool for pool in environment["blas"] if pool["user_api"] == "blas"]
    blas = {f"{pool['internal_api']} {pool['version']} ({pool['architecture']})" for pool in pools}
    others = [f"{n} {packages[n]}" for n in ("scikit-learn", "jax", "tinygrad", "autograd") if packages.get(n)]
    versions = ", ".join((versions, *others))
    date = f"; measured on {results['date']}" if "date" in results else ""
    rounds = "few and short rounds (--quick)" if results["quick"] else "medians of rounds taken in turns"
    sides = f"BLAS {', '.join(sorted(blas))}; {results['threads']} thread on each side"
    return f"{machine}; {versions}; {sides}; {rounds}{date}."
