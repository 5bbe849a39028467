"""Columns of a table as people have them: what each is, and the numbers that models are given.

Nothing here looks at a label. Which kind a column has is seen from all rows that are read; what is
*learned* of columns (means, categories that are known, encodings) is learned in
:mod:`equipoise.boosting.preparation`, from training rows alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import closest, hint, say
from equipoise.errors import DataError

if TYPE_CHECKING:
    import polars as pl

Role = Literal["number", "category", "text", "date", "left out"]
ROLES: tuple[Role, ...] = get_args(Role)

DATE_FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M",
    "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%b-%Y", "%b %d, %Y",
)  # fmt: skip
"""Tried in this order; where the day may be the month, what fits all entries is taken."""
_DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
_WORDS_AMONG_NUMBERS = 0.05
"""Share of entries up to which words in a column of numbers are read as missing."""
_TEXT_WORDS, _TEXT_DISTINCT = 3.0, 0.2
_IMAGE = r"(?i)\.(png|jpe?g|bmp|gif|tiff?|webp)$"
_ID_SHARE = 0.9
_ID_NAME = re.compile(
    r"(^|[_\s.-])(id|uuid|guid|idx|index|key|nr|rownum|row)$|^unnamed", re.IGNORECASE
)
_ID_CAMEL = re.compile(r"[a-z](Id|ID)$")
_COUNTS, _AN_ID = "it counts the rows", "an id"
_MISSING = ("", "?", "-", "--", "na", "n/a", "n.a.", "nan", "null", "nil", "<na>")
"""Entries, in lower case, that say that nothing is known; "none" and "unknown" may be answers."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of a table is, and what is made of it.

    Args:
        name: As in the table.
        role: "number", "category", "text", "date" or "left out".
        why: In words, for people: what was seen, or why it is left out.
        levels: Of a category, the entries that are known, in order of first appearance; of text
            none, as every entry may be new.
        formats: Of a date, the formats that it was read with; of numbers in text, how they are
            written.
    """

    name: str
    role: Role
    why: str = ""
    levels: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()

    @property
    def is_id(self) -> bool:
        """Whether it is left out as it names rows."""
        return self.role == "left out" and self.why.startswith((_COUNTS, _AN_ID))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the numbers that are made of it."""
        if self.role == "left out":
            return ()
        if self.role == "date":
            return tuple(f"{self.name}: {part}" for part in _DATE_PARTS)
        return (self.name,)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        body: dict[str, Any] = {"name": self.name, "role": self.role, "why": self.why}
        for key in ("levels", "formats"):
            if getattr(self, key):
                body[key] = list(getattr(self, key))
        return body


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Rows of a table as numbers.

    Args:
        values: (N, F) float32: numbers as they are, categories and texts as places in ``words``,
            NaN where an entry is missing or not known.
        columns: What the table's columns are.
        words: Field -> the entries that its numbers stand for.
        ids: Columns that are left out as ids -> where each row stands in their order, (N,).
    """

    values: NDArray[np.float32]
    columns: tuple[Column, ...]
    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    ids: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the F numbers."""
        return tuple(name for column in self.columns for name in column.fields)

    def places(self, role: Role) -> list[int]:
        """Return which of the F numbers come of columns of a role."""
        roles = [column.role for column in self.columns for _ in column.fields]
        return [i for i, found in enumerate(roles) if found == role]

    @property
    def by_name(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Column -> its numbers, (N,); of a date the days. Texts are no single column."""
        texts = set(self.places("text"))
        found: dict[str, NDArray[np.floating[Any]]] = {}
        place = 0
        for column in self.columns:
            for _ in column.fields:
                if place not in texts:
                    found[column.name] = self.values[:, place]
                place += 1
        return found

    @property
    def is_plain(self) -> bool:
        """Whether it is numbers in every entry, which any model takes as they are."""
        plain = all(column.role in ("number", "left out") for column in self.columns)
        return plain and bool(np.isfinite(self.values).all())

    def lines(self) -> list[str]:
        """Return in words what was made of each column."""
        return [f"{c.name}: {c.role}{f' ({c.why})' if c.why else ''}" for c in self.columns]

    @property
    def summary(self) -> str:
        """How many columns of each role there are, and which are left out; nothing for numbers."""
        roles = [c.role for c in self.columns]
        if set(roles) == {"number"}:
            return ""
        counts = [f"{roles.count(role)} {role}" for role in ROLES if roles.count(role)]
        gone = [f"{c.name!r} ({c.why})" for c in self.columns if c.role == "left out"]
        said = f"Columns: {', '.join(counts)}."
        return f"{said} Left out: {', '.join(gone)}." if gone else said


def code_table(
    frame: pl.DataFrame,
    *,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    time: Sequence[str] = (),
) -> Coded:
    """Say what the columns of a table are, and return its rows as numbers.

    Text that is numbers, decimal commas included, is read as numbers; ``NA``, ``?`` and the like
    are missing. Dates become year, month, day, weekday, hour and days since 1970. Left out, each
    with its reason: columns without entries, with one value alone, and ids: a value per row in
    texts, in whole numbers that count rows, or under a name that says so.

    Args:
        frame: Columns that are features or may be.
        drop: Columns to leave out.
        categorical: Columns whose numbers are names: of places, of products.
        time: Columns that are dates.

    Raises:
        DataError: a name that is no column; a date that no format reads; nothing that is left.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"job": ["cook", None, "?", "cook"], "age": ["31", "NA", "5", "9"],
        ...                       "since": ["2024-01-31", "2024-02-01", None, "2024-03-01"]})
        >>> found = code_table(table)
        >>> [c.role for c in found.columns]
        ['category', 'number', 'date']
        >>> found.values[:, :2].tolist()
        [[0.0, 31.0], [nan, nan], [nan, 5.0], [0.0, 9.0]]
    """
    for argument, names in (("drop", drop), ("categorical", categorical), ("time", time)):
        for name in names:
            if name not in frame.columns:
                raise DataError(
                    say(argument, "name columns of the table", repr(name),
                        closest(name, frame.columns))
                )  # fmt: skip
    found = []
    for name in frame.columns:
        if name in drop:
            found.append(Column(name, "left out", "as asked"))
        else:
            found.append(_seen(frame[name], name in categorical, name in time))
    coded = encode(frame, found)
    return replace(coded, ids={c.name: id_order(frame[c.name]) for c in found if c.is_id})


def id_order(series: pl.Series) -> NDArray[np.float64]:
    """Return where each row stands when a column of ids is sorted, (N,); C2 comes before C10.

    Example:
        >>> import polars as pl
        >>> id_order(pl.Series(["C10", "C2", None, "C1"])).tolist()
        [2.0, 1.0, nan, 0.0]
    """
    import polars as pl

    texts = _texts(series)
    keys = pl.DataFrame({
        "letters": texts.str.replace_all(r"\d+", "0"),
        "number": texts.str.extract(r"(\d+)\D*$").cast(pl.Float64, strict=False),
        "text": texts,
    }).with_row_index("row")  # fmt: skip
    place = np.empty(len(texts))
    place[keys.sort("letters", "number", "text")["row"].to_numpy()] = np.arange(len(texts))
    gone = texts.is_null().to_numpy()
    return np.where(gone, np.nan, place - gone.sum())


def encode(frame: pl.DataFrame, columns: Sequence[Column]) -> Coded:
    """Return the rows of a table as numbers, its columns read as they were before.

    Entries of a category that were not known become NaN, as missing ones do; entries that are no
    number or no date too.

    Raises:
        DataError: a column is not in the table; every column is left out.
    """
    used = [column for column in columns if column.role != "left out"]
    if not used:
        got = "; ".join(f"{c.name} ({c.why})" for c in columns[:5]) or "none beside the labels"
        do = hint("If they are paths of images, say {image=COLUMN}.") if columns else ""
        raise DataError(say("features", "be at least one column", got, do))
    lacking = [column.name for column in used if column.name not in frame.columns]
    if lacking:
        do = "Add them, with empty entries where nothing is known."
        listed = ", ".join(map(repr, lacking[:10]))
        raise DataError(say("columns", "be those that the model was made with",
                            f"none called {listed}", do))  # fmt: skip
    parts: list[NDArray[np.float32]] = []
    words: dict[int, tuple[str, ...]] = {}
    for column in used:
        series, place = frame[column.name], len(parts)
        if column.role == "number":
            parts.append(_numbers(series, column.formats[0] if column.formats else ""))
        elif column.role == "date":
            parts.extend(_date_parts(series, column.formats))
        else:
            texts = _texts(series)
            known = column.levels if column.role == "category" else _distinct(texts)
            parts.append(_codes(texts, known))
            words[place] = known
    return Coded(np.stack(parts, axis=1), tuple(columns), words)


def unknown_entries(
    frame: pl.DataFrame, columns: Sequence[Column]
) -> dict[str, tuple[int, str, str]]:
    """Return the columns with entries that cannot be read as they were in training.

    They become NaN, as missing ones do.

    Returns:
        Column -> in how many rows, the first of them, and what is wrong with it.
    """
    import polars as pl

    found: dict[str, tuple[int, str, str]] = {}
    for column in columns:
        if column.name not in frame.columns:
            continue
        series, style = frame[column.name], column.formats[0] if column.formats else ""
        texts = _texts(series)
        if column.role == "category":
            odd, why = ~texts.is_in(list(column.levels)), "that training rows did not"
        elif column.role == "number":
            odd, why = (
                pl.Series(np.isnan(_numbers(series, style))),
                "that are no numbers as in training",
            )
        elif column.role == "date":
            odd, why = _dates(series, column.formats).is_null(), "that are no dates as in training"
        else:
            continue
        new = texts.filter(odd & texts.is_not_null())
        if len(new):
            found[column.name] = len(new), str(new[0]), why
    return found


def moments(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """Return when rows were: days since 1970 of a column of dates, or its numbers, (N,) float64.

    Raises:
        DataError: no such column, one that is neither, or rows without an entry.
    """
    if name not in frame.columns:
        raise DataError(
            say("split.column", "name a column of the table", repr(name),
                closest(name, frame.columns))
        )  # fmt: skip
    series = frame[name]
    numbers = _as_numbers(series)
    if numbers is not None:
        found = np.array(numbers.to_numpy(), dtype=np.float64)
    else:
        read = _dates(series, _date_formats(_texts(series)) if series.dtype == _string() else ())
        found = np.array(read.dt.epoch("s").cast(float).to_numpy(), dtype=np.float64) / 86_400
    gone = ~np.isfinite(found)
    if gone.all():
        first = _texts(series).drop_nulls()
        got = repr(first[0]) if len(first) else "no entries"
        raise DataError(say(f"column {name}", "hold dates or numbers", got))
    if gone.any():
        got = f"{int(gone.sum())} rows without (first: row {int(gone.argmax())})"
        do = "Fill them in, or leave those rows out."
        raise DataError(say(f"column {name}", "say when each row was", got, do))
    return found


def _string() -> Any:
    import polars as pl

    return pl.String


def _texts(series: pl.Series) -> pl.Series:
    """Return entries as trimmed text; words that say that nothing is known are null."""
    import polars as pl

    if series.dtype.is_float():
        whole = series.drop_nulls().drop_nans()
        series = series.fill_nan(None)
        if (whole % 1 == 0).all():
            series = series.cast(pl.Int64, strict=False)
    text = series.cast(pl.String).str.strip_chars()
    missing = text.str.to_lowercase().is_in(_MISSING).fill_null(value=True)
    return text.set(missing, None)


def _distinct(texts: pl.Series) -> tuple[str, ...]:
    return tuple(texts.drop_nulls().unique(maintain_order=True).to_list())


def _codes(texts: pl.Series, known: Sequence[str]) -> NDArray[np.float32]:
    import polars as pl

    if not known:
        return np.full(len(texts), np.nan, dtype=np.float32)
    places = pl.Series(range(len(known)), dtype=pl.Float32)
    coded = texts.replace_strict(list(known), places, default=None, return_dtype=pl.Float32)
    return np.asarray(coded.to_numpy(), dtype=np.float32)


_STYLES = {
    "points": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "commas for points": r"^[+-]?\d+(,\d+)?([eE][+-]?\d+)?$",
    "commas between thousands": r"^[+-]?(\d{1,3}(,\d{3})*|\d+)(\.\d+)?$",
    "points between thousands": r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$",
    "true and false": r"^(?i)(true|false)$",
}
"""How numbers may be written; of several that fit all entries the first is taken."""
_MAYBE_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})*$"
_SIGNS = r"^[$€£¥]\s*|\s*[%$€£¥]$"


def _bare(texts: pl.Series) -> pl.Series:
    """Return entries without a currency or a per cent around them."""
    return texts.str.replace_all(_SIGNS, "")


def _style(known: pl.Series) -> tuple[str, pl.Series]:
    """Return how most entries are written as numbers, and which of them are."""
    bare = _bare(known)
    fits = {style: bare.str.contains(pattern) for style, pattern in _STYLES.items()}
    if bare.str.contains(_MAYBE_THOUSANDS).all():
        # 1,250 beside 950: no number of decimals differs, so they part thousands.
        fits["commas for points"] = fits["commas for points"] & False
    best = max(fits, key=lambda style: int(fits[style].sum()))
    return best, fits[best]


def _parse(texts: pl.Series, style: str) -> pl.Series:
    """Return entries as numbers; null where they are none."""
    import polars as pl

    bare = _bare(texts)
    if style == "true and false":
        low = bare.str.to_lowercase()
        return pl.Series(texts.name, [{"true": 1.0, "false": 0.0}.get(v) for v in low], pl.Float64)
    if style == "commas for points":
        bare = bare.str.replace(",", ".", literal=True)
    elif style == "commas between thousands":
        bare = bare.str.replace_all(",", "", literal=True)
    elif style == "points between thousands":
        bare = bare.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return bare.cast(pl.Float64, strict=False)


def _as_numbers(series: pl.Series, style: str = "") -> pl.Series | None:
    """Return numbers, or None where the column holds other things.

    Args:
        series: A column.
        style: How numbers are written, of `_STYLES`; "" for what fits every entry.
    """
    import polars as pl

    if series.dtype == pl.Boolean:
        return series.cast(pl.Float64)
    if series.dtype.is_numeric():
        return series.cast(pl.Float64).fill_nan(None)
    if series.dtype != pl.String:
        return None
    texts = _texts(series)
    if style:
        return _parse(texts, style)
    known = texts.drop_nulls()
    found, fits = _style(known)
    return _parse(texts, found) if len(known) and fits.all() else None


_LARGEST = float(np.finfo(np.float32).max)
"""Beyond it a number is infinite for the models."""


def _numbers(series: pl.Series, style: str) -> NDArray[np.float32]:
    import polars as pl

    read = _as_numbers(series, style)
    if read is None:
        read = _parse(_texts(series), "points") if series.dtype == pl.String else series
    values = np.array(read.cast(pl.Float64, strict=False).to_numpy(), dtype=np.float64)
    values[~(np.abs(values) <= _LARGEST)] = np.nan
    return values.astype(np.float32)


def _date_parts(series: pl.Series, formats: Sequence[str]) -> list[NDArray[np.float32]]:
    moment = _dates(series, formats)
    parts = [moment.dt.year(), moment.dt.month(), moment.dt.day(), moment.dt.weekday(),
             moment.dt.hour(), moment.dt.epoch("s") / 86_400]  # fmt: skip
    return [np.asarray(p.cast(float).to_numpy(), dtype=np.float32) for p in parts]


def _dates(series: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Return moments, each entry by the first format that reads it."""
    import polars as pl

    if series.dtype == pl.Date:
        return series.cast(pl.Datetime("us"))
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    texts = _texts(series)
    # Fractions of a second and a time zone say nothing here.
    texts = texts.str.replace(r"(:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)$", "$1")
    read = pl.Series(series.name, [None] * len(texts), dtype=pl.Datetime("us"))
    for form in formats:
        read = read.zip_with(read.is_not_null(), _read_dates(texts, form))
    return read


