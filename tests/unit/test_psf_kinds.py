"""Every kind of PSF in the kernels, against plain numpy and scipy written down here."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from kernel_scene import INTERPRETED, open_kernel
from scipy import special
from scipy.interpolate import RectBivariateSpline

import bayesphot as bp
from bayesphot.kernels import analytic, shapes
from bayesphot.kernels.columns import fill_places, fill_unit_images
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources

#: Sides of the subpixels over which the oracle sums: midpoints of 1/40 px are good to 1e-5 of the
#: curvature, itself a few times the peak.
FINE = 10 if INTERPRETED else 40


def gauss(dx, dy, x_fwhm, y_fwhm, theta):
    a, b = x_fwhm / 2.3548200450309493, y_fwhm / 2.3548200450309493
    turn = np.deg2rad(theta)
    u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    return np.exp(-0.5 * (u**2 / a**2 + v**2 / b**2)) / (2 * np.pi * a * b)


def moffat(dx, dy, alpha, beta):
    return (beta - 1) / (np.pi * alpha**2) * (1 + (dx**2 + dy**2) / alpha**2) ** -beta


def airy(dx, dy, radius):
    first_zero = special.jn_zeros(1, 1)[0]
    z = np.maximum(first_zero * np.hypot(dx, dy) / radius, 1e-12)
    return first_zero**2 / (4 * np.pi * radius**2) * (2 * special.j1(z) / z) ** 2


ANALYTIC = {
    "gauss": (bp.GaussianPRF, gauss, {"x_fwhm": 3.1, "y_fwhm": 2.2, "theta": 25.0}),
    "wide gauss": (bp.GaussianPRF, gauss, {"x_fwhm": 5.0, "y_fwhm": 7.0, "theta": -70.0}),
    "undersampled gauss": (bp.GaussianPRF, gauss, {"x_fwhm": 1.2, "y_fwhm": 1.0, "theta": 10.0}),
    "moffat": (bp.MoffatPRF, moffat, {"alpha": 2.3, "beta": 2.8}),
    "narrow moffat": (bp.MoffatPRF, moffat, {"alpha": 1.0, "beta": 4.765}),
    "airy": (bp.AiryDiskPRF, airy, {"radius": 3.0}),
    "undersampled airy": (bp.AiryDiskPRF, airy, {"radius": 1.4}),
}


def integrate_pixels(function, x, y, place, shape):
    """Return the integrals over unit pixels by midpoints of subpixels."""
    step = (np.arange(FINE) + 0.5) / FINE - 0.5
    dx = (x - place[0])[..., None, None] + step[None, :]
    dy = (y - place[1])[..., None, None] + step[:, None]
    return function(dx, dy, **shape).mean(axis=(-2, -1))


@pytest.mark.parametrize("name", ANALYTIC)
def test_an_analytic_model_is_its_formula_integrated_over_the_pixel(name) -> None:
    model, function, shape = ANALYTIC[name]
    place = (10.3, 8.6)
    y, x = np.mgrid[3:15, 4:17].astype(float)
    found = model(flux=2.0, x_0=place[0], y_0=place[1], **shape)(x, y)
    expected = 2.0 * integrate_pixels(function, x, y, place, shape)
    # Midpoints err by h^2 / 24 of the Laplacian, here at most 8 peaks per square pixel.
    np.testing.assert_allclose(found, expected, atol=8.0 / 24.0 / FINE**2 * expected.max())


@pytest.mark.parametrize("name", ANALYTIC)
def test_nodes_are_enough_for_the_pixel(name) -> None:
    """The sums agree with ones of many more nodes, to 1e-6 of the peak."""
    model, function, shape = ANALYTIC[name]
    node, weight = np.polynomial.legendre.leggauss(24)
    y, x = np.mgrid[-4:5, -4:5].astype(float)
    dx = (x - 0.3)[..., None, None] + 0.5 * node[None, :]
    dy = (y + 0.4)[..., None, None] + 0.5 * node[:, None]
    expected = np.einsum("yxba,a,b->yx", function(dx, dy, **shape), weight, weight) / 4.0
    found = model(flux=1.0, x_0=0.3, y_0=-0.4, **shape)(x, y)
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max())


def test_bessel_functions_are_those_of_scipy() -> None:
    z = np.concatenate([[0.0, 1e-6], np.linspace(0.01, 300.0, 300 if INTERPRETED else 4000)])
    found = np.array([open_kernel(analytic.bessel)(v) for v in z])
    np.testing.assert_allclose(found[:, 0], special.j0(z), atol=2e-11)
    expected = np.where(z > 0, 2 * special.j1(z) / np.maximum(z, 1e-300), 1.0)
    np.testing.assert_allclose(found[:, 1], expected, atol=2e-11)


def make_image(oversampling, shape, origin=None):
    """Return an image that is not symmetric: a bell with a shoulder."""
    step = np.broadcast_to(oversampling, 2)
    middle = [(side - 1) / 2 for side in shape] if origin is None else origin[::-1]
    dy = ((np.arange(shape[0]) - middle[0]) / step[0])[:, None]
    dx = ((np.arange(shape[1]) - middle[1]) / step[1])[None, :]
    image = np.exp(-0.5 * (dx**2 + dy**2) / 1.2**2)
    return 0.1 * (image + 0.3 * np.exp(-0.5 * ((dx - 1) ** 2 + (dy + 0.5) ** 2) / 0.9**2))


SAMPLED = {
    "native": (1, (21, 23), None),
    "oversampled": (4, (61, 61), None),
    "even sides": (3, (40, 46), None),
    "two oversamplings": ((2, 5), (31, 71), None),
    "an origin of its own": (4, (61, 57), (25.5, 31.0)),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_an_image_is_interpolated_by_a_cubic_spline(name) -> None:
    oversampling, shape, origin = SAMPLED[name]
    image = make_image(oversampling, shape, origin)
    model = bp.ImagePSF(image, oversampling=oversampling, origin=origin, x_0=7.3, y_0=6.45)
    y, x = np.mgrid[3:10, 4:12].astype(float)
    step = np.broadcast_to(oversampling, 2)
    middle = ((shape[1] - 1) / 2, (shape[0] - 1) / 2) if origin is None else origin
    spline = RectBivariateSpline(np.arange(shape[0]), np.arange(shape[1]), image, s=0)
    expected = spline.ev((y - 6.45) * step[0] + middle[1], (x - 7.3) * step[1] + middle[0])
    # The splines differ at the image's edge alone, whose echo falls by 3.7 with each pixel.
    np.testing.assert_allclose(model(x, y), expected, atol=1e-6)


def test_images_take_oversampling_and_origin_by_place() -> None:
    image = make_image(2, (21, 25), (11.0, 9.0))
    model = bp.ImagePSF(image, 2, (11.0, 9.0), flux=3.0, width=1.1)
    assert (model.oversampling, model.origin) == ((2, 2), (11.0, 9.0))
    assert (model.flux.value, model.width.value) == (3.0, 1.1)
    grid = bp.GriddedPSF([image, image], [(0, 0), (9, 0)], 2, (11.0, 9.0), x_0=4.0)
    assert (grid.oversampling, grid.origin, grid.x_0.value) == ((2, 2), (11.0, 9.0), 4.0)
    with pytest.raises(TypeError, match="colour"):
        bp.ImagePSF(image, colour=1.0)


def test_an_image_has_its_own_values_at_its_pixels_and_nothing_outside() -> None:
    image = make_image(1, (21, 21))
    model = bp.ImagePSF(image, x_0=30, y_0=30)
    y, x = np.mgrid[:61, :61]
    rendered = model(x, y)
    np.testing.assert_allclose(rendered[20:41, 20:41], image, atol=1e-12)
    # The edge of an image that is not dark there rings for a few pixels.
    outside = np.ones((61, 61), bool)
    outside[10:51, 10:51] = False
    assert not rendered[outside].any()
    assert model.enclosed_fraction == pytest.approx(image.sum())


def test_a_width_factor_stretches_and_keeps_the_light() -> None:
    image = make_image(4, (121, 121))
    wide = bp.ImagePSF(image, oversampling=4, x_0=25.2, y_0=24.7, width=1.3)
    y, x = np.mgrid[:51, :51]
    plain = bp.ImagePSF(image, oversampling=4, x_0=0.0, y_0=0.0)
    expected = plain((x - 25.2) / 1.3, (y - 24.7) / 1.3) / 1.3**2
    np.testing.assert_allclose(wide(x, y), expected, atol=1e-12)
    assert wide(x, y).sum() == pytest.approx(image.sum() / 16, rel=1e-4)


def make_grid(n_y=3, n_x=2):
    """Return images of other widths at places of a grid, shuffled."""
    side = np.arange(-20, 21) / 2
    images, places = [], []
    for row in range(n_y):
        for column in range(n_x):
            s = 1.2 + 0.2 * row + 0.3 * column
            images.append(np.exp(-0.5 * (side[:, None] ** 2 + side**2) / s**2) / (6.3 * s**2))
            places.append((40.0 * column, 25.0 * row + 3.0))
    order = np.random.default_rng(1).permutation(len(images))
    return np.array(images)[order], np.array(places)[order]


@pytest.mark.parametrize(
    "place", [(10.3, 9.1), (33.0, 40.7), (0.0, 3.0), (40.0, 53.0), (-7.2, 30.0), (55.0, 90.0)]
)
def test_a_grid_is_bilinear_between_its_places_and_clamped_outside(place) -> None:
    images, places = make_grid()
    model = bp.GriddedPSF(images, places, oversampling=2, x_0=place[0], y_0=place[1])
    dy, dx = np.mgrid[-4:5, -4:5]
    # Whole pixels: no distance to the place at which the grid is asked.
    x, y = np.floor(place[0]) + dx, np.floor(place[1]) + dy
    px, py = np.clip(place[0], 0.0, 40.0), np.clip(place[1], 3.0, 53.0)
    expected = np.zeros(x.shape)
    for image, (u, v) in zip(images, places, strict=True):
        share = max(1 - abs(px - u) / 40.0, 0.0) * max(1 - abs(py - v) / 25.0, 0.0)
        expected += share * bp.ImagePSF(image, oversampling=2)(x - place[0], y - place[1])
    np.testing.assert_allclose(model(x, y), expected, atol=1e-12)


def make_polynomial(n=6):
    """Return coefficient images of a bell whose skewness and width vary."""
    side = np.arange(-24, 25) / 2
    u, v = side[None, :], side[:, None]
    bell = np.exp(-0.5 * (u**2 + v**2) / 1.4**2) / (2 * np.pi * 1.4**2)
    shapes = [1 + 0 * u * v, 0.1 * u, 0.1 * v, 0.02 * (u**2 - 2), 0.02 * u * v, 0.03 * (v**2 - 2)]
    return np.array([bell * shape for shape in shapes[:n]])


def free_models():
    """Return a model of each kind, all its shapes free."""
    models = {
        name: model(**shape) for name, (model, _, shape) in ANALYTIC.items() if "under" not in name
    }
    models["circular"] = bp.IntegratedGaussianPRF(sigma=1.4)
    models["image"] = bp.ImagePSF(make_image(4, (81, 81)), oversampling=4)
    models["native image"] = bp.ImagePSF(make_image(1, (25, 25)))
    models["stretched image"] = bp.ImagePSF(make_image(3, (61, 61)), oversampling=3, width=1.1)
    images, places = make_grid()
    models["grid"] = bp.GriddedPSF(images, places, oversampling=2)
    models["stretched grid"] = bp.GriddedPSF(images, places, oversampling=2, width=0.9)
    models["polynomial"] = bp.PolynomialPSF(
        make_polynomial(), middle=(10, 15), scale=(30, 20), oversampling=2
    )
    models["stretched polynomial"] = bp.PolynomialPSF(
        make_polynomial(3), middle=(10, 15), scale=(30, 20), oversampling=2, width=1.1
    )
    # The tests' source is at (10.37, 12.71): beyond one end, and beyond two.
    models["polynomial beyond an end"] = bp.PolynomialPSF(
        make_polynomial(), middle=(10, 15), scale=(30, 20), domain=((-20, 8), (0, 40)),
        oversampling=2,
    )  # fmt: skip
    models["stretched polynomial beyond a corner"] = bp.PolynomialPSF(
        make_polynomial(), middle=(10, 15), scale=(30, 20), domain=((11, 40), (14, 40)),
        oversampling=2, width=1.1,
    )  # fmt: skip
    table = make_image(4, (84, 84)).reshape(21, 4, 21, 4).transpose(1, 3, 0, 2)[::-1, ::-1]
    models["discrete"] = bp.DiscretePRF(table, subsampling=4)
    for model in models.values():
        for name in model.param_names[3:]:
            model.fixed[name] = False
    return models


@pytest.mark.parametrize("name", free_models())
@pytest.mark.parametrize("shapes", [False, True])
def test_derivatives_are_those_of_central_differences(name, shapes) -> None:
    psf = describe_psf(free_models()[name])
    source = np.array([[10.37, 12.71, 1.0, *psf.columns_start]])
    n = psf.n_column if shapes else 3
    h = 1e-4

    def fill(state, n_column=1):
        out = np.empty((1, n_column, 23, 25))
        fill_unit_images(psf.data, state, out)
        return out[0]

    columns = fill(source, n)
    np.testing.assert_allclose(columns[0], fill(source)[0], rtol=1e-12, atol=1e-15)
    places = {1: 0, 2: 1} | {3 + j: 3 + j for j in range(n - 3)}
    for column, parameter in places.items():
        up, down = source.copy(), source.copy()
        up[0, parameter] += h
        down[0, parameter] -= h
        expected = (fill(up)[0] - fill(down)[0]) / (2 * h)
        # h^2 / 6 of the third derivative; the circular Gaussian's profiles are good to 1e-9.
        atol = 3e-7 * np.abs(expected).max() + (1e-5 if name == "circular" else 1e-9)
        np.testing.assert_allclose(columns[column], expected, atol=atol)


@pytest.mark.parametrize("name", free_models())
def test_places_are_filled_as_images_are(name) -> None:
    psf = describe_psf(free_models()[name])
    source = np.array([10.37, 12.71, 1.0, *psf.columns_start])
    image = np.empty((1, psf.n_column, 23, 25))
    fill_unit_images(psf.data, source[None], image)
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[:23, :25])
    out = np.empty((psf.n_column, x.size))
    fill_places(psf.data, source, x, y, out)
    np.testing.assert_allclose(out, image[0].reshape(psf.n_column, -1), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", free_models())
def test_rendering_is_the_models_own_evaluation(name) -> None:
    model = free_models()[name]
    psf = describe_psf(model)
    source = np.array([[20.4, 24.8, 50.0, *psf.columns_start]])
    y, x = np.mgrid[:45, :41]
    model.flux, model.x_0, model.y_0 = 50.0, 20.4, 24.8
    expected = model(x, y)
    found = render_sources(expected.shape, source, psf)
    # Beyond its reach, where it is under 1e-6 of the peak, a profile is not followed.
    np.testing.assert_allclose(found, expected, atol=2e-6 * expected.max())


@pytest.mark.parametrize("name", free_models())
def test_a_floor_leaves_out_light_that_is_below_it(name) -> None:
    psf = describe_psf(free_models()[name])
    source = np.array([[60.0, 60.0, 100.0, *psf.columns_start]])
    whole = render_sources((121, 121), source, psf)
    floor = 1e-4 * whole.max()
    cut = render_sources((121, 121), source, psf.with_floor(floor))
    left = whole - cut
    assert np.abs(left).max() <= floor
    if name != "circular":
        assert np.count_nonzero(cut) < np.count_nonzero(whole)


# Where the middle of a polynomial is beyond its domain, no place has its image.
@pytest.mark.parametrize("name", [name for name in free_models() if "beyond" not in name])
def test_sigma_is_that_of_the_noise_equivalent_gaussian(name) -> None:
    """1 / sum phi^2 = 4 pi sigma^2; an image's is that of its pixels, a grid's of its mean."""
    psf = describe_psf(free_models()[name])
    place = {"grid": (20.0, 28.0), "polynomial": (10.0, 15.0)}.get(name.split()[-1], (60.0, 60.0))
    source = np.array([[*place, 1.0, *psf.columns_start]])
    square = np.sum(render_sources((121, 121), source, psf.with_floor(0.0)) ** 2)
    # The circular Gaussian's is that before the pixel, whose variance is 1/12.
    sigma = np.hypot(psf.sigma, 12**-0.5) if name == "circular" else psf.sigma
    # The place is between those of the grid, whose mean image is of other weights: 0.6 % off.
    rel = 0.01 if "grid" in name else 1e-3
    assert sigma == pytest.approx(1 / np.sqrt(4 * np.pi * square), rel=rel)


@pytest.mark.parametrize("half", [8, 14, 40])
def test_the_fwhm_of_an_image_is_the_same_for_stamps_of_all_sizes(half) -> None:
    side = np.arange(-half, half + 1) / 2
    bell = np.exp(-0.5 * (side[:, None] ** 2 + side**2) / 1.5**2)
    # Steps of 1/8 pixel: the circle holds 628 of them, and some 6 of its border are uncertain.
    assert bp.ImagePSF(bell, oversampling=2).fwhm == pytest.approx(1.5 * 2.35482, rel=0.005)


@pytest.mark.parametrize(
    ("model", "fwhm"),
    [
        (bp.GaussianPRF(x_fwhm=4.0, y_fwhm=9.0), 6.0),
        (bp.MoffatPRF(alpha=2.0, beta=2.0), 4.0 * np.sqrt(np.sqrt(2) - 1)),
        (bp.AiryDiskPRF(radius=3.0), 3.0 * 1.028993969962188 / 1.2196698912665045),
    ],
)
def test_fwhm(model, fwhm) -> None:
    assert model.fwhm == pytest.approx(fwhm, rel=1e-5)
    half = model._profile(np.array([0.0, fwhm / 2]), *(p for p in model.parameters[3:]))
    if not isinstance(model, bp.GaussianPRF):
        assert half[1] / half[0] == pytest.approx(0.5, abs=1e-5)


def test_models_can_be_copied_and_pickled() -> None:
    y, x = np.mgrid[:30, :30]
    for model in free_models().values():
        model.x_0 = model.y_0 = 15.0
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.copy()):
            np.testing.assert_array_equal(twin(x, y), model(x, y))
            assert twin.fixed == model.fixed


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bp.MoffatPRF(alpha=-1.0), "psf_model.alpha must be positive and finite"),
        (lambda: bp.MoffatPRF(beta=1.0), "psf_model.beta must be greater than 1, found 1.0"),
        (lambda: bp.GaussianPRF(y_fwhm=0.0), "psf_model.y_fwhm must be positive"),
        (lambda: bp.GaussianPRF(theta=np.inf), "psf_model.theta"),
        (lambda: bp.AiryDiskPRF(radius=np.nan), "psf_model.radius"),
        (lambda: bp.ImagePSF(np.ones((9, 9)), width=-1.0), "psf_model.width must be positive"),
    ],
)
def test_shapes_out_of_range_are_refused(make, text) -> None:
    with pytest.raises(ValueError, match=text):
        bp.BasicPSFPhotometry(psf_model=make(), fitshape=9)


GOOD = np.ones((9, 9))
GRID = np.ones((4, 9, 9))
CORNERS = [(0, 0), (9, 0), (0, 9), (9, 9)]


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: bp.ImagePSF(np.ones(9)), ValueError, r"data must have 2 axes, found .*\(9,\)"),
        (lambda: bp.ImagePSF(np.ones((3, 9))), ValueError, "sides of at least 4 pixels"),
        (
            lambda: bp.ImagePSF(GOOD * np.nan),
            ValueError,
            "data must be finite, found nan at",
        ),
        (lambda: bp.ImagePSF(-GOOD), ValueError, "the total of data must be positive, found -81"),
        (lambda: bp.ImagePSF([["a"] * 5] * 5), TypeError, "data must hold real numbers"),
        (lambda: bp.ImagePSF([[1.0, 2.0], [3.0]]), ValueError, "data must be an array of real"),
        (
            lambda: bp.ImagePSF(np.ma.masked_array(GOOD, np.arange(81).reshape(9, 9) > 79)),
            ValueError,
            "data must be known in all pixels, found 1 masked",
        ),
        (lambda: bp.ImagePSF(GOOD, oversampling=0), ValueError, "oversampling must be a positive"),
        (
            lambda: bp.ImagePSF(GOOD, oversampling=1.5),
            ValueError,
            "oversampling must be a positive",
        ),
        (lambda: bp.ImagePSF(GOOD, oversampling="4"), TypeError, "oversampling must be an integer"),
        (lambda: bp.ImagePSF(GOOD, origin=(9.0, 4.0)), ValueError, "origin must lie inside"),
        (lambda: bp.ImagePSF(GOOD, origin=4.0), TypeError, r"origin must be a pair \(x, y\)"),
        (lambda: bp.GriddedPSF(GOOD, CORNERS), ValueError, "data must have 3 axes"),
        (lambda: bp.GriddedPSF(GRID, CORNERS[:3]), ValueError, "one pair .* for each of 4 images"),
        (lambda: bp.GriddedPSF(GRID, CORNERS[:3] + [(5, 5)]), ValueError, "all pairs of some x"),
        (lambda: bp.GriddedPSF(-GRID, CORNERS), ValueError, "total of image 0 of data must be"),
    ],
)
def test_images_that_are_no_psf_are_refused(make, kind, text) -> None:
    with pytest.raises(kind, match=text):
        make()


@pytest.mark.parametrize("name", ANALYTIC)
def test_a_table_of_a_fixed_shape_is_as_good(name) -> None:
    model, _, shape = ANALYTIC[name]
    exact = describe_psf(model(**shape))
    table = exact.tabulated
    places = np.random.default_rng(3).uniform(30.0, 31.0, (20, 2))
    for place in places:
        expected = render_sources((61, 61), np.array([[*place, 1.0, *exact.columns_start]]), exact)
        found = render_sources((61, 61), np.array([[*place, 1.0, 0.0]]), table)
        np.testing.assert_allclose(found, expected, atol=2e-6 * expected.max())
    assert table.fwhm == exact.fwhm
    assert table.constants == shape


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_a_polynomial_is_its_sum_of_images(width) -> None:
    data = make_polynomial()
    place = (130.3, 410.8)
    model = bp.PolynomialPSF(
        data, middle=(200, 300), scale=(100, 150), oversampling=2, x_0=place[0], y_0=place[1]
    )
    model.width = width
    dy, dx = np.mgrid[-5:6, -5:6]
    x, y = np.floor(place[0]) + dx, np.floor(place[1]) + dy
    u, v = (place[0] - 200) / 100, (place[1] - 300) / 150
    image = np.tensordot([1, u, v, u**2, u * v, v**2], data, 1)
    expected = bp.ImagePSF(image, oversampling=2, width=width)(x - place[0], y - place[1])
    np.testing.assert_allclose(model(x, y), expected, atol=1e-12)


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_a_polynomial_is_that_of_the_edge_beyond_its_domain(width) -> None:
    data, middle, scale = make_polynomial(), np.array([200, 300]), np.array([100, 150])
    domain = ((150.0, 260.0), (290.0, 380.0))
    for place in ((130.3, 350.8), (220.1, 410.2), (300.6, 200.4), (151.0, 300.0)):
        model = bp.PolynomialPSF(
            data, middle=middle, scale=scale, domain=domain, oversampling=2, width=width,
            x_0=place[0], y_0=place[1],
        )  # fmt: skip
        dy, dx = np.mgrid[-5:6, -5:6]
        x, y = np.floor(place[0]) + dx, np.floor(place[1]) + dy
        at = [np.clip(p, *ends) for p, ends in zip(place, domain, strict=True)]
        u, v = (at - middle) / scale
        image = np.tensordot([1, u, v, u**2, u * v, v**2], data, 1)
        expected = bp.ImagePSF(image, oversampling=2, width=width)(x - place[0], y - place[1])
        np.testing.assert_allclose(model(x, y), expected, atol=1e-12)


@pytest.mark.parametrize("width", [1.0, 1.1])
@pytest.mark.parametrize("corner", [False, True])
def test_beyond_its_domain_a_polynomial_does_not_change_with_the_place(width, corner) -> None:
    """Its derivatives are those of an image that moves, along x alone or along both axes."""
    data, place, domain = make_polynomial(), (10.37, 12.71), ((14.0, 40.0), (2.0, 30.0))
    if corner:
        domain = (domain[0], (2.0, 9.5))
    psf = describe_psf(
        bp.PolynomialPSF(
            data, middle=(20, 15), scale=(30, 20), domain=domain, oversampling=2, width=width
        )
    )
    at = [np.clip(p, *ends) for p, ends in zip(place, domain, strict=True)]
    u, v = (at[0] - 20) / 30, (at[1] - 15) / 20
    still = describe_psf(
        bp.ImagePSF(
            np.tensordot([1, u, v, u**2, u * v, v**2], data, 1), oversampling=2, width=width
        )
    )
    source = np.array([[*place, 1.0, width]])
    found, expected = (np.empty((1, 3, 23, 25)) for _ in range(2))
    fill_unit_images(psf.data, source, found)
    fill_unit_images(still.data, source, expected)
    held = [0, 1, 2] if corner else [0, 1]
    np.testing.assert_allclose(found[0, held], expected[0, held], rtol=1e-9, atol=1e-12)
    if not corner:
        assert np.abs(found[0, 2] - expected[0, 2]).max() > 1e-3 * np.abs(expected[0, 2]).max()


def test_the_reach_of_a_source_holds_the_light_of_the_far_end_of_a_domain() -> None:
    floor, place = 1e-3, 50.0
    y, x = np.mgrid[-20:21, -20:21]
    bell = np.exp(-0.125 * (x**2 + y**2)) / (8 * np.pi)
    wide = np.exp(-0.02 * (x**2 + y**2)) / (50 * np.pi)
    limit = {}
    for end in (10, 60):
        model = bp.PolynomialPSF(
            [bell, 0.1 * wide, 0 * bell], middle=(0, 0), scale=(10, 10),
            domain=((0, end), (0, 60)), x_0=place, y_0=place,
        )  # fmt: skip
        psf = describe_psf(model).with_floor(floor)
        limit[end] = float(psf.find_limit(np.array([[place, place, 1.0, 0.0]]))[0])
        beyond = model(np.arange(np.ceil(place + limit[end]), place + 21), place)
        assert np.all(np.abs(beyond) < floor)
    # u is 5 there, not 1.
    assert limit[60] > limit[10]


def find_off(model, x, y) -> list[bool]:
    """Return which of some stars of a model are flagged as off the places where it is known."""
    rows, columns = np.mgrid[:60, :60]
    image = np.random.default_rng(4).normal(0.0, 1.0, (60, 60))
    for place in zip(x, y, strict=True):
        model.flux, model.x_0, model.y_0 = 500.0, *place
        image += model(columns, rows)
    phot = bp.BasicPSFPhotometry(psf_model=model, fitshape=11, sampler=False)
    flags = phot(image, error=1.0, positions={"x_0": x, "y_0": y})["flags"]
    return [bool(flag & int(bp.Flag.OFF_PSF_GRID)) for flag in flags]


def test_sources_where_a_polynomial_is_not_known_are_flagged() -> None:
    model = bp.PolynomialPSF(
        make_polynomial(), middle=(30, 30), scale=(40, 40), domain=((10, 45), (12, 60)),
        oversampling=2,
    )  # fmt: skip
    off = find_off(model, [8.0, 30.0, 50.0, 25.0], [30.0, 45.0, 30.0, 8.0])
    assert off == [True, False, True, True]


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        (((5, 5), (0, 9)), ValueError),
        (((0, 9), (9, 0)), ValueError),
        (((0, np.nan), (0, 9)), ValueError),
        ((0, 9), TypeError),
        ("everywhere", TypeError),
    ],
)
def test_a_domain_that_is_none_is_refused(domain, kind) -> None:
    with pytest.raises(kind, match="domain"):
        bp.PolynomialPSF(np.ones((3, 9, 9)), middle=(1, 1), scale=(1, 1), domain=domain)


@pytest.mark.parametrize("n", [2, 4, 5, 7])
def test_images_that_make_no_polynomial_are_refused(n) -> None:
    with pytest.raises(ValueError, match=f"coefficients of a polynomial, found {n} images"):
        bp.PolynomialPSF(np.ones((n, 9, 9)), middle=(1, 1), scale=(1, 1))


def test_sources_outside_the_places_of_a_grid_are_flagged() -> None:
    images, places = make_grid()
    model = bp.GriddedPSF(images, places, oversampling=2)
    assert find_off(model, [12.0, 30.0, 47.0], [20.0, 45.0, 30.0]) == [False, False, True]


def make_moffat(fixed: bool) -> bp.MoffatPRF:
    """Return a Moffat with its shapes fixed or free."""
    model = bp.MoffatPRF(alpha=2.0, beta=3.0)
    model.alpha.fixed = model.beta.fixed = fixed
    return model


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"beta_0": [3.0, 1.0]}, r"beta_0 must be greater than 1, found 1\.0 in row 1"),
        ({"beta_0": [0.5, np.nan]}, r"beta_0 must be greater than 1, found 0\.5 in row 0"),
        (
            {"beta_prior_mean": [1.0, 3.0], "beta_prior_sd": [0.1, 0.1]},
            r"beta_prior_mean must be greater than 1, .* found 1\.0 in row 0",
        ),
        (
            {"alpha_prior_mean": [0.0, 3.0], "alpha_prior_sd": [0.1, 0.1]},
            r"alpha_prior_mean must be positive, .* found 0\.0 in row 0",
        ),
    ],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_shapes_of_single_sources_are_above_their_limits(columns, text, fixed) -> None:
    phot = bp.BasicPSFPhotometry(
        psf_model=make_moffat(fixed), fitshape=9, shape="source", sampler=False
    )
    positions = {"x_0": [10.0, 20.0], "y_0": [10.0, 20.0]} | columns
    with pytest.raises(ValueError, match=text):
        phot(np.zeros((31, 31)), error=1.0, positions=positions)


def test_the_mean_of_an_angles_prior_may_be_negative() -> None:
    model = bp.GaussianPRF(x_fwhm=3.0, y_fwhm=5.0, theta=-20.0)
    model.theta.fixed = False
    y, x = np.mgrid[:31, :31]
    model.flux, model.x_0, model.y_0 = 5000.0, 15.0, 15.0
    phot = bp.BasicPSFPhotometry(psf_model=model, fitshape=11, shape="source", sampler=False)
    positions = {"x_0": [15.0], "y_0": [15.0], "theta_prior_mean": [-20.0], "theta_prior_sd": [5.0]}
    result = phot(model(x, y), error=1.0, positions=positions)
    # The data are exact, and the prior is about the truth.
    assert result["theta_fit"][0] == pytest.approx(-20.0, abs=0.01)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_run_names_the_priors_of_free_shapes_alone(fixed) -> None:
    phot = bp.BasicPSFPhotometry(psf_model=make_moffat(fixed), fitshape=9, sampler=False)
    image = np.random.default_rng(1).normal(0.0, 1.0, (31, 31))
    result = phot(image, error=1.0, positions={"x_0": [15.0], "y_0": [15.0], "flux_0": [1.0]})
    said = result.meta["priors"]
    assert ("log-normal" not in said) == fixed
    assert ("beta less 1 log-normal" in said) != fixed


@pytest.mark.parametrize("name", free_models())
def test_shapes_and_their_columns_are_one_thing_in_python_and_in_the_kernels(name) -> None:
    psf = describe_psf(free_models()[name])
    kind = np.int64(psf.kind)
    for j, value in enumerate(psf.shape_start):
        column = float(psf.write_column(j, value))
        assert psf.read_column(j, column) == pytest.approx(value, rel=1e-14)
        assert open_kernel(shapes.read_shape)(kind, j, column) == pytest.approx(value, rel=1e-14)
        assert open_kernel(shapes.write_shape)(kind, j, float(value)) == pytest.approx(column)
        slope = (psf.read_column(j, column + 1e-6) - psf.read_column(j, column - 1e-6)) / 2e-6
        assert psf.find_slope(j, column) == pytest.approx(slope, rel=1e-8)
        stretch = open_kernel(shapes.log_stretch)(kind, j, column)
        assert stretch == pytest.approx(np.log(slope), abs=1e-8)
