"""One operator, constant or name of a source file turned around: where that can be done, and what it gives."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "mean": "sum",
    "isfinite": "isnan",
    "cumsum": "cumprod",
    "argsort": "argmax",
}


@dataclass(frozen=True)
class Fault:
    """A change of one place of a file; what it is called by does not move when other lines do."""

    scope: str  # the function or method that it lies in, "" outside of any
    code: str  # the line, stripped
    at: int  # where in it the place begins, from 0
    kind: str
    before: str
    after: str
    line: int
    source: str  # of the whole file with the fault

    @property
    def identity(self) -> tuple[str, ...]:
        """Scope, code, at, before and after, in words."""
        return self.scope, self.code, str(self.at), self.before, self.after


def places(source: str) -> list[tuple[int, str]]:
    """(number of the node in the walk, kind of fault) of every place of a file that a fault can be planted at.

    None in a type, and of names only those that are called.
    """
    tree, types, called = ast.parse(source), set(), set()
    for node in ast.walk(tree):
        annotation = node.returns if isinstance(node, ast.FunctionDef) else getattr(node, "annotation", None)
        types |= {id(inner) for inner in ast.walk(annotation)} if annotation is not None else set()
        called |= {id(node.func)} if isinstance(node, ast.Call) else set()
    kinds = [(number, _kind(node), id(node)) for number, node in enumerate(ast.walk(tree))]
    return [(number, kind) for number, kind, node in kinds if kind and node not in types and (kind != "name" or node in called)]


def plant(source: str, number: int) -> Fault:
    """The fault at that node."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    before, kind, scope, line = ast.unparse(node), _kind(node), _scope(tree, node), source.splitlines()[node.lineno - 1]
    at = len(line.encode()[: node.col_offset].decode().lstrip())
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        node.operand = ast.UnaryOp(ast.Not(), copy.deepcopy(node.operand))
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1
    elif isinstance(node, ast.Attribute):
        node.attr = NAMES[node.attr]
    else:
        node.id = NAMES[node.id]
    return Fault(scope, line.strip(), at, kind, before, ast.unparse(node), node.lineno, ast.unparse(tree) + "\n")


def _kind(node: ast.AST) -> str:
    if isinstance(node, ast.Compare):
        return "comparison" if type(node.ops[0]) in SWAPS else ""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        return "operator" if type(node.op) in SWAPS else ""
    if isinstance(node, ast.UnaryOp):
        return "negation" if isinstance(node.op, ast.Not) else ""
    if isinstance(node, ast.Constant):
        return "constant" if type(node.value) in (int, float) else ""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return "name" if name in NAMES else ""


def _scope(tree: ast.Module, node: ast.AST) -> str:
    """The outermost function, with its class, around a node."""
    for outer in tree.body:
        if isinstance(outer, ast.FunctionDef) and node in ast.walk(outer):
            return outer.name
        if isinstance(outer, ast.ClassDef):
            for inner in outer.body:
                if isinstance(inner, ast.FunctionDef) and node in ast.walk(inner):
                    return f"{outer.name}.{inner.name}"
    return ""
