"""The laws of methods: every row of the catalogue, every kind of labels it is for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Sampler

from equipoise import losses, sampling
from equipoise.artifacts import Correction, Labels
from equipoise.boosting.families import get_family
from equipoise.boosting.preparation import Preparation
from equipoise.errors import DataError, NotRecoverableError, UsageError
from equipoise.methods import METHODS, THRESHOLDS, get_method, methods_for, remedy
from equipoise.methods.on_tables import treat
from equipoise.methods.operating_points import operating_points
from equipoise.sampling import ROW_RULES, sampler_correction
from equipoise.studies.fitted import Fit
from equipoise.training import Deferred, HeadJob, HeadSettings, Remedy, SecondStage, train_heads
from equipoise.training.remedy import SLOTS, Mixing, RowSampler, start_epoch
from equipoise.training.targets import to_target

KINDS = ("multiclass", "multilabel")
CASES = [(name, kind) for name, method in METHODS.items() for kind in method.kinds]
LATE = ("schedule", "two_stage")
MIXING = [case for case in CASES if METHODS[case[0]].family == "mixing"]
# Another value for each setting of the catalogue.
OTHER = {
    "augmentation": "randaugment",
    "power": 0.5,
    "cap": 3.0,
    "weight": 7.0,
    "beta": 0.99,
    "gamma": 1.0,
    "tau": 0.5,
    "rule": "mean",
    "epsilon": 2.0,
    "gamma_positive": 1.0,
    "gamma_negative": 2.0,
    "margin": 0.1,
    "detach_focus": True,
    "head": 0.3,
    "tail": 0.05,
    "max_margin": 0.3,
    "scale": 10.0,
    "first": 0.5,
    "second": -0.5,
    "shift": 0.5,
    "hill": 2.0,
    "cut": 0.7,
    "first_epoch": 2,
    "temperature": 0.2,
    "temperature_positive": 2.0,
    "temperature_negative": 2.0,
    "empty_weight": 0.5,
    "several_weight": 0.5,
    "q": 0.2,
    "num_epochs": 2,
    "threshold": 0.3,
    "target": "equal",
    "min_ess": 0.95,
    "ratio": 0.7,
    "max_repeat": 2,
    "fraction": 0.05,
    "keep_empty": True,
    "seed": 1,
    "alpha": 0.2,
    "per_sample": False,
    "probability": 0.5,
    "start": 0.5,
    "epochs": 3,
    "lr": 0.5,
    "bias": "drop",
    "min_kept": 30,
    "low": 0.2,
    "high": 0.8,
    "k_neighbors": 2,
    "m_neighbors": 4,
    "n_estimators": 3,
    "min_samples_leaf": 4,
    "learning_rate": 0.3,
    "max_depth": 1,
}
# What a method has for one kind of labels alone.
OF_ONE_KIND = {("focal", "alpha"): "multilabel"}
# Where the value for all is out of a method's range.
OTHER_OF = {("remix", "ratio"): 1.5}


def make_labels(kind: str, *, absent: bool = False) -> Labels:
    """60 rows of 3 classes or labels, some unknown; ``absent``: the last never occurs."""
    rng = np.random.default_rng(2)
    if kind == "multiclass":
        classes = rng.permutation(np.repeat([0, 1, 2], [45, 10, 5]))
        classes[classes == 2] = 0 if absent else 2
        return Labels.from_array(classes, kind="multiclass", names=["a", "b", "c"])
    hot = (rng.random((60, 3)) < [0.5, 0.2, 0.1]).astype(int)
    hot[3:9, 1] = -1
    if absent:
        hot[:, 2] = 0
    return Labels.from_array(hot, kind="multilabel", names=["a", "b", "c"])


def started(treated: Remedy, epochs: int) -> RowSampler:
    """A remedy's sampler, told of how many epochs there are, as engines do."""
    sampler = treated.sampler(seed=0)
    tell = getattr(sampler, "set_num_epochs", None)
    if tell is not None:
        tell(epochs)
    return sampler


