"""The results on disk: the numbers as JSON, and the page and the picture that are made from them."""

import json
from pathlib import Path
from typing import Any

from compare.benchmark.page import as_markdown
from compare.benchmark.plot import as_svg
from compare.experiment.description import DescriptionError

NAME = "benchmarks"


def made_of(results: dict[str, Any]) -> dict[str, str]:
    """Return the content of every file by name: the same results make the same files."""
    files = {f"{NAME}.json": json.dumps(results, indent=1) + "\n", f"{NAME}.md": as_markdown(results)}
    if any("ratio" in row for row in results.get("step", [])):
        files[f"{NAME}.svg"] = as_svg(results["step"])
    return files


def write_results(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the files into a folder, and return them. Raises DescriptionError where that is not possible."""
    written = []
    for name, content in made_of(results).items():
        file = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        except OSError as failure:
            raise DescriptionError(f"{file}: cannot be written ({failure.strerror}). Choose another folder.") from None
        written.append(file)
    return written


def read_results(file: Path) -> dict[str, Any]:
    """Return the results that a file holds. Raises DescriptionError where it holds none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        raise DescriptionError(f"{file}: cannot be read ({failure.strerror}); wanted the JSON of a bench.") from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"environment", "threads", "quick"} <= found.keys():
        raise DescriptionError(f"{file} does not hold results; wanted the JSON that `backproof bench --json` prints.")
    return found
