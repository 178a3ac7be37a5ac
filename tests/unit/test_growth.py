"""Light in circles: exact overlaps, PSF models, and the curve of growth of an image's stars."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from scipy.stats import chi2

import bayesphot as bp
from bayesphot.apertures import overlap_circle

SIGMA = 2.0


@pytest.mark.parametrize("radius", [0.05, 0.3, 0.5, 0.75, 1.0, 2.3, 7.0, 30.0])
@pytest.mark.parametrize("center", [(0.0, 0.0), (0.23, -0.31), (0.5, 0.5)])
def test_overlaps_add_up_to_the_area_of_the_circle(radius, center) -> None:
    side = np.arange(-33, 34)
    shares = overlap_circle(side - center[0], side[:, None] - center[1], radius)
    # Four areas of r^2 with 1e-16 each, in all pixels at the rim.
    np.testing.assert_allclose(shares.sum(), np.pi * radius**2, rtol=1e-11)
    assert shares.min() >= 0.0
    assert shares.max() <= 1.0


@pytest.mark.parametrize(
    ("dx", "dy", "radius"),
    [(0.0, 0.0, 0.3), (1.0, 1.0, 1.2), (2.0, 0.3, 2.0), (-2.0, 1.0, 2.5), (0.2, -0.4, 0.6)],
)
def test_overlaps_of_single_pixels_are_those_of_many_points(dx, dy, radius) -> None:
    n = 1000
    side = (np.arange(n) + 0.5) / n - 0.5
    inside = (dx + side) ** 2 + (dy + side[:, None]) ** 2 <= radius**2
    # Cells that the rim crosses are half in and half out: some 2 n of them, of n^2.
    assert overlap_circle(dx, dy, radius) == pytest.approx(inside.mean(), abs=1e-4)


def test_overlaps_are_those_of_photutils() -> None:
    apertures = pytest.importorskip("photutils.aperture", reason="photutils is the referee")
    mask = apertures.CircularAperture((10.3, 9.8), r=4.2).to_mask(method="exact").to_image((20, 21))
    ours = overlap_circle(np.arange(21) - 10.3, np.arange(20)[:, None] - 9.8, 4.2)
    np.testing.assert_allclose(ours, mask, atol=1e-12)


@pytest.mark.parametrize(
    "psf_model",
    [
        bp.IntegratedGaussianPRF(sigma=SIGMA),
        bp.GaussianPRF(x_fwhm=3.0, y_fwhm=5.0, theta=30.0),
        bp.MoffatPRF(alpha=2.0, beta=3.0),
        bp.AiryDiskPRF(radius=3.0),
    ],
)
def test_the_share_of_a_psf_is_that_of_its_image(psf_model) -> None:
    x_0, y_0 = 20.2, 19.6
    psf_model.x_0, psf_model.y_0, psf_model.flux = x_0, y_0, 1.0
    y, x = np.mgrid[0:41, 0:41].astype(float)
    image = psf_model(x, y)
    single = np.sum(image * overlap_circle(x - x_0, y - y_0, 5.0))
    value, err = bp.aperture_correction(psf_model, 5.0)
    # One position of the star in a pixel against their mean, which scatters by err.
    assert single == pytest.approx(value, abs=4.0 * err)
    assert 0.5 < value < 1.0


def test_the_share_of_a_gaussian_is_rayleighs_widened_by_the_pixel() -> None:
    radii = np.array([2.0, 4.0, 6.0])
    value, _ = bp.aperture_correction(bp.IntegratedGaussianPRF(sigma=SIGMA), radii)
    # The pixel's variance of 1/12 twice: of the PSF's integration, and of the circle's.
    variance = SIGMA**2 + 2.0 / 12.0
    np.testing.assert_allclose(value, 1.0 - np.exp(-0.5 * radii**2 / variance), atol=2e-4)
    endless, _ = bp.aperture_correction(bp.IntegratedGaussianPRF(sigma=SIGMA), 1e9)
    assert endless == pytest.approx(1.0, abs=1e-11)
    whole, err = bp.aperture_correction(bp.IntegratedGaussianPRF(sigma=SIGMA), 15.0)
    # exp(-0.5 * 7.5**2) = 6e-13 is left outside, and more of stars off the middle of a pixel.
    assert whole == pytest.approx(1.0, abs=1e-11)
    assert err == pytest.approx(0.0, abs=1e-11)


def test_a_sampled_psf_ends_at_its_enclosed_fraction() -> None:
    side = np.arange(-40, 41) / 4.0
    image = np.exp(-0.5 * (side**2 + side[:, None] ** 2) / 1.5**2)
    image *= 0.9 * 16.0 / image.sum()
    psf_model = bp.ImagePSF(image, oversampling=4)
    assert psf_model.enclosed_fraction == pytest.approx(0.9)
    value, _ = bp.aperture_correction(psf_model, 14.0)
    # The spline's integral over the stamp against its sum.
    assert value == pytest.approx(0.9, abs=1e-4)


def test_a_psf_that_varies_is_taken_at_its_place() -> None:
    side = np.arange(-20, 21) / 2.0
    radius2 = side**2 + side[:, None] ** 2
    images = [np.exp(-0.5 * radius2 / s**2) for s in (1.0, 3.0)]
    images = [4.0 * image / image.sum() for image in images]
    psf_model = bp.GriddedPSF(np.array(images), positions=[(0, 0), (100, 0)], oversampling=2)
    narrow, middle, wide = (
        bp.aperture_correction(psf_model, 3.0, place=place).value
        for place in ((0.0, 0.0), None, (100.0, 0.0))
    )
    assert narrow > middle > wide
    # Linear in between; the place is known to half a pixel of a hundred.
    assert middle == pytest.approx(0.5 * (narrow + wide), abs=0.01 * (narrow - wide))
    slopes = [0.5 * (images[0] + images[1]), 0.5 * (images[1] - images[0]), 0 * images[0]]
    polynomial = bp.PolynomialPSF(slopes, middle=(50, 50), scale=(50, 50), oversampling=2)
    # The same PSF otherwise put.
    assert bp.aperture_correction(polynomial, 3.0).value == pytest.approx(middle, rel=1e-9)


def test_the_error_of_the_width_is_in_the_correction() -> None:
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    _, phases = bp.aperture_correction(psf_model, 4.0)
    _, err = bp.aperture_correction(psf_model, 4.0, psf_error=bp.PSFError(width=0.02))
    # d(1 - exp(-t)) / d ln(sigma) = -2 t exp(-t) with t = r^2 / (2 sigma^2), but for the pixels.
    assert np.sqrt(err**2 - phases**2) == pytest.approx(0.02 * 4.0 * np.exp(-2.0), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"radius": 0.0}, ValueError, "radius must be positive and finite, found 0.0"),
        ({"radius": [1.0, np.nan]}, ValueError, "radius must be positive and finite, found nan"),
        ({"radius": "3"}, TypeError, "radius must be a number, found '3'"),
        ({"radius": 3.0 * u.arcsec}, ValueError, "radius must be in pixels, found 3.0 arcsec"),
        ({"radius": []}, ValueError, "radius must be one number or a list"),
        ({"radius": 3.0, "place": 5}, TypeError, "place must be a pair"),
        ({"radius": 3.0, "place": "ab"}, TypeError, "place must be a pair"),
        ({"radius": 3.0, "place": (1e300, 0)}, ValueError, "place must be within 1e[+]09 pixels"),
        ({"radius": 3.0, "psf_error": 0.1}, TypeError, "psf_error must be a PSFError or None"),
    ],
)
def test_corrections_of_wrong_arguments_are_refused(settings, kind, said) -> None:
    with pytest.raises(kind, match=said):
        bp.aperture_correction(bp.IntegratedGaussianPRF(sigma=SIGMA), **settings)


def test_a_class_is_no_psf_model(result) -> None:
    with pytest.raises(TypeError, match="psf_model must be an object, found the class MoffatPRF"):
        bp.aperture_correction(bp.MoffatPRF, 3.0)
    with pytest.raises(TypeError, match="psf_model must be an object, found the class MoffatPRF"):
        result.curve_of_growth(bp.MoffatPRF)


def _make_grid(n: int = 7, step: int = 30, flux: float = 3000.0):
    """Return positions of n x n stars alone, off the middles of pixels, with the same flux."""
    rng = np.random.default_rng(11)
    y, x = (grid.ravel() * step + 0.5 * step for grid in np.mgrid[0:n, 0:n])
    move = rng.uniform(-0.5, 0.5, (2, n * n))
    return (n * step, n * step), {"x_0": x + move[0], "y_0": y + move[1], "flux": [flux] * n * n}


def _measure(scene, **settings):
    settings = {"psf_model": bp.IntegratedGaussianPRF(sigma=SIGMA), "fitshape": 21} | settings
    phot = bp.BasicPSFPhotometry(sampler=False, **settings)
    return phot(scene.image, error=scene.error, positions=scene.truth)


def test_stars_scatter_about_the_psf_by_the_error_that_is_quoted() -> None:
    shape, stars = _make_grid()
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    chi2s = []
    for seed in range(4):
        scene = bp.simulate_scene(shape, sources=stars, sigma=SIGMA, noise=2.0, seed=seed)
        result = _measure(scene)
        curve = result.curve_of_growth(psf_model, [3.0, 6.0, 10.0])
        assert curve.ids.size == 49
        own = np.array([result.curve_of_growth(psf_model, [6.0], ids=[i]).err_noise[0]
                        for i in curve.ids[:8]])  # fmt: skip
        pull = (curve.stars[:8, 1] - curve.model[1]) / own
        chi2s.append(np.sum(pull**2))
        # Five errors in a dozen comparisons: one in 150,000.
        assert np.all(np.abs(curve.value - curve.model) < 5.0 * curve.err)
    # 32 stars, at a false-alarm rate of 1e-4 on both sides.
    low, high = chi2.ppf([1e-4, 1.0 - 1e-4], 32)
    assert low < np.sum(chi2s) < high


def test_light_outside_the_psf_is_found_and_neighbours_are_not() -> None:
    shape, stars = _make_grid(5, 40, flux=20000.0)
    core = bp.simulate_scene(shape, sources=stars, sigma=SIGMA, noise=1.0, seed=3)
    halo = dict(stars, flux=[2000.0] * 25)
    wings = bp.simulate_scene(shape, sources=halo, sigma=4.0 * SIGMA, noise=1e-3, seed=3)
    scene = bp.datasets.scene.SimulatedScene(core.image + wings.image, core.error, core.truth)
    result = _measure(scene, fitshape=9)
    curve = result.curve_of_growth(bp.IntegratedGaussianPRF(sigma=SIGMA), [4.0, 8.0, 16.0])
    excess = curve.value - curve.model
    # A tenth of the light is in a halo of 8 pixels, of which 1 - exp(-r^2/128) is within r.
    expected = 0.1 * (1.0 - np.exp(-0.5 * np.array([8.0, 16.0]) ** 2 / (4.0 * SIGMA) ** 2))
    fitted = result["flux_fit"].mean() / 20000.0
    np.testing.assert_allclose(
        (curve.value * fitted)[1:], 1.0 + expected - [0.0003, 0.0], atol=3e-3
    )
    assert excess[2] > 20.0 * curve.err[2]


def test_neighbours_are_subtracted_and_the_blended_left_out() -> None:
    shape, stars = _make_grid(5, 40, flux=20000.0)
    faint = {"x_0": stars["x_0"] + 6.0, "y_0": stars["y_0"], "flux": [600.0] * 25}
    both = {name: np.concatenate([stars[name], faint[name]]) for name in stars}
    scene = bp.simulate_scene(shape, sources=both, sigma=SIGMA, noise=1.0, seed=3)
    result = _measure(scene, group_maker=bp.DAOGroup(8.0))
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    curve = result.curve_of_growth(psf_model, [9.0])
    # The faint ones have 33 times their flux beside them.
    assert set(curve.ids) <= set(range(1, 26))
    assert curve.value[0] == pytest.approx(curve.model[0], abs=5.0 * curve.err[0])
    with pytest.raises(ValueError, match="at least 3 stars, found 0 of .* with less than 0.001 of"):
        result.curve_of_growth(psf_model, [9.0], max_blend=1e-3)


def test_scatter_between_stars_is_measured() -> None:
    shape, stars = _make_grid(6, 30, flux=30000.0)
    rng = np.random.default_rng(5)
    images = []
    for k in range(36):
        one = {name: [stars[name][k]] for name in stars}
        width = SIGMA * (1.0 + 0.03 * rng.normal())
        images.append(bp.simulate_scene(shape, sources=one, sigma=width).image)
    image = np.sum(images, axis=0) + rng.normal(size=shape)
    scene = bp.datasets.scene.SimulatedScene(image, np.ones(shape), bp.simulate_scene(
        shape, sources=stars, sigma=SIGMA, noise=1.0).truth)  # fmt: skip
    curve = _measure(scene).curve_of_growth(bp.IntegratedGaussianPRF(sigma=SIGMA), [4.0])
    assert curve.scatter[0] > 3.0 * curve.err_noise[0]
    # The standard deviation of 36 stars, known to 1 / sqrt(70), at four of these.
    assert curve.scatter[0] == pytest.approx(curve.stars[:, 0].std(), rel=4.0 / np.sqrt(70.0))
    assert curve.err_scatter[0] == pytest.approx(curve.scatter[0] / 6.0, rel=0.1)


@pytest.fixture(scope="module")
def result():
    shape, stars = _make_grid(4, 30)
    scene = bp.simulate_scene(shape, sources=stars, sigma=SIGMA, noise=2.0, seed=1)
    return _measure(scene)


def test_radii_with_a_unit_are_pixels(result) -> None:
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    plain = result.curve_of_growth(psf_model, [2.0, 4.0]).value
    for radii in ([2.0, 4.0] * u.pix, [2.0 * u.pix, 4.0 * u.pix]):
        np.testing.assert_array_equal(result.curve_of_growth(psf_model, radii).value, plain)
        value, err = result.aperture_correction(radii, psf_model)
        np.testing.assert_array_equal(value, plain)
        assert err.shape == (2,)
    alone = result.aperture_correction(2.0 * u.pix, psf_model)
    assert alone == result.aperture_correction(2.0, psf_model)
    with pytest.raises(ValueError, match="radius must be in pixels"):
        result.curve_of_growth(psf_model, [2.0 * u.arcsec])


def test_a_result_gives_one_correction_and_a_table(result) -> None:
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    value, err = result.aperture_correction(6.0, psf_model)
    curve = result.curve_of_growth(psf_model, [6.0, 3.0])
    assert (value, err) == pytest.approx((curve.value[0], curve.err[0]), rel=1e-9)
    assert curve.table.colnames[:3] == ["radius", "value", "err"]
    assert len(curve.table) == 2
    total = curve.err_noise**2 + curve.err_scatter**2 + curve.err_sky**2
    np.testing.assert_allclose(curve.err**2, total, rtol=1e-12)


def test_bad_pixels_and_edges_leave_stars_out(result) -> None:
    from dataclasses import replace

    image = result.image.copy()
    x, y = int(result["x_fit"][5]), int(result["y_fit"][5])
    image[y + 3, x] = np.nan
    damaged = replace(result, image=image)
    psf_model = bp.IntegratedGaussianPRF(sigma=SIGMA)
    ids = damaged.curve_of_growth(psf_model, [8.0]).ids
    assert set(result["id"]) - set(ids) == {result["id"][5]}
    with pytest.raises(ValueError, match="at least 3 stars, found 0 of 16 without a flag of"):
        result.curve_of_growth(psf_model, [200.0])


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"radii": [-1.0]}, ValueError, "radius must be positive"),
        ({"ids": [99]}, ValueError, "ids must be of measured sources, found 99"),
        ({"min_snr": 0.0}, ValueError, "min_snr must be positive"),
        ({"max_blend": "x"}, TypeError, "max_blend must be a number"),
        ({"min_snr": 1e9}, ValueError, "found 0 of 0 without a flag"),
    ],
)
def test_curves_of_wrong_arguments_are_refused(result, settings, kind, said) -> None:
    with pytest.raises(kind, match=said):
        result.curve_of_growth(bp.IntegratedGaussianPRF(sigma=SIGMA), **settings)


def test_a_result_without_noise_is_refused(result) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="needs the noise of the pixels"):
        replace(result, noise_image=None).curve_of_growth(bp.IntegratedGaussianPRF(sigma=SIGMA))
