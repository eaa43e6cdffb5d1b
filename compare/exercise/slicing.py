"""Parting a forward pass: what only serves the derivative, although forward computes it, belongs to the answer.

ELU and Softplus keep their slope: who reads that has the derivation before him. The statements that make it are moved
to the backward pass, and forward keeps its input instead.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from compare.exercise.source import Module, equations_at

INDENT = " " * 8


@dataclass(frozen=True)
class Parted:
    """A forward pass without what makes some attribute, and the lines that make it."""

    forward: str
    moved: str


def parted(home: Module, forward: ast.FunctionDef, derived: set[int]) -> Parted | None:
    """Return the forward pass parted, if what makes one of its attributes, and that alone, cites such an equation."""
    cited = equations_at(home.text)
    for name in dict.fromkeys(t for s in forward.body for t, _ in targets(s) if t.startswith("self.")):
        dead = {statement for statement, value in removable(forward.body, name) if value is None}
        numbers = {n for s in dead for line in range(s.lineno, (s.end_lineno or 0) + 1) for n in cited.get(line, [])}
        if numbers & derived:
            return Parted(without(home, forward, name), moved(home, forward, name))
    return None


def targets(statement: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """Return what a statement assigns to, each with its own value where they come in pairs; `self.a[i]` is `self.a`."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            return [(base(name), value) for name, value in zip(names, values, strict=True)]
        case ast.Assign(targets=[target]):
            return [(base(t), None) for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
        case ast.AugAssign(target=target):
            return [(base(target), None)]
    return []


def base(target: ast.expr) -> str:
    """Return the name, or the attribute of self, that a target is or is part of."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return ast.unparse(target)


def removable(body: list[ast.stmt], dropped: str) -> Iterator[tuple[ast.stmt, ast.expr | None]]:
    """Yield the statements that nobody needs once an attribute is dropped; of a pair the value that is left."""
    live: set[str] = set()
    for statement in reversed(body):
        made = targets(statement)
        needed = [(t, v) for t, v in made if t in live or (t != dropped and t.startswith("self."))]
        if made and not needed:
            yield statement, None
            continue
        kept: list[ast.AST] = [statement]
        if len(needed) < len(made) and all(value is not None for _, value in made):
            if any(t == dropped and t not in live for t, _ in made):
                yield statement, needed[0][1]
            kept = [value for _, value in needed if value is not None]
        live |= read(kept)


def read(nodes: list[ast.AST]) -> set[str]:
    """Return the names, and the attributes of self, that some nodes read."""
    found = {ast.unparse(n) for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute)}
    return found - {"self"}


def without(home: Module, forward: ast.FunctionDef, name: str) -> str:
    """Return the text of the forward pass without what makes an attribute; it keeps its input in `self.z` instead."""
    left, x = dict(removable(forward.body, name)), forward.args.args[1].arg
    lines = [home.slice(forward).splitlines()[0], home.slice(forward.body[0]), f"{INDENT}self.{x} = {x}"]
    for statement in forward.body[1:]:
        if statement not in left:
            lines.append(home.slice(statement))
        elif (value := left[statement]) is not None:
            kept = next(t for t, v in targets(statement) if v is value)
            lines.append(f"{INDENT}{kept} = {ast.unparse(value)}")
    return "\n".join(lines)


def moved(home: Module, forward: ast.FunctionDef, name: str) -> str:
    """Return the lines that make an attribute from the input that forward keeps."""
    live, lines, x = {name}, [], forward.args.args[1].arg
    for statement in reversed(forward.body[1:]):
        made = targets(statement)
        needed = [(t, value) for t, value in made if t in live]
        if not needed:
            continue
        if len(needed) < len(made) and needed[0][1] is not None:
            lines += [f"{INDENT}{t} = {ast.unparse(value)}" for t, value in needed if value is not None]
        else:
            lines.append(home.slice(statement))
        live |= read([value for _, value in needed if value is not None] or [statement])
    return "\n".join([f"{INDENT}{x} = self.{x}", *reversed(lines)])
