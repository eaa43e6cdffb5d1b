"""What `backproof list` shows: names, and one line about each."""

import inspect

import manual
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.classes import INITIALIZERS, LAYERS, LOSSES, OPTIMIZERS
from compare.experiment.files import preset_names, read_experiment

Entries = dict[str, list[dict[str, str]]]


def known(what: str) -> Entries:
    """Return the entries by kind: each with its name and a line about it."""
    if what == "experiments":
        return {
            "experiments": [{"name": name, "about": read_experiment(name).about} for name in preset_names()],
        }
    if what == "mistakes":
        return {
            "mistakes": [
                {"name": m.name, "about": m.about, "operations": ", ".join(m.on), "tensor": m.key}
                for m in CATALOGUE.values()
            ]
        }
    return {
        "layers": [described(name) for name in LAYERS],
        "losses": [described(name) for name in LOSSES],
        "optimizers": [described(name) for name in OPTIMIZERS],
        "initializers": [
            {"name": name, "about": first_line(getattr(manual.initializers, name, None) or "All zero.")}
            for name in INITIALIZERS
        ],
    }


def described(name: str) -> dict[str, str]:
    """Return a class of manual with its arguments and the first line of what it says of itself."""
    signature = inspect.signature(getattr(manual, name))
    arguments = [
        str(p.replace(annotation=p.empty))
        for p in signature.parameters.values()
        if p.name not in ("rng", "network") and p.kind is not p.VAR_KEYWORD
    ]
    return {"name": f"{name}({', '.join(arguments)})", "about": first_line(getattr(manual, name))}


def first_line(thing: object) -> str:
    """Return the first line of a docstring, without its equation number; a text as it is."""
    text = thing if isinstance(thing, str) else inspect.getdoc(thing) or ""
    return text.splitlines()[0].split("            (")[0].strip() if text else ""
