"""Numbers and records as the page prints them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from equipoise._core.language import said
from equipoise.artifacts import Estimate

DASH = "\N{EN DASH}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits, or a dash."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:.{digits}f}"


def percent(share: float) -> str:
    """Return a share in per cent, or a dash.

    Example:
        >>> percent(0.0375)
        '3.8 %'
    """
    return DASH if math.isnan(share) else f"{100 * share:.1f} %"


def interval(estimate: Estimate, *, signed: bool = False) -> dict[str, Any]:
    """Return an estimate as text, bounds and a remark."""
    form = "+.3f" if signed else ".3f"
    if estimate.is_missing:
        return {"text": DASH, "bounds": "", "why": estimate.reason or "", "sort": -9}
    has_bounds = not math.isnan(estimate.low)
    bounds = f"{estimate.low:{form}} {said('to')} {estimate.high:{form}}" if has_bounds else ""
    return {
        "text": f"{estimate.value:{form}}",
        "bounds": bounds,
        "why": estimate.reason or "",
        "sort": estimate.value,
    }


def no_nan(value: Any) -> Any:
    """Return the same with None for what is no number, as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: no_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [no_nan(v) for v in value]
    return value


def as_json(body: Any) -> str:
    r"""Return JSON that may stand inside a script element.

    Example:
        >>> print(as_json({"name": "</script>"}))
        {"name":"\u003c/script>"}
    """
    text = json.dumps(no_nan(body), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
