"""What an answer may be made of: a list of what is allowed, and nothing else.

A derivation needs arithmetic, NumPy's functions of real numbers, loops and conditions. Everything by which one could
get at the checker, at files, or at the forward pass is not on the list. A forward pass that is typed again, and
differentiated numerically, is arithmetic, too: that its numbers are no better than those of 8 bytes is seen to when it
runs (`compare.exercise.guard`), and its result is judged like any other.
"""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass

from compare.exercise.sheet import Sheet
from compare.exercise.vocabulary import ARRAYS, BUILTINS, FACTS, NUMPY, OF_SELF
from compare.language import say

NODES = (
    ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While,
    ast.If, ast.Break, ast.Continue, ast.Pass, ast.Expr, ast.Raise, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
    ast.IfExp, ast.Call, ast.keyword, ast.Starred, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple,
    ast.List, ast.Dict, ast.Set, ast.Constant, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
    ast.comprehension, ast.With, ast.withitem, ast.JoinedStr, ast.FormattedValue, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.expr_context,
)  # fmt: skip
SHIFTS = (ast.LShift, ast.RShift)
WHOLE = 63  # bits of a whole number
PLAIN_TYPES = frozenset(["int", "float", "bool"])
DTYPE_AT = {  # of NumPy's functions that make arrays: which argument is the dtype
    "zeros": 1, "ones": 1, "empty": 1, "array": 1, "asarray": 1, "identity": 1, "zeros_like": 1, "ones_like": 1,
    "empty_like": 1, "full": 2, "full_like": 2, "eye": 3, "arange": 3, "linspace": 5,
}  # fmt: skip


@dataclass(frozen=True)
class Breach:
    """What is not allowed, where, in a sentence."""

    line: int
    sentence: str


@dataclass(frozen=True)
class Rules:
    """What one exercise allows beyond what all do: names, attributes of self and texts of its sheet and its answer."""

    names: frozenset[str]
    own: frozenset[str]
    methods: frozenset[str]
    attributes: frozenset[str]
    texts: frozenset[str]
    forward: frozenset[str]
    given: frozenset[str]  # the functions and methods of the sheet, which are not to be replaced