def _read_dates(texts: pl.Series, form: str) -> pl.Series:
    import polars as pl

    if "%H" in form:
        return texts.str.to_datetime(form, strict=False, time_unit="us")
    return texts.str.to_date(form, strict=False).cast(pl.Datetime("us"))


def _date_formats(texts: pl.Series) -> tuple[str, ...]:
    """Return the formats that together read every entry, or none."""
    known = texts.drop_nulls().str.replace(r"(:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)$", "$1")
    if not len(known) or not known.head(1).str.contains(r"\d").all():
        return ()
    reads = {form: _read_dates(known, form).is_not_null() for form in DATE_FORMATS}
    for form, read in reads.items():
        if read.all():
            return (form,)
    chosen, left = [], known.is_not_null()
    while left.any():
        form = max(reads, key=lambda f: int((reads[f] & left).sum()))
        if not (reads[form] & left).any():
            return ()
        chosen.append(form)
        left = left & ~reads[form]
    return tuple(chosen)


def _seen(series: pl.Series, categorical: bool, time: bool) -> Column:
    """Return what one column is."""
    import polars as pl

    name, dtype = series.name, series.dtype
    if dtype == pl.Null:
        return Column(name, "left out", "no entries")
    if time or dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return _seen_date(series, time)
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)):
        return Column(name, "left out", f"entries of type {dtype}")
    texts = _texts(series)
    n, known = len(texts), texts.drop_nulls()
    if not len(known):
        return Column(name, "left out", "no entries")
    distinct = known.n_unique()
    if distinct == 1 and len(known) == n:
        return Column(name, "left out", f"one value alone, {known[0]!r}")
    missing = "" if len(known) == n else f"{n - len(known)} of {n} entries missing"
    if categorical:
        return _category(name, texts, distinct, missing, "as asked")
    numbers = _as_numbers(series)
    if numbers is not None:
        style = _style(known)[0] if dtype == pl.String else ""
        return _seen_number(name, numbers, distinct, missing, style)
    if distinct <= n:
        formats = _date_formats(texts)
        if formats:
            shown = " and ".join(formats)
            return Column(name, "date", _joined(f"as {shown}", missing), formats=formats)
    return _seen_words(name, texts, distinct, missing)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _seen_date(series: pl.Series, asked: bool) -> Column:
    import polars as pl

    name = series.name
    formats: tuple[str, ...] = ()
    if series.dtype == pl.String:
        formats = _date_formats(_texts(series))
        if not formats and asked:
            first = _texts(series).drop_nulls()
            got = repr(first[0]) if len(first) else "no entries"
            do = "Write them as 2026-01-31 or 2026-01-31 12:00:00."
            raise DataError(say(f"column {name}", "hold dates", got, do))
    elif series.dtype.is_numeric():
        # A clock that counts: its own numbers are what there is to learn from.
        return Column(name, "number", "a clock")
    moment = _dates(series, formats).drop_nulls()
    if not len(moment):
        return Column(name, "left out", "no entries")
    if moment.n_unique() == 1 and len(moment) == len(series):
        return Column(name, "left out", f"one moment alone, {moment[0]}")
    lacking = len(series) - len(moment)
    missing = f"{lacking} of {len(series)} entries missing" if lacking else ""
    shown = f"as {' and '.join(formats)}" if formats else ""
    return Column(name, "date", _joined(shown, missing), formats=formats)


