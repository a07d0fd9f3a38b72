"""Scores of predictions, by their formulas."""

import numpy as np
import pytest
from scipy.stats import binom

from liveaction.probing import tables
from liveaction.probing.scores import class_scores, dice, mcnemar, sign_test, spread
from liveaction.probing.tables import as_good


def test_accuracy_and_macro_recall() -> None:
    labels, said = np.array([0, 0, 0, 1, -1]), np.array([0, 0, 1, 1, 0])
    assert class_scores(said, labels, 3) == pytest.approx({"accuracy": 3 / 4, "macro_recall": (2 / 3 + 1) / 2})


def test_dice_is_that_of_scikit_learn_style_counts() -> None:
    labels, said = np.array([[0, 1, 1], [2, -1, 0]]), np.array([[0, 1, 0], [1, 2, 0]])
    assert dice(said, labels, 4) == pytest.approx((2 * 2 / 5 + 2 * 1 / 4 + 0) / 3)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    one = [True] * 9 + [False] * 3 + [True] * 20
    two = [False] * 9 + [True] * 3 + [True] * 20
    assert mcnemar(one, two) == pytest.approx(2 * binom.cdf(3, 12, 0.5))
    assert mcnemar(one, one) == 1.0


def test_the_sign_test_counts_items_that_differ() -> None:
    one, two = [3.0] * 9 + [1.0] * 3 + [2.0] * 20, [2.5] * 9 + [7.0] * 3 + [2.0] * 20
    assert sign_test(one, two) == sign_test(two, one) == pytest.approx(2 * binom.cdf(3, 12, 0.5))
    assert sign_test(two, two) == 1.0


def test_spread() -> None:
    assert spread([2.0]) == (2.0, None)
    assert spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))


def test_words_say_no_more_than_the_test() -> None:
    row = {"difference": -20.0, "accuracy_deviation": 5.0}
    assert tables._beside(row | {"p": 0.2}, "accuracy") == "not certainly different (p 0.2) from"
    assert tables._beside(row | {"p": 0.01}, "accuracy") == "worse than"
    assert tables._beside(row | {"p": None}, "accuracy") == "worse than"
    assert tables._beside({"difference": 2.0, "p": None, "rmse_deviation": 3.0}, "rmse").startswith("within")
    assert tables._beside({"difference": 2.0, "p": None, "rmse_deviation": 1.0}, "rmse") == "worse than"


def _row(name: str, words: str, kind: str, score: float, size: float) -> dict[str, object]:
    return {
        "input": name, "words": words, "kind": kind, "accuracy": score, "accuracy_deviation": 0.5, "rmse": score,
        "rmse_deviation": 0.5, "bytes": size, "values": size, "epoch_cpu_s": size,
    }  # fmt: skip


def test_what_is_as_good_as_samples_is_the_smallest_within_the_deviation_of_their_runs() -> None:
    rows = [
        _row("all", "samples", "baseline", 80.0, 1000),
        _row("half", "resampled by 2 per axis", "baseline", 79.6, 500),
        _row("eighth", "resampled by 8 per axis", "baseline", 79.4, 125),
        _row("many", "codec, 32 latents", "model", 85.0, 100),
        _row("few", "codec, 8 latents", "model", 79.5, 40),
        _row("coded", "decoded from Opus at 12", "baseline", 60.0, 30),
    ]
    found = as_good(rows, "accuracy")
    assert {kind: row["input"] for kind, row in found.items()} == {
        "samples": "all", "latents": "few", "fewer samples": "half"
    }  # fmt: skip
    lower = as_good(rows, "rmse")
    assert lower["another codec"]["input"] == "coded" and lower["latents"]["input"] == "few"
    assert lower["fewer samples"]["input"] == "eighth"
    assert as_good(rows[1:], "accuracy") == {}