def rules_of(sheet: Sheet, texts: tuple[str, ...] = ()) -> Rules:
    """Return the rules of an exercise: manual's own answer keeps to them, and needs what they add."""
    tree = ast.parse(sheet.empty)
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    answer = [node for piece in sheet.answer for node in ast.walk(ast.parse(f"if 1:\n{indented(piece.text)}"))]
    given = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | {
        name.id for node in tree.body if isinstance(node, ast.Assign) for name in ast.walk(node.targets[0])
        if isinstance(name, ast.Name)
    }  # fmt: skip
    names = {n.id for n in answer if isinstance(n, ast.Name)} & given
    read = {n.attr for n in answer if isinstance(n, ast.Attribute)}
    kept = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and is_named(n.value, "self")} - defined
    used = {n.value for n in answer if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    answered = {piece.name for piece in sheet.answer}
    return Rules(
        frozenset(names), frozenset(kept | OF_SELF), frozenset((read & defined) - {"forward"}),
        frozenset(read - defined | ({"backward"} if "backward" in read else set())), frozenset(used | set(texts)),
        frozenset(defined - answered - read), frozenset(defined - answered - {sheet.todo}),
    )  # fmt: skip


def indented(text: str) -> str:
    """Return a text as the body of a block, whatever its own indentation is."""
    return "\n".join(f"    {line}" for line in text.splitlines()) if not text.startswith(" ") else text


def is_named(node: ast.AST, *names: str) -> bool:
    """Whether a node is one of these names."""
    return isinstance(node, ast.Name) and node.id in names


class Inspector:
    """Goes through the functions of an answer and says what is not allowed."""

    def __init__(self, rules: Rules, functions: list[ast.FunctionDef]):
        self.rules, self.functions = rules, functions
        self.defined = {function.name for function in functions}
        self.line = 0

    def breaches(self) -> Iterator[Breach]:
        """Yield everything that is not allowed, in the order of the lines."""
        for function in self.functions:
            self.bound = bound_in(function)
            self.above = {id(inner): outer for outer in ast.walk(function) for inner in ast.iter_child_nodes(outer)}
            yield from self.function(function)
            documented = docstring_of(function)
            for node in ast.walk(function):
                self.line = getattr(node, "lineno", self.line)
                if node is not documented:
                    yield from (Breach(self.line, sentence) for sentence in self.node(node, function, documented))

    def function(self, function: ast.FunctionDef) -> Iterator[Breach]:
        """Yield what is not allowed of a function as such."""
        a = function.args
        defaults = [d for d in [*a.defaults, *a.kw_defaults] if d is not None]
        if function.decorator_list or not all(isinstance(d, ast.Constant) for d in defaults) or a.vararg or a.kwarg:
            yield Breach(
                function.lineno, say("{name} may have plain arguments only, and no decorators.", name=function.name)
            )
        taken = {"np", "math", *vars(builtins)} | self.rules.given
        if function.name.startswith("_") or function.name in taken or self.bound & {"np", "math", "_power", "_real"}:
            yield Breach(function.lineno, say("{name} rebinds a name that is taken.", name=function.name))

    def node(self, node: ast.AST, function: ast.FunctionDef, documented: ast.AST | None) -> Iterator[str]:
        """Yield what is not allowed of one node."""
        if (
            not isinstance(node, NODES)
            or isinstance(node, SHIFTS)
            or (isinstance(node, ast.FunctionDef) and node is not function)
        ):
            yield say("{what} has no place in a derivation.", what=type(node).__name__)
        elif isinstance(node, ast.Name):
            yield from self.name(node)
        elif isinstance(node, ast.Attribute):
            yield from self.attribute(node)
        elif isinstance(node, ast.Constant):
            yield from self.constant(node, documented)
        elif isinstance(node, ast.JoinedStr):
            yield from self.joined(node)
        elif isinstance(node, ast.Call):
            yield from self.call(node)
        elif isinstance(node, ast.With) and not all(is_errstate(item.context_expr) for item in node.items):
            yield say("with is for np.errstate alone.")

    def name(self, node: ast.Name) -> Iterator[str]:
        """Yield what is wrong with a name."""
        if node.id in ("np", "math", "self"):
            if not isinstance(self.above.get(id(node)), ast.Attribute):
                yield say("{name} stands alone; wanted {name}.something.", name=node.id)
        elif node.id not in self.bound | self.defined | self.rules.names | BUILTINS:
            yield say("the name {name} is not known here.", name=node.id)
        elif node.id.startswith("_") and node.id != "_":
            yield say("the name {name} begins with an underscore.", name=node.id)

    def attribute(self, node: ast.Attribute) -> Iterator[str]:
        """Yield what is wrong with an attribute."""
        attr = node.attr
        if attr.startswith("_"):
            yield say("the attribute {name} begins with an underscore.", name=attr)
        elif is_named(node.value, "np", "math") and not isinstance(node.ctx, ast.Load):
            yield say("{name} cannot be assigned to.", name=ast.unparse(node))
        elif is_named(node.value, "np"):
            if attr not in NUMPY:
                yield say("np.{name} is not among NumPy's functions that an answer may use.", name=attr)
        elif is_named(node.value, "math"):
            return
        elif is_named(node.value, "self"):
            yield from self.own_attribute(node)
        elif attr not in ARRAYS | self.rules.attributes:
            yield say("the attribute {name} is not among those that an answer may use.", name=attr)
        elif isinstance(node.ctx, ast.Store) and attr != "shape":
            yield say("only self.{name} can be assigned to.", name=attr)
        elif attr not in FACTS | self.rules.attributes and not self.is_called(node):
            yield say("the method {name} stands alone; wanted a call of it.", name=attr)

    def is_called(self, node: ast.AST) -> bool:
        """Whether a node is what a call calls."""
        outer = self.above.get(id(node))
        return isinstance(outer, ast.Call) and outer.func is node

    def own_attribute(self, node: ast.Attribute) -> Iterator[str]:
        """Yield what is wrong with an attribute of self."""
        attr, known = node.attr, self.rules.own | self.rules.methods | self.defined | self.stored
        if attr == "forward" or attr in self.rules.forward:
            yield say("self.{name} belongs to the forward pass: an answer derives, it does not evaluate.", name=attr)
        elif isinstance(node.ctx, ast.Load) and attr not in known:
            yield say("self.{name} is nothing that the forward pass keeps.", name=attr)
        elif isinstance(node.ctx, ast.Store) and attr in self.rules.methods | self.defined | {"parameters", "network"}:
            yield say("self.{name} cannot be assigned to.", name=attr)

    @property
    def stored(self) -> frozenset[str]:
        """The attributes of self that the answer assigns to."""
        nodes = [n for f in self.functions for n in ast.walk(f) if isinstance(n, ast.Attribute)]
        return frozenset(n.attr for n in nodes if isinstance(n.ctx, ast.Store) and is_named(n.value, "self"))

    def constant(self, node: ast.Constant, documented: ast.AST | None) -> Iterator[str]:
        """Yield what is wrong with a constant: no complex numbers, no texts but names of tensors."""
        if isinstance(node.value, int) and node.value.bit_length() > WHOLE:
            yield say("a whole number of more than {bits} bits has no place in a derivation.", bits=WHOLE)
        elif isinstance(node.value, complex | bytes):
            yield say("{value!r} is no real number.", value=node.value)
        elif isinstance(node.value, str) and not self.is_text(node, documented):
            yield say("the text {value!r} is no name of a tensor here.", value=node.value)

    def is_text(self, node: ast.Constant, documented: ast.AST | None) -> bool:
        """Whether a text is one that an answer may hold: a tensor's name, einsum's indices, a message."""
        if node.value in self.rules.texts or (isinstance(documented, ast.Expr) and documented.value is node):
            return True
        outer = self.above.get(id(node))
        match outer:
            case ast.Call() if is_numpy(outer.func, "einsum") and outer.args[0] is node:
                return re.fullmatch(r"[a-zA-Z,.> -]*", str(node.value)) is not None
            case ast.keyword():
                return is_errstate(self.above[id(outer)]) and node.value == "ignore"
            case ast.Subscript():
                return is_state(outer.value)
            case ast.JoinedStr():
                piece = str(node.value)  # of a key: "weight" and ".exp_avg"
                return bool(re.fullmatch(r"(\.\w+)+", piece)) or any(piece in text for text in self.rules.texts)
        return self.is_message(node)

    def is_message(self, node: ast.AST) -> bool:
        """Whether a node is part of what is raised."""
        outer: ast.AST | None = node
        while outer is not None and not isinstance(outer, ast.Raise):
            outer = self.above.get(id(outer))
        return outer is not None

    def joined(self, node: ast.JoinedStr) -> Iterator[str]:
        """Yield what is wrong with a text with places: it is a name of a tensor with an ending, or a message."""
        places = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        formatted = any(part.format_spec is not None or part.conversion != -1 for part in places)
        if not self.is_message(node) and (formatted or len(places) == len(node.values) or not places):
            yield say("a text with places is a key here: a name and an ending.")

    def call(self, node: ast.Call) -> Iterator[str]:
        """Yield what is wrong with a call: a dtype is that of an array, or a plain one."""
        asked = [k.value for k in node.keywords if k.arg == "dtype"]
        if isinstance(node.func, ast.Attribute):
            place = 0 if node.func.attr == "astype" else DTYPE_AT.get(node.func.attr, len(node.args))
            asked += node.args[place : place + 1]
        for dtype in asked:
            plain = isinstance(dtype, ast.Attribute) and dtype.attr in ("dtype", "float32", "float64")
            if not plain and not is_named(dtype, *PLAIN_TYPES):
                yield say("a dtype is x.dtype of an array x, or float or int.")
        if any(k.arg is None for k in node.keywords):
            yield say("** in a call has no place in a derivation.")


def is_state(node: ast.expr) -> bool:
    """Whether a node is a dict of the object's own that may have any key."""
    return isinstance(node, ast.Attribute) and is_named(node.value, "self") and node.attr == "state"


def is_numpy(node: ast.expr, name: str) -> bool:
    """Whether a node is NumPy's function of that name."""
    return isinstance(node, ast.Attribute) and node.attr == name and is_named(node.value, "np")


def is_errstate(node: ast.AST) -> bool:
    """Whether a node is a call of np.errstate."""
    return isinstance(node, ast.Call) and is_numpy(node.func, "errstate")


def docstring_of(function: ast.FunctionDef) -> ast.Expr | None:
    """Return the statement that is a function's docstring."""
    first = function.body[0]
    known = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return first if known and isinstance(first, ast.Expr) else None


def bound_in(function: ast.FunctionDef) -> frozenset[str]:
    """Return the names that a function binds: its arguments, and what it assigns to."""
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    return frozenset(arguments | {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    })  # fmt: skip
