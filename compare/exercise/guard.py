"""What an answer is rewritten to before it runs: each result of it is looked at, by `compare.exercise.child`."""

import ast


class Guard(ast.NodeTransformer):
    """Writes an answer so that every call and every operation is looked at: its result is real, and of 8 bytes.

    Names cannot promise that: a text may come from anywhere, and NumPy takes "D" and "g" for the complex numbers and
    the long doubles, with which a numerical derivative is as good as a derivation.
    """

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Look at what a call returns."""
        self.generic_visit(node)
        return guarded("_real", node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Look at a result; a power is not even computed where it would be too large."""
        self.generic_visit(node)
        return guarded("_power", node.left, node.right) if isinstance(node.op, ast.Pow) else guarded("_real", node)

    def visit_AugAssign(self, node: ast.AugAssign) -> list[ast.stmt]:
        """Look at a result in place."""
        again = ast.parse(ast.unparse(node.target), mode="eval").body
        self.generic_visit(node)
        if isinstance(node.op, ast.Pow):
            return [ast.Assign([node.target], guarded("_power", again, node.value))]
        return [node, ast.Expr(guarded("_real", again))]


def guarded(name: str, *arguments: ast.expr) -> ast.Call:
    """Return the call of what looks."""
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
