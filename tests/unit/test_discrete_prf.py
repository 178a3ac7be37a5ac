"""The table of pixel responses: which stamp is whose, how one is made, and what it measures."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from scipy.special import erf

import bayesphot as bp
from bayesphot.kernels.structs import SAMPLED
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources


def integrate_pixels(x, y, sigma=1.6):
    """Return a star of two Gaussians, integrated over the pixels at (x, y) from it.

    The second is smaller, narrower and lies up and to the right: the star is nowhere symmetric.
    """

    def along(d, s):
        return 0.5 * (erf((d + 0.5) / (2**0.5 * s)) - erf((d - 0.5) / (2**0.5 * s)))

    narrow = 0.75 * sigma
    first = along(x, sigma) * along(y, sigma)
    return 0.8 * first + 0.2 * along(x - 0.7, narrow) * along(y - 0.4, narrow)


def list_middles(subsampling):
    """Return the middles of the parts of a pixel, from its centre."""
    return (np.arange(subsampling) + 0.5) / subsampling - 0.5


def make_table(subsampling, size=(21, 21), **shape):
    """Return the stamps of a star in the middle of each part."""
    y, x = np.indices(size) - (np.array(size)[:, None, None] // 2)
    middles = list_middles(subsampling)
    return np.array([[integrate_pixels(x - p, y - q, **shape) for p in middles] for q in middles])


def draw_stars(places, fluxes, shape):
    """Return an image of stars without noise."""
    y, x = np.indices(shape)
    return sum(f * integrate_pixels(x - p, y - q) for (p, q), f in zip(places, fluxes, strict=True))


def place_stars(subsampling, per_part=1, *, step=30, offset=None):
    """Return places (n, 2), ``per_part`` in each part, and the shape of an image that holds them.

    They lie in the middles, or by ``offset(n)``, -0.5 to 0.5 parts, off them.
    """
    middles = list_middles(subsampling)
    part = np.array([(p, q) for q in middles for p in middles for _ in range(per_part)])
    columns = int(np.ceil(np.sqrt(len(part))))
    row, column = np.divmod(np.arange(len(part)), columns)
    places = np.column_stack([column, row]) * step + step // 2 + part
    if offset is not None:
        places += offset(places.shape) / subsampling
    return places, (step * (row.max() + 1), step * columns)


# --- which stamp is whose -----------------------------------------------------------------


@pytest.mark.parametrize("size", [(9, 9), (7, 11)])
@pytest.mark.parametrize("subsampling", [1, 2, 3, 4])
def test_in_the_middle_of_a_part_the_response_is_the_tables(subsampling, size) -> None:
    table = np.random.default_rng(1).uniform(0.1, 1.0, (subsampling, subsampling, *size))
    model = bp.DiscretePRF(table, normalization=False, subsampling=subsampling)
    y, x = np.indices(size)
    half_y, half_x = size[0] // 2, size[1] // 2
    for j, q in enumerate(list_middles(subsampling)):
        for i, p in enumerate(list_middles(subsampling)):
            stamp = model.evaluate(x + 40, y + 50, 3.0, 40 + half_x + p, 50 + half_y + q, 1.0)
            np.testing.assert_allclose(stamp, 3.0 * table[j, i], rtol=1e-12)
            source = np.array([[40 + half_x + p, 50 + half_y + q, 3.0, 0.0]])
            image = render_sources((100, 100), source, describe_psf(model))
            compiled = image[50 : 50 + size[0], 40 : 40 + size[1]]
            np.testing.assert_allclose(compiled, 3.0 * table[j, i], rtol=1e-12)


@pytest.mark.parametrize("place", [(20.0, 20.0), (20.31, 19.58), (19.5, 20.5), (20.49, 19.87)])
def test_elsewhere_the_response_is_interpolated(place) -> None:
    """The nearest part's stamp, which tables of this kind used to give, is ten times as far off."""
    table = make_table(4)
    model = bp.DiscretePRF(table, normalization=False, subsampling=4, x_0=place[0], y_0=place[1])
    y, x = np.mgrid[12:29, 12:29]
    expected = integrate_pixels(x - place[0], y - place[1])
    # A spline of step h errs by h^4 / 384 of the fourth derivative, for a Gaussian by 3 (h / s)^4
    # / 384 of its peak along each axis: 2.9e-5 for the narrower one, of sigma 1.2.
    assert np.abs(model(x, y) - expected).max() < 2.9e-5 * expected.max()
    pixel = np.floor(np.array(place) + 0.5)
    i, j = np.floor((np.array(place) + 0.5 - pixel) * 4).astype(int)
    column, row = (pixel - 12).astype(int)
    nearest = table[j, i, 10 - row : 27 - row, 10 - column : 27 - column]
    assert np.abs(nearest - expected).max() > 2.9e-4 * expected.max()


