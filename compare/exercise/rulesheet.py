"""The sheet of an optimizer: what it is made with, and an empty update of one parameter.

Of manual's constructors the arguments that torch.optim has are kept. Schedules, clipping and accumulation, which manual
does before the rule, are no part of it.
"""

import ast
import textwrap
from functools import cache

import manual
from compare.exercise.closure import Closure, ancestors, member_name, references
from compare.exercise.sheet import EMPTY, Piece, Sheet, whole
from compare.exercise.source import Module, module

FRAME = '''
    def step(self):
        """Update every parameter of the network, in place, from the gradients of its last backward pass."""
        for name, parameter in self.network.parameters.items():
            self.update(name, parameter, self.network.gradients[name])

    def update(self, name, parameter, gradient):
        """Update one parameter in place; `state` keeps what the next step needs, as self.state[f"{name}.what"]."""
'''
OWN = """
self.network, self.lr, self.maximize = network, float(lr), maximize
self.weight_decay = dict.fromkeys(network.parameters, float(weight_decay))
self.state = {}  # what is kept from step to step, by name; empty before the first
"""


@cache
def sheet_of_optimizer(kind: str) -> Sheet:
    """Return the sheet of an optimizer of manual."""
    home = module(getattr(manual, kind).__module__)
    answer = answers(home, kind)
    functions = [piece.text for piece in answer if not piece.owner]
    methods = [piece.text for piece in answer if piece.owner]
    head = f'class {kind}:\n    """{about(home, kind)}"""\n\n{constructor(home, kind)}\n'
    empty = head + FRAME.rstrip() + f"\n        {EMPTY}"
    solved = head + FRAME.partition("    def update")[0] + "\n\n".join(methods)
    return Sheet(kind, whole([empty]), whole([*functions, solved]), answer, (kind,), "update")


def about(home: Module, kind: str) -> str:
    """Return what an optimizer is in words: the first line of its docstring, without formulas."""
    text = ast.get_docstring(home.definitions[kind]) or ""  # pyright: ignore[reportArgumentType]
    return text.splitlines()[0].partition(": for each")[0].rstrip(":.") + "."


def answers(home: Module, kind: str) -> list[Piece]:
    """Return the update and what it calls: methods of the class and of those that it inherits from, and functions."""
    family = ancestors(home, kind)
    methods: dict[str, tuple[Module, ast.FunctionDef]] = {}
    wanted = ["update"]
    while wanted:
        name = wanted.pop(0)
        for origin, node in family:
            part = next((p for p in node.body if isinstance(p, ast.FunctionDef) and p.name == name), None)
            if part is not None and not is_property(part):
                methods.setdefault(name, (origin, part))
                called = [n.attr for n in ast.walk(part) if isinstance(n, ast.Attribute) and is_self(n.value)]
                wanted += [attr for attr in called if attr not in methods]
                break
    start = [place for origin, part in methods.values() for place in references(origin, part)]
    functions = Closure().reach(start).places
    found = [Piece("", key, module(name).slice(module(name).definitions[key])) for name, key in functions]
    return found + [Piece(kind, name, origin.slice(part)) for name, (origin, part) in methods.items()]


def is_self(node: ast.expr) -> bool:
    """Whether a node is the name self."""
    return isinstance(node, ast.Name) and node.id == "self"


def is_property(part: ast.FunctionDef) -> bool:
    """Whether a method is read like an attribute."""
    return bool(part.decorator_list)


def constructor(home: Module, kind: str) -> str:
    """Return the constructor: the arguments of manual's, and what it keeps of them."""
    made = next(p for _, node in ancestors(home, kind) for p in node.body if member_name(p) == "__init__")
    assert isinstance(made, ast.FunctionDef)
    made.args.kwarg = None
    signature = f"    def __init__({ast.unparse(made.args)}):"
    own = [node for _, node in ancestors(home, kind) if node.name != "Optimizer"]
    constructors = [p for node in own for p in node.body if isinstance(p, ast.FunctionDef) and p.name == "__init__"]
    kept = [s for constructor in constructors for s in constructor.body if isinstance(s, ast.Assign)]
    lines = [ast.unparse(statement) for statement in kept]
    body = textwrap.indent(OWN.strip() + "\n" + "\n".join(lines), " " * 8).rstrip()
    return f"{signature}\n{body}"
