"""The source of manual, as text: its definitions, without annotations, found from one another by their names."""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources

from compare.language import language

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


@dataclass(frozen=True)
class Module:
    """A module of manual: its text without annotations, and what it defines and imports by name."""

    name: str
    text: str
    definitions: dict[str, Definition]
    imports: dict[str, tuple[str, str]]  # name -> (module of manual, its name there; "" for the module itself)

    def slice(self, node: ast.AST) -> str:
        """Return the text of a node, whole lines, comments at their ends included."""
        lines = self.text.splitlines()
        return "\n".join(lines[first_line(node) - 1 : node.end_lineno])  # pyright: ignore[reportAttributeAccessIssue]


def first_line(node: ast.AST) -> int:
    """Return the number of a node's first line, its decorators' included."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])  # pyright: ignore[reportAttributeAccessIssue]


@cache
def module(name: str) -> Module:
    """Return a module of manual."""
    text = as_on_paper(without_annotations(inspect.getsource(import_module(name))))
    definitions: dict[str, Definition] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                definitions[node.name] = node
            case ast.Assign():
                definitions |= {n.id: node for target in node.targets for n in names_in(target)}
            case ast.ImportFrom(module="manual"):
                imports |= {alias.name: (f"manual.{alias.name}", "") for alias in node.names}
            case ast.ImportFrom(module=str(origin)) if origin.startswith("manual."):
                imports |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    return Module(name, text, definitions, imports)


def names_in(node: ast.AST) -> Iterator[ast.Name]:
    """Yield the names that occur in a node."""
    yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Name))


def without_annotations(text: str) -> str:
    """Return the text of a module without its annotations: what they name need not be there then."""
    lines, starts = text.splitlines(), line_starts(text)

    def place(line: int | None, column: int | None) -> int:
        return starts[(line or 1) - 1] + len(lines[(line or 1) - 1].encode()[:column].decode())

    cuts: list[tuple[int, int, str]] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.arg(annotation=ast.expr() as annotation):
                start = place(node.lineno, node.col_offset) + len(node.arg)
            case ast.FunctionDef(returns=ast.expr() as annotation):
                start = text.rindex(" ->", 0, place(annotation.lineno, annotation.col_offset))
            case ast.ClassDef(bases=[ast.Subscript(value=generic, slice=parameters)]):
                of = place(generic.end_lineno, generic.end_col_offset)
                cuts.append((of, place(parameters.end_lineno, parameters.end_col_offset) + 1, ""))
                continue
            case ast.AnnAssign(annotation=annotation):
                start = place(node.target.end_lineno, node.target.end_col_offset)
            case _:
                continue
        if isinstance(node, ast.AnnAssign) and node.value is None:
            cuts.append((place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset), "pass"))
        else:
            end = place(annotation.end_lineno, annotation.end_col_offset)
            default = isinstance(node, ast.arg) and text.startswith(" = ", end)
            cuts.append((start, end + 3 * default, "=" * default))
    for start, end, instead in sorted(cuts, reverse=True):
        text = text[:start] + instead + text[end:]
    return text


# What manual has functions for that are fast in NumPy, and how one writes it who derives.
ON_PAPER = {"product": "{0} @ {1}", "switched_off": "np.where({1}, 0, {0})"}


def as_on_paper(text: str) -> str:
    """Return the text of a module with the calls of what is there for speed alone written as on paper."""
    starts, cuts = line_starts(text), list[tuple[int, int, str]]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in ON_PAPER:
                arguments = (ast.get_source_segment(text, each) for each in (left, right))
                # Columns are counted in bytes: before such a call on its line there is nothing but ASCII.
                start, end = starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 1) - 1]
                cuts.append((start, end + (node.end_col_offset or 0), ON_PAPER[name].format(*arguments)))
    for start, end, instead in sorted(cuts, reverse=True):
        text = text[:start] + instead + text[end:]
    return text


def line_starts(text: str) -> list[int]:
    """Return where every line begins."""
    return [0, *(place + 1 for place, letter in enumerate(text) if letter == "\n")]


def equations_at(text: str) -> dict[int, list[int]]:
    """Return the numbers of the equations that comments cite, by line: `# (15)  (out, N) @ (N, in)`."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (numbers := re.findall(r"\((\d{1,3})\)", token.string)):
            found[token.start[0]] = [int(number) for number in numbers]
    return found


@dataclass(frozen=True)
class Equation:
    """An equation of manual's pages: its number, its formula in LaTeX, and where it stands."""

    number: int
    formula: str
    page: str  # "manual/derivation/smooth.md"
    section: str


def equations_here() -> dict[int, Equation]:
    """Return all equations by number, on the pages in the reader's language."""
    return equations(".zh.md" if language() == "zh" else ".md")


@cache
def equations(ending: str) -> dict[int, Equation]:
    """Return all equations of DERIVATION and the pages beside it by number, on pages that end so: .md or .zh.md."""
    folder = resources.files("manual")
    pages = {f"manual/DERIVATION{ending}": folder / f"DERIVATION{ending}"}
    pages |= {f"manual/derivation/{page.name}": page for page in (folder / "derivation").iterdir()}
    found: dict[int, Equation] = {}
    for name, page in pages.items():
        if name.partition(".")[2] != ending.removeprefix("."):
            continue
        section = ""
        text = page.read_text(encoding="utf-8")
        for part in re.finditer(r"^#+ (?P<section>[^\n]+)$|```math\n(?P<formula>.*?)```", text, flags=re.M | re.S):
            section = part["section"] or section
            for number in re.findall(r"\\tag\{(\d+)\}", part["formula"] or ""):
                formula = re.sub(r"\s*\\tag\{\d+\}", "", part["formula"]).strip()
                found[int(number)] = Equation(int(number), formula, name, section)
    return found
