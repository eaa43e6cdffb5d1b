"""Reading an answer: which exercise a file is, whether all but the answer is as it was, and what the answer is."""

import ast
import os
import re
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from compare.exercise.entries import Entry, find_entry, preset_of
from compare.exercise.guard import Guard
from compare.exercise.netsheet import tensors_of
from compare.exercise.paper import parameter_shapes, sheet_of
from compare.exercise.process import printable
from compare.exercise.rules import Inspector, rules_of
from compare.exercise.sheet import Sheet
from compare.experiment.description import DescriptionError
from compare.language import say

LARGEST = 1 << 20  # bytes of a file
DEEPEST = 80  # nested expressions and blocks: guarded, they are twice as many brackets, and Python allows 200
STATES = ("step", "momentum_buffer", "exp_avg", "exp_avg_sq", "sum", "square_avg", "grad_avg", "acc_delta")


class RefusedError(Exception):
    """A file that is not judged: its sentence says why."""


@dataclass
class Answer:
    """An answer that keeps the rules: the exercise, and the code to run, made of the exercise's own sheet and it."""

    entry: Entry
    sheet: Sheet
    code: str
    unfinished: bool
    functions: list[ast.FunctionDef] = field(default_factory=list)


def read_text(file: Path) -> str:
    """Return a file's text. Raises RefusedError, also for a pipe or a device, which could be read without an end."""
    try:
        opened = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(opened, "rb") as source:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise RefusedError(say("it is no plain file"))
            read = source.read(LARGEST + 1)
        if len(read) > LARGEST:
            raise RefusedError(say("it is longer than an exercise can be"))
        return read.decode("utf-8-sig")
    except OSError as failure:
        raise RefusedError(say("it cannot be read ({reason})", reason=failure.strerror)) from None
    except UnicodeDecodeError:
        raise RefusedError(say("it is not text in UTF-8")) from None


def parse(text: str) -> ast.Module:
    """Return the text as a tree. Raises RefusedError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as wrong:
        if not wrong.lineno:
            raise RefusedError(say("it is no Python: {what}", what=printable(wrong.msg))) from None
        what = printable(wrong.msg)
        raise RefusedError(say("line {line} is no Python: {what}", line=wrong.lineno, what=what)) from None
    except (ValueError, RecursionError, MemoryError):
        raise RefusedError(say("it is no Python")) from None
    if depth_of(tree) > DEEPEST:
        raise RefusedError(say("its expressions are nested deeper than {limit}; write them in several lines",
                               limit=DEEPEST))  # fmt: skip
    return tree


def depth_of(tree: ast.AST) -> int:
    """Return how deep a tree is. No recursion: a tree may be too deep for one."""
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [inner for node in level for inner in ast.iter_child_nodes(node)]
    return depth


def exercise_of(tree: ast.Module) -> Entry:
    """Return which exercise a file is. Raises RefusedError where it does not say."""
    named = re.match(r"Exercise: ([\w-]+)\s*$", (ast.get_docstring(tree) or "").partition("\n")[0])
    if named is None:
        raise RefusedError(say('it is no exercise: its first line should be """Exercise: NAME'))
    try:
        return find_entry(named[1])
    except DescriptionError as unknown:
        raise RefusedError(str(unknown)) from None


def read_answer(tree: ast.Module) -> Answer:
    """Return the answer in a file. Raises RefusedError where the rest was changed, or a rule is broken."""
    entry = exercise_of(tree)
    sheet = sheet_of(entry)
    original = ast.parse(sheet.empty)
    functions, places = parts_of(tree, original, sheet)
    unfinished = [name for place, name in places if name == sheet.todo and is_unfinished(places[place, name])]
    texts = tuple(parameter_shapes(entry)) if entry.group == "layer" else STATES if entry.group == "optimizer" else ()
    if entry.group == "network":
        texts = tuple(tensors_of(preset_of(entry))) + tuple(weights_of(entry))
    if not unfinished:
        for breach in Inspector(rules_of(sheet, texts), functions).breaches():
            raise RefusedError(say("line {line}: {sentence}", line=breach.line, sentence=breach.sentence))
    code = ast.unparse(ast.fix_missing_locations(assembled(original, functions, places, sheet)))
    return Answer(entry, sheet, code, bool(unfinished), functions)


def weights_of(entry: Entry) -> list[str]:
    """Return the names of a network's weights and biases."""
    return [n.removesuffix(".grad") for n in tensors_of(preset_of(entry)) if not n.endswith(".output.grad")]