def test_one_stamp_will_do_for_whole_pixels() -> None:
    table = make_table(1)
    flat, whole = bp.DiscretePRF(table[0, 0]), bp.DiscretePRF(table)
    np.testing.assert_array_equal(flat.prf_array, whole.prf_array)
    assert flat.prf_array.shape == (1, 1, 21, 21)


def test_stamps_are_normalised_unless_refused() -> None:
    table = make_table(2, (7, 7)) * np.array([1.0, 2.0])[:, None, None]
    before = table.copy()
    model = bp.DiscretePRF(table, subsampling=2)
    np.testing.assert_allclose(model.prf_array.sum(axis=(2, 3)), 1.0)
    assert model.enclosed_fraction == pytest.approx(1.0)
    plain = bp.DiscretePRF(table, normalization=False, subsampling=2)
    np.testing.assert_array_equal(plain.prf_array, before)
    assert plain.enclosed_fraction == pytest.approx(before.sum(axis=(2, 3)).mean())
    np.testing.assert_array_equal(table, before)
    with pytest.raises(ValueError, match="read-only"):
        plain.prf_array[0, 0, 0, 0] = 1.0


def test_it_runs_compiled_and_has_the_parameters_of_an_image() -> None:
    model = bp.DiscretePRF(make_table(2), subsampling=2, flux=3.0, x_0=1.0)
    assert model.param_names == ("flux", "x_0", "y_0", "width")
    assert describe_psf(model).kind == SAMPLED
    assert model.fixed == {"flux": False, "x_0": False, "y_0": False, "width": True}
    y, x = np.mgrid[:9, :9]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.copy()):
        np.testing.assert_array_equal(twin(x, y), model(x, y))


