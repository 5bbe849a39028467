"""Pages that ask nobody: formulas are MathML, and no page may load anything from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOG = logging.getLogger(__name__)
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"'](?:https?:)?//[^>]*>"
    r"|<link\b[^>]*\brel=[\"'](?:stylesheet|preload|icon)[\"'][^>]*\bhref=[\"'](?:https?:)?//[^>]*>"
    r"|@import[^;]*//[^;]*;|url\([\"']?(?:https?:)?//[^)]*\)"
)


def _mathml(node: nodes.Element, display: str) -> str:
    # A formula of several lines is one formula: TeX takes a line end for a space.
    made = convert(" ".join(node.astext().split()), display=display)
    if "\\" in made:  # what the converter does not know it passes on
        LOG.warning("no MathML for %s", node.astext(), location=node)
    return made


def _inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def _nothing_is_loaded(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    for page in (p for end in ("html", "css") for p in Path(app.outdir).rglob(f"*.{end}")):
        for asked in LOADED.findall(page.read_text(encoding="utf-8")):
            LOG.warning("%s loads something from elsewhere: %s", page.name, asked)


def _fonts(app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(Path(__file__).parent / "fonts"))
    app.add_css_file("math.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, which conf.py chooses, its font, and the look at what was built."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("config-inited", _fonts)
    app.connect("build-finished", _nothing_is_loaded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
