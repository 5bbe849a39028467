"""One self-contained HTML file from artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.report.render import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from equipoise.report.render import write_report

    return write_report


def __dir__() -> list[str]:
    return sorted(__all__)
