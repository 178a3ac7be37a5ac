"""Random positions that keep their distance from each other."""

from __future__ import annotations

import numpy as np

from bayesphot.checks import check_number

from .arguments import check_count, read_shape

#: Candidates tried per wanted position before a field counts as full. Random placing jams when
#: discs of diameter min_separation cover 0.547 of the area; at 0.52 this takes 0.2 s for 2000.
_TRIES = 200
#: The densest packing of equal discs covers pi / sqrt(12) of the plane.
_DENSEST = np.pi / np.sqrt(12.0)


def draw_positions(
    n_sources: int, shape, *, min_separation: float = 0.0, border: float = 0.0, seed=None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions uniformly over an image, none closer to another than a minimum.

    Candidates are drawn one after the other and kept if no kept one is too close (a KD-tree
    judges them in batches, with the same outcome).

    Parameters
    ----------
    n_sources : int
        How many.
    shape : tuple of int
        (ny, nx).
    min_separation : float, optional
        Smallest distance in pixels.
    border : float, optional
        x lies in [border, nx - 1 - border], y likewise.
    seed : None, int or Generator, optional
        For ``numpy.random.default_rng``.

    Returns
    -------
    x, y : ndarray of float64, shape (n_sources,)

    Raises
    ------
    ValueError
        If so many positions cannot have that separation, or random placing jams before all are
        placed (discs of that diameter on some 0.5 of the area).

    Examples
    --------
    >>> from bayesphot.datasets import draw_positions
    >>> x, y = draw_positions(100, (64, 64), min_separation=3.0, border=5.0, seed=1)
    >>> x.shape, bool(x.min() >= 5.0)
    ((100,), True)
    """
    ny, nx = read_shape(shape)
    check_count("n_sources", n_sources)
    check_number("min_separation", min_separation, least=0.0)
    check_number("border", border, least=0.0)
    lower = np.array([border, border], dtype=np.float64)
    upper = np.array([nx - 1, ny - 1], dtype=np.float64) - border
    if np.any(upper < lower):
        raise ValueError(f"border must leave part of the image {(ny, nx)}, found {border}")
    random = np.random.default_rng(seed)
    if min_separation == 0.0 or n_sources < 2:
        points = random.uniform(lower, upper, (n_sources, 2))
    else:
        points = _place_apart(n_sources, lower, upper, min_separation, random)
    return points[:, 0].copy(), points[:, 1].copy()


def _place_apart(n_sources, lower, upper, separation, random) -> np.ndarray:
    """Return positions (n_sources, 2) that keep their distance, by random sequential placing."""
    from scipy.spatial import KDTree

    # Discs of diameter separation around the positions lie within the box grown by half of it.
    room = np.prod(upper - lower + separation)
    if n_sources * np.pi * separation**2 / 4.0 > _DENSEST * room:
        raise ValueError(
            f"min_separation is too large: {n_sources} sources {separation} px apart do not fit "
            f"into {upper[0] - lower[0]} x {upper[1] - lower[1]} px"
        )
    placed = np.empty((0, 2))
    tries_left = _TRIES * n_sources + 10000
    while len(placed) < n_sources and tries_left > 0:
        size = max(2 * (n_sources - len(placed)), 1000)
        tries_left -= size
        new = random.uniform(lower, upper, (size, 2))
        if len(placed):
            new = new[KDTree(placed).query(new)[0] >= separation]
        new = new[_keep_first_comers(KDTree(new), separation)]
        placed = np.concatenate((placed, new))[:n_sources]
    if len(placed) < n_sources:
        raise ValueError(
            f"min_separation is too large: only {len(placed)} of {n_sources} sources could be "
            f"placed {separation} px apart"
        )
    return placed


def _keep_first_comers(tree, separation: float) -> np.ndarray:
    """Tell which points stay if each yields to an earlier one that stays."""
    stays = np.ones(tree.n, dtype=bool)
    pairs = tree.query_pairs(separation, output_type="ndarray")
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    for earlier, later in pairs.tolist():
        if stays[earlier]:
            stays[later] = False
    return stays
