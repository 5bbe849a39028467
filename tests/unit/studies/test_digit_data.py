"""The demo's data: prevalences, and no scan in two parts."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.studies.digits import (
    LABEL_DIGITS,
    MOSAIC_PREVALENCES,
    _deal,
    digit_mosaics,
    digits,
    scans,
)
from equipoise.studies.label_sets import label_set_shares
from equipoise.studies.object_mosaics import draw_mosaics


def test_prevalences_are_those_of_the_user() -> None:
    assert np.round(MOSAIC_PREVALENCES, 3).tolist() == [0.085, 0.290, 0.170, 0.469]
    data = digit_mosaics(rows=6000, test_rows=3000, noise=0.0)
    error = np.sqrt(np.asarray(MOSAIC_PREVALENCES) / 9000)
    assert (np.abs(data.labels.prevalence - MOSAIC_PREVALENCES) < 4 * error).all()


def test_no_scan_stands_in_two_blocks_and_every_block_has_every_digit() -> None:
    data = digit_mosaics(rows=600, test_rows=300, noise=0.0, blocks=6, test_blocks=4, seed=3)
    images, _ = scans()
    index = {image.tobytes(): i for i, image in enumerate(images)}
    cells = data.features.reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 8, 8)
    used = np.array([[index[cell.tobytes()] for cell in row] for row in cells.copy()])
    homes: dict[int, set[int]] = {}
    for row, block in zip(used, data.labels.groups, strict=True):
        for scan in row:
            homes.setdefault(int(scan), set()).add(int(block))
    assert all(len(blocks) == 1 for blocks in homes.values())
    assert data.test.tolist() == list(range(600, 900))
    assert set(data.labels.groups[data.test]) == {"6", "7", "8", "9"}


def test_labels_say_which_digits_occur() -> None:
    data = digit_mosaics(rows=200, test_rows=100, noise=0.0, blocks=2, test_blocks=1)
    images, target = scans()
    kind = {image.tobytes(): int(d) for image, d in zip(images, target, strict=True)}
    cells = data.features.reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 8, 8)
    for row, labels in zip(cells.copy(), data.labels.values, strict=True):
        shown = {kind[cell.tobytes()] for cell in row}
        assert [int(d in shown) for d in LABEL_DIGITS] == labels.tolist()


def test_every_block_holds_every_digit() -> None:
    _, target = scans()
    member = _deal(target, 30, 30, np.random.default_rng(0))
    for block in range(60):
        assert set(target[member == block]) == set(range(10))


def test_same_seed_same_data() -> None:
    one, two, other = (digit_mosaics(rows=200, test_rows=100, seed=s) for s in (0, 0, 1))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert digits(noise=0.1).fingerprint == digits(noise=0.1).fingerprint


def test_fewer_rows_than_blocks_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="at least the number of blocks"):
        digit_mosaics(rows=10, test_rows=100)


# Pairs of labels: what is said holds, what is not said follows from independence.


def test_pairs_have_their_shares_and_the_rest_the_largest_entropy() -> None:
    from scipy.optimize import minimize

    q, pairs = np.array([0.3, 0.2, 0.4]), {"A+B": 0.12, " C + B": 0.02}
    sets, shares = label_set_shares(q, "ABC", pairs)
    assert shares.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(shares @ sets, q, atol=1e-9)
    both = [(sets[:, i] & sets[:, j]) @ shares for i, j in ((0, 1), (1, 2))]
    np.testing.assert_allclose(both, [0.12, 0.02], atol=1e-9)
    rows = [np.ones(8), *sets.T, sets[:, 0] & sets[:, 1], sets[:, 1] & sets[:, 2]]
    target = [1.0, *q, 0.12, 0.02]
    oracle = minimize(
        lambda p: float((p * np.log(p)).sum()), np.full(8, 0.125), bounds=[(1e-9, 1)] * 8,
        constraints={"type": "eq", "fun": lambda p: np.array(rows) @ p - target},
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    np.testing.assert_allclose(shares, oracle.x, atol=2e-5)


def test_nothing_said_is_independence() -> None:
    sets, shares = label_set_shares([0.25, 0.5], "AB", {})
    np.testing.assert_allclose(shares, [0.375, 0.375, 0.125, 0.125])
    assert sets.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    _, never = label_set_shares([0.25, 0.5], "AB", {"A+B": 0.0})
    np.testing.assert_allclose(never, [0.25, 0.5, 0.25, 0.0], atol=1e-9)
    _, always = label_set_shares([0.25, 0.5], "AB", {"A+B": 0.25})
    np.testing.assert_allclose(always, [0.5, 0.25, 0.0, 0.25], atol=1e-9)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"A+B": 0.3}, r"`data.together.A\+B` must lie in \[0, 0.2\], as the .*, got 0.3"),
        ({"A+X": 0.1}, "`data.together` must name labels, got 'X'"),
        ({"A": 0.1}, "must name pairs such as A\\+B, got 'A'"),
        ({"A+A": 0.1}, "must name pairs"),
        ({"A+B": 0.2, "B+C": 0.2, "A+C": 0.0}, "must be shares that rows can have"),
    ],
)
def test_pairs_that_no_rows_have_are_refused(pairs: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label_set_shares([0.3, 0.2, 0.4], "ABC", pairs)


def test_mosaics_show_pairs_as_often_as_is_said() -> None:
    data = digit_mosaics(rows=6000, test_rows=3000, noise=0.0, together={"A+C": 0.08})
    hot = data.labels.values
    error = np.sqrt(0.08 / len(hot))
    assert abs((hot[:, 0] & hot[:, 2]).mean() - 0.08) < 4 * error
    errors = np.sqrt(np.asarray(MOSAIC_PREVALENCES) / len(hot))
    assert (np.abs(data.labels.prevalence - MOSAIC_PREVALENCES) < 4 * errors).all()
    classes = np.repeat(np.arange(6), 5)
    _, labels = draw_mosaics(
        classes, {"A": 1, "B": 4}, {"A": 0.1, "B": 0.5}, 1000, np.random.default_rng(0),
        {"A+B": 0.1},
    )  # fmt: skip
    hot = labels.values
    assert (int((hot[:, 0] & hot[:, 1]).sum()), *hot.sum(0).tolist()) == (100, 100, 500)
