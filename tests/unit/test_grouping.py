"""Groups of neighbours: friends of friends, density, size limits, foreign group makers."""

from __future__ import annotations

import dataclasses
from time import process_time

import numpy as np
import pytest
from astropy.table import QTable, Table
from scipy.cluster.hierarchy import fcluster, linkage

from bayesphot.grouping import (
    DAOGroup,
    DBSCANGroup,
    group_sources,
    label_groups,
    split_large_groups,
)

MAKERS = (DAOGroup, DBSCANGroup)


def draw_field(n_sources: int = 1000, size: float = 300.0, seed: int = 7) -> np.ndarray:
    """Return random positions (2, n)."""
    return np.random.default_rng(seed).uniform(0.0, size, (2, n_sources))


def as_partition(labels: np.ndarray, x: np.ndarray, y: np.ndarray) -> set[frozenset]:
    """Return the groups as sets of positions, free of numbering and row order."""
    return {
        frozenset(zip(x[labels == label], y[labels == label], strict=True))
        for label in np.unique(labels)
    }


def rename_in_order(labels: np.ndarray) -> list[int]:
    """Return labels 1, 2, ... in the order of first members, the slow and plain way."""
    names: dict[int, int] = {}
    return [names.setdefault(label, len(names) + 1) for label in labels.tolist()]


def make_cross(x: float, y: float, arm: float = 0.5) -> tuple[list[float], list[float]]:
    """Return five stars in the shape of a plus sign."""
    return [x, x + arm, x, x - arm, x], [y, y, y + arm, y, y - arm]


# The cases of photutils' DAOGroup


@pytest.mark.parametrize("maker", MAKERS)
def test_two_crosses_two_pixels_apart_are_two_groups(maker) -> None:
    (x1, y1), (x2, y2) = make_cross(0.0, 0.0), make_cross(0.0, 2.0)
    stars = Table({"id": np.arange(1, 11), "x_0": x1 + x2, "y_0": y1 + y2})
    grouped = maker(crit_separation=0.6)(stars)
    assert grouped["group_id"].tolist() == [1] * 5 + [2] * 5


@pytest.mark.parametrize("maker", MAKERS)
def test_four_crosses_are_four_groups(maker) -> None:
    crosses = [make_cross(x, y) for x, y in ((0, 0), (2, 0), (0, 2), (2, 2))]
    x = np.concatenate([cross[0] for cross in crosses])
    y = np.concatenate([cross[1] for cross in crosses])
    assert maker(0.6)(x, y).tolist() == np.repeat([1, 2, 3, 4], 5).tolist()


@pytest.mark.parametrize("maker", MAKERS)
def test_columns_of_stars_are_chained_from_neighbour_to_neighbour(maker) -> None:
    x = np.repeat([0.0, 1.0, 2.0], 5)
    y = np.tile(np.arange(5) * 0.25, 3)
    assert maker(0.3)(x, y).tolist() == np.repeat([1, 2, 3], 5).tolist()


@pytest.mark.parametrize(("separation", "n_groups"), [(2.5, 1), (0.01, 10)])
@pytest.mark.parametrize("maker", MAKERS)
def test_ten_stars_on_a_circle(maker, separation: float, n_groups: int) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 10, endpoint=False)
    labels = maker(separation)(np.cos(angle), np.sin(angle))
    assert labels.max() == len(set(labels.tolist())) == n_groups


@pytest.mark.parametrize("maker", MAKERS)
def test_labels_count_up_in_the_order_of_first_members(maker) -> None:
    x = np.array([50.0, 0.0, 90.0, 51.0, 1.0, 20.0])
    assert maker(3.0)(x, np.zeros(6)).tolist() == [1, 2, 3, 1, 2, 4]
    labels = maker(7.0)(*draw_field())
    assert labels.dtype == np.int64
    assert labels.tolist() == rename_in_order(labels)


# Definition


