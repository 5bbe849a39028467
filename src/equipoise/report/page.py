"""A page of a template: its style and scripts inside, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from equipoise._core.language import HTML_LANGUAGES, language, said, sections
from equipoise.report.template_texts import translate_template

if TYPE_CHECKING:
    from jinja2 import BaseLoader


def page_of(template: str, *scripts: str, **shown: Any) -> str:
    """Return a page of a template with its style and scripts inside, and a policy for nothing else.

    The policy names each script by its hash: no other runs, whatever a label may be called, and
    nothing is loaded from anywhere. Texts of the template are those of the language in force.

    Args:
        template: Its file name.
        scripts: Names of static scripts, in their order.
        shown: What the template prints.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["said"] = said
    static = files("equipoise.report") / "static"
    held = [(static / name).read_text(encoding="utf-8") for name in scripts]
    hashes = (hashlib.sha256(text.encode()).digest() for text in held)
    allowed = " ".join(f"'sha256-{base64.b64encode(h).decode()}'" for h in hashes) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    css = (static / "report.css").read_text(encoding="utf-8")
    head = {"css": css, "scripts": held, "policy": policy, "html_lang": HTML_LANGUAGES[language()]}
    return environment.get_template(template).render(head | shown)


def _loader() -> BaseLoader:
    """Return what finds templates, their texts in the language in force."""
    from jinja2 import FunctionLoader, PackageLoader

    plain = PackageLoader("equipoise.report")
    if language() == "en":
        return plain
    translate: Callable[[str], str | None] = sections(language())["templates"].get

    def load(name: str) -> str:
        source = (files("equipoise.report") / "templates" / name).read_text(encoding="utf-8")
        return translate_template(source, translate)

    return FunctionLoader(load)
