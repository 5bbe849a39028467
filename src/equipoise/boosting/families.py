"""Models for tables by name: boosters, forests, logistic regression; fitted, kept and read again.

Every one returns outputs on the scale of logits, so that what follows (inverse, calibration,
thresholds) is the same for all. Nothing is pickled: LightGBM keeps its text, XGBoost its JSON,
CatBoost its cbm, models of scikit-learn and imbalanced-learn go through skops.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from equipoise._core.documents import parse_json, read_text
from equipoise._core.files import atomic_path, write_text
from equipoise._core.messages import closest, say
from equipoise.artifacts.labels import Kind
from equipoise.boosting.objectives import Objective
from equipoise.boosting.preparation import Style
from equipoise.errors import DataError, MissingExtraError, UsageError

Floats = NDArray[np.floating[Any]]
Whole = NDArray[np.int64]
_LOW = 1e-7


@dataclass(frozen=True, eq=False)
class Task:
    """What one model is fitted on.

    Args:
        x: (n, D) prepared training rows.
        y: (n,) 0 or 1 where ``classes`` is 1, else classes.
        classes: Number of outputs.
        weight: (n,) of rows, or None.
        objective: What a booster minimises in place of its own loss.
        x_val: (m, D) rows that stop boosting; None for a number of rounds that is given.
        y_val: (m,) of them.
        weight_val: (m,) by which they count, or None.
        shift: (classes,) that takes drawn rows or weights out of the outputs of a model's own loss,
            where it is known; without it rows that stop boosting would be judged by other odds.
        categorical: Columns of ``x`` that hold places of categories.
        settings: Of the model, all of them.
        seed: Of what the model draws.
        threads: To compute with.
        device: "cpu" or "gpu", for boosters that know it.
    """

    x: NDArray[np.float32]
    y: Whole
    classes: int
    weight: Floats | None = None
    objective: Objective | None = None
    x_val: NDArray[np.float32] | None = None
    y_val: Whole | None = None
    weight_val: Floats | None = None
    shift: Floats | None = None
    categorical: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    device: str = "cpu"

    @property
    def workers(self) -> int:
        """Threads that are worth it."""
        return 1 if self.x.size <= SMALL else self.threads

    @property
    def start(self) -> Floats:
        """Outputs before the first tree, (classes,)."""
        made = 0.0 if self.objective is None else self.objective.start
        return np.broadcast_to(np.asarray(made, dtype=np.float64), (self.classes,))


SMALL = 2_000_000
"""Numbers of a table up to which one thread is as fast as several."""


class Fitted(Protocol):
    """A model that is fitted."""

    @property
    def rounds(self) -> int | None:
        """Trees per output that validation rows chose; None where nothing is boosted."""

    @property
    def of_val(self) -> NDArray[np.float64] | None:
        """Logits of the rows that stopped boosting, (m, classes), as of rows that did not.

        Each half is scored after the number of rounds that the other half chose: scored after their
        own they would flatter boosters beside models that nothing stops. None where nothing did.
        """

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, (N, classes)."""

    def save(self, folder: Path, name: str) -> list[str]:
        """Write the model; return the files."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model.

    Args:
        name: As in a study.
        package: What must be installed.
        extra: Which extra brings it, "" for the core.
        style: Whom its rows are prepared for.
        takes_losses: Kinds of labels for which losses other than its own can be fitted.
        settings: Its parameters and their defaults.
        fit: Makes a model of a task.
        load: Reads one again from a folder and a name.
        summary: One sentence.
        needs: Packages that read and predict it, as they are installed.
        is_remedy: Whether it treats imbalance itself: an arm, and no model that others treat.
    """

    name: str
    package: str
    extra: str
    style: Style
    takes_losses: tuple[Kind, ...]
    settings: Mapping[str, Any]
    fit: Callable[[Task], Fitted]
    load: Callable[[Path, str], Fitted]
    summary: str
    needs: tuple[str, ...] = ("scikit-learn", "skops")
    is_remedy: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether its package can be imported."""
        try:
            importlib.import_module(self.package)
        except (ImportError, RuntimeError, OSError):
            return False
        return True

    def require(self) -> None:
        """Raise unless it is installed.

        Raises:
            MissingExtraError: it is not.
        """
        if not self.is_installed:
            raise MissingExtraError(self.needs[0], self.extra, f"The model {self.name}")

    def resolved(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings; one that it does not have is an error.

        Raises:
            UsageError: an unknown setting.
        """
        for key in given:
            if key in REMEDIES and key not in self.settings:
                do = f"It is a remedy: give it as one of `arms`, {REMEDIES[key]}."
                got = "a setting, with which the untreated model would be a treated one"
                raise UsageError(say(f"{self.name}.{key}", "be an arm", got, do))
            if key not in self.settings:
                near = closest(key, self.settings)
                raise UsageError(say(f"{self.name}.{key}", "be a setting", key, near))
        return {**self.settings, **given}