@pytest.mark.parametrize("separation", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("maker", MAKERS)
def test_random_points_equal_single_linkage(maker, separation: float) -> None:
    x, y = draw_field()
    tree = linkage(np.column_stack((x, y)), method="single")
    expected = fcluster(tree, separation, criterion="distance")
    assert maker(separation)(x, y).tolist() == rename_in_order(expected)


def test_daogroup_is_strict_and_dbscan_inclusive() -> None:
    for x, y in (([0.0, 3.0], [0.0, 4.0]), ([0.0, 0.0], [0.0, 5.0])):
        assert DAOGroup(5.0)(x, y).tolist() == [1, 2]
        assert DAOGroup(np.nextafter(5.0, 6.0))(x, y).tolist() == [1, 1]
        assert DBSCANGroup(5.0)(x, y).tolist() == [1, 1]
        assert DBSCANGroup(np.nextafter(5.0, 4.0))(x, y).tolist() == [1, 2]


def test_separation_zero_ends_with_everyone_alone() -> None:
    assert DAOGroup(0)([1.0, 1.0, 2.0], [1.0, 1.0, 2.0]).tolist() == [1, 2, 3]
    assert DBSCANGroup(0)([1.0, 1.0, 2.0], [1.0, 1.0, 2.0]).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("metric", "together"), [("euclidean", 5.0), ("manhattan", 7.0), ("chebyshev", 4.0)]
)
def test_dbscan_knows_three_metrics(metric: str, together: float) -> None:
    x, y = [0.0, 3.0], [0.0, 4.0]
    assert DBSCANGroup(together, metric=metric)(x, y).tolist() == [1, 1]
    assert DBSCANGroup(together - 0.01, metric=metric)(x, y).tolist() == [1, 2]


def test_dbscan_noise_points_are_alone_each() -> None:
    x = np.array([0.0, 1.0, 2.0, 40.0, 41.0, 80.0])
    assert DBSCANGroup(1.5, min_samples=3)(x, np.zeros(6)).tolist() == [1, 1, 1, 2, 3, 4]


def test_dbscan_bridges_by_border_points_do_not_join_clusters() -> None:
    # Two clusters of cores; the point between them reaches one core of each but is none itself.
    x = np.array([0.0, 0.5, 1.0, 2.4, 4.0, 4.5, 5.0])
    labels = DBSCANGroup(1.6, min_samples=4)(x, np.array([0, 0, 0, 0, 0, 0, 0.0]))
    assert labels.tolist() == [1, 1, 1, 1, 2, 2, 2]
    mirrored = DBSCANGroup(1.6, min_samples=4)(5.0 - x[::-1], np.zeros(7))
    assert mirrored.tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_dbscan_algorithm_and_leaf_size_change_nothing() -> None:
    x, y = draw_field()
    expected = DBSCANGroup(6.0, min_samples=3)(x, y)
    for algorithm in ("auto", "ball_tree", "kd_tree", "brute"):
        maker = DBSCANGroup(6.0, min_samples=3, algorithm=algorithm, leaf_size=3)
        np.testing.assert_array_equal(maker(x, y), expected)


@pytest.mark.parametrize(
    "maker",
    [
        DAOGroup(8.0),
        DAOGroup(15.0, max_group_size=10),
        DBSCANGroup(8.0),
        DBSCANGroup(8.0, min_samples=4, max_group_size=6),
    ],
    ids=repr,
)
def test_groups_do_not_depend_on_the_order_of_rows(maker) -> None:
    x, y = np.round(draw_field())  # rounded: many equal distances, so that ties are met
    x, y = np.unique(np.stack((x, y)), axis=1)
    expected = as_partition(maker(x, y), x, y)
    assert 1 < len(expected) < x.size
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(x.size)
        assert as_partition(maker(x[order], y[order]), x[order], y[order]) == expected


def test_many_sources_are_grouped_at_once() -> None:
    x, y = draw_field(20000, 2000.0)
    took = []
    for _ in range(5):
        start = process_time()
        DAOGroup(7.0)(x, y)
        took.append(process_time() - start)
    assert min(took) < 0.05


# Tables


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", [Table, QTable])
def test_a_table_comes_back_as_a_copy_with_group_id(maker, kind) -> None:
    stars = kind({"name": ["a", "b", "c"], "x_0": [9, 0, 8], "y_0": [1.0, 1.0, 1.0]})
    stars.meta["origin"] = "test"
    before = stars.copy()
    grouped = maker(crit_separation=2.0)(stars)
    assert type(grouped) is kind
    assert grouped.colnames == ["name", "x_0", "y_0", "group_id"]
    assert grouped["name"].tolist() == ["a", "b", "c"]
    assert grouped["group_id"].tolist() == [1, 2, 1]
    assert grouped["group_id"].dtype == np.int64
    assert grouped.meta["origin"] == "test"
    grouped["x_0"][0] = 77
    assert stars.colnames == before.colnames
    assert np.all(stars == before)


