"""The mutants of a file: every small change of its syntax tree that tests/mutate.py may make."""

import ast
import re
from typing import NamedTuple

SWAPS = {  # an operator or a comparison, and what is written instead
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.And: (ast.Or,), ast.Or: (ast.And,), ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,), ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("any", "all"), ("floor", "ceil"), ("argmin", "argmax"), ("sum", "mean"), ("zeros", "ones"),
    ("minimum", "maximum"), ("sqrt", "square"),
)  # fmt: skip
COMMUTE = "min", "max", "minimum", "maximum", "add", "multiply", "hypot", "suppress"  # of two arguments in any order
NAMES = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


class Mutant(NamedTuple):
    """One change: bytes start to end of the file become `new`."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str

    def __str__(self):
        old, new = (re.sub(r"\s+", " ", text) for text in (self.old, self.new))
        return f"{self.file}:{self.line}  {self.kind}: {old[:70]}  ->  {new[:70]}"


def mutants(file, source):
    """All mutants of a file's text, in its order."""
    data, starts = source.encode(), [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node):
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    found = []
    for node in code(ast.parse(source)):
        for kind, what, new in changes(node):
            start, end = place(what)
            old = data[start:end].decode()
            if old != new:
                found.append(Mutant(file, what.lineno, kind, start, end, old, new))
    return found


def code(node):
    """The nodes of a tree that are no text, annotation or decorator; of a `raise` the statement alone."""
    if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
        return
    yield node
    if isinstance(node, (ast.Raise, ast.JoinedStr)):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from code(child)


def changes(node):
    """(kind, node to replace, text instead) of one node."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS and not any(map(is_text, (node.left, node.right))):
        for op in SWAPS[type(node.op)]:
            yield "operator", node, f"({ast.unparse(ast.BinOp(node.left, op(), node.right))})"
    elif isinstance(node, ast.BoolOp):
        yield "condition", node, f"({ast.unparse(ast.BoolOp(SWAPS[type(node.op)][0](), node.values))})"
    elif isinstance(node, ast.Compare):
        for i, old in enumerate(node.ops):
            for op in SWAPS[type(old)]:
                ops = [*node.ops[:i], op(), *node.ops[i + 1 :]]
                yield "comparison", node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "operator", node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        v = node.value
        for new in (not v,) if isinstance(v, bool) else (v + 1, v - 1) if isinstance(v, int) else (2 * v or 1.0,):
            yield "constant", node, f"({new!r})" if new is not True and new is not False and new < 0 else repr(new)
    elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in NAMES:
            yield "name", node, ast.unparse(node)[: -len(name)] + NAMES[name]
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield "condition", node.test, f"(not ({ast.unparse(node.test)}))"
    for test in getattr(node, "ifs", ()):
        yield "condition", test, f"(not ({ast.unparse(test)}))"
    if isinstance(node, ast.Call):
        yield from calls(node)
    if droppable(node):
        yield "dropped", node, "pass"


def calls(node):
    """Changes of one call: its first two arguments swapped where that matters, one by name left out, another axis."""
    args, told = node.args, ast.unparse(node.func)
    if (
        len(args) > 1
        and not any(isinstance(a, ast.Starred) for a in args[:2])
        and told not in ("isinstance", "getattr")
        and told.rpartition(".")[2] not in COMMUTE
    ):
        yield "arguments", node, ast.unparse(ast.Call(node.func, [args[1], args[0], *args[2:]], node.keywords))
    for i, keyword in enumerate(node.keywords):
        if keyword.arg == "axis" and isinstance(keyword.value, (ast.Constant, ast.UnaryOp)):
            yield "axis", keyword.value, "1" if ast.unparse(keyword.value) == "0" else "0"
        elif keyword.arg and not is_text(keyword.value):
            yield "keyword", node, ast.unparse(ast.Call(node.func, args, node.keywords[:i] + node.keywords[i + 1 :]))


def droppable(node):
    """Whether `pass` can stand where this statement stands, and no name is missing then."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Subscript, ast.Attribute)) for target in node.targets)
    call = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.YieldFrom))
    return call or isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break))


def is_text(node):
    return isinstance(node, ast.JoinedStr) or isinstance(node, ast.Constant) and isinstance(node.value, str)
