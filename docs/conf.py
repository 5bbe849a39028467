"""How the documentation is built: the README, a page per finding and method, the API."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# Before the API pages import the Keras side.
os.environ.setdefault("KERAS_BACKEND", "torch")

from equipoise import __version__
from equipoise.methods import METHODS
from equipoise.sampling.rule_table import rule_tables

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # offline.py
PAGES = HERE.parent / "src" / "equipoise" / "diagnosis" / "pages"

project = "Equipoise"
author = "The Equipoise authors"
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


def _findings() -> None:
    """Copy the pages that ship with the package, so they have one source."""
    target = HERE / "findings"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PAGES, target)
    names = sorted(p.stem for p in PAGES.glob("EQ*.md"))
    listed = "\n".join(names)
    (target / "index.md").write_text(
        f"# Findings\n\nOne page per code; `equipoise diagnose --explain EQ104` prints it.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
        encoding="utf-8",
    )


def _methods() -> None:
    """Write the catalogue as a table, from the same records as ``equipoise methods``."""
    lines = ["# Methods", "", "| method | labels | settings | undone | what it does | source |"]
    lines.append("|---|---|---|---|---|---|")
    for method in METHODS.values():
        settings = ", ".join(f"`{k}={v}`" for k, v in method.settings.items()) or "-"
        exact = ", ".join(dict.fromkeys(method.exactness.values()))
        kinds = ", ".join(method.kinds)
        row = (f"`{method.name}`", kinds, settings, exact, method.summary, method.reference)
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "`none + thresholds` is the untreated model with tuned thresholds; it is always"]
    lines += ["one of the arms.", ""]
    (HERE / "methods.md").write_text("\n".join(lines), encoding="utf-8")


def _sampling_rules() -> None:
    """Write the tables that sampling.md includes, from the rules themselves."""
    (HERE / "sampling_rules.md").write_text(rule_tables(), encoding="utf-8")


_findings()
_methods()
_sampling_rules()
