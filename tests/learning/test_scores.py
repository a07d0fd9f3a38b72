"""Scores of predictions, by their formulas."""

import numpy as np
import pytest
from scipy.stats import binom

from liveaction.probing import tables
from liveaction.probing.scores import class_scores, dice, mcnemar, sign_test, spread


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