# --- made from an image -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mean", "median"])
@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_stars_in_the_middles_give_the_table_itself(subsampling, mode) -> None:
    places, shape = place_stars(subsampling, 3)
    fluxes = np.random.default_rng(2).uniform(100.0, 900.0, len(places))
    image = draw_stars(places, fluxes, shape)
    order = np.random.default_rng(3).permutation(len(places))
    made = bp.DiscretePRF.create_from_image(
        image, places[order], 21, fluxes=fluxes[order], mode=mode, subsampling=subsampling
    )
    expected = make_table(subsampling)
    # Of the light of the next star, 30 pixels off, nothing is left.
    np.testing.assert_allclose(made.prf_array, expected, atol=1e-12)
    shared = bp.DiscretePRF.create_from_image(image, places, 21, mode=mode, subsampling=subsampling)
    expected /= expected.sum(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(shared.prf_array, expected, atol=1e-12)


def test_with_fluxes_light_off_the_stamps_is_still_theirs() -> None:
    places, shape = place_stars(1, 4)
    image = draw_stars(places, np.full(4, 500.0), shape)
    made = bp.DiscretePRF.create_from_image(image, places, 5, fluxes=np.full(4, 500.0))
    assert made.enclosed_fraction == pytest.approx(make_table(1, (5, 5)).sum(), abs=1e-12)
    assert bp.DiscretePRF.create_from_image(image, places, 5).enclosed_fraction == 1.0


def test_stars_on_the_border_of_parts_belong_to_one() -> None:
    # Half-way between pixels a star is in the first part of the next pixel.
    image = draw_stars([(20.5, 30.0), (40.0, 30.0)], [100.0, 100.0], (60, 60))
    made = bp.DiscretePRF.create_from_image(
        image,
        [(20.5, 29.5), (40.25, 29.5), (20.5, 30.25), (40.25, 30.25)],
        11,
        subsampling=2,
    )
    first = image[25:36, 16:27] / image[25:36, 16:27].sum()
    np.testing.assert_allclose(made.prf_array[0, 0], first)


@pytest.mark.parametrize("given", ["fluxes", "no fluxes"])
@pytest.mark.parametrize("way", ["mask", "NaN", "masked array"])
def test_bad_pixels_do_not_count(way, given) -> None:
    places, shape = place_stars(2, 3)
    fluxes = np.random.default_rng(4).uniform(100.0, 900.0, len(places))
    image = draw_stars(places, fluxes, shape)
    clean = bp.DiscretePRF.create_from_image(image, places, 15, subsampling=2)
    if given == "fluxes":
        clean = bp.DiscretePRF.create_from_image(image, places, 15, fluxes, subsampling=2)
    # Bright pixels of one star of each part.
    bad = np.zeros(shape, dtype=bool)
    for x, y in np.round(places[::3]).astype(int):
        bad[y - 1 : y + 2, x] = bad[y, x - 5] = True
    image[bad] = np.nan if way == "NaN" else 1e6
    made = bp.DiscretePRF.create_from_image(
        np.ma.MaskedArray(image, bad) if way == "masked array" else image,
        places,
        15,
        fluxes=fluxes if given == "fluxes" else None,
        mask=bad if way == "mask" else None,
        subsampling=2,
    )
    # The rounds that find the light of the stars end at 1e-12.
    np.testing.assert_allclose(made.prf_array, clean.prf_array, atol=1e-11)


def test_means_and_medians_are_those_of_each_pixel() -> None:
    rng = np.random.default_rng(5)
    places, shape = place_stars(1, 5, step=10)
    image = rng.uniform(1.0, 2.0, shape)
    bad = rng.random(shape) < 0.1
    fluxes = rng.uniform(1.0, 3.0, 5)
    corners = np.round(places).astype(int) - 3
    stamps = [
        np.where(bad, np.nan, image)[y : y + 7, x : x + 7] / f
        for (x, y), f in zip(corners, fluxes, strict=True)
    ]
    for mode, combine in (("mean", np.nanmean), ("median", np.nanmedian)):
        made = bp.DiscretePRF.create_from_image(image, places, 7, fluxes, bad, mode)
        np.testing.assert_allclose(made.prf_array[0, 0], combine(stamps, axis=0))


def test_a_median_forgets_a_neighbour() -> None:
    places, shape = place_stars(1, 5)
    fluxes = np.full(5, 500.0)
    image = draw_stars(places, fluxes, shape)
    image += draw_stars([places[0] + (5.0, 3.0)], [200.0], shape)
    made = bp.DiscretePRF.create_from_image(image, places, 15, fluxes, mode="median")
    np.testing.assert_allclose(made.prf_array[0, 0], make_table(1, (15, 15))[0, 0], atol=1e-12)


def test_opposite_pixels_stand_in_where_asked() -> None:
    """Of a symmetric star; the opposite of a pixel is in the opposite part's stamp."""
    places, shape = place_stars(3, 2)
    y, x = np.indices(shape)
    star = bp.IntegratedGaussianPRF(sigma=1.5)
    image = sum(star.evaluate(x, y, 100.0, p, q, 1.5) for p, q in places)
    clean = bp.DiscretePRF.create_from_image(image, places, 15, subsampling=3)
    for p, q in np.round(places[2:4]).astype(int):
        image[q + 1, p - 2] = np.nan
    with pytest.raises(
        ValueError,
        match=r"found none for pixel \(y, x\) = \(8, 5\) in part \(y, x\) = \(0, 1\), and 1 in all",
    ):
        bp.DiscretePRF.create_from_image(image, places, 15, subsampling=3)
    made = bp.DiscretePRF.create_from_image(image, places, 15, subsampling=3, fix_nan=True)
    np.testing.assert_allclose(made.prf_array, clean.prf_array, atol=1e-12)
    image[np.isnan(image)] = 0.0
    for (p, q), side in zip(
        np.round(places[[2, 3, 14, 15]]).astype(int), (1, 1, -1, -1), strict=True
    ):
        image[q + side, p - 2 * side] = np.nan
    for fluxes in (None, np.full(len(places), 100.0)):
        with pytest.raises(ValueError, match="and 2 in all: nor is the opposite one"):
            bp.DiscretePRF.create_from_image(image, places, 15, fluxes, subsampling=3, fix_nan=True)


@pytest.mark.parametrize(
    "positions",
    [
        lambda p: p.tolist(),
        lambda p: Table({"x_0": p[:, 0], "y_0": p[:, 1]}),
        lambda p: {"x_fit": p[:, 0] * u.pix, "y_fit": p[:, 1] * u.pix},
        lambda p: np.rec.fromarrays(p.T, names="xcentroid, ycentroid"),
    ],
)
def test_positions_are_any_table_or_pairs(positions) -> None:
    places, shape = place_stars(2)
    image = draw_stars(places, np.full(4, 100.0), shape) * u.electron
    expected = bp.DiscretePRF.create_from_image(image.value, places, 9, subsampling=2)
    made = bp.DiscretePRF.create_from_image(image, positions(places), 9, subsampling=2)
    np.testing.assert_array_equal(made.prf_array, expected.prf_array)


# --- what it measures ---------------------------------------------------------------------


def measure(model, image, places, error=1.0):
    """Return fluxes fitted from starts that are off."""
    phot = bp.BasicPSFPhotometry(
        psf_model=model, fitshape=11, group_maker=bp.DAOGroup(8.0), sampler=False
    )
    starts = {"x_0": places[:, 0] + 0.2, "y_0": places[:, 1] - 0.1}
    return phot(image, error=error, positions=starts)


@pytest.fixture(scope="module")
def field():
    """Stars at places of any kind, drawn by the formula: places, fluxes, image."""
    rng = np.random.default_rng(6)
    row, column = np.divmod(np.arange(36), 6)
    places = np.column_stack([column, row]) * 30.0 + 20.0 + rng.uniform(-0.5, 0.5, (36, 2))
    fluxes = rng.uniform(300.0, 3000.0, 36)
    return places, fluxes, draw_stars(places, fluxes, (190, 190))


def test_fluxes_of_noiseless_stars_are_recovered(field) -> None:
    places, fluxes, image = field
    model = bp.DiscretePRF(make_table(4, (25, 25)), normalization=False, subsampling=4)
    result = measure(model, image, places)
    # The spline errs by 2.9e-5 of the peak at most, with changing sign.
    np.testing.assert_allclose(result["flux_fit"], fluxes, rtol=2.9e-5)
    np.testing.assert_allclose(result["x_fit"], places[:, 0], atol=1e-4)
    np.testing.assert_allclose(result["y_fit"], places[:, 1], atol=1e-4)


def test_fluxes_are_recovered_with_a_table_of_other_stars(field) -> None:
    """Stars anywhere in their parts: a part's stamp is smeared over it, and off its middle."""
    rng = np.random.default_rng(7)
    places, shape = place_stars(3, 12, offset=lambda size: rng.uniform(-0.5, 0.5, size))
    fluxes = rng.uniform(300.0, 3000.0, len(places))
    model = bp.DiscretePRF.create_from_image(
        draw_stars(places, fluxes, shape), places, 21, fluxes=fluxes, subsampling=3
    )
    places, fluxes, image = field
    result = measure(model, image, places)
    # Smearing over parts of 1 / 3 pixel adds 1 / 108 to the variance v of the profile, 2.5, and
    # makes fluxes too large by 1 / 216 / v = 0.0019. The mean of 12 stars is 0.028 off its middle.
    excess = result["flux_fit"] / fluxes - 1.0
    assert 0.0010 < np.mean(excess) < 0.0028
    assert np.std(excess) < 0.0010
    assert np.std(result["x_fit"] - places[:, 0]) < 0.028


# --- what is refused ----------------------------------------------------------------------

TABLE = make_table(2, (7, 7))
IMAGE = draw_stars([(20.0, 20.0)], [100.0], (40, 40))


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: bp.DiscretePRF(TABLE), ValueError, r"1 x 1 parts .* found shape \(2, 2, 7, 7\)"),
        (lambda: bp.DiscretePRF(TABLE, subsampling=3), ValueError, "3 x 3 parts of a pixel"),
        (lambda: bp.DiscretePRF(TABLE[0], subsampling=2), ValueError, "must have 4 axes"),
        (
            lambda: bp.DiscretePRF(TABLE[..., 1:], subsampling=2),
            ValueError,
            r"odd sides, found shape \(2, 2, 7, 6\)",
        ),
        (
            lambda: bp.DiscretePRF(TABLE[..., :3, :3], subsampling=2),
            ValueError,
            "sides of at least",
        ),
        (lambda: bp.DiscretePRF(TABLE * np.nan, subsampling=2), ValueError, "must be finite"),
        (
            lambda: bp.DiscretePRF(-TABLE, subsampling=2),
            ValueError,
            "total of image 0 of prf_array",
        ),
        (lambda: bp.DiscretePRF(TABLE, subsampling=2.0), TypeError, "subsampling must be an int"),
        (lambda: bp.DiscretePRF(TABLE, subsampling=0), ValueError, "subsampling must be at least"),
    ],
)
def test_tables_that_are_none_are_refused(make, kind, text) -> None:
    with pytest.raises(kind, match=text):
        make()


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"size": 8}, ValueError, "size must be odd, found 8"),
        ({"size": 3}, ValueError, "size must be at least 5"),
        ({"size": 9.0}, TypeError, "size must be an integer"),
        ({"mode": "sum"}, ValueError, "mode must be 'mean' or 'median', found 'sum'"),
        ({"positions": []}, ValueError, "positions must hold at least one star"),
        ({"positions": Table({"x_0": [], "y_0": []})}, ValueError, "at least one star"),
        ({"positions": [1.0, 2.0]}, ValueError, r"or pairs \(x, y\), found shape \(2,\)"),
        ({"positions": "stars"}, TypeError, "must be a table or pairs"),
        ({"positions": [(np.nan, 3.0)]}, ValueError, r"finite, found \(nan, 3.0\) in row 0"),
        (
            {"positions": [(20.0, 20.0), (3.0, 20.0), (20.0, 37.0)]},
            ValueError,
            r"4 pixels or more from the edge .* pixel \(x, y\) = \(3, 20\) in row 1 and 1 more",
        ),
        (
            {"subsampling": 2, "positions": [(19.8, 20.0), (19.9, 20.2), (20.1, 20.3)]},
            ValueError,
            r"none in part \(y, x\) \(0, 0\), \(0, 1\); .* rows along y: \[\[0, 0\], \[2, 1\]\]",
        ),
        ({"fluxes": [1.0, 2.0]}, ValueError, r"one for each of 1 stars, found shape \(2,\)"),
        ({"fluxes": [-1.0]}, ValueError, "fluxes must be positive and finite, found -1.0 in row 0"),
        ({"fluxes": ["1"]}, TypeError, "fluxes must be real numbers"),
        ({"mask": np.zeros((3, 3), bool)}, ValueError, "mask must have the shape of image"),
        ({"mask": np.zeros((40, 40))}, TypeError, "mask must be boolean"),
        ({"mask": np.ones((40, 40), bool)}, ValueError, "light on the good pixels .* for row 0"),
        ({"image": -IMAGE}, ValueError, "each star must have light"),
        ({"image": IMAGE[0]}, ValueError, "image must be 2-D"),
        ({"image": IMAGE.astype(complex)}, TypeError, "image must hold real numbers"),
    ],
)
def test_images_that_make_no_table_are_refused(given, kind, text) -> None:
    settings = {"image": IMAGE, "positions": [(20.0, 20.0)], "size": 9} | given
    with pytest.raises(kind, match=text):
        bp.DiscretePRF.create_from_image(**settings)


def test_a_star_whose_good_pixels_are_dark_is_refused() -> None:
    places, shape = place_stars(1, 2)
    image = draw_stars(places, [100.0, 100.0], shape)
    mask = np.zeros(shape, dtype=bool)
    mask[10:21, :30] = True
    # What is left of the first star is one pixel, where the second has no light.
    mask[9, 9] = False
    image[9, 9], image[9, 39] = 1.0, -1.0
    mask[9, 10:21] = mask[10:21, 9] = True
    with pytest.raises(ValueError, match="good pixels where the others have their light"):
        bp.DiscretePRF.create_from_image(image, places, 13, mask=mask)
