"""One self-contained HTML file from artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.report.chapter import Chapter, read_chapter
    from equipoise.report.render import write_report

__all__ = ["Chapter", "read_chapter", "write_report"]


def __getattr__(name: str) -> Any:
    if name == "write_report":
        from equipoise.report.render import write_report

        return write_report
    if name in __all__:
        from equipoise.report import chapter

        return getattr(chapter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
