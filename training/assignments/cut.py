"""Taking solutions out of source text, and searching for what is left of them.

A body becomes `raise NotImplementedError("5.3 gates_backward")`; signature and docstring stay. A statement of a cut
body leaks if some released text still has it: word for word, or, for a statement with several operations, with other
names for its variables. Kernels in `.cu` files are cut by matching braces; what the rest of their file shows as well,
the loop over a grid say, is no secret.
"""

import ast
import re
from typing import NamedTuple


class Kernel(NamedTuple):
    """A function of a `.cu` file: what stands between its braces, from `start` to `end` of the file."""

    text: str
    start: int
    end: int
    statements: list  # that tell something


def kernels_of(text, names, file):
    """The Kernels of these names in a source text. ValueError if one is missing."""
    spans = {}
    for name in names:
        found = re.search(rf"\b{name}\([^)]*\)\s*{{", text)
        if not found:
            raise ValueError(f"{file}: no kernel {name!r}")
        spans[name] = found.end(), closing(text, found.end(), "{}")
    rest = text
    for start, end in sorted(spans.values(), reverse=True):
        rest = rest[:start] + rest[end:]
    given = squeezed(rest)
    return [
        Kernel(text[a:b], a, b, [s for s in statements_of(text[a:b]) if squeezed(s) not in given])
        for a, b in spans.values()
    ]


def closing(text, start, pair):
    """Where the bracket is closed that was opened before `start`; the end of the text if it is not."""
    depth = 1
    for found in re.finditer(rf"//[^\n]*|[{re.escape(pair)}]", text[start:]):
        depth += (found[0] == pair[0]) - (found[0] == pair[1])
        if depth == 0:
            return start + found.start()
    return len(text)


def statements_of(body):
    """The statements of C++ text, headers of loops and conditions among them, that have several operations."""
    body = re.sub(r"//[^\n]*", "", body)
    while found := re.search(r"\b(?:for|if|while)\s*\(", body):
        end = closing(body, found.end(), "()")
        body = f"{body[: found.start()]};{body[found.end() : end]};{body[end + 1 :]}"
    parts = (" ".join(part.split()) for part in re.split(r"[;{}]", body))
    return [part for part in parts if len(re.findall(r"[-+*/%?<>]|\w[\[(]", part)) > SHARP]


def body_of(function):
    """The statements of a function after its docstring."""
    if isinstance(function, Kernel):
        return function.statements
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def functions_of(text, names, file):
    """The functions of these names in a source text, `name` or `Class.name`. ValueError if one is missing."""
    if file.endswith(".cu"):
        return kernels_of(text, names, file)
    top = ast.parse(text).body
    methods = ((f"{c.name}.", node) for c in top if isinstance(c, ast.ClassDef) for node in c.body)
    nodes = (*(("", node) for node in top), *methods)
    found = {f"{owner}{node.name}": node for owner, node in nodes if isinstance(node, ast.FunctionDef)}
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{file}: no function {missing[0]!r}, found {', '.join(found) or 'none'}")
    return [found[name] for name in names]


def cut_functions(text, labels, file):
    """The text without the bodies of functions; labels: {function: what its NotImplementedError says}."""
    lines = text.splitlines(keepends=True)
    found = list(zip(functions_of(text, labels, file), labels.values(), strict=True))
    if file.endswith(".cu"):
        for kernel, label in sorted(found, reverse=True, key=lambda pair: pair[0].start):
            text = f'{text[: kernel.start]}\n    // raise NotImplementedError("{label}")\n{text[kernel.end :]}'
        return text
    for function, label in sorted(found, key=lambda pair: -pair[0].lineno):
        body = body_of(function)
        stub = f'{" " * body[0].col_offset}raise NotImplementedError("{label}")\n'
        lines[body[0].lineno - 1 : body[-1].end_lineno] = [stub]
    return "".join(lines)


def cut_lines(text, first, until, instead, file):
    """The text with `instead` for the lines from the one that begins with `first` to that before `until`."""
    lines = text.splitlines(keepends=True)
    starts = [n for n, line in enumerate(lines) if line.startswith(first)]
    ends = [n for n, line in enumerate(lines) if line.startswith(until)]
    if len(starts) != 1 or not [n for n in ends if n > starts[0]]:
        raise ValueError(f"{file}: no single line begins with {first!r}, with one below that begins with {until!r}")
    end = next(n for n in ends if n > starts[0])
    gap = "\n" if lines[end].startswith('"""') else "\n\n"
    return "".join([*lines[: starts[0]], instead + gap, *lines[end:]])


SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr)
OPERATIONS = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.Subscript)
SHARP, RENAMED = 2, 4  # operations from which on a statement tells something: as it stands, or with other names


def simple(node):
    """Simple statements within a syntax tree, with how many operations each has."""
    for statement in ast.walk(node):
        if isinstance(statement, SIMPLE):
            yield statement, sum(isinstance(part, OPERATIONS) for part in ast.walk(statement))


def nameless(statement):
    """A statement with all its variables called the same, as text."""
    copy = ast.parse(ast.unparse(statement))
    for node in ast.walk(copy):
        if isinstance(node, ast.Name):
            node.id = "_"
    return ast.unparse(copy)


def squeezed(text):
    """The text without blanks and line ends."""
    return "".join(text.split())


def leaks(cut_bodies, texts):
    """(file, statement) for everything of the cut bodies that released texts still have.

    cut_bodies: lists of statements, of Python as syntax trees, of C++ as texts; texts: {file: its text}. Python files
    are also searched with other names.
    """
    parts = [part for body in cut_bodies for part in body]
    sharp, renamed = {squeezed(part): part for part in parts if isinstance(part, str)}, {}
    for statement, count in (pair for part in parts if not isinstance(part, str) for pair in simple(part)):
        if count >= SHARP:
            sharp[squeezed(ast.unparse(statement))] = ast.unparse(statement)
        if count >= RENAMED:
            renamed[nameless(statement)] = ast.unparse(statement)
    found = []
    for file, text in texts.items():
        flat = squeezed(text)
        found += [(file, statement) for flat_statement, statement in sharp.items() if flat_statement in flat]
        if file.endswith(".py"):
            forms = {nameless(statement) for statement, count in simple(ast.parse(text)) if count >= RENAMED}
            found += [(file, renamed[form]) for form in forms & renamed.keys()]
    return sorted(set(found))
