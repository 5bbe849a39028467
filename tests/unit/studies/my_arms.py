"""A user's module with scikit-learn classifiers as arms of a study."""

from __future__ import annotations

from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression


def weighted(strength: float = 1.0) -> LogisticRegression:
    """Class weights of the data."""
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def resampled() -> object:
    """Rows of the rare class repeated within the training part."""
    return make_pipeline(RandomOverSampler(random_state=0), LogisticRegression(max_iter=1000))


def broken() -> object:
    """Fit that fails."""
    return LogisticRegression(penalty="nonsense")


def wrong() -> int:
    """No classifier."""
    return 3