@pytest.mark.parametrize("maker", MAKERS)
def test_nobody_is_in_no_group(maker) -> None:
    grouped = maker(2.0)(Table({"x_0": [], "y_0": []}))
    assert len(grouped) == 0
    assert grouped["group_id"].dtype == np.int64
    assert maker(2.0, max_group_size=3)([], []).tolist() == []


@pytest.mark.parametrize("maker", MAKERS)
def test_sources_without_position_stay_alone(maker) -> None:
    x = np.array([np.nan, 1.0, np.nan, 1.5, np.inf])
    assert maker(2.0)(x, np.ones(5)).tolist() == [1, 2, 3, 2, 4]
    masked = np.ma.MaskedArray([1.0, 1.0, 1.5], mask=[True, False, False])
    assert maker(2.0)(masked, np.ones(3)).tolist() == [1, 2, 2]


def test_a_wrong_table_is_named() -> None:
    with pytest.raises(ValueError, match=r"no column y_0; its columns are \['x_0'\]"):
        DAOGroup(2.0)(Table({"x_0": [1.0]}))
    with pytest.raises(TypeError, match="expected a table with x_0 and y_0, or x and y"):
        DAOGroup(2.0)([1.0, 2.0])
    with pytest.raises(ValueError, match="x has 2 values, but y has 1"):
        DAOGroup(2.0)([1.0, 2.0], [1.0])
    with pytest.raises(TypeError, match="x must be numbers"):
        DAOGroup(2.0)(["a"], [1.0])
    with pytest.raises(ValueError, match=r"y must be one-dimensional, found shape \(1, 1\)"):
        DAOGroup(2.0)([1.0], [[1.0]])


# Settings


def test_group_makers_are_frozen_and_readable() -> None:
    assert repr(DAOGroup(3.0)) == "DAOGroup(crit_separation=3.0, max_group_size=None)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        DAOGroup(3.0).crit_separation = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"crit_separation": -1.0}, ValueError, r"crit_separation must be .* >= 0, found -1\.0"),
        ({"crit_separation": np.nan}, ValueError, "crit_separation must be .* found nan"),
        ({"crit_separation": np.inf}, ValueError, "crit_separation must be finite"),
        ({"crit_separation": "2"}, TypeError, "crit_separation must be a number, found '2'"),
        ({"max_group_size": 0}, ValueError, "max_group_size must be at least 1, found 0"),
        ({"max_group_size": 2.5}, TypeError, r"max_group_size must be an integer, found 2\.5"),
    ],
)
def test_wrong_settings_are_named(maker, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        maker(**{"crit_separation": 2.0, **settings})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"min_samples": 0}, ValueError, "min_samples must be at least 1, found 0"),
        ({"min_samples": None}, TypeError, "min_samples must be an integer, found None"),
        ({"leaf_size": 0}, ValueError, "leaf_size must be at least 1, found 0"),
        ({"metric": "cosine"}, ValueError, "metric must be one of .* found 'cosine'"),
        ({"algorithm": "fast"}, ValueError, "algorithm must be one of .* found 'fast'"),
    ],
)
def test_wrong_dbscan_settings_are_named(settings, error, message) -> None:
    with pytest.raises(error, match=message):
        DBSCANGroup(2.0, **settings)


# split_large_groups


def test_small_groups_are_left_alone() -> None:
    labels, was_split = split_large_groups([5, 3, 5], [0, 1, 2], [0, 0, 0], max_size=2)
    assert labels.tolist() == [1, 2, 1]
    assert not was_split.any()


def test_a_large_group_is_halved_along_its_long_axis() -> None:
    along = np.arange(6.0)
    for x, y in ((along, 0.1 * along), (0.1 * along, along), (along, -along)):
        labels, was_split = split_large_groups(np.ones(6, int), x, y, max_size=3)
        assert labels.tolist() == [1, 1, 1, 2, 2, 2]
        assert was_split.all()


