"""Which definitions of manual an exercise needs: those that its forward pass reaches, and those that backward adds."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from compare.exercise.source import Module, module, names_in

Place = tuple[str, str]  # a module of manual, and a name in it
UNUSED = ("__repr__", "__init_subclass__")


@dataclass
class Closure:
    """What is reached from some classes and methods, by name."""

    given: frozenset[str] = frozenset()  # classes that are kept whole
    attributes: set[str] = field(default_factory=set)  # every attribute that is read or written
    places: dict[Place, None] = field(default_factory=dict)  # in an order in which they can be defined

    def reach(self, start: Iterable[Place]) -> "Closure":
        """Add everything that these places need, until nothing is added."""
        start = list(start)
        while True:
            known = (len(self.attributes), len(self.places))
            self.places = {}
            for place in start:
                self.visit(place, ())
            if known == (len(self.attributes), len(self.places)):
                return self

    def visit(self, place: Place, above: tuple[Place, ...]) -> None:
        """Add a definition after those that it needs."""
        name, key = place
        if place in self.places or place in above or key not in module(name).definitions:
            return
        home = module(name)
        for node in self.parts(home.definitions[key]):
            self.attributes |= {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
            for needed in references(home, node):
                self.visit(needed, (*above, place))
        self.places[place] = None

    def parts(self, node: ast.stmt) -> list[ast.AST]:
        """Return what is kept of a definition: of a class its bases, and the members that are reached."""
        if not isinstance(node, ast.ClassDef):
            return [node]
        return [*node.bases, *self.members(node)]

    def members(self, node: ast.ClassDef) -> list[ast.stmt]:
        """Return the methods and assignments of a class that are reached."""
        return [
            part for part in node.body
            if (name := member_name(part)) and name not in UNUSED
            and (name in self.attributes or name.startswith("__") or node.name in self.given)
        ]  # fmt: skip


def member_name(part: ast.stmt) -> str:
    """Return the name of a method or of a class's attribute; "" of anything else."""
    match part:
        case ast.FunctionDef():
            return part.name
        case ast.Assign(targets=[ast.Name(name)]):
            return name
    return ""


def references(home: Module, node: ast.AST) -> list[Place]:
    """Return the places of manual that a node names, in the order in which it does."""
    found: list[Place] = []
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            origin, own = home.imports.get(inner.value.id, ("", "?"))
            if own == "":
                found.append((origin, inner.attr))
    for name in names_in(node):
        if name.id in home.definitions:
            found.append((home.name, name.id))
        elif name.id in home.imports and home.imports[name.id][1]:
            found.append(home.imports[name.id])
    return found


def ancestors(home: Module, name: str) -> list[tuple[Module, ast.ClassDef]]:
    """Return a class of manual and those that it inherits from, the nearest first."""
    node = home.definitions[name]
    if not isinstance(node, ast.ClassDef):
        return []
    found = [(home, node)]
    for base in node.bases:
        for origin, key in references(home, base):
            if key in module(origin).definitions:
                found += ancestors(module(origin), key)
    return found