_WEIGHTS = "pos_weight (labels; with `weight`, if you will) or weighted_ce (classes)"
REMEDIES: Mapping[str, str] = {
    **dict.fromkeys(("scale_pos_weight", "is_unbalance", "unbalance", "unbalanced_sets",
                     "class_weight", "class_weights", "auto_class_weights"), _WEIGHTS),
    **dict.fromkeys(("pos_bagging_fraction", "neg_bagging_fraction", "pos_subsample",
                     "neg_subsample"), "random_undersample"),
    "sampling_strategy": "random_oversample or smote",
}  # fmt: skip
"""What models call remedies of their own, and which arms do the same and undo it."""


def _log_odds(p: Floats) -> NDArray[np.float64]:
    """Return logits of probabilities (N,) or, of classes, their logs (N, C)."""
    q = np.clip(np.asarray(p, dtype=np.float64), _LOW, 1.0 - _LOW)
    return np.log(q) if q.ndim == 2 else np.log(q) - np.log1p(-q)


def _log_losses(task: Task, z: NDArray[np.float64], y: Whole) -> NDArray[np.float64]:
    """Return the log loss of the true probability behind each output: it stops all arms alike."""
    if task.objective is not None:
        return task.objective.log_losses(z if task.classes > 1 else z.ravel(), y)
    if task.shift is not None:
        z = z + task.shift
    if task.classes == 1:
        flat = z.ravel()
        return np.logaddexp(0.0, np.where(y == 1, -flat, flat))
    top = z.max(1, keepdims=True)
    whole = top[:, 0] + np.log(np.exp(z - top).sum(1))
    return np.asarray(whole - z[np.arange(len(z)), y])


