"""How Sphinx makes the site of what build.py lays out."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

import sdnb

project = "sdnb"
author = "the authors of sdnb"
version = release = sdnb.__version__
extensions = ["myst_nb"]
root_doc = "index"
exclude_patterns = ["course.md"]
suppress_warnings = ["toc.empty_glob"]

myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"

html_theme = "furo"
html_title = "sdnb"
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"


def setup(app):
    """Formulas as MathML, which browsers show by themselves, without a script from elsewhere."""
    app.add_html_math_renderer(
        "mathml",
        (lambda writer, node: write(writer, node, "inline"), None),
        (lambda writer, node: write(writer, node, "block"), None),
    )


def write(writer, node, display):
    writer.body.append(convert(node.astext(), display=display))
    raise SkipNode
