"""What is learned of columns, from training rows alone: fill-ins, scales, encodings of categories.

scikit-learn does it (ColumnTransformer, OneHotEncoder, TargetEncoder, TF-IDF); here stands which of
it a column gets, for the two kinds of models there are: trees, which take gaps and places as they
are, and everything that weighs numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Labels
from equipoise.boosting.columns import Coded

Style = Literal["trees", "numbers"]
"""Whom rows are prepared for: trees, or models that weigh numbers."""

FEW, MANY = 40, 254
"""Values up to which a category has a column each, and up to which trees take its places."""
TEXT_PARTS = 30
"""Directions that are kept of TF-IDF weights of a text."""
_MOST_NGRAMS = 20_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows become what a model is fitted on; made by :func:`learn_preparation`.

    Args:
        style: Whom rows are prepared for.
        table: A fitted ColumnTransformer, or None where numbers stay as they are.
        texts: Field of each text -> a fitted pipeline of TF-IDF and singular value decomposition.
        categorical: Places of the prepared numbers that are categories' places, for trees.
    """

    style: Style
    table: Any
    texts: dict[int, Any]
    categorical: tuple[int, ...]

    def __call__(self, coded: Coded, rows: NDArray[np.int64] | None = None) -> Floats:
        """Return the prepared numbers of rows, (N, D) float32."""
        values = coded.values if rows is None else coded.values[rows]
        if self.table is None:
            return np.asarray(values, dtype=np.float32)
        return self._joined(coded, values, self.table.transform(values))

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Places of the prepared numbers that stand for one category together: one or several."""
        found: list[tuple[int, ...]] = []
        for name in ("few", "several"):
            if self.table is None or name not in self.table.named_transformers_:
                continue
            encoder, place = self.table.named_transformers_[name], self.table.output_indices_[name]
            at = int(place.start)
            for width in _widths(encoder):
                found.append(tuple(range(at, at + width)))
                at += width
        return tuple(found)

    def _joined(self, coded: Coded, values: Floats, numbers: Any) -> Floats:
        parts = [np.asarray(numbers, dtype=np.float32)]
        parts += [
            np.asarray(pipeline.transform(words_of(coded, values, place)), dtype=np.float32)
            for place, pipeline in self.texts.items()
        ]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _widths(encoder: Any) -> list[int]:
    """Return how many numbers an encoder makes of each category."""
    if not hasattr(encoder, "sparse_output"):
        return [1] * len(encoder.categories_)
    rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    pairs = zip(encoder.categories_, rare, strict=True)
    return [len(all_) - (0 if few is None else len(few) - 1) for all_, few in pairs]


def words_of(coded: Coded, values: Floats, place: int) -> list[str]:
    """Return the entries of a text; a missing one is empty."""
    words = coded.words.get(place, ())
    return ["" if np.isnan(code) else words[int(code)] for code in values[:, place]]


def learn_preparation(
    coded: Coded, labels: Labels, rows: NDArray[np.int64], style: Style, seed: int = 0
) -> tuple[Preparation, Floats]:
    """Learn from training rows how rows are prepared; return that and these rows, prepared.

    Of trees, numbers keep their gaps and categories of up to 254 values are places; of others
    numbers get their median for gaps, with a column that says so, and are standardised, and
    categories of up to 40 values get a column each. Larger ones become the target's mean in them
    (Micci-Barreca, 2001), where training rows get those of other rows, as scikit-learn's
    TargetEncoder does; with several labels the 40 (254) most frequent values are kept. A value that
    training rows lack is one of its own that says nothing. Texts become 30 directions of TF-IDF
    weights of their letters.

    Args:
        coded: Rows of the whole table.
        labels: Of all rows; those of ``rows`` are looked at.
        rows: Training rows, repeated ones allowed.
        style: Whom they are prepared for.
        seed: Of what is drawn.

    Returns:
        The preparation, and (n, D) float32 of ``rows``: not what the preparation makes of them
        where a target was encoded.
    """
    from sklearn.compose import ColumnTransformer

    values = coded.values[rows]
    if style == "trees" and not coded.places("category") + coded.places("text"):
        return Preparation(style, None, {}, ()), np.asarray(values, dtype=np.float32)
    truth = _one_truth(labels, rows)
    parts: list[tuple[str, Any, list[int]]] = []
    numbers = coded.places("number") + coded.places("date")
    if numbers:
        parts.append(("numbers", _for_numbers(style), sorted(numbers)))
    few, many, several = _by_size(coded, values, style, truth is not None)
    if few:
        parts.append(("few", _for_few(style), few))
    if many:
        parts.append(("many", _for_many(seed), many))
    if several:
        parts.append(("several", _for_few(style, most=MANY if style == "trees" else FEW), several))
    table = ColumnTransformer(parts, sparse_threshold=0.0)
    place = len(numbers)
    categorical = tuple(range(place, place + len(few))) if style == "trees" else ()
    texts = {at: _for_text(words_of(coded, values, at), seed) for at in coded.places("text")}
    texts = {at: pipeline for at, pipeline in texts.items() if pipeline is not None}
    if not parts:
        table = ColumnTransformer([("none", "drop", [0])])
    fitted = table.fit_transform(values, _filled(truth))
    made = Preparation(style, table, texts, categorical)
    return made, made._joined(coded, values, fitted)


def _one_truth(labels: Labels, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return one target per row, where there is one: classes, or a single label."""
    if labels.kind == "multiclass":
        return np.asarray(labels.values[rows])
    if labels.num_classes > 1:
        return None
    return np.asarray(labels.values[rows, 0], dtype=np.int64)


def _filled(truth: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Return targets that an encoder takes: an unknown one pulls towards neither side for long."""
    if truth is None or (truth >= 0).all():
        return truth
    known = truth[truth >= 0]
    common = int(np.bincount(known).argmax()) if known.size else 0
    return np.where(truth < 0, common, truth)


def _by_size(
    coded: Coded, values: Floats, style: Style, one: bool
) -> tuple[list[int], list[int], list[int]]:
    """Return the categories with few values, those with many, and those kept to the frequent."""
    few, many, several = [], [], []
    for place in coded.places("category"):
        seen = values[:, place]
        size = np.unique(seen[~np.isnan(seen)]).size
        if size <= (MANY if style == "trees" else FEW) and (size <= FEW or not one):
            few.append(place)
        elif one:
            many.append(place)
        else:
            several.append(place)
    return few, many, several


def _for_numbers(style: Style) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if style == "trees":
        return "passthrough"
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(filled, StandardScaler())


def _for_few(style: Style, most: int | None = None) -> Any:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if style == "trees":
        return OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan,
            encoded_missing_value=np.nan, max_categories=most,
        )  # fmt: skip
    unknown = "ignore" if most is None else "infrequent_if_exist"
    return OneHotEncoder(handle_unknown=unknown, max_categories=most, sparse_output=False)


def _for_many(seed: int) -> Any:
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    if signature(TargetEncoder).parameters["shuffle"].default != "deprecated":
        return TargetEncoder(random_state=seed)  # before scikit-learn 1.9
    return TargetEncoder(cv=KFold(5, shuffle=True, random_state=seed))


def _for_text(texts: list[str], seed: int) -> Any:
    """Return a fitted pipeline, or None where no letters recur."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    weights = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), min_df=2, max_features=_MOST_NGRAMS
    )
    try:
        size = weights.fit_transform(texts).shape[1]
    except ValueError:
        return None
    if size < 2:
        return None
    parts = TruncatedSVD(min(TEXT_PARTS, size - 1), random_state=seed)
    return make_pipeline(weights, parts).fit(texts)