def _written(style: str) -> str:
    """Say how numbers are written, where it might be taken otherwise."""
    return "" if style in ("", "points", "true and false") else style


def _seen_number(name: str, numbers: pl.Series, distinct: int, missing: str, style: str) -> Column:
    known = numbers.drop_nulls()
    whole = bool((known % 1 == 0).all())
    if whole and distinct == len(known) > 2 and len(known) == len(numbers):
        steps = known.diff().drop_nulls()
        if bool((steps == 1).all()):
            return Column(name, "left out", _COUNTS)
        if _is_id(name) or (bool((steps > 0).all()) and len(known) > 50):
            return Column(name, "left out", f"{_AN_ID}: another whole number in every row")
    endless = int((known.abs() > _LARGEST).sum())
    said = f"{endless} infinite, read as missing" if endless else ""
    formats = (style,) if style else ()
    return Column(name, "number", _joined(_written(style), said, missing), formats=formats)


def _is_id(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _ID_CAMEL.search(name))


def _category(name: str, texts: pl.Series, distinct: int, missing: str, said: str = "") -> Column:
    shown = f"{distinct} values" if distinct != 1 else "one value"
    return Column(name, "category", _joined(shown, said, missing), levels=_distinct(texts))


def _seen_words(name: str, texts: pl.Series, distinct: int, missing: str) -> Column:
    """Return what a column that holds words is: numbers but for a few, text, a category, an id."""
    known = texts.drop_nulls()
    style, fits = _style(known)
    words = int((~fits).sum())
    few = words <= _WORDS_AMONG_NUMBERS * len(known)
    if few and known.filter(fits).n_unique() > 2:
        said = f"{words} that are none, such as {known.filter(~fits)[0]!r}, are missing"
        return Column(name, "number", _joined(_written(style), said, missing), formats=(style,))
    if known.str.contains(_IMAGE).all():
        return Column(name, "left out", "paths of images")
    spaces = int(known.str.count_matches(r"\s+").sum()) / len(known)
    if spaces + 1 >= _TEXT_WORDS and distinct > _TEXT_DISTINCT * len(known):
        return Column(name, "text", _joined(f"{spaces + 1:.0f} words on average", missing))
    if distinct > 2 and distinct >= _ID_SHARE * len(known):
        return Column(name, "left out", f"{_AN_ID}: {distinct} values in {len(known)} rows")
    if _is_id(name) and distinct > 0.5 * len(known):
        return Column(name, "left out", f"{_AN_ID}: {distinct} values in {len(known)} rows")
    return _category(name, texts, distinct, missing)


def columns_from(bodies: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Return what :meth:`Column.to_dict` wrote."""
    return tuple(
        replace(
            Column(str(body["name"]), body["role"], str(body.get("why", ""))),
            levels=tuple(body.get("levels", ())),
            formats=tuple(body.get("formats", ())),
        )
        for body in bodies
    )