def train_one_epoch(treated: Remedy, labels: Labels) -> tuple[np.ndarray, list[float]]:
    x = np.random.default_rng(0).normal(size=(60, 4))
    rows = np.arange(60)
    treated_rows = HeadJob(treated, 0, rows[:40], rows[40:50])
    settings = HeadSettings(epochs=1, batch_size=16)
    (result,) = train_heads(x, labels, rows[50:], [treated_rows], settings=settings)
    scores = result.trial.scores["test"]
    assert scores.score_kind == treated.score_kind
    assert scores.has_probabilities == (treated.correction.exactness != "none")
    outputs = scores.log_odds() if scores.has_probabilities else scores.values
    return outputs, [row["loss"] for row in result.trial.history]


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("absent", [False, True])
def test_builds_and_trains_and_stays_finite(name: str, kind: str, absent: bool) -> None:
    labels = make_labels(kind, absent=absent)
    treated = remedy(name, labels[:40])
    assert treated.name == name
    for key, buffer in treated.loss.state_dict().items():
        assert bool(buffer.isfinite().all()), key
    if treated.sampler is not None:
        sampler = started(treated, epochs=3)
        assert isinstance(sampler, RowSampler)
        drawn = np.array(list(sampler))
        assert len(drawn) == len(sampler) == 40
        assert 0 <= drawn.min() <= drawn.max() < 40
    slots = filled(treated) - {"sampler", "mixing", "schedule"}
    if slots:
        assert_refused_by_heads(treated, slots, labels)
        return
    if name == "cutmix":
        with pytest.raises(DataError, match="`x` must be images"):
            train_one_epoch(treated, labels)
        return
    outputs, history = train_one_epoch(treated, labels)
    assert np.isfinite(outputs).all()
    assert np.isfinite(history).all()


def filled(treated: Remedy) -> set[str]:
    return {slot for slot in SLOTS if getattr(treated, slot) is not None}


def assert_refused_by_heads(treated: Remedy, slots: set[str], labels: Labels) -> None:
    """Heads share their batches, and train one stage; what is asked of them is finite anyhow."""
    with pytest.raises(UsageError, match=f"`train_heads` does not support.*{'|'.join(slots)}"):
        train_one_epoch(treated, labels)
    target = to_target(labels, torch.float32)
    if treated.mixing is not None:
        _, target = mixed_batch(treated, labels)
    logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(1))
    late, stage = treated.schedule, treated.second_stage
    if late is not None:
        assert isinstance(late, Deferred)
        assert bool(late.loss(logits, target).isfinite())
        assert late.sampler is None or len(late.sampler(seed=0)) == 40
    if stage is not None:
        assert isinstance(stage, SecondStage)
        assert stage.kind == treated.name
        assert bool(stage.remedy.loss(logits, target).isfinite())
    for each in (treated, treated.final):
        if each.score_kind == "logits":
            assert np.isfinite(each.correction.apply(logits.numpy())).all()
    assert bool(treated.loss(3.0 * logits, target).isfinite())