@pytest.mark.parametrize("max_size", [1, 2, 7, 20, 299])
def test_every_piece_fits_and_stays_within_its_group(max_size: int) -> None:
    x, y = draw_field(600)
    groups = (np.arange(600) % 3 == 0).astype(int)  # 400 and 200 members
    labels, was_split = split_large_groups(groups, x, y, max_size=max_size)
    sizes = np.bincount(labels)[1:]
    assert sizes.max() <= max_size
    # Halving stops as soon as a piece fits: none is smaller than half of what would fit.
    assert sizes.min() >= min((max_size + 1) // 2, 200)
    for label in np.unique(labels):
        assert len(set(groups[labels == label])) == 1
    np.testing.assert_array_equal(was_split, np.where(groups == 1, 200, 400) > max_size)
    assert labels.tolist() == rename_in_order(labels)


def test_splitting_equal_positions_ends() -> None:
    labels, _ = split_large_groups(np.ones(9, int), np.zeros(9), np.zeros(9), max_size=2)
    assert np.bincount(labels).max() == 2


def test_wrong_splitting_is_named() -> None:
    with pytest.raises(ValueError, match="max_size must be at least 1, found 0"):
        split_large_groups([1], [0.0], [0.0], max_size=0)
    with pytest.raises(
        ValueError, match=r"labels must be one for each of 2 sources, found shape \(1,\)"
    ):
        split_large_groups([1], [0.0, 1.0], [0.0, 1.0], max_size=1)
    with pytest.raises(ValueError, match="x and y must be finite"):
        split_large_groups([1, 1], [0.0, np.nan], [0.0, 1.0], max_size=1)


# The adapter


def test_the_cap_of_the_maker_and_of_the_run_both_count_and_say_who_was_cut() -> None:
    x, y = draw_field(300, 100.0)
    by_maker = group_sources(DAOGroup(15.0, max_group_size=9), x, y)
    by_run = group_sources(DAOGroup(15.0), x, y, max_group_size=9)
    both = group_sources(DAOGroup(15.0, max_group_size=9), x, y, max_group_size=20)
    for grouping in (by_maker, by_run, both):
        assert np.bincount(grouping.labels).max() <= 9
        np.testing.assert_array_equal(grouping.labels, by_maker.labels)
        assert grouping.was_split.all()
    foreign = group_sources(lambda x, y: np.ones(x.size, int), x, y, max_group_size=9)
    np.testing.assert_array_equal(foreign.labels, by_maker.labels)
    assert not group_sources(DAOGroup(15.0), x, y).was_split.any()


def test_no_group_maker_leaves_everyone_alone() -> None:
    assert label_groups(None, [1.0, 1.0], [2.0, 2.0]).tolist() == [1, 2]


def test_a_function_of_positions_plugs_in() -> None:
    def by_column(x, y):
        return (100 - x).astype(int)

    labels = label_groups(by_column, [3.0, 1.0, 3.0, 2.0], np.zeros(4))
    assert labels.tolist() == [1, 2, 1, 3]
    assert labels.dtype == np.int64


def test_a_function_of_a_table_plugs_in_whatever_its_row_order() -> None:
    def by_column(table, verbose=False):
        assert table.colnames == ["id", "x_0", "y_0"]
        table["group_id"] = table["x_0"].astype(int)
        return table.group_by("group_id")

    def without_ids(table):
        return Table({"group_id": table["x_0"].astype(int)})

    for maker in (by_column, without_ids):
        labels = label_groups(maker, [3.0, 1.0, 3.0, 2.0], np.zeros(4))
        assert labels.tolist() == [1, 2, 1, 3]


def test_negative_labels_of_others_mean_alone() -> None:
    labels = label_groups(lambda x, y: np.array([-1, 0, 0, -1]), np.zeros(4), np.zeros(4))
    assert labels.tolist() == [1, 2, 2, 3]


def test_others_never_see_sources_without_position() -> None:
    def count(x, y):
        assert np.isfinite(x).all()
        return np.ones(x.size, dtype=int)

    assert label_groups(count, [0.0, np.nan, 1.0], np.zeros(3)).tolist() == [1, 2, 1]
    assert label_groups(lambda x, y: 1 / 0, [np.nan], [0.0]).tolist() == [1]
    assert label_groups(lambda x, y: 1 / 0, [], []).tolist() == []


@pytest.mark.parametrize(
    ("maker", "error", "message"),
    [
        (
            lambda x, y: np.ones(5, int),
            ValueError,
            r"labels of group_maker must be one for each of 2 .*\(5,\)",
        ),
        (lambda x, y: np.array([0.5, 1.0]), TypeError, "labels of group_maker must be integers"),
        (lambda table: table, TypeError, "must return a table with a column group_id"),
        (
            lambda table: Table({"id": [1, 1], "group_id": [1, 1]}),
            ValueError,
            "returned other ids than it was given",
        ),
        (7, TypeError, "group_maker must be None or a callable, found 7"),
        (DAOGroup, TypeError, "group_maker must be an instance, found the class DAOGroup"),
    ],
)
def test_a_wrong_group_maker_is_named(maker, error, message) -> None:
    with pytest.raises(error, match=message):
        label_groups(maker, [0.0, 1.0], [0.0, 1.0])
