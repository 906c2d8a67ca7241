"""Sphinx's settings for the book. `em-routing book` stages the pages and runs Sphinx on them; nothing here uses the network."""
import html
import pathlib
import re

from docutils import nodes
from pygments.formatters import HtmlFormatter
from sphinx.highlighting import PygmentsBridge

project = "em-routing"
html_title = "From two coins to EM routing"
html_short_title = "EM routing"
language = "en"
extensions = ["myst_nb"]
# the first cells hold `:dep`, which only the kernel knows; solutions leave out a level of headings
suppress_warnings = ["misc.highlighting_failure", "myst.header"]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
# `repo:` marks a link within the site to a page that is not Sphinx's: the library's reference, or the copy of a file
myst_url_schemes = {"http": None, "https": None, "mailto": None, "repo": {"url": "{{path}}", "classes": ["repository"]}}

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["katex/katex.min.css", "book.css"]
html_js_files = [("katex/katex.min.js", {"defer": "defer"}), ("book.js", {"defer": "defer"})]
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html", "reference-link.html"]}
html_theme_options = {
    "article_header_end": "article-header-buttons.html",
    "footer_content_items": [],
    "home_page_in_toc": True,
    "launch_buttons": {},
    "search_bar_text": "Search the book",
    "show_navbar_depth": 1,
    "toc_title": "On this page",
    "use_download_button": True,
    "use_fullscreen_button": False,
}
html_context = {"default_mode": "auto"}
html_show_copyright = False
html_show_sphinx = False
html_favicon = "static/favicon.svg"
html_math_renderer = "katex"


def inline(self, node):
    """Writes an equation as its TeX; book.js has KaTeX render it."""
    self.body.append(f'<span class="math notranslate">{html.escape(node.astext(), quote=False)}</span>')
    raise nodes.SkipNode


def block(self, node):
    """Writes a displayed equation as its TeX."""
    self.body.append(f'<div class="math notranslate">{html.escape(node.astext(), quote=False)}</div>\n')
    raise nodes.SkipNode


def add_live(app, pagename, templatename, context, doctree):
    """Loads the script and the style sheet of the live figures on the pages that hold one."""
    if "data-live=" in context.get("body", ""):
        app.add_css_file("live.css")
        app.add_js_file("live.js", type="module")


class Sparing(HtmlFormatter):
    """Leaves out the elements around names, punctuation and spaces, which have no style: they are half of a page."""

    def _get_css_classes(self, ttype):
        classes = super()._get_css_classes(ttype)
        return "" if classes in ("n", "p", "w") else classes


def trim(app, exception):
    """Drops the rules of the theme's style sheet for classes that no page and no script names, and source maps."""
    if exception or app.builder.format != "html":
        return
    site = pathlib.Path(app.outdir)
    texts = [path.read_text() for kind in ("*.html", "*.js") for path in site.rglob(kind)]
    words = set(re.findall(r"[\w-]+", " ".join(texts)))

    def rule(match):
        parts = match[1].split(",")
        return match[0] if any(words.issuperset(re.findall(r"\.([a-zA-Z][\w-]*)", part)) for part in parts) else ""

    sheet = site / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet.write_text(re.sub(r"([^{}@;/]+)\{[^{}]*\}", rule, sheet.read_text()))
    for path in (site / "_static").rglob("*.map"):
        path.unlink()


def setup(app):
    PygmentsBridge.html_formatter = Sparing
    app.connect("build-finished", trim)
    app.add_html_math_renderer("katex", (inline, None), (block, None))
    app.connect("html-page-context", add_live)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
