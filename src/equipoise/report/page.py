"""A page of a template: its style and scripts inside, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any


def page_of(template: str, *scripts: str, **shown: Any) -> str:
    """Return a page of a template with its style and scripts inside, and a policy for nothing else.

    The policy names each script by its hash: no other runs, whatever a label may be called, and
    nothing is loaded from anywhere.

    Args:
        template: Its file name.
        scripts: Names of static scripts, in their order.
        shown: What the template prints.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("equipoise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    static = files("equipoise.report") / "static"
    held = [(static / name).read_text(encoding="utf-8") for name in scripts]
    hashes = (hashlib.sha256(text.encode()).digest() for text in held)
    allowed = " ".join(f"'sha256-{base64.b64encode(h).decode()}'" for h in hashes) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    css = (static / "report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(css=css, scripts=held, policy=policy, **shown)
