"""Grouping against photutils and scikit-learn, and photutils' grouper in the place of ours."""

from __future__ import annotations

import numpy as np
import pytest

from bayesphot.grouping import DAOGroup, DBSCANGroup, label_groups

FIELDS = {
    "random": np.random.default_rng(3).uniform(0.0, 200.0, (2, 800)),
    # Whole pixels: distances that equal the limit exactly.
    "grid": np.random.default_rng(4).integers(0, 60, (2, 300)).astype(float),
}


@pytest.mark.parametrize("separation", [1.0, 5.0, 13.0])
@pytest.mark.parametrize("field", FIELDS)
def test_groups_equal_source_grouper(field: str, separation: float) -> None:
    psf = pytest.importorskip("photutils.psf", reason="photutils is the referee")
    x, y = FIELDS[field]
    expected = psf.SourceGrouper(separation)(x, y)
    np.testing.assert_array_equal(DBSCANGroup(separation)(x, y), expected)
    just_above = np.nextafter(separation, np.inf)
    np.testing.assert_array_equal(DAOGroup(just_above)(x, y), expected)


def test_source_grouper_plugs_in() -> None:
    psf = pytest.importorskip("photutils.psf", reason="photutils is the referee")
    x, y = FIELDS["random"]
    np.testing.assert_array_equal(
        label_groups(psf.SourceGrouper(7.0), x, y), DBSCANGroup(7.0)(x, y)
    )
    with_nan = np.append(x, np.nan)
    labels = label_groups(psf.SourceGrouper(7.0), with_nan, np.append(y, 3.0))
    assert labels[-1] == labels.max()
    assert np.count_nonzero(labels == labels[-1]) == 1


@pytest.mark.parametrize("min_samples", [1, 3, 5])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_cores_and_noise_equal_scikit_learn(metric: str, min_samples: int) -> None:
    """Cores group alike and the noise is the same; a border point between two may go either way."""
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is the referee")
    for field in FIELDS.values():
        x, y = field
        referee = cluster.DBSCAN(eps=6.0, min_samples=min_samples, metric=metric)
        expected = referee.fit_predict(np.column_stack((x, y)))
        labels = DBSCANGroup(6.0, min_samples=min_samples, metric=metric)(x, y)
        cores = referee.core_sample_indices_
        pairs = {*zip(expected[cores].tolist(), labels[cores].tolist(), strict=True)}
        assert len(pairs) == len({*expected[cores]}) == len({*labels[cores]})
        sizes = np.bincount(labels)[labels]
        assert np.all(sizes[expected == -1] == 1)
        assert np.all(sizes[expected >= 0] >= min(min_samples, 2))
