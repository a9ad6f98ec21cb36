"""Functions cut out of source texts, and what is left of them found again: Python by its syntax, C++ by its braces."""

import ast

import pytest

from snippets.training.assignments.cut import body_of, closing, cut_functions, functions_of, leaks, nameless, simple


def test_methods_are_cut_by_their_full_names():
    text = "def f(x):\n    return x + 1\n\n\nclass A:\n    def f(self):\n        '''Doc.'''\n        return 2\n"
    cut = cut_functions(text, {"A.f": "3.3 f"}, "a.py")
    assert cut == text.replace("return 2", 'raise NotImplementedError("3.3 f")')
    with pytest.raises(ValueError, match="a.py: no function 'B.f', found f, A.f"):
        cut_functions(text, {"B.f": ""}, "a.py")


def test_kernels_are_cut_by_their_braces():
    kernel = "static int half(int n)\n{\n    return n / 2;\n}\n\n// {\nextern void f(int a,\n       int b)\n{%s}\n"
    body = """
    for (int k = max(a + 2, b * 3); k < min(b, half(a) * 7); k++) { // }
        if (b)
            x[k] = y[k + 1] * z[k];
    }
"""
    cut = cut_functions(kernel % body, {"f": "6.1 f"}, "a.cu")
    assert cut == kernel % '\n    // raise NotImplementedError("6.1 f")\n'
    (found,) = functions_of(kernel % body, ["f"], "a.cu")
    statements = ["int k = max(a + 2, b * 3)", "k < min(b, half(a) * 7)", "x[k] = y[k + 1] * z[k]"]
    assert body_of(found) == statements
    for statement in statements:
        assert leaks([body_of(found)], {"b.md": f"`{statement.replace(' ', '')};`"}) == [("b.md", statement)]
    given = kernel % body + "extern void g() { x[k] = y[k+1] * z[k]; }"
    assert body_of(functions_of(given, ["f"], "a.cu")[0]) == statements[:2]
    with pytest.raises(ValueError, match="a.cu: no kernel 'h'"):
        cut_functions(kernel, {"h": ""}, "a.cu")


def test_several_functions_are_cut_wherever_they_stand():
    """In the order of the file or not; what stands around them stays, and docstrings do."""
    text = "A = 1\ndef f(x):\n    '''Doc.'''\n%s\n\ndef g(x):\n%sB = 2\n"
    labels = {"g": "1.2 g", "f": "1.1 f"}
    cut = cut_functions(text % ("    y = x\n    return y\n", "    return (\n        x\n    )\n"), labels, "a.py")
    assert cut == text % tuple(f'    raise NotImplementedError("{label}")\n' for label in ("1.1 f", "1.2 g"))
    kernels = "int f(int a)\n{%s}\n// between\nint g(int b) {%s}\nend"
    given = kernels % (" a += g(a) * 2 - 1; ", "\n    b = b * 3 - 1 + b;\n")
    cut = cut_functions(given, labels, "a.cu")
    assert cut == kernels % tuple(f'\n    // raise NotImplementedError("{label}")\n' for label in ("1.1 f", "1.2 g"))
    found = functions_of(given, ["g", "f"], "a.cu")
    assert [body_of(one) for one in found] == [["b = b * 3 - 1 + b"], ["a += g(a) * 2 - 1"]]
    assert [given[one.start : one.end] for one in found] == [one.text for one in found]


def test_a_bracket_is_closed_outside_of_comments():
    text = "f(a, (b) // )\n, c) + (d)"
    assert closing(text, 2, "()") == text.index(") +") and closing(text, text.index("d"), "()") == len(text) - 1
    assert closing("{{}", 1, "{}") == 3  # never


def test_a_statement_tells_something_from_its_second_operation_on():
    """With other names from its fourth on, and in Python alone; of C++ from its third on."""
    body = ast.parse(
        "a = b\nc = -d\ne = f + g(h)\nif i:\n    j = k * m(n) + p\nq = r * s(t) + u[0]\nv = -r * s(t) + u[0]"
    ).body
    assert [count for node in body for _, count in simple(node)] == [0, 1, 2, 3, 4, 5]
    texts = {f"{n}.md": line for n, line in enumerate(("a=b", "c = -d", "e=f+g( h )", "j = k * m(n) + p"))}
    told = [("2.md", "e = f + g(h)"), ("3.md", "j = k * m(n) + p")]
    assert leaks([body[:2], body[2:]], texts) == told
    other, few = "q1 = r1 * s1(t1) + u1[0]", "j1 = k1 * m1(n1) + p1"
    assert nameless(body[-2]) == nameless(ast.parse(other).body[0]) == "_ = _ * _(_) + _[0]"
    assert leaks([body], {"a.md": other, "b.py": few}) == []
    assert leaks([body], {"a.py": f"{few}\nif a:\n    {other}"}) == [("a.py", "q = r * s(t) + u[0]")]
    assert leaks([body], {"a.py": "v1 = -r1 * s1(t1) + u1[0]"}) == [("a.py", "v = -r * s(t) + u[0]")]
    kernel = "void f(int a) { x[i] = a + b; x[i] = a + b * c; }"
    assert body_of(functions_of(kernel, ["f"], "a.cu")[0]) == ["x[i] = a + b * c"]
