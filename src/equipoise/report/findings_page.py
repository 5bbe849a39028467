"""The results of a diagnosis as one HTML page, and as SARIF for code scanning."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from equipoise.artifacts.finding import Finding, in_order
from equipoise.diagnosis import CheckResult, explain
from equipoise.report.page import page_of

_LEVELS = {"error": "error", "warning": "warning", "tip": "note", "fact": "none"}
_TONES = {"error": "bad", "warning": "free", "tip": "open", "fact": "open"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def _worst_first(results: Sequence[CheckResult]) -> list[Finding]:
    found = [item for result in results for item in result.findings]
    return in_order(found)


def findings_page(results: Sequence[CheckResult], subject: str) -> str:
    """Return one self-contained page: what was found, why it matters, and every check.

    Args:
        results: From :func:`equipoise.diagnosis.run_checks`.
        subject: What was looked at, in words.

    Example:
        >>> from equipoise.diagnosis import Material, run_checks
        >>> page = findings_page(run_checks(Material(counts={"A": 0, "B": 9})), "two labels")
        >>> "EQ101" in page, "://" in page.split("</style>")[0]
        (True, False)
    """
    shown = [
        {
            **f.to_dict(),
            "evidence_json": json.dumps(f.to_dict()["evidence"], indent=1)[:20_000],
            "page": explain(f.code),
        }
        for f in _worst_first(results)
    ]
    return page_of(
        "findings.html.j2",
        findings=shown,
        results=results,
        counts=Counter(r.status for r in results),
        subject=subject,
        tones=_TONES,
    )


def findings_sarif(results: Sequence[CheckResult], source: str) -> dict[str, Any]:
    """Return the results as SARIF 2.1.0, which code hosts and editors show.

    Args:
        results: From :func:`equipoise.diagnosis.run_checks`.
        source: The file that was looked at, as its location.

    Example:
        >>> from equipoise.diagnosis import Material, run_checks
        >>> log = findings_sarif(run_checks(Material(counts={"A": 0, "B": 9})), "labels.csv")
        >>> first = log["runs"][0]["results"][0]
        >>> first["ruleId"], first["level"]
        ('EQ101', 'error')

    References:
        OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.27 and 3.49.
    """
    rules = [
        {
            "id": r.code,
            "shortDescription": {"text": r.title},
            "help": {"text": explain(r.code), "markdown": explain(r.code)},
        }
        for r in results
    ]
    place = {r.code: i for i, r in enumerate(results)}
    location = {"physicalLocation": {"artifactLocation": {"uri": source}}}
    found = [
        {
            "ruleId": f.code,
            "ruleIndex": place[f.code],
            "level": _LEVELS[f.severity],
            # SARIF 3.27.10: what has no level is no failure.
            "kind": "informational" if f.severity == "fact" else "fail",
            "message": {"text": " ".join([f.message, *f.suggests])},
            "locations": [location],
            "properties": {"evidence": f.to_dict()["evidence"]},
        }
        for f in _worst_first(results)
    ]
    driver = {"name": "equipoise", "version": version("equipoise"), "rules": rules}
    return {"$schema": _SCHEMA, "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": found}]}  # fmt: skip
