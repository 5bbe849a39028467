"""The review sheet: rows of the mistake book most worth a human look, as HTML and CSV."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.cells import safe_frame
from equipoise._core.checks import require_least
from equipoise._core.files import atomic_path, write_text
from equipoise._core.messages import say
from equipoise.errors import DataError
from equipoise.mining.book import MistakeBook
from equipoise.mining.nearest import Embed, nearest_positives
from equipoise.mining.pools import Pool
from equipoise.report.review import render_review

Picture = Callable[[int], NDArray[Any] | None]


class Review(NamedTuple):
    """A review sheet: its two files, and the overlap that it reports.

    Args:
        page: review.html.
        table: review.csv.
        overlap: Share of its rows that lie nearer to a labelled positive than positives usually lie
            to each other.
        overlap_of_random: The same share of negatives drawn at random.
    """

    page: Path
    table: Path
    overlap: float
    overlap_of_random: float


def write_review(
    book: MistakeBook,
    pool: Pool,
    folder: str | Path,
    *,
    most: int = 200,
    embed: Embed | None = None,
    picture: Picture | None = None,
    growth: str | None = None,
    title: str = "Review sheet",
) -> Review:
    """Write review.html and review.csv: the mistakes most worth a human look, worst first.

    Use before trusting a mined model: what it stubbornly takes for a positive is either a hard
    negative or a positive that nobody marked, and only a look tells. The CSV has an empty column
    ``verdict`` to fill in.

    Args:
        book: The mistake book.
        pool: What was mined.
        folder: Where both are written.
        most: Rows at most; the order is that of :meth:`MistakeBook.by_row`.
        embed: As in :func:`nearest_positives`.
        picture: From a row's position to an array (H, W) or (H, W, 3), uint8 or floats in [0, 1];
            None asks the pool, which shows rows that have the shape of an image.
        growth: A picture of the book growing, as SVG, or None.
        title: Heading.

    Returns:
        The two files and the overlap. The page is one file without network requests; thumbnails are
        at most 96 pixels wide and lie inside it.

    Raises:
        UsageError: ``most`` below 1.
        DataError: an empty book, or a picture that is none.
    """
    require_least("most", most, 1)
    if not len(book):
        raise DataError(say("book", "hold at least one entry", "none", "Mine a round first."))
    lines = book.by_row().head(most).to_dicts()
    rows = np.array([line["row"] for line in lines])
    near = nearest_positives(pool, rows, embed=embed)
    groups, names = pool.groups(rows), pool.ids(near.nearest)
    show = pool.picture if picture is None else picture
    shown = []
    for i, line in enumerate(lines):
        extra = {
            "rank": i + 1,
            "group": None if groups is None else groups[i],
            "nearest_positive": names[i],
            "distance": float(near.distance[i]),
            "near": bool(near.is_near[i]),
        }
        pictures = {
            "thumbnail": thumbnail(show(int(rows[i]))),
            "nearest_thumbnail": thumbnail(show(int(near.nearest[i]))),
        }
        shown.append({**line, **extra, **pictures})
    place = Path(folder)
    numbers = {
        "overlap": near.share,
        "overlap_of_random": near.share_of_random,
        "n_rows": len(np.unique(book.rows)),
        "n_skipped": len(np.unique(book.rows[book.events == "skipped"])),
    }
    page = write_text(place / "review.html", render_review(shown, numbers, growth, title))
    table = _write_csv(shown, place / "review.csv")
    return Review(page, table, near.share, near.share_of_random)


def _write_csv(shown: list[dict[str, Any]], path: Path) -> Path:
    import polars as pl

    order = (
        "rank", "id", "row", "group", "score", "last_score", "first_round", "times_selected",
        "times_skipped", "nearest_positive", "distance", "near",
    )  # fmt: skip
    columns = {name: [line[name] for line in shown] for name in order}
    with atomic_path(path) as temporary:
        frame, _ = safe_frame(pl.DataFrame({**columns, "verdict": [""] * len(shown)}))
        frame.write_csv(temporary)
    return path


def thumbnail(image: NDArray[Any] | None, most: int = 96, least: int = 48) -> str | None:
    """Return an image as a data address of a small PNG, or None."""
    if image is None:
        return None
    from PIL import Image

    values = np.asarray(image)
    if values.dtype.kind == "f":
        # Features that were scaled have no fixed range: show what there is of it.
        low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
        values = ((values - low) / (high - low) * 255).round()
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)
    if values.dtype.kind not in "fiu" or not is_image or values.min() < 0 or values.max() > 255:
        got = f"shape {values.shape}, {values.dtype}"
        raise DataError(say("picture", "return (H, W) or (H, W, 3) in [0, 255] or [0, 1]", got))
    made = Image.fromarray(values.astype(np.uint8))
    longest = max(made.size)
    if longest > most or longest < least:
        factor = (most if longest > most else least) / longest
        width, height = (max(1, round(side * factor)) for side in made.size)
        how = Image.Resampling.BILINEAR if longest > most else Image.Resampling.NEAREST
        made = made.resize((width, height), how)
    buffer = io.BytesIO()
    made.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