def parts_of(
    tree: ast.Module, original: ast.Module, sheet: Sheet
) -> tuple[list[ast.FunctionDef], dict[tuple[str, str], ast.FunctionDef]]:
    """Return the functions of the answer, and where each belongs. Raises RefusedError where the rest was changed."""
    functions, places = [], {}
    kept = [node for node in original.body if not is_text(node) and ast.unparse(node) != "import math"]
    rest = [node for node in tree.body if not is_text(node) and ast.unparse(node) != "import math"]
    names = {node.name for node in kept if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in list(rest):
        if isinstance(node, ast.FunctionDef) and node.name not in names:
            functions.append(node)
            places["", node.name] = node
            rest.remove(node)
    for node, own in zip(rest, kept, strict=False):
        if isinstance(node, ast.ClassDef) and isinstance(own, ast.ClassDef) and own.name in sheet.places:
            for part in members_of(node, own, sheet):
                functions.append(part)
                places[own.name, part.name] = part
        elif fingerprint(node) != fingerprint(own):
            raise RefusedError(changed(node.lineno))
    if len(rest) != len(kept):
        more = rest[len(kept)].lineno if len(rest) > len(kept) else last_line(tree)
        raise RefusedError(changed(more))
    return functions, places


def last_line(tree: ast.Module) -> int:
    """Return the line on which the last statement of a file ends; the first, of an empty file."""
    return (tree.body[-1].end_lineno or 1) if tree.body else 1


def changed(line: int) -> str:
    """Return what is said of a change beside the answer."""
    return say("line {line}: what the exercise gave was changed; put it back, only the answer is yours", line=line)


def members_of(node: ast.ClassDef, own: ast.ClassDef, sheet: Sheet) -> list[ast.FunctionDef]:
    """Return the methods of the answer in a class. Raises RefusedError where the others were changed."""
    given = {p.name: p for p in own.body if isinstance(p, ast.FunctionDef) and p.name != sheet.todo}
    answered, found = [], []
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name not in given:
            answered.append(part)
        else:
            found.append(part)
    if len({part.name for part in answered}) < len(answered) or sheet.todo not in {part.name for part in answered}:
        raise RefusedError(say("line {line}: wanted one {name} in {owner}", line=node.lineno, name=sheet.todo,
                               owner=own.name))  # fmt: skip
    kept = [p for p in own.body if not (isinstance(p, ast.FunctionDef) and p.name == sheet.todo)]
    for part, was in zip([p for p in found if not is_text(p)], [p for p in kept if not is_text(p)], strict=False):
        if fingerprint(part) != fingerprint(was):
            raise RefusedError(changed(part.lineno))
    heads = [
        fingerprint(ast.ClassDef(n.name, n.bases, n.keywords, [ast.Pass()], n.decorator_list)) for n in (node, own)
    ]
    if heads[0] != heads[1] or len(plain(found)) != len(plain(kept)):
        raise RefusedError(changed(node.lineno))
    return answered


def plain(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that are no docstrings, and no bare `pass`."""
    return [part for part in body if not is_text(part)]


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text by itself: a docstring, or a comment written as one."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def fingerprint(node: ast.AST) -> str:
    """Return what a definition computes, whatever its docstrings say."""

    class Bare(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [part for part in body if not is_text(part)]  # pyright: ignore[reportAttributeAccessIssue]
            return super().generic_visit(node)

    return ast.dump(Bare().visit(ast.parse(ast.unparse(ast.fix_missing_locations(node)))))


def is_unfinished(function: ast.FunctionDef) -> bool:
    """Whether a method is still empty: it ends by saying that it is not implemented."""
    last = function.body[-1]
    return isinstance(last, ast.Raise) and "NotImplementedError" in ast.unparse(last) and len(plain(function.body)) == 1


def assembled(
    original: ast.Module, functions: list[ast.FunctionDef], places: dict[tuple[str, str], ast.FunctionDef], sheet: Sheet
) -> ast.Module:
    """Return the code to run: the exercise's own sheet, the answer in its places, its results guarded."""
    for function in functions:
        Guard().visit(function)
    body: list[ast.stmt] = []
    for node in original.body:
        if isinstance(node, ast.ClassDef) and node.name in sheet.places:
            own = [part for (owner, _), part in places.items() if owner == node.name]
            node.body = [
                p for p in node.body if not (isinstance(p, ast.FunctionDef) and p.name == sheet.todo)
            ] + own  # fmt: skip
        body.append(node)
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    loose = [part for (owner, _), part in places.items() if not owner]
    return ast.Module([*imports, *loose, *(node for node in body if node not in imports)], [])
