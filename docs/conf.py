"""How the documentation is built: the README, a page per finding and method, the API."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# Before the API pages import the Keras side.
os.environ.setdefault("KERAS_BACKEND", "torch")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # pages.py, offline.py

from pages import every_page  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

from equipoise import __version__  # noqa: E402

project = "Equipoise"
author = "The Equipoise contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "offline"]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "sampling_rules.md"]
html_theme = "furo"
html_title = "Equipoise"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# Methods that scikit-learn writes, with references into its own documentation.
autodoc_default_options = {"exclude-members": "set_fit_request, set_score_request"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
suppress_warnings = ["myst.xref_missing"]


def _write() -> None:
    """Write what is made, anew: a page that is gone leaves nothing behind."""
    for folder in ("findings", "methods", "api"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for name, text in every_page().items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _name_the_language(
    _app: Sphinx, page: str, _template: str, context: dict[str, object], _tree: object
) -> None:
    """Say of Chinese pages that they are: browsers choose fonts and line breaks by it."""
    if page.startswith("zh/"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> None:
    """Connect what is done for single pages."""
    app.connect("html-page-context", _name_the_language)


_write()
