"""Columns that set clusters apart."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

from skdeepcluster.metrics import explain_clusters

pd = pytest.importorskip("pandas")


def test_effect_sizes_are_cohens():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(90, 4)), np.repeat([3, 5, 9], 30)
    X[labels == 5, 2] += 4
    table = explain_clusters(X, labels, n_features=None)
    assert list(table.index.names) == ["cluster", "column"] and len(table) == 12
    for (cluster, column), row in table.iterrows():
        x = X[:, int(column[1:])]
        a, b = x[labels == cluster], x[labels != cluster]
        pooled = (29 * a.var(ddof=1) + 59 * b.var(ddof=1)) / 88
        assert row["effect"] == pytest.approx((a.mean() - b.mean()) / pooled**0.5)
        assert row["inside"] == pytest.approx(a.mean())
        assert row["outside"] == pytest.approx(b.mean())
        assert row["share"] == pytest.approx(1 / 3)
    for cluster in (3, 5, 9):
        sizes = table.loc[cluster, "effect"].abs()
        assert sizes.is_monotonic_decreasing
    assert table.loc[5].index[0] == "x2" and table.loc[(5, "x2"), "effect"] > 2


def test_names_of_columns_and_how_many():
    wine = load_wine(as_frame=True)
    table = explain_clusters(wine.data, wine.target, n_features=2)
    assert len(table) == 6 and set(table.loc[0].index) <= set(wine.data.columns)
    assert table.loc[0].index[0] == "proline"


def test_constant_and_perfect_columns():
    X = np.array([[1.0, 0, 5], [1, 0, 6], [1, 2, 5], [1, 2, 6]])
    table = explain_clusters(X, ["a", "a", "b", "b"], n_features=None)
    assert table.loc[("a", "x1"), "effect"] == -np.inf
    assert table.loc[("a", "x0"), "effect"] == 0 == table.loc[("a", "x2"), "effect"]


def test_values_whose_means_are_rounded():
    rng = np.random.default_rng(0)
    labels = np.arange(100) < 37
    noise = rng.normal(size=100)
    X = np.column_stack(
        [np.full(100, 0.1), noise, np.full(100, 1e6 + 0.3), np.where(labels, 0.1, 0.3)]
    )
    effect = explain_clusters(X, labels, n_features=None)["effect"][True]
    assert effect["x0"] == effect["x2"] == 0 and effect["x3"] == -np.inf
    assert 0 < abs(effect["x1"]) < 1


@pytest.mark.parametrize(
    "labels, n_features, message",
    [
        ([0, 0, 0], 5, "All rows are in one cluster"),
        ([0, 1], 5, "inconsistent numbers of samples"),
        ([0, 1, 1], 0, "n_features must be positive"),
    ],
)
def test_bad_arguments(labels, n_features, message):
    with pytest.raises(ValueError, match=message):
        explain_clusters(np.eye(3), labels, n_features)
