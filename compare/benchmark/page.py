"""The page of the benchmarks, made from their JSON alone: ratios first, then the medians, then the machine."""

from collections.abc import Iterable
from typing import Any

from compare.benchmark.tables import conditions, mark, wanted

Row = dict[str, Any]
TITLES = {"limit": "The machine's limit", "lockstep": "What checking costs", "recording": "Records"}
HEAD = """# Benchmarks

<!-- made by `backproof bench --from results/benchmarks.json --write results`: do not edit -->

How fast a training step of `manual` is against what one would use instead, how far it is from the machine's limit, and
what checking costs. All contestants of a case take turns, one thread each, on the same rows from the same initial
weights; a ratio is the median over the rounds of (the other / `manual`), so above 1 `manual` is faster. Before it is
timed, each contestant takes a few steps, and its weights must be those of `manual`.

scikit-learn has a loss of its own (softmax and cross-entropy where the others have sigmoids and the squared error), so
it is held to that step of `manual`'s. "per example" is the usual teaching loop over the examples of a batch.
"""


def as_markdown(results: dict[str, Any], plot: str = "benchmarks.svg") -> str:
    """Return the page of the results of `run_benchmarks`; `plot` is the file of the picture beside it."""
    parts = [HEAD, conditions(results), targets(results)]
    if steps := results.get("step"):
        parts += [f"![The ratios over the batch size, network by network]({plot})", *step_parts(steps)]
    for name, title in TITLES.items():
        if rows := results.get(name):
            parts += [f"## {title}", race_table(rows)]
    if rows := results.get("growth"):
        parts += ["## Growth", growth_table(rows)]
    if rows := results.get("sweep"):
        table = [(row["case"], f"{row['runs_per_minute']:.1f}") for row in rows]
        parts += ["## A sweep's throughput", grid(("", "runs per minute"), table)]
    if rows := results.get("layers"):
        parts += ["## Layers, losses, optimizers", race_table(rows)]
    if rows := results.get("startup"):
        table = [(r["case"], f"{r['seconds']:.3f}", wanted(r["target"]), mark(r)) for r in rows]
        parts += ["## Waiting", grid(("", "s", "target", ""), table)]
    if rows := results.get("memory"):
        table = [(r["case"], f"{r['bytes'] / 2**20:.0f}", f"{r['growth']:.3f}" if "growth" in r else "") for r in rows]
        parts += ["## Memory of the default run", grid(("", "peak MiB", "growth"), table)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def targets(results: dict[str, Any]) -> str:
    """Return how many targets were met, and those that were missed, each with what was measured."""
    rows = [(name, row) for name, found in results.items() if isinstance(found, list) for row in found]
    judged = [(name, row) for name, row in rows if row.get("target")]
    missed = [(name, row) for name, row in judged if not row["met"]]
    text = f"Of {len(judged)} targets {len(judged) - len(missed)} were met."
    if not missed:
        return text
    table = [(name, named(row), measured(row), wanted(row["target"])) for name, row in missed]
    return f"{text} Missed:\n\n" + grid(("benchmark", "case", "measured", "target"), table, words=2)


def named(row: Row) -> str:
    """Return a row's case, with the two that were compared."""
    return f"{' / '.join(row['of'])}: {row['case']}" if "of" in row else row["case"]


def measured(row: Row) -> str:
    """Return the number that a row's target judges."""
    if "ratio" in row:
        return f"{row['ratio']:.2f}"
    return f"{row['seconds']:.3f} s" if "seconds" in row else f"{row['bytes'] / 2**20:.0f} MiB"


def step_parts(rows: list[Row]) -> list[str]:
    """Return the ratios of the steps, then their medians, then who was not measured and why."""
    raced = [row for row in rows if "ratio" in row]
    names = list(dict.fromkeys(row["of"][0] for row in raced))
    cases = list(dict.fromkeys(row["case"] for row in raced))
    found = {(row["case"], row["of"][0]): row for row in raced}
    ratios = [(case, *(cell(found.get((case, name))) for name in names)) for case in cases]
    medians = []
    for case in cases:
        mine = next(found[case, name]["seconds"]["manual"] for name in names if (case, name) in found)
        others = (found.get((case, name)) for name in names)
        medians.append((case, us(mine), *(us(row["seconds"][row["of"][0]]) if row else "" for row in others)))
    parts = ["## A training step: how many times longer than manual's", grid(("", *names), ratios)]
    parts += ["A star marks a target that was missed.", "## A training step: medians in microseconds"]
    parts.append(grid(("", "manual", *names), medians))
    absent: dict[tuple[str, str], int] = {}
    for row in rows:
        if "absent" in row:
            absent[row["of"][0], row["absent"]] = absent.get((row["of"][0], row["absent"]), 0) + 1
    if absent:
        table = [(name, why, str(count)) for (name, why), count in absent.items()]
        parts += ["## Not measured", grid(("", "why", "cases"), table, words=2)]
    return parts


def cell(row: Row | None) -> str:
    """Return a ratio as the table has it."""
    return "" if row is None else f"{row['ratio']:.2f}{'' if row['met'] else ' *'}"


def us(seconds: float) -> str:
    """Return seconds as microseconds."""
    return f"{1e6 * seconds:,.1f}"


def race_table(rows: Iterable[Row]) -> str:
    """Return the ratios of a benchmark with their quartiles and medians."""
    table = []
    for row in rows:
        low, high = row["quartiles"]
        medians = " / ".join(us(row["seconds"][name]) for name in row["of"])
        table.append(
            (named(row), f"{row['ratio']:.2f}", f"{low:.2f} - {high:.2f}", medians, wanted(row["target"]), mark(row))
        )
    return grid(("", "ratio", "quartiles", "us", "target", ""), table)


def growth_table(rows: list[Row]) -> str:
    """Return the medians along each line of growth."""
    names = list(rows[0]["seconds"])
    return grid(("", *(f"{n}, us" for n in names)), [(r["case"], *(us(r["seconds"][n]) for n in names)) for r in rows])


def grid(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], words: int = 1) -> str:
    """Return a table in Markdown: so many columns of words, and numbers to the right."""
    lines = [headings, ("---",) * words + ("---:",) * (len(headings) - words), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
