"""Taking solutions out of source text, and searching for what is left of them.

A body becomes `raise NotImplementedError("5.3 gates_backward")`; signature and docstring stay. A statement of a cut
body leaks if some released text still has it: word for word, or, for a statement with several operations, with other
names for its variables.
"""

import ast


def body_of(function):
    """The statements of a function after its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def functions_of(text, names, file):
    """The functions of these names in a source text, `name` or `Class.name`. ValueError if one is missing."""
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
    found = zip(functions_of(text, labels, file), labels.values(), strict=True)
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

    cut_bodies: lists of statements; texts: {file: its text}; Python files are also searched with other names.
    """
    sharp, renamed = {}, {}
    for statement, count in (pair for body in cut_bodies for part in body for pair in simple(part)):
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
