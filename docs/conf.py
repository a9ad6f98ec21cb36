"""The book: Sphinx builds it from the Markdown pages, the notebooks and the docstrings of the checkout.

    python -m sphinx -W -c docs . _book         then open _book/docs/index.html

Nothing in its pages comes from elsewhere, so it reads the same without a network: furo brings its own style sheets,
and equations become MathML, which browsers draw themselves. The chapters are the headings of docs/index.md, their
pages the links below each; a page is written for readers of the repository, and the book is made from it as it stands.
"""

import os
import re
import sys
from importlib import import_module
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
PACKAGES = ("layers", "nets", "data", "training")  # each has a page in docs/api
REPOSITORY_LINK = re.compile(r"\]\(([^)\s#:]+)[^)\s]*\)")

project, author, copyright = "snippets", "the authors of snippets", "the authors of snippets, MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**.md",
    "notebooks/*.ipynb",
    "notebooks/*.md",
    "notebooks/assignments/a*/README.md",
    "tests/kit/README.md",
]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_url_schemes = ("http", "https", "mailto", "code")
nb_execution_mode = "off"  # the outputs that are stored in the notebooks, which the tests keep true
autodoc_mock_imports = [
    "cupy",
    "ray",
    "mpi4py",
    "torch",
    "openvino",
    "onnxruntime",
    "onnx",
    "cv2",
    "skimage",
    "sklearn",
]
autodoc_default_options = {"members": True, "member-order": "bysource"}
add_module_names = toc_object_entries = False
html_theme, html_title, html_math_renderer = "furo", "snippets", "mathml"
html_copy_source = html_show_sphinx = False
html_theme_options = {"light_css_variables": {"font-stack": "system-ui, sans-serif"}}
html_static_path = ["book.css"]
html_css_files = ["book.css"]
pygments_style, pygments_dark_style = "tango", "github-dark"


def modules(folder):
    """The modules below a folder of the checkout, packages before what is in them: (name, path from the root)."""
    for path in sorted((ROOT / folder).rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path)):
        place = path.relative_to(ROOT)
        yield "snippets." + ".".join(place.with_suffix("").parts).removesuffix(".__init__"), place


def chapters(text):
    """A hidden table of contents for each heading of docs/index.md: the pages that are linked below it."""
    for heading, section in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", text, re.M):
        pages = [link.removesuffix(".md") for link in REPOSITORY_LINK.findall(section) if link.endswith(".md")]
        entries = "\n".join(
            f"/docs/{page}" if not page.startswith("../") else page[2:] for page in dict.fromkeys(pages)
        )
        yield f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{entries}\n```\n"


def prepare_page(app, docname, source):
    """Links to code, sliders, tables of contents, and the modules of a page of docs/api."""
    text = re.sub(r"^<!-- slider: (\w+) -->$", slider, links_to_code(docname, source[0]), flags=re.M)
    source[0] = text
    if docname == root_doc:
        source[0] += "\n" + "\n".join(chapters(text))
    elif docname == "notebooks/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n[0-9]*\n```\n"
    elif docname.startswith("docs/api/"):
        source[0] = re.sub(r"^<!-- modules: (\S+) -->$", lambda found: reference(found[1]), text, flags=re.M)


def slider(found):
    """Markdown for a figure of docs/sliders.py."""
    return f"```{{raw}} html\n{import_module('sliders').html(found[1])}\n```"


def reference(folder):
    """Markdown that has Sphinx write out the docstrings of a folder's modules: a heading for each folder and file."""
    parts = []
    for name, place in modules(folder):
        heading = f"## {place.parent.as_posix()}" if place.name == "__init__.py" else f"### {place.name}"
        parts.append(f"{heading}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n")
    return "\n".join(parts)


def docstring_to_rst(app, what, name, obj, options, lines):
    """Docstrings are plain text for readers of the code: `names`, lists with "-", and equations that are indented."""
    text, out = "\n".join(lines).expandtabs(), []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        rows = block.split("\n")
        columns = any(re.search(r" {3,}|^  ", row) for row in rows) and not block.startswith("- ")
        if columns:  # equations with their names, tables
            out += [".. code-block:: text", "", *("    " + row for row in rows), ""]
        else:
            parts = re.split(r"(`+[^`]+`+)", block)
            for n, part in enumerate(parts):
                parts[n] = f"``{part.strip('`')}``\\ " if n % 2 else re.sub(r"([*_|\\])", r"\\\1", part)
            out += [*re.sub(r"\n(?=- )", "\n\n", "".join(parts)).split("\n"), ""]
    lines[:] = out


def links_to_code(docname, text):
    """A page's links to folders and to files of code, as `code:PLACE#NAME`, which `LinksToCode` understands."""

    def link(found):
        path = Path(os.path.normpath((ROOT / docname).parent / found[1]))
        path = path.parent if path.name == "__init__.py" else path
        place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        is_code = place.startswith(PACKAGES) and path.suffix == ".py" and path.is_file()
        return f"](code:{place}{found[2] or ''})" if is_code or path.is_dir() else found[0]

    return re.sub(r"\]\(([^)\s#:]+)(#\w+)?\)", link, text)


class LinksToCode(SphinxTransform):
    """Links to code lead to its page in the book, and with `#name` to that function; others become text."""

    default_priority = 5

    def apply(self):
        for node in list(self.document.findall(nodes.reference)):
            if node.get("refuri", "").startswith("code:"):
                url = place_of(*node["refuri"].removeprefix("code:").partition("#"))
                if url:
                    node["refuri"], node["internal"] = "../" * self.env.docname.count("/") + url, True
                else:
                    node.replace_self(node.children)


def place_of(path, mark, name):
    """Where in the book a folder or file of the checkout is shown, or None."""
    if (ROOT / path / "README.md").is_file():
        return f"{path}/README.html"
    if not path.startswith(PACKAGES):
        return None
    if (ROOT / path).is_dir():
        return f"docs/api/{path.split('/')[0]}.html#{path.replace('/', '-')}"
    functions = re.findall(r"^(?:def|class) (\w+)", (ROOT / path).read_text(encoding="utf-8"), re.M)
    return f"_modules/snippets/{path.removesuffix('.py')}.html" + (mark + name if name in functions else "")


def mathml(latex, display):
    """An equation of a page as MathML; ValueError for TeX that the converter passes on as it is."""
    latex = re.sub(r"(\\(?:begin|end))\{aligned\}", r"\1{align*}", latex)  # the name that latex2mathml knows
    result = convert(latex, display=display)
    if re.search(r"<m\w+>(&<|\\)", result):
        raise ValueError(f"no MathML for this equation: {latex}")
    return result


def visit_math(self, node):
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(f'<div class="equation">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_transform(LinksToCode)
    app.connect("source-read", prepare_page)
    app.connect("autodoc-process-docstring", docstring_to_rst)
