"""Accuracies of planted mistakes: a file, results/confusions.json, and the table of manual/derivation/confusions.md.

The file, JSON:
    experiment    the preset's name
    after         the steps after which accuracies were taken; the last is the training's end
    trials        one object for each training: mistake (null: the correct network), seed, accuracies (a list, in the
                  order of `after`), and what a lockstep run of the same mistake found: step, tensor, named (the first
                  suspect); null for the correct network
    environment   what the numbers depend on besides, as in a record's environment.json
"""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from compare.language import joint, listing, say
from compare.selftest.accuracy import Measured
from compare.views.report import ReportError

Document = dict[str, Any]


def document(experiment: str, after: Iterable[int], measured: Iterable[Measured], environment: Document) -> Document:
    """Return the file's content."""
    return {
        "experiment": experiment,
        "after": list(after),
        "trials": [trial(each) for each in measured],
        "environment": environment,
    }


def trial(measured: Measured) -> Document:
    """Return one training as JSON data."""
    found = measured.found
    return {
        "mistake": measured.mistake,
        "seed": measured.seed,
        "accuracies": measured.accuracies,
        "step": found.caught_step if found else None,
        "tensor": found.found[1] if found and found.found else None,
        "named": found.named[0] if found and found.named else None,
    }


def read(file: Path) -> Document:
    """Return the content of such a file. Raises ReportError for one that is not there or holds something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows(content)
    except OSError as failure:
        raise ReportError(
            f"{file}: the accuracies cannot be read ({failure.strerror}). `backproof confusions FILE` measures them."
        ) from None
    except (ValueError, KeyError, TypeError, IndexError):
        raise ReportError(
            f"{file}: found no accuracies of planted mistakes. `backproof confusions FILE` measures them."
        ) from None
    return content


def write(content: Document, file: Path) -> None:
    """Write the file. Raises ReportError where that is not possible."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as failure:
        raise ReportError(
            f"{file}: the accuracies cannot be written ({failure.strerror}). Choose another file."
        ) from None


def table(content: Document) -> str:
    """Return the content as Markdown: a row for each mistake, the correct network first."""
    early, end = content["after"][0], content["after"][-1]
    seeds = sorted({each["seed"] for each in content["trials"]})
    headings = (
        say("planted"), say("after {steps:,} steps, mean", steps=early),
        say("after {steps:,}, seeds {seeds}", steps=end, seeds=listing(map(str, seeds))), say("mean"),
        say("beside the correct one"), say("a run finds it"),
    )  # fmt: skip
    lines = [
        f"| {' | '.join(headings)} |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *rows(content),
        "",
        summary(content),
        "",
        say(
            "Test accuracies of `{experiment}` in %; NumPy {numpy}, {machine}.",
            experiment=content["experiment"],
            numpy=content["environment"]["packages"]["numpy"],
            machine=content["environment"]["machine"],
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def rows(content: Document) -> list[str]:
    """Return the table's rows."""
    correct = means(content)[None]
    return [row(name, trials, correct) for name, trials in by_mistake(content).items()]


def by_mistake(content: Document) -> dict[str | None, list[Document]]:
    """Return the trials of every mistake; the correct network's, under None, are the first."""
    trials: dict[str | None, list[Document]] = {None: []}
    for each in content["trials"]:
        trials.setdefault(each["mistake"], []).append(each)
    return trials


def means(content: Document) -> dict[str | None, float]:
    """Return the mean accuracy at the end of every mistake's trainings, the correct network's first."""
    return {name: mean(each["accuracies"][-1] for each in trials) for name, trials in by_mistake(content).items()}


def summary(content: Document) -> str:
    """Return how many of the mistakes accuracy could have shown, in two sentences."""
    correct, *planted = means(content).values()
    near, above = (
        sum(accuracy > correct - 0.01 for accuracy in planted),
        sum(accuracy > correct for accuracy in planted),
    )
    usable = sum(0.85 < accuracy <= correct - 0.01 for accuracy in planted)
    return "\n".join(
        [
            say(
                "Of {count} mistakes {near} end less than one point below the correct network, {above} of them above "
                "it.",
                count=len(planted), near=near, above=above,
            ),
            say("{count} more still read over 85 % of the digits.", count=usable),
        ]
    )  # fmt: skip


def row(name: str | None, trials: list[Document], correct: float) -> str:
    """Return one mistake's row: accuracies in percent, and what a lockstep run says of it."""
    first = mean(each["accuracies"][0] for each in trials)
    last = [each["accuracies"][-1] for each in trials]
    each_last = " ".join(f"{100 * accuracy:.2f}" for accuracy in last)
    beside = f"{100 * (mean(last) - correct):+.2f}" if name else ""
    findings = [say("step {step}, `{tensor}`", step=each["step"], tensor=each["tensor"]) for each in trials]
    found = joint("facts").join(dict.fromkeys(findings)) if name else ""
    title = f"`{name}`" if name else say("nothing")
    return f"| {title} | {100 * first:.2f} | {each_last} | {100 * mean(last):.2f} | {beside} | {found} |"