def mixed_batch(treated: Remedy, labels: Labels, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Numbered images and their targets, mixed."""
    images = torch.arange(len(labels), dtype=torch.float64)[:, None, None, None].expand(-1, 3, 6, 5)
    target = to_target(labels, torch.float32)
    return treated.mixing(images, target, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_exactness_is_as_declared(name: str, kind: str) -> None:
    made = remedy(name, make_labels(kind)).final
    assert made.correction.exactness == METHODS[name].exactness[kind]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_correction_survives_json(name: str, kind: str) -> None:
    correction = remedy(name, make_labels(kind)).final.correction
    assert correction.kind == kind
    read = Correction.from_dict(json.loads(json.dumps(correction.to_dict())))
    assert read.to_dict() == correction.to_dict()
    logits = np.random.default_rng(1).normal(size=(20, 3)) * 3
    if correction.exactness == "none":
        for each in (read, correction):
            with pytest.raises(NotRecoverableError, match="no formula recovers one"):
                each.apply(logits)
        return
    np.testing.assert_allclose(read.apply(logits), correction.apply(logits), rtol=1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_correction_leads_to_the_prior_of_the_training_rows(name: str, kind: str) -> None:
    labels = make_labels(kind)
    made = remedy(name, labels)
    for prior in (made.correction.prior, made.final.correction.prior):
        if kind == "multiclass":
            np.testing.assert_allclose(prior, labels.counts / len(labels), rtol=1e-6)
        elif prior is not None:
            np.testing.assert_allclose(prior, labels.prevalence)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_settings_are_kept_and_change_something(name: str, kind: str) -> None:
    labels, method = make_labels(kind), METHODS[name]
    assert dict(remedy(name, labels).settings) == dict(method.settings)
    for key in method.settings:
        other = OTHER_OF.get((name, key), OTHER[key])
        if OF_ONE_KIND.get((name, key), kind) != kind:
            with pytest.raises(UsageError, match=f"`{name}.{key}` must be left out"):
                remedy(name, labels, **{key: other})
            continue
        assert other != method.settings[key]
        usual, changed = remedy(name, labels), remedy(name, labels, **{key: other})
        assert dict(changed.settings) == {**method.settings, key: other}
        if stages(changed) != stages(usual) or copies(changed) != copies(usual):
            continue
        if usual.resampling is not None or usual.model is not None:
            assert not np.array_equal(on_a_table(changed, labels), on_a_table(usual, labels))
            continue
        if usual.mixing is not None:
            assert targets_of_batches(changed, labels) != targets_of_batches(usual, labels)
        elif usual.score_kind == "ranking":  # no correction tells them apart
            assert losses_of_epochs(changed) != losses_of_epochs(usual)
        elif changed.correction.to_dict() == usual.correction.to_dict():
            assert drawn_in_epochs(changed) != drawn_in_epochs(usual)


def on_a_table(treated: Remedy, labels: Labels) -> np.ndarray:
    """Outputs of small trees, or of the model that the remedy is, on the rows it was fitted on."""
    family = get_family(treated.model or "random_forest")
    rng = np.random.default_rng(5)
    y = labels.values if labels.kind == "multilabel" else labels.values[:, None]
    x = (rng.normal(size=(len(labels), 4)) + y[:, :1]).astype(np.float32)
    settings = family.resolved({"n_estimators": 9} if treated.model is None else treated.settings)
    fit = Fit(family, treat(treated, labels, family, 0), settings, 0, 1)
    whole = Preparation(family.style, None, {}, ())
    return np.concatenate([part.outputs(x) for part in fit.all(x, labels, whole)], axis=1)


def stages(treated: Remedy) -> list[object]:
    """What is put off or comes after, as plain values."""
    late, stage = treated.schedule, treated.second_stage
    found: list[object] = []
    if isinstance(late, Deferred):
        found += [late.start, [part.tolist() for part in late.loss.state_dict().values()]]
    if isinstance(stage, SecondStage):
        found += [stage.epochs, stage.lr, stage.bias]
    return found


def copies(treated: Remedy) -> str:
    """What is done to copies, in words."""
    return repr(treated.augmentation)


def targets_of_batches(treated: Remedy, labels: Labels) -> list[str]:
    """The targets of eight batches, as text since NaN is not equal to itself."""
    return [str(mixed_batch(treated, labels, seed)[1].tolist()) for seed in range(8)]


def drawn_in_epochs(treated: Remedy) -> list[list[int]]:
    """The rows of three epochs, none where they are shuffled."""
    drawn = []
    sampler = started(treated, epochs=9) if treated.sampler else None
    for epoch in range(3 if sampler else 0):
        sampler.set_epoch(epoch)
        drawn.append(list(sampler))
    return drawn


def losses_of_epochs(treated: Remedy) -> list[float]:
    """The loss on the same outputs in the first two epochs."""
    random = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(30, 3, generator=random, dtype=torch.float64)
    target = torch.randint(2, (30, 3), generator=random).double()
    values = []
    for epoch in range(2):
        start_epoch(treated.loss, epoch)
        values.append(treated.loss(logits, target).item())
    return values


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_unknown_settings_are_answered(name: str, kind: str) -> None:
    labels, known = make_labels(kind), sorted(METHODS[name].settings)
    if not known:
        with pytest.raises(UsageError, match=f"`{name}` has no settings, got `gama`. Remove it"):
            remedy(name, labels, gama=1.0)
        return
    wrong = known[0] + "x"
    with pytest.raises(UsageError, match=f"`{name}.{wrong}` must.*Did you mean `{known[0]}`"):
        remedy(name, labels, **{wrong: 1.0})


@pytest.mark.parametrize("name", METHODS)
def test_the_wrong_kind_of_labels_is_answered_with_where_the_right_methods_are(name: str) -> None:
    for kind in KINDS:
        if kind not in METHODS[name].kinds:
            with pytest.raises(UsageError, match=rf"`{name}` must be used on .* --kind {kind}"):
                remedy(name, make_labels(kind))


def test_unknown_methods_are_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match="Did you mean `focal`"):
        get_method("focall")
    assert THRESHOLDS not in METHODS
    for kind in KINDS:
        assert methods_for(kind)[0].name == "none"


def test_every_loss_of_the_package_is_reached_and_has_an_operating_point_or_none() -> None:
    reached: dict[str, set[str]] = {}
    for name, kind in CASES:
        reached.setdefault(type(remedy(name, make_labels(kind)).loss).__name__, set()).add(name)
    public = {
        name
        for name in losses.__all__
        if isinstance(getattr(losses, name), type) and issubclass(getattr(losses, name), nn.Module)
    }
    # Those of regions are of MONAI.
    assert reached.pop("RegionLoss") == {"dice", "tversky", "focal_tversky"}
    # Balanced softmax is logit adjustment with tau 1: one name for one method.
    assert set(reached) == public - {"Loss", "ClassLoss", "OnlineLoss", "BalancedSoftmaxLoss"}
    listed = {point.method for point in operating_points()}
    for loss, names in reached.items():
        assert names & listed, loss


def test_balanced_softmax_is_logit_adjustment_as_it_is_in_the_catalogue() -> None:
    labels = make_labels("multiclass")
    random = torch.Generator().manual_seed(0)
    logits, target = torch.randn(60, 3, generator=random), torch.from_numpy(labels.values)
    twin = losses.BalancedSoftmaxLoss.from_class_counts(labels.counts)
    assert torch.equal(remedy("logit_adjusted", labels).loss(logits, target), twin(logits, target))
    assert "balanced softmax" in METHODS["logit_adjusted"].summary


# Batch samplers fill whole batches, and the slot of a remedy takes rows.
NO_ROWS = {"BalancedBatchSampler", "PKBatchSampler", "StratifiedBatchSampler"}


def test_every_row_sampler_of_the_package_is_reached() -> None:
    reached = set()
    for name, kind in CASES:
        treated = remedy(name, make_labels(kind))
        draws = treated.sampler is not None or treated.resampling is not None
        assert draws == (METHODS[name].family in ("sampler", "resampling"))
        if treated.sampler is not None:
            reached.add(type(treated.sampler(seed=0)).__name__)
    public = {
        name
        for name in sampling.__all__
        if isinstance(getattr(sampling, name), type)
        and issubclass(getattr(sampling, name), Sampler)
    }
    assert reached == public - NO_ROWS
    assert all(issubclass(getattr(sampling, name), BatchSampler) for name in NO_ROWS)


# Where a rule of `sampling` stands in the catalogue: a method, and its settings.
RULES: dict[str, tuple[str, dict[str, object]]] = {
    "class_balanced": ("class_balanced_sampling", {}),
    "max": ("weighted_sampling", {"rule": "max"}),
    "mean": ("weighted_sampling", {"rule": "mean"}),
    "sum": ("weighted_sampling", {"rule": "sum", "empty_weight": 0.0}),
    "square_root": ("square_root_sampling", {}),
    "effective_number": ("effective_number_sampling", {}),
    "reversed": ("reversed_sampling", {}),
    "repeat_factor_0.5": ("repeat_factor", {"threshold": 0.5}),
    "repeat_factor_0.1": ("repeat_factor", {"threshold": 0.1}),
    "inverse_labelset": ("inverse_labelset", {}),
    "single_label_rows": ("single_label_rows", {}),
    "raking_sqrt": ("raking", {"target": "sqrt"}),
    "raking_equal": ("raking", {"target": "equal"}),
}
RULES_APART = {
    "instance": "what `none` does, without replacement",
    "progressive": "half way; `progressive_sampling` passes through it",
}


def test_every_row_rule_of_the_package_is_reached_or_says_why_not() -> None:
    assert {*RULES, *RULES_APART} == set(ROW_RULES)


@pytest.mark.parametrize(
    ("rule", "kind"), [(rule, kind) for rule in RULES for kind in ROW_RULES[rule].kinds]
)
def test_methods_undo_the_weights_of_their_rule(rule: str, kind: str) -> None:
    labels, (name, settings) = make_labels(kind), RULES[rule]
    undo = sampler_correction(ROW_RULES[rule].weights(labels), labels)
    found = remedy(name, labels, **settings).correction
    logits = np.random.default_rng(1).normal(size=(20, 3))
    np.testing.assert_allclose(found.apply(logits), undo.apply(logits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_progressive_sampling_passes_through_the_rule_half_way(kind: str) -> None:
    labels = make_labels(kind)
    sampler = remedy("progressive_sampling", labels, num_epochs=2).sampler(seed=0)
    sampler.set_epoch(1)
    np.testing.assert_allclose(sampler.weights(), ROW_RULES["progressive"].weights(labels))


@pytest.mark.parametrize(
    ("name", "kind"), [case for case in CASES if METHODS[case[0]].family == "sampler"]
)
def test_draws_come_as_the_correction_says(name: str, kind: str) -> None:
    labels = make_labels(kind)
    treated = remedy(name, labels)
    stated = treated.correction.apply(np.zeros((1, 3)))
    if treated.resampling is not None:  # rows for the model of each label
        for column, shift in zip(labels.values.T, stated[0], strict=True):
            y = column[column >= 0].astype(np.int64)
            _, kept = treated.resampling(y[:, None].astype(np.float32), y)
            rate = np.bincount(kept) / np.bincount(y)
            assert shift == pytest.approx(np.log(rate[0] / rate[1]))
        return
    sampler = started(treated, epochs=10)
    times = np.zeros(len(labels))
    for epoch in range(400):
        sampler.set_epoch(epoch + 10)  # progressive sampling has come to its end
        times += np.bincount(list(sampler), minlength=len(labels))
    counted = sampler_correction(times, labels).apply(np.zeros((1, 3)))
    np.testing.assert_allclose(counted, stated, atol=0.06)


@pytest.mark.parametrize(("name", "kind"), MIXING)
def test_mixing_methods_have_the_plain_loss_and_no_way_back(name: str, kind: str) -> None:
    labels = make_labels(kind)
    treated, plain = remedy(name, labels), remedy("none", labels)
    assert type(treated.loss) is type(plain.loss)
    assert treated.loss.linear_in_target
    assert isinstance(treated.mixing, Mixing)
    assert treated.score_kind == "ranking"
    assert treated.correction.prior == plain.correction.prior
    assert not METHODS[name].first_choice


def test_the_family_is_that_of_the_last_slot() -> None:
    for name, kind in CASES:
        slots, family = filled(remedy(name, make_labels(kind))), METHODS[name].family
        if slots & {"schedule", "second_stage"}:
            assert family == ("schedule" if "schedule" in slots else "two_stage")
            assert "sampler" not in slots
            assert ("mixing" in slots) == (name == "mixup_drw")
        else:
            own = {"sampler", "augmentation"} if name == "augment_balance" else {family}
            if name in ("random_oversample", "random_undersample") and kind == "multilabel":
                own = {"resampling"}
            own = {"model"} if family == "bagging" else own
            assert slots == (own if family not in ("baseline", "loss") else set())
    assert MIXING == [
        ("mixup", "multiclass"),
        ("mixup", "multilabel"),
        ("cutmix", "multiclass"),
        ("cutmix", "multilabel"),
        ("remix", "multiclass"),
    ]
    assert [(m.name, *m.kinds) for m in METHODS.values() if m.family in LATE] == [
        ("drw", "multiclass", "multilabel"),
        ("drs", "multiclass", "multilabel"),
        ("ldam_drw", "multiclass"),
        ("mixup_drw", "multiclass", "multilabel"),
        ("crt", "multiclass", "multilabel"),
        ("lws", "multiclass"),
        ("tau_norm", "multiclass"),
        ("ncm", "multiclass"),
    ]


def test_what_comes_late_is_undone_as_such() -> None:
    """Approximately at best; what the first stage gives is undone by another correction."""
    for name, kind in CASES:
        if METHODS[name].family not in LATE:
            continue
        made = remedy(name, make_labels(kind))
        assert made.final.correction.exactness != "exact"
        if made.second_stage is not None:
            assert made.correction.exactness == "exact"
            assert made.final is made.second_stage.remedy


def test_later_losses_and_samplers_are_second_choice() -> None:
    first = {name for name, method in METHODS.items() if method.first_choice}
    assert first == {
        "none",
        "pos_weight",
        "inverse_frequency",
        "weighted_ce",
        "class_balanced",
        "focal",
        "logit_adjusted",
        "class_balanced_sampling",
        "weighted_sampling",
    }


CELLS = 12
UNBENT = {"none"}
# Exact too, but not with the budget and the head that all others share: tests of their own.
APART = {
    "hill": "its slopes vanish on both sides, so it is far from its optimum after 120 steps",
    "ldam": "without bias and on cosines, a linear head cannot give every cell any logits",
}


def well_specified(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, Labels]:
    """Rows in a few cells, one feature each: a linear head can give every cell any logits.

    So it can follow whatever bent logits a loss asks for, and only the correction is tested.
    """
    cell = rng.integers(0, CELLS, 80_500)
    logits = (rng.normal(size=(CELLS, 3)) + np.array([0.0, -1.0, -1.5]))[cell]
    x = np.eye(CELLS)[cell]
    if kind == "multilabel":
        hot = rng.random(logits.shape) < expit(logits)
        return x, Labels.from_array(hot.astype(int), kind="multilabel")
    gumbel = rng.gumbel(size=logits.shape)
    return x, Labels.from_array((logits + gumbel).argmax(1), kind="multiclass")


# The share of the rarest in the test rows varies by 1.5 %. In a cell of 3,300 rows a share varies
# by up to 0.009, drawn anew by a sampler by as much again, and training stops near the optimum.
MEAN, EACH = 0.05, 0.035


def check_against_untreated(
    kind: str, names: list[str], *, passes: int = 6, hidden: int = 0, lr: float = 0.1
) -> None:
    """Train with 20 steps per pass; corrected probabilities must be those of "none"."""
    x, labels = well_specified(kind, np.random.default_rng(8))
    rows = np.arange(len(x))
    # All passes as one epoch, so that no early epoch is chosen.
    train, val, test = np.tile(rows[:40_000], passes), rows[40_000:40_500], rows[40_500:]
    # A beta of 0.999 does next to nothing with so many rows.
    strong = {name: {"beta": "(N-1)/N"} for name in ("class_balanced", "class_balanced_focal")}
    remedies = [remedy(name, labels[train], **strong.get(name, {})) for name in names]
    jobs = [HeadJob(treated, 0, train, val) for treated in remedies]
    settings = HeadSettings(hidden=hidden, epochs=1, batch_size=2000, lr=lr, weight_decay=0.0)
    found = {r.trial.method: r for r in train_heads(x, labels, test, jobs, settings=settings)}
    plain = probabilities(kind, found["none"].trial.scores["test"].log_odds())
    share = labels[test].prevalence if kind == "multilabel" else labels[test].counts / test.size
    for name in names:
        scores = found[name].trial.scores["test"]
        p = probabilities(kind, scores.log_odds())
        np.testing.assert_allclose(p.mean(0) / share, 1.0, atol=MEAN, err_msg=name)
        assert np.abs(p - plain).max() < EACH, (name, np.abs(p - plain).max())
        raw = np.abs(probabilities(kind, scores.values).mean(0) / share - 1.0).max()
        assert (raw > 2 * MEAN) == (name not in UNBENT), (name, raw)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_remedies_agree_with_the_untreated_model_once_corrected(kind: str) -> None:
    exact = [m for m in methods_for(kind) if m.exactness[kind] == "exact" and m.name not in APART]
    names = [m.name for m in exact if m.family != "sampler"]
    assert len(names) >= 4
    check_against_untreated(kind, names)


@pytest.mark.parametrize("first", [2, pytest.param(None, marks=pytest.mark.slow)])
def test_exact_samplers_agree_with_the_untreated_model_once_corrected(first: int | None) -> None:
    exact = [m for m in methods_for("multiclass") if m.exactness["multiclass"] == "exact"]
    # Heads have no images to augment.
    names = [m.name for m in exact if m.family == "sampler" and m.name != "augment_balance"]
    assert len(names) >= 8
    # Each has an order of its own, so the chance of the last steps is not shared: more of them.
    check_against_untreated("multiclass", ["none", *names[:first]], passes=20)


def test_ldam_agrees_with_the_untreated_model_where_a_hidden_layer_gives_it_room() -> None:
    check_against_untreated("multiclass", ["none", "ldam"], hidden=32, lr=0.02)


@pytest.mark.slow
def test_hill_agrees_with_the_untreated_model_after_fifty_times_the_steps() -> None:
    check_against_untreated("multilabel", ["none", "hill"], passes=300, lr=0.05)


def probabilities(kind: str, log_odds: np.ndarray) -> np.ndarray:
    return expit(log_odds) if kind == "multilabel" else softmax(log_odds, axis=1)
