"""Every sentence that backproof says, from the Python files, the templates, the mistakes and the experiments.

`say("...")` and `mark("...")` are found in the source, `stored("...")` too: that is said of what a record keeps, which
is the context of such a sentence. So are the descriptions of the known mistakes and of the experiments.
"""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract

import compare
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.files import preset_names, read_experiment
from compare.language.saying import RECORD

ROOT = Path(compare.__file__).parent
SPOKEN: dict[str, None] = {"say": None, "mark": None}
KEPT: dict[str, None] = {"stored": None}


def extracted() -> Catalog:
    """Return a catalogue of all that is said, without translations."""
    catalogue = Catalog(fuzzy=False)
    for sentence in sentences(SPOKEN):
        catalogue.add(sentence)
    abouts = [CATALOGUE[name].about for name in sorted(CATALOGUE)]  # whatever order they were declared in
    abouts += [read_experiment(name).about for name in preset_names()]
    for sentence in (*sentences(KEPT), *abouts):
        catalogue.add(sentence, context=RECORD)
    return catalogue


def sentences(keywords: dict[str, None]) -> Iterator[str]:
    """Yield the first arguments of these functions, in the Python files and in the templates, in their order."""
    for file in sources():
        method = "python" if file.suffix == ".py" else "jinja2.ext:babel_extract"
        options = {} if file.suffix == ".py" else {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
        with file.open("rb") as source:
            for _, message, _, _ in extract(method, source, keywords, options=options):
                yield message if isinstance(message, str) else message[0]


def sources() -> list[Path]:
    """Return the files in which something is said: what has a function of the same name of its own says nothing."""
    python = (file for file in ROOT.rglob("*.py") if "from compare.language import" in file.read_text(encoding="utf-8"))
    return sorted([*python, *ROOT.rglob("templates/*.html")])
