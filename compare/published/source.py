"""The published figures, read from the files that come with the package: nothing of them stands in code."""

import json
from importlib.resources import files
from typing import Any


def figures(source: str) -> dict[str, Any]:
    """Return a source's figures with their recipes: hw0, miniatures or nielsen."""
    return json.loads((files("compare.published") / "figures" / f"{source}.json").read_text(encoding="utf-8"))
