"""The ground floor: checks, fingerprints, seeds, atomic files, sigmoid and softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from equipoise._core.checks import (
    require_finite,
    require_shape,
    to_array,
    to_floats,
    to_fraction,
    to_positive,
)
from equipoise._core.files import atomic_path, write_text
from equipoise._core.fingerprint import canonical_json, fingerprint_array, fingerprint_config
from equipoise._core.logistic import expit, log_expit, log_rest, log_softmax, one_vs_rest
from equipoise._core.messages import closest, one_of, say
from equipoise._core.rng import child_seed, generator
from equipoise.errors import DataError, ShapeError, UsageError

logits = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(2, 6)),
    elements=st.floats(-300, 300),
)


def test_a_message_names_expected_got_and_next_step() -> None:
    assert say("x", "be 1", 2, "Pass 1.") == "`x` must be 1, got 2. Pass 1."
    assert say("x", "be 1", 2) == "`x` must be 1, got 2."


def test_closest_name_or_all_names() -> None:
    assert closest("foca", ["focal", "ldam"]) == "Did you mean `focal`?"
    assert closest("zzz", ["focal", "ldam"]) == "Known: focal, ldam."
    with pytest.raises(UsageError, match="Did you mean `val`"):
        one_of("split", "vall", ("val", "test"))


class Unreadable:
    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise RuntimeError("needs grad")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: to_array("x", [[1], [1, 2]], ndim=2), ShapeError, "rows of different length"),
        (
            lambda: to_array("x", [1], ndim=2),
            ShapeError,
            r"have 2 dimension\(s\), got shape \(1,\)",
        ),
        (lambda: to_array("x", None, ndim=1), ShapeError, "dimension"),
        (lambda: to_array("x", Unreadable(), ndim=1), DataError, "tensor.detach"),
        (lambda: to_floats("x", np.array(["a"])), DataError, "be numbers"),
        (
            lambda: require_shape("x", np.zeros(3), (2,), "Do."),
            ShapeError,
            r"\(2\), got \(3,\). Do",
        ),
        (lambda: require_finite("x", np.array([1, np.nan]), "Do."), DataError, "first: row 1"),
        (lambda: to_fraction("x", float("nan")), UsageError, "lie in"),
        (lambda: to_fraction("x", 1.0), UsageError, "lie in"),
        (lambda: to_positive("x", -1), UsageError, "be > 0"),
        (lambda: to_positive("x", -1, zero=True), UsageError, "be >= 0"),
    ],
)
def test_checks_refuse(call: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()  # type: ignore[operator]


def test_edges_of_fractions() -> None:
    assert to_fraction("x", 1, inclusive=True) == 1.0
    assert to_positive("x", 0, zero=True) == 0.0


@given(logits)
def test_logistic_equals_scipy(z: np.ndarray) -> None:
    np.testing.assert_allclose(expit(z), special.expit(z), rtol=1e-12)
    np.testing.assert_allclose(log_expit(z), special.log_expit(z), rtol=1e-12, atol=1e-300)
    expected = special.log_softmax(z, axis=1)
    np.testing.assert_allclose(log_softmax(z), expected, rtol=1e-12, atol=1e-12)


@given(logits)
def test_one_vs_rest_is_the_log_sum_of_the_others(z: np.ndarray) -> None:
    for c in range(z.shape[1]):
        others = np.delete(z, c, axis=1)
        slow = z[:, c] - special.logsumexp(others, axis=1)
        np.testing.assert_allclose(one_vs_rest(z)[:, c], slow, rtol=1e-10, atol=1e-10)
    assert (log_rest(z) <= 0).all()


def test_infinite_logits_are_certain() -> None:
    assert expit(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]


def test_fingerprints_name_content_shape_and_kind() -> None:
    a = np.arange(6)
    assert fingerprint_array(a) == fingerprint_array(a.copy())
    assert fingerprint_array(a) == fingerprint_array(a.astype(">i8"))
    others = [a.reshape(2, 3), a.astype(float), a[::-1], np.array(["a"]), np.array(["b"])]
    assert len({fingerprint_array(x) for x in [a, *others]}) == 6
    assert fingerprint_array(np.array(["ä", "b"], dtype="U9")) == fingerprint_array(
        np.array(["ä", "b"])
    )


def test_equal_settings_have_equal_names() -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert fingerprint_config({"a": 1, "b": 2}) == fingerprint_config({"b": 2, "a": 1})
    assert fingerprint_config({"a": 1}) != fingerprint_config({"a": 2})


def test_streams_of_a_seed_are_their_own() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draws = {
        float(generator(seed, *stream).random())
        for seed in (0, 1, 2**40)
        for stream in ((), ("a",), ("a", 1), ("b",))
    }
    assert len(draws) == 12
    assert generator(3, "x").random() == generator(3, "x").random()
    assert child_seed(0, "a") == child_seed(0, "a") != child_seed(0, "b")
    assert 0 <= child_seed(-1) < 2**63
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_file_is_complete_or_untouched(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    write_text(target, "first ü\n")
    assert target.read_bytes() == "first ü\n".encode()

    def half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        half()
    assert target.read_text(encoding="utf-8") == "first ü\n"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]