class _Halves:
    """Follows the log loss of each half of the rows that stop boosting, round by round."""

    def __init__(self, task: Task) -> None:
        self.task = task
        y = np.asarray(task.y_val)
        # Alternate rows of each class, so that both halves have what there is of it.
        order = np.argsort(y, kind="stable")
        self.first = np.zeros(y.size, dtype=bool)
        self.first[order[::2]] = True
        self.losses: list[tuple[float, float]] = []

    def note(self, z: NDArray[np.float64]) -> float:
        """Note where a round stands, and return the log loss of all rows."""
        each = _log_losses(self.task, z, np.asarray(self.task.y_val))
        own = self.task.weight_val
        if own is not None:
            each = each * (own / own.mean())
        halves = each[self.first].sum(), each[~self.first].sum()
        self.losses.append((float(halves[0]), float(halves[1])))
        return float(each.mean())

    def crossed(self, at: Callable[[int], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return outputs of all rows, each half after the rounds that the other chose.

        Args:
            at: From a number of rounds to outputs of all rows.
        """
        best = np.argmin(np.asarray(self.losses), axis=0) + 1
        by_first, by_second = at(int(best[0])), at(int(best[1]))
        return np.where(self.first[:, None], by_second, by_first)


def _placed(
    made: NDArray[np.float64], present: Any, classes: int, rest: float
) -> NDArray[np.float64]:
    """Return outputs of the classes that are present as those of all, ``rest`` for the others."""
    if made.shape[1] == classes:
        return made
    whole = np.full((len(made), classes), rest)
    whole[:, np.asarray(present, dtype=np.int64)] = made
    return whole


@dataclass(frozen=True, eq=False)
class LightGBM:
    """A booster of LightGBM, with the outputs that it started from in its first trees."""

    booster: Any
    classes: int
    rounds: int | None
    of_val: NDArray[np.float64] | None = None

    def outputs(self, x: NDArray[np.float32], rounds: int | None = None) -> NDArray[np.float64]:
        """Return logits, (N, classes)."""
        made = self.booster.predict(x, raw_score=True, num_iteration=rounds or self.rounds)
        return np.asarray(made, dtype=np.float64).reshape(len(x), self.classes)

    def save(self, folder: Path, name: str) -> list[str]:
        """Write NAME.txt in LightGBM's own text."""
        text = self.booster.model_to_string(num_iteration=self.rounds or -1)
        write_text(folder / f"{name}.txt", text)
        return [f"{name}.txt"]


def fit_lightgbm(task: Task) -> LightGBM:
    """Fit LightGBM; boosting stops by the log loss of validation rows."""
    import lightgbm as lgb

    settings = dict(task.settings)
    most, patience = int(settings.pop("rounds")), int(settings.pop("patience"))
    several = task.classes > 1
    parameters: dict[str, Any] = {
        "objective": "multiclass" if several else "binary",
        "num_class": task.classes if several else 1,
        "metric": "None", "verbosity": -1, "num_threads": task.workers, "seed": task.seed,
        "deterministic": True, "force_row_wise": True, **settings,
    }  # fmt: skip
    if task.device == "gpu":
        parameters["device_type"] = "gpu"
    start = task.start
    made: dict[str, Any] = {
        "params": {"verbosity": -1}, "free_raw_data": False,
        "categorical_feature": list(task.categorical) or "auto",
    }  # fmt: skip
    own = None if task.objective is None else _started(start, len(task.x))
    weight = task.weight if task.objective is None else None
    data = lgb.Dataset(task.x, task.y, weight=weight, init_score=own, **made)
    if task.objective is not None:
        parameters["objective"] = _for_lightgbm(task)
    stop: list[Any] = []
    watched = None
    if task.x_val is not None:
        more = None if task.objective is None else _started(start, len(task.x_val))
        watched = lgb.Dataset(task.x_val, task.y_val, reference=data, init_score=more, **made)
        stop = [lgb.early_stopping(patience, verbose=False)]

    halves = None if task.x_val is None else _Halves(task)

    def log_loss(z: Any, _: Any) -> tuple[str, float, bool]:
        flat = np.asarray(z, dtype=np.float64)
        if flat.ndim == 1 and several:
            flat = flat.reshape(task.classes, -1).T
        if task.objective is None:  # probabilities, where the loss is LightGBM's own
            flat = _log_odds(flat if several else flat.ravel())
        assert halves is not None  # noqa: S101  # called for validation rows alone
        return "log_loss", halves.note(flat.reshape(-1, task.classes)), False

    booster = lgb.train(
        parameters, data, num_boost_round=most,
        valid_sets=[] if watched is None else [watched],
        feval=None if watched is None else log_loss, callbacks=stop,
    )  # fmt: skip
    rounds = booster.best_iteration or booster.current_iteration()
    if task.objective is not None:
        _put_start(booster, start)
    made_of = LightGBM(booster, task.classes, rounds or None)
    if halves is None or task.x_val is None:
        return made_of
    x_val = task.x_val
    return replace(made_of, of_val=halves.crossed(lambda r: made_of.outputs(x_val, r)))


def _started(start: Floats, n: int) -> NDArray[np.float64]:
    tiled: NDArray[np.float64] = np.tile(start, (n, 1))
    return np.ravel(tiled) if start.size == 1 else np.asfortranarray(tiled)


def _slopes(task: Task, z: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return slope and curvature of the rows of a loss of its own, each times the row's weight."""
    assert task.objective is not None  # noqa: S101  # asked by the caller
    found = task.objective(z, task.y)
    if task.weight is None:
        return found
    weight = task.weight if z.ndim == 1 else task.weight[:, None]
    return found[0] * weight, found[1] * weight


def _for_lightgbm(task: Task) -> Callable[..., Any]:
    """Return the objective in LightGBM's layout; it doubles no curvature, and halves none."""
    classes = task.classes

    def call(z: Any, _: Any) -> tuple[Any, Any]:
        if classes == 1:
            return _slopes(task, np.asarray(z))
        flat = np.asarray(z)
        flat = flat.reshape(classes, -1).T if flat.ndim == 1 else flat
        g, h = _slopes(task, flat)
        # Multi-class LightGBM takes curvatures K / (K - 1) times those of the loss (Friedman).
        return np.asfortranarray(g), np.asfortranarray(h * (classes / (classes - 1)))

    return call


def _put_start(booster: Any, start: Floats) -> None:
    """Add the outputs that training started from to the first tree of each: the text keeps them."""
    trees = booster.dump_model(num_iteration=1)["tree_info"]
    for tree, value in zip(trees, start, strict=True):
        for leaf in range(tree["num_leaves"]):
            before = booster.get_leaf_output(tree["tree_index"], leaf)
            booster.set_leaf_output(tree["tree_index"], leaf, before + float(value))


def load_lightgbm(folder: Path, name: str) -> LightGBM:
    """Read what :meth:`LightGBM.save` wrote."""
    import lightgbm as lgb

    booster = lgb.Booster(model_file=str(folder / f"{name}.txt"))
    return LightGBM(booster, booster.num_model_per_iteration(), None)


@dataclass(frozen=True, eq=False)
class XGBoost:
    """A booster of XGBoost, which keeps its base score itself."""

    booster: Any
    classes: int
    rounds: int | None
    of_val: NDArray[np.float64] | None = None

    def outputs(self, x: NDArray[np.float32], rounds: int | None = None) -> NDArray[np.float64]:
        """Return logits, (N, classes)."""
        import xgboost as xgb

        upto = (0, rounds or 0)
        made = self.booster.predict(xgb.DMatrix(x), output_margin=True, iteration_range=upto)
        return np.asarray(made, dtype=np.float64).reshape(len(x), self.classes)

    def save(self, folder: Path, name: str) -> list[str]:
        """Write NAME.json in XGBoost's own JSON."""
        with atomic_path(folder / f"{name}.json") as temporary:
            inner = temporary.with_suffix(".json")
            self.booster.save_model(inner)
            inner.replace(temporary)
        return [f"{name}.json"]


def fit_xgboost(task: Task) -> XGBoost:
    """Fit XGBoost; boosting stops by the log loss of validation rows."""
    import xgboost as xgb

    settings = dict(task.settings)
    most, patience = int(settings.pop("rounds")), int(settings.pop("patience"))
    several, objective = task.classes > 1, task.objective
    parameters: dict[str, Any] = {
        "verbosity": 0, "nthread": task.workers, "seed": task.seed, "tree_method": "hist",
        "disable_default_eval_metric": True, **settings,
    }  # fmt: skip
    if task.device == "gpu":
        parameters["device"] = "cuda"
    if several:
        parameters["num_class"] = task.classes
    call = None
    if objective is None:
        parameters["objective"] = "multi:softprob" if several else "binary:logistic"
    else:
        # Without an objective of its own the booster's outputs are margins, and so is this.
        parameters["base_score"] = task.start.tolist() if several else float(task.start[0])

        def call(z: Any, _: Any) -> tuple[Any, Any]:
            flat = np.asarray(z, dtype=np.float64)
            g, h = _slopes(task, flat.reshape(len(task.y), -1) if several else flat.ravel())
            # Multi-class XGBoost doubles curvatures.
            h = 2.0 * h if several else h
            return g.astype(np.float32), h.astype(np.float32)

    data = xgb.DMatrix(task.x, task.y, weight=task.weight if objective is None else None)
    watched, stop = [], []
    if task.x_val is not None:
        watched = [(xgb.DMatrix(task.x_val, task.y_val), "val")]
        settled = {"metric_name": "log_loss", "data_name": "val"}
        stop = [xgb.callback.EarlyStopping(rounds=patience, **settled)]

    halves = None if task.x_val is None else _Halves(task)

    def log_loss(z: Any, _: Any) -> tuple[str, float]:
        flat = np.asarray(z, dtype=np.float64)
        assert halves is not None  # noqa: S101  # called for validation rows alone
        if objective is None:  # probabilities, where the loss is XGBoost's own
            flat = _log_odds(flat.reshape(-1, task.classes) if several else flat.ravel())
        return "log_loss", halves.note(flat.reshape(-1, task.classes))

    booster = xgb.train(
        parameters, data, num_boost_round=most, evals=watched, obj=call, verbose_eval=False,
        custom_metric=log_loss if watched else None, callbacks=stop,
    )  # fmt: skip
    rounds = int(booster.best_iteration) + 1 if watched else most
    # A booster that stopped early predicts with all its rounds, also when it is read again.
    made = XGBoost(booster[:rounds], task.classes, rounds)
    if halves is None or task.x_val is None:
        return made
    x_val, whole = task.x_val, XGBoost(booster, task.classes, None)
    return replace(made, of_val=halves.crossed(lambda r: whole.outputs(x_val, r)))


def load_xgboost(folder: Path, name: str) -> XGBoost:
    """Read what :meth:`XGBoost.save` wrote."""
    import xgboost as xgb

    booster = xgb.Booster(model_file=folder / f"{name}.json")
    held = parse_json(booster.save_config())["learner"]["learner_model_param"]
    return XGBoost(booster, max(1, int(held["num_class"])), None)


@dataclass(frozen=True, eq=False)
class CatBoost:
    """A booster of CatBoost; its own file says neither where it started nor where categories stood.

    Args:
        model: The booster.
        classes: Number of outputs.
        rounds: That were chosen.
        categorical: Columns that hold places of categories.
        start: Output before the first tree.
        present: Classes that training rows have, where some lack; it knows no others.
        of_val: As in :class:`Fitted`.
    """

    model: Any
    classes: int
    rounds: int | None
    categorical: tuple[int, ...] = ()
    start: float = 0.0
    present: tuple[int, ...] = ()
    of_val: NDArray[np.float64] | None = None

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, (N, classes); a class that training rows lack is very unlikely."""
        rows = _for_catboost(x, self.categorical)
        return self.placed(self.model.predict(rows, prediction_type="RawFormulaVal"))

    def placed(self, made: Any) -> NDArray[np.float64]:
        """Return what the booster says as logits, (N, classes)."""
        z = self.start + np.asarray(made, dtype=np.float64).reshape(len(made), -1)
        if not self.present:
            return np.asarray(z)
        return _placed(z, self.present, self.classes, float(z.min(initial=0.0)) - 10.0)

    def save(self, folder: Path, name: str) -> list[str]:
        """Write NAME.cbm in CatBoost's own format, and beside it what that does not say."""
        with atomic_path(folder / f"{name}.cbm") as temporary:
            self.model.save_model(str(temporary), format="cbm")
        told = {"classes": self.classes, "categorical": list(self.categorical),
                "start": self.start, "present": list(self.present)}  # fmt: skip
        write_text(folder / f"{name}.json", json.dumps(told))
        return [f"{name}.cbm", f"{name}.json"]


def _for_catboost(x: NDArray[np.float32], categorical: tuple[int, ...]) -> Any:
    """Return rows as CatBoost takes them: it reads categories as text, apart from the numbers."""
    import catboost

    if not categorical:
        return x
    numbers = np.setdiff1d(np.arange(x.shape[1]), categorical)
    places = x[:, list(categorical)]
    codes = np.where(np.isnan(places), -1, np.nan_to_num(places)).astype(np.int64)
    measured = np.ascontiguousarray(x[:, numbers], dtype=np.float32) if numbers.size else None
    return catboost.FeaturesData(
        num_feature_data=measured, cat_feature_data=codes.astype("S").astype(object)
    )


class _CatBoostLoss:
    """A loss of one label as CatBoost asks for it: what it climbs, in blocks of rows."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Any:
        """Return slope and curvature of what is maximised, (n, 2)."""
        z = np.asarray(approxes, dtype=np.float64)
        g, h = self.objective(z, np.asarray(targets, dtype=np.int64))
        own = 1.0 if weights is None else np.asarray(weights, dtype=np.float64)
        return np.column_stack([-g * own, -h * own])


class _CatBoostMetric:
    """The log loss of the true probability, where CatBoost itself does not know it."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def is_max_optimal(self) -> bool:
        """Whether more is better."""
        return False

    def get_final_error(self, error: float, weight: float) -> float:
        """Return the mean."""
        return error / weight if weight else error

    def evaluate(self, approxes: Any, target: Any, weight: Any) -> tuple[float, float]:
        """Return the sum over rows and their number, or their weights."""
        z, y = np.asarray(approxes[0], dtype=np.float64), np.asarray(target, dtype=np.int64)
        own = np.ones(y.size) if weight is None else np.asarray(weight, dtype=np.float64)
        return float(np.dot(self.objective.log_losses(z, y), own)), float(own.sum())


def fit_catboost(task: Task) -> CatBoost:
    """Fit CatBoost; boosting stops by the log loss of validation rows."""
    import catboost

    settings = dict(task.settings)
    most, patience = int(settings.pop("rounds")), int(settings.pop("patience"))
    loss: dict[str, Any] = {"loss_function": "Logloss"}
    y, y_val, x_val, present = task.y, task.y_val, task.x_val, np.unique(task.y)
    if task.classes > 1:
        loss = {"loss_function": "MultiClass", "classes_count": int(present.size)}
        y = np.searchsorted(present, y)
    if task.objective is not None:
        loss = {"loss_function": _CatBoostLoss(task.objective),
                "eval_metric": _CatBoostMetric(task.objective)}  # fmt: skip
    model = catboost.CatBoost({
        **loss, "iterations": most, "random_seed": task.seed, "thread_count": task.workers,
        # Losses in Python run on the processor alone.
        "task_type": "GPU" if task.device == "gpu" and task.objective is None else "CPU",
        "bootstrap_type": "Bernoulli",
        "leaf_estimation_method": "Newton", "allow_writing_files": False,
        "logging_level": "Silent", **settings,
    })  # fmt: skip
    start = float(task.start[0])

    def pool(x: NDArray[np.float32], y: Whole | None = None, weight: Floats | None = None) -> Any:
        own = None if task.objective is None else np.full(len(x), start)
        return catboost.Pool(_for_catboost(x, task.categorical), y, weight=weight, baseline=own)

    more: dict[str, Any] = {}
    if x_val is not None and y_val is not None:
        # It weighs rows, and its own loss cannot be given another.
        odds = _odds(task, y_val)
        if task.classes > 1:
            known = np.isin(y_val, present)
            x_val, y_val = x_val[known], np.searchsorted(present, y_val[known])
            odds = None if odds is None else odds[known]
        more = {"eval_set": pool(x_val, y_val, odds), "use_best_model": False,
                "early_stopping_rounds": patience}  # fmt: skip
    with warnings.catch_warnings():
        # It would compile Python's losses with numba; ours are NumPy, a block of rows at a time.
        warnings.filterwarnings("ignore", message="Failed to (import|optimize)", module="catboost")
        model.fit(pool(task.x, y, task.weight), **more)
    lacks = 1 < task.classes != present.size
    whole = CatBoost(model, task.classes, int(model.tree_count_), task.categorical, start,
                     tuple(present.tolist()) if lacks else ())  # fmt: skip
    if task.x_val is None:
        return whole
    halves, seen = _Halves(task), []
    rows = _for_catboost(task.x_val, task.categorical)
    for made in model.staged_predict(rows, prediction_type="RawFormulaVal"):
        seen.append(whole.placed(made))
        halves.note(seen[-1])
    rounds = int(np.argmin(np.sum(halves.losses, axis=1))) + 1
    model.shrink(ntree_end=rounds)
    of_val = halves.crossed(lambda r: seen[r - 1])
    return replace(whole, rounds=rounds, of_val=of_val)


def _odds(task: Task, y: Whole) -> Floats | None:
    """Return weights of rows under which a model's own loss stops it as if nothing was drawn."""
    if task.shift is None:
        return task.weight_val
    by_class = np.exp(-task.shift)
    odds = np.asarray((np.r_[1.0, by_class] if task.classes == 1 else by_class)[y])
    return odds if task.weight_val is None else odds * task.weight_val


def load_catboost(folder: Path, name: str) -> CatBoost:
    """Read what :meth:`CatBoost.save` wrote."""
    import catboost

    told = parse_json(read_text(folder / f"{name}.json"))
    model = catboost.CatBoost().load_model(str(folder / f"{name}.cbm"), format="cbm")
    categorical = tuple(map(int, told["categorical"]))
    return CatBoost(model, int(told["classes"]), None, categorical, float(told["start"]),
                    tuple(map(int, told["present"])))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sklearn:
    """A classifier of scikit-learn or imbalanced-learn."""

    model: Any
    classes: int
    rounds: int | None = None
    pull: float = 0.0
    prior: tuple[float, ...] = ()
    of_val: NDArray[np.float64] | None = None

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits, (N, classes); a class that training rows lack is very unlikely."""
        if hasattr(self.model, "decision_function") and not self.pull:
            made = np.asarray(self.model.decision_function(x), dtype=np.float64)
            if self.classes == 1 or made.ndim == 2:
                rest = float(made.min(initial=0.0)) - 10.0
                return _placed(made.reshape(len(x), -1), self.model.classes_, self.classes, rest)
        p = np.asarray(self.model.predict_proba(x), dtype=np.float64)
        if self.classes == 1:
            p = p[:, [*self.model.classes_].index(1)] if p.shape[1] == 2 else p[:, 0]
            p = (self.pull * self.prior[0] + p) / (1.0 + self.pull) if self.pull else p
            return _log_odds(p)[:, None]
        p = _placed(p, self.model.classes_, self.classes, 0.0)
        p = (self.pull * np.asarray(self.prior) + p) / (1.0 + self.pull) if self.pull else p
        return _log_odds(p)

    def save(self, folder: Path, name: str) -> list[str]:
        """Write NAME.skops, and beside it what logits are made with."""
        write_skops(self.model, folder / f"{name}.skops")
        told = {"classes": self.classes, "pull": self.pull, "prior": list(self.prior)}
        write_text(folder / f"{name}.json", json.dumps(told))
        return [f"{name}.skops", f"{name}.json"]


def load_sklearn(folder: Path, name: str) -> Sklearn:
    """Read what :meth:`Sklearn.save` wrote."""
    told = parse_json(read_text(folder / f"{name}.json"))
    model = read_skops(folder / f"{name}.skops")
    return Sklearn(model, int(told["classes"]), None, float(told["pull"]), tuple(told["prior"]))


def write_skops(thing: Any, path: Path) -> None:
    """Write an object of scikit-learn in the format of skops.

    Raises:
        MissingExtraError: without skops.
    """
    try:
        import skops.io as sio
    except ImportError as error:
        raise MissingExtraError("skops", "tables", f"Writing {path.name}") from error
    with atomic_path(path) as temporary:
        sio.dump(thing, temporary)


_TRUSTED = ("sklearn.", "numpy.", "scipy.", "builtins.")
"""Where types may come from that a model file names; none of them runs code of a file."""
_TRUSTED_TYPES = (
    # Names a function of these beside it; scikit-learn's histogram booster has one with categories.
    "functools.partial",
    "imblearn.ensemble._easy_ensemble.EasyEnsembleClassifier",
    "imblearn.ensemble._forest.BalancedRandomForestClassifier",
    "imblearn.ensemble._weight_boosting.RUSBoostClassifier",
    "imblearn.pipeline.Pipeline",
    "imblearn.under_sampling._prototype_selection._random_under_sampler.RandomUnderSampler",
)


def read_skops(path: Path) -> Any:
    """Read what :func:`write_skops` wrote.

    Raises:
        DataError: the file names types of other packages.
        MissingExtraError: without skops.
    """
    try:
        import skops.io as sio
    except ImportError as error:
        raise MissingExtraError("skops", "tables", f"Reading {path.name}") from error
    named = sio.get_untrusted_types(file=path)
    odd = [name for name in named if not name.startswith(_TRUSTED) and name not in _TRUSTED_TYPES]
    if odd:
        do = "Such a file may run code: read it only if you made it yourself."
        expected = "hold types of scikit-learn, or balanced bags of imbalanced-learn"
        raise DataError(say(str(path), expected, ", ".join(odd[:5]), do))
    return sio.load(path, trusted=named)


def fit_hist(task: Task) -> Sklearn:
    """Fit scikit-learn's histogram booster; it stops by the log loss of validation rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings = dict(task.settings)
    most, patience = int(settings.pop("rounds")), int(settings.pop("patience"))
    stops = task.x_val is not None and np.unique(task.y).size == max(2, task.classes)
    stops = stops and task.y_val is not None and set(task.y_val) <= set(task.y)
    model = HistGradientBoostingClassifier(
        max_iter=most, n_iter_no_change=patience, random_state=task.seed % 2**31,
        categorical_features=list(task.categorical) or None, early_stopping=stops, **settings,
    )  # fmt: skip
    with _limited(task.workers):
        if stops:
            # It weighs rows, and cannot be given another loss.
            odds = _odds(task, np.asarray(task.y_val))
            model.fit(
                task.x, task.y, task.weight,
                X_val=task.x_val, y_val=task.y_val, sample_weight_val=odds,
            )  # fmt: skip
        else:
            model.fit(task.x, task.y, task.weight)
    rounds = int(model.n_iter_)
    if not stops:
        return Sklearn(model, task.classes, rounds)
    halves, seen = _Halves(task), []
    for z in model.staged_decision_function(task.x_val):
        made = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
        if made.shape[1] < task.classes:  # Two classes are one column of log odds there.
            made = np.hstack([-np.logaddexp(0.0, made), -np.logaddexp(0.0, -made)])
        seen.append(made)
        halves.note(seen[-1])
    # It keeps the rounds that brought nothing more: those up to the best are what counts.
    rounds = int(np.argmax(model.validation_score_[1:])) + 1
    model._predictors = model._predictors[:rounds]  # no public way to cut it
    of_val = halves.crossed(lambda r: seen[r - 1])
    return Sklearn(model, task.classes, rounds, of_val=of_val)


def _limited(threads: int) -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads)


def fit_forest(task: Task) -> Sklearn:
    """Fit a random forest; one tree more says the prior, so that nothing is impossible."""
    from sklearn.ensemble import RandomForestClassifier

    settings = dict(task.settings)
    model = RandomForestClassifier(
        random_state=task.seed % 2**31, n_jobs=task.threads, **settings
    ).fit(task.x, task.y, task.weight)
    size = max(2, task.classes)
    shares = np.bincount(task.y, weights=task.weight, minlength=size).astype(np.float64)
    shares = (shares + 1e-6) / (shares + 1e-6).sum()
    prior = tuple((shares[1:2] if task.classes == 1 else shares).tolist())
    return Sklearn(model, task.classes, None, 1.0 / int(settings["n_estimators"]), prior)


def fit_logistic(task: Task) -> Sklearn:
    """Fit logistic regression with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    strength = task.settings["inverse_strength"]
    model = LogisticRegression(C=strength, max_iter=1000, random_state=0)
    with _limited(task.workers):
        model.fit(task.x, task.y, task.weight)
    return Sklearn(model, task.classes)


def fit_balanced_forest(task: Task) -> Sklearn:
    """Fit a forest of which each tree sees every class equally often; one more says just that."""
    from imblearn.ensemble import BalancedRandomForestClassifier

    settings = dict(task.settings)
    model = BalancedRandomForestClassifier(
        random_state=task.seed % 2**31, n_jobs=task.threads, sampling_strategy="all",
        replacement=True, bootstrap=False, **settings,
    ).fit(task.x, task.y)  # fmt: skip
    prior = (0.5,) if task.classes == 1 else (1.0 / task.classes,) * task.classes
    return Sklearn(model, task.classes, None, 1.0 / int(settings["n_estimators"]), prior)


def fit_easy_ensemble(task: Task) -> Sklearn:
    """Fit boosted stumps on balanced samples."""
    from imblearn.ensemble import EasyEnsembleClassifier

    model = EasyEnsembleClassifier(
        random_state=task.seed % 2**31, n_jobs=task.threads, **task.settings
    )
    return Sklearn(model.fit(task.x, task.y), task.classes)


def fit_rusboost(task: Task) -> Sklearn:
    """Fit boosted trees, each on a balanced sample of the weighted rows.

    Where the first does worse than chance there is none, and all rows rank alike.
    """
    from imblearn.ensemble import RUSBoostClassifier
    from sklearn.dummy import DummyClassifier
    from sklearn.tree import DecisionTreeClassifier

    settings = dict(task.settings)
    tree = DecisionTreeClassifier(max_depth=settings.pop("max_depth"))
    model = RUSBoostClassifier(tree, random_state=task.seed % 2**31, **settings)
    try:
        model.fit(task.x, task.y)
    except ValueError as error:
        if "worse than random" not in str(error):
            raise
        model = DummyClassifier(strategy="uniform").fit(task.x, task.y)
    return Sklearn(model, task.classes)


_BOOSTED = {"learning_rate": 0.05, "rounds": 1000, "patience": 50}

_BAGGED = ("imbalanced-learn", "scikit-learn", "skops")

FAMILIES: Mapping[str, Family] = {
    f.name: f
    for f in (
        Family("lightgbm", "lightgbm", "tables", "trees", ("multilabel", "multiclass"),
               {**_BOOSTED, "num_leaves": 31, "max_depth": -1, "min_data_in_leaf": 20,
                "min_sum_hessian_in_leaf": 1e-3, "lambda_l1": 0.0, "lambda_l2": 0.0,
                "feature_fraction": 1.0, "bagging_fraction": 1.0, "bagging_freq": 0,
                "max_bin": 255},
               fit_lightgbm, load_lightgbm, "Takes every remedy that boosters can.",
               ("lightgbm",)),
        Family("xgboost", "xgboost", "tables", "trees", ("multilabel", "multiclass"),
               {**_BOOSTED, "max_depth": 6, "max_leaves": 0, "min_child_weight": 1.0,
                "reg_alpha": 0.0, "reg_lambda": 1.0, "subsample": 1.0, "colsample_bytree": 1.0,
                "gamma": 0.0, "max_bin": 256},
               fit_xgboost, load_xgboost, "So does XGBoost.", ("xgboost",)),
        Family("catboost", "catboost", "catboost", "trees", ("multilabel",),
               {**_BOOSTED, "depth": 6, "l2_leaf_reg": 3.0, "min_data_in_leaf": 1,
                "random_strength": 1.0, "subsample": 0.8, "border_count": 254},
               fit_catboost, load_catboost,
               "CatBoost, its own encoding of categories: losses of labels, of classes weights.",
               ("catboost",)),
        Family("hist_gradient_boosting", "sklearn", "", "trees", (),
               {**_BOOSTED, "max_leaf_nodes": 31, "max_depth": None, "min_samples_leaf": 20,
                "l2_regularization": 0.0, "max_features": 1.0, "max_bins": 255},
               fit_hist, load_sklearn, "scikit-learn's booster: weights and sampling alone."),
        Family("random_forest", "sklearn", "", "numbers", (),
               {"n_estimators": 300, "max_depth": None, "min_samples_leaf": 1,
                "max_features": "sqrt", "max_samples": None},
               fit_forest, load_sklearn, "300 trees: weights and sampling alone."),
        Family("logistic_regression", "sklearn", "", "numbers", (),
               {"inverse_strength": 1.0},
               fit_logistic, load_sklearn, "On standardised numbers: weights and sampling alone."),
        Family("balanced_random_forest", "imblearn", "resample", "numbers", (),
               {"n_estimators": 300, "max_depth": None, "min_samples_leaf": 1,
                "max_features": "sqrt"},
               fit_balanced_forest, load_sklearn, "A forest of balanced trees.", _BAGGED, True),
        Family("easy_ensemble", "imblearn", "resample", "numbers", (), {"n_estimators": 10},
               fit_easy_ensemble, load_sklearn, "Boosted stumps on balanced samples.", _BAGGED,
               True),
        Family("rusboost", "imblearn", "resample", "numbers", (),
               {"n_estimators": 50, "learning_rate": 1.0, "max_depth": 3},
               fit_rusboost, load_sklearn, "Trees boosted on balanced samples.", _BAGGED, True),
    )
}  # fmt: skip


def get_family(name: str) -> Family:
    """Return a family by name; an unknown one is answered with the closest.

    Raises:
        UsageError: no such family.
    """
    if name not in FAMILIES:
        near = closest(name, [*FAMILIES, "mlp"])
        raise UsageError(say("model", "be a kind of model for tables", repr(name), near))
    return FAMILIES[name]
