"""The sheet of an exercise: manual's class with its forward pass, its shapes, and an empty backward pass.

It is cut out of manual's own source: what the forward pass reaches is kept, what only the backward pass reaches is the
answer. Derivations are cut out of the docstrings.
"""

import ast
import re
from dataclasses import dataclass, field
from functools import cache

import manual
from compare.exercise.closure import Closure, Place, ancestors, member_name
from compare.exercise.slicing import parted
from compare.exercise.source import Module, first_line, module

START = ("forward", "replay", "parameters", "gradients", "upstream")  # what every exercise keeps
EMPTY = 'raise NotImplementedError("not derived yet")  # <- your derivation goes here'
GIVEN = {"Residual": ("Linear", "Tanh")}  # classes that an exercise is tried with, and that it does not ask for


@dataclass(frozen=True)
class Piece:
    """A part of the answer: the class that it belongs into ("" for none), its name and its text."""

    owner: str
    name: str
    text: str


@dataclass
class Sheet:
    """An exercise as text, empty and solved, and the parts of its answer."""

    kind: str
    empty: str  # without the docstring of the file
    solved: str
    answer: list[Piece] = field(default_factory=list)
    places: tuple[str, ...] = ()  # the classes with an empty backward pass
    todo: str = "backward"  # the method that is to be written


@cache
def sheet_of_class(entry_kind: str) -> Sheet:
    """Return the sheet of a layer or a loss of manual."""
    home = module(getattr(manual, entry_kind).__module__)
    given = frozenset(GIVEN.get(entry_kind, ()))
    start: list[Place] = [(module(getattr(manual, k).__module__).name, k) for k in (*given, entry_kind)]
    forward = Closure(given, set(START)).reach(start)
    both = Closure(given, forward.attributes | {"backward"}).reach(start)
    family = [node.name for _, node in ancestors(home, entry_kind)]
    places = [
        key for name, key in forward.places
        if key not in given and (key == entry_kind or (key not in family and has_backward(module(name), key)))
    ]  # fmt: skip
    answer = answers(forward, both, places)
    empty, solved = [], [p.text for p in answer if not p.owner]
    for name, key in forward.places:
        text = definition(module(name), key, forward)
        own = [p for p in answer if p.owner == key]
        empty.append(text + "\n\n" + stub(own[0].text) if own else text)
        solved.append("\n\n".join([text, *(p.text for p in own)]))
    return Sheet(entry_kind, whole(empty), whole(solved), answer, tuple(places))


def has_backward(home: Module, key: str) -> bool:
    """Whether a class has a backward pass of its own."""
    return any(member_name(part) == "backward" for part in getattr(home.definitions[key], "body", []))


def answers(forward: Closure, both: Closure, places: list[str]) -> list[Piece]:
    """Return what the backward pass needs and the forward pass does not, backward first."""
    found = [
        Piece("", key, module(name).slice(module(name).definitions[key]))
        for name, key in both.places if (name, key) not in forward.places
    ]  # fmt: skip
    for key in places:
        home = next(module(name) for name, own in forward.places if own == key)
        methods: dict[str, str] = {}
        for origin, node in ancestors(home, key):
            kept = [member_name(part) for part in forward.members(node)]
            for part in both.members(node):
                name = member_name(part)
                if name not in kept and name not in methods and not is_abstract(part):
                    methods[name] = without_derivation(origin.slice(part))
        order = sorted(methods, key=lambda name: name != "backward")
        texts = {name: moved_in(home, key, name, methods[name]) for name in order}
        found += [Piece(key, name, texts[name]) for name in order]
    return found


def is_abstract(part: ast.stmt) -> bool:
    """Whether a method only says that subclasses have one."""
    return isinstance(part, ast.FunctionDef) and isinstance(part.body[-1], ast.Raise) and len(part.body) <= 2


def forward_of(home: Module, key: str) -> ast.FunctionDef | None:
    """Return the forward pass that a class itself defines."""
    body = getattr(home.definitions[key], "body", [])
    return next((p for p in body if isinstance(p, ast.FunctionDef) and p.name == "forward"), None)


def derived_equations(home: Module, key: str) -> set[int]:
    """Return the numbers of the equations of a class's derivation."""
    node = home.definitions[key]
    text = (ast.get_docstring(node) if isinstance(node, ast.ClassDef) else "") or ""
    return {int(number) for number in re.findall(r"\((\d{1,3})\)", text.partition("Derivation.")[2])}


def moved_in(home: Module, key: str, name: str, text: str) -> str:
    """Return backward with the lines that its forward pass had for it; another method as it is."""
    forward = forward_of(home, key)
    parts = parted(home, forward, derived_equations(home, key)) if name == "backward" and forward else None
    if parts is None:
        return text
    first, docstring, *rest = text.splitlines()
    return "\n".join([first, docstring, parts.moved, *rest])


def stub(text: str) -> str:
    """Return a method without its body: signature and docstring, and the place for the answer."""
    (node,) = ast.parse("class _:\n" + text).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
    lines = text.splitlines()
    end = node.body[0].end_lineno - 1
    head = "\n".join(lines[:end]).replace(", grad_output=1):", "):")
    return f"{head}\n        {EMPTY}"


def definition(home: Module, key: str, kept: Closure) -> str:
    """Return the text of a definition as the forward pass needs it, a class without what it does not reach."""
    node = home.definitions[key]
    if not isinstance(node, ast.ClassDef):
        return own_names(home.slice(node))
    lines = home.text.splitlines()
    parts = ["\n".join(lines[first_line(node) - 1 : node.body[0].lineno - 1])]
    if ast.get_docstring(node):
        parts[0] += "\n" + without_derivation(home.slice(node.body[0]))
    for part in kept.members(node):
        parts.append(member(home, key, part, kept))
    if len(parts) == 1 and not ast.get_docstring(node):
        parts.append("    pass")
    return "\n\n".join(parts)


def member(home: Module, key: str, part: ast.stmt, kept: Closure) -> str:
    """Return the text of a method; of a forward pass without what only the derivative needs."""
    if isinstance(part, ast.FunctionDef) and part.name == "forward" and key not in kept.given:
        parts = parted(home, part, derived_equations(home, key))
        if parts is not None:
            return parts.forward
    return own_names(without_derivation(home.slice(part)))


def own_names(text: str) -> str:
    """Return a text in which the initializers are called by their own names: they stand in the same file."""
    return text.replace("initializers.", "")


def without_derivation(text: str) -> str:
    """Return a text whose docstrings end where the derivation begins."""
    kept = r'"""(?P<kept>(?:(?!""").)*?)\s*\n\s*\n\s+Derivation\.(?:(?!""").)*"""'
    return re.sub(kept, lambda found: f'"""{found["kept"]}{end_of(found["kept"])}"""', text, flags=re.S)


def end_of(docstring: str) -> str:
    """Return what stands before the closing quotes: nothing after one line, a line of its own after several."""
    return "\n    " if "\n" in docstring else ""


def whole(parts: list[str]) -> str:
    """Return the definitions under each other, below the imports that they need."""
    text = "\n\n\n".join(parts)
    imports = ["import math\n", "import numpy as np"]  # an answer may use both
    if names := [n for n in ("Mapping", "MutableMapping", "Iterable", "Sequence") if re.search(rf"\b{n}\b", text)]:
        imports.insert(0, f"from collections.abc import {', '.join(sorted(names))}")
    return "\n".join(imports) + "\n\n\n" + text + "\n"
