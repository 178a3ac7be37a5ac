"""Variance of CCD pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import oracle
import pytest
from astropy import units as u
from kernel_scene import SIGMA, make_scene, open_kernel
from scipy import stats

import bayesphot as bp
from bayesphot.kernels.noise import log_pixel_likelihood
from bayesphot.noise import (
    CCDNoise,
    ContaminatedGaussian,
    NormalNoise,
    PixelNoise,
    PoissonNoise,
    StudentTNoise,
)
from bayesphot.priors import LogNormal, Normal, Uniform
from bayesphot.target import Target

SIGMA_LOG = math.log(SIGMA)


def ccd_variance(noise, expected):
    return noise.variance(None, expected, 0.0)


def describe_noise(noise, sky, scale2):
    return PixelNoise(noise, noise.known(sky, scale2 * noise.takes_error))


def test_variance_is_read_noise_and_photons_in_data_units() -> None:
    noise = CCDNoise(gain=2.0, read_noise=6.0, sky=10.0)
    expected = np.array([[0.0, 30.0], [-4.0, 1000.0]])
    np.testing.assert_allclose(
        ccd_variance(noise, expected), [[9.0 + 5.0, 9.0 + 20.0], [9.0 + 3.0, 9.0 + 505.0]]
    )


def test_negative_light_adds_nothing() -> None:
    noise = CCDNoise(gain=2.0, read_noise=6.0)
    np.testing.assert_allclose(ccd_variance(noise, np.array([-50.0, -1e9])), 9.0)


def test_no_pixel_has_no_variance() -> None:
    noise = CCDNoise(gain=4.0, read_noise=0.0)
    np.testing.assert_allclose(ccd_variance(noise, np.array([0.0, -3.0])), 0.1 / 16.0)


def test_variance_is_that_of_simulated_photons() -> None:
    rng, n, gain, read_noise, level = np.random.default_rng(1), 200_000, 3.0, 4.0, 12.0
    electrons = rng.poisson(level * gain, n) + rng.normal(0.0, read_noise, n)
    variance = np.var(electrons / gain)
    # Relative scatter of a variance is sqrt(2/n) but for the Poisson's kurtosis; 4.5 of them.
    expected = ccd_variance(CCDNoise(gain, read_noise), np.array([level]))[0]
    assert variance == pytest.approx(expected, rel=4.5 * math.sqrt(2.1 / n))


def test_the_expected_image_is_not_changed() -> None:
    expected = np.array([-1.0, 5.0])
    expected.setflags(write=False)
    assert ccd_variance(CCDNoise(1.0, 1.0), expected).shape == (2,)


@pytest.mark.parametrize("gain", [0.0, -1.0, math.inf, math.nan])
def test_gain_must_be_positive_and_finite(gain) -> None:
    with pytest.raises(ValueError, match="gain must be positive and finite, found"):
        CCDNoise(gain=gain, read_noise=1.0)


@pytest.mark.parametrize("read_noise", [-0.1, math.inf, math.nan])
def test_read_noise_must_be_finite_and_not_negative(read_noise) -> None:
    with pytest.raises(ValueError, match="read_noise must be finite and >= 0, found"):
        CCDNoise(gain=1.0, read_noise=read_noise)


@pytest.mark.parametrize("sky", [math.inf, math.nan])
def test_sky_must_be_finite(sky) -> None:
    with pytest.raises(ValueError, match="sky must be finite, found"):
        CCDNoise(gain=1.0, read_noise=1.0, sky=sky)


def test_noise_is_immutable_with_a_readable_repr() -> None:
    noise = CCDNoise(gain=2.0, read_noise=5.0)
    assert repr(noise) == "CCDNoise(gain=2.0, read_noise=5.0, sky=0.0)"
    with pytest.raises(AttributeError):
        noise.gain = 3.0


def referee(noise, data, mean, sky, scale):
    """Return the log likelihood of data about a mean by scipy; data and mean are less the sky."""
    total, expected = data + sky, mean + sky
    if isinstance(noise, CCDNoise):
        return stats.norm.logpdf(total, expected, np.sqrt(ccd_variance(noise, expected)))
    if isinstance(noise, PoissonNoise):
        return stats.poisson.logpmf(total, expected)
    z = (data - mean) / scale
    if isinstance(noise, StudentTNoise):
        return stats.t.logpdf(z, noise.dof) - np.log(scale)
    core, tail = np.log(1.0 - noise.fraction), np.log(noise.fraction / noise.width)
    both = np.logaddexp(core + stats.norm.logpdf(z), tail + stats.norm.logpdf(z / noise.width))
    return both - np.log(scale)


@pytest.mark.parametrize(
    "noise",
    [
        CCDNoise(gain=2.0, read_noise=6.0, sky=10.0),
        CCDNoise(gain=0.5, read_noise=0.0),
        PoissonNoise(),
        StudentTNoise(3.0),
        ContaminatedGaussian(0.02, 20.0),
    ],
    ids=repr,
)
def test_pixel_likelihoods_are_those_of_scipy_up_to_what_the_data_fix(noise) -> None:
    """Counts are integers there; whatever does not depend on the mean may differ."""
    log_likelihood = open_kernel(log_pixel_likelihood)
    sky, scale = 4.0, 2.0
    pixel = describe_noise(noise, np.full((1, 1), sky), np.full((1, 1), scale**2))
    known = float(pixel.known[0, 0])
    for data in (-4.0, 0.0, 3.0, 60.0):
        means = np.array([-3.5, 0.5, 2.0, 40.0, 80.0])
        mine = [log_likelihood(pixel.kind, pixel.numbers, data, m, known) for m in means]
        theirs = referee(noise, data, means, sky, scale)
        np.testing.assert_allclose(np.diff(mine), np.diff(theirs), rtol=1e-9, atol=1e-9)


def test_no_light_expected_has_no_counts() -> None:
    pixel = describe_noise(PoissonNoise(), np.zeros((1, 1)), np.ones((1, 1)))
    log_likelihood = open_kernel(log_pixel_likelihood)
    assert log_likelihood(pixel.kind, pixel.numbers, 3.0, -0.1, 0.0) == -np.inf


@pytest.mark.parametrize(
    "noise",
    [CCDNoise(2.0, 6.0), PoissonNoise(), StudentTNoise(3.0), ContaminatedGaussian(0.02, 20.0)],
    ids=repr,
)
def test_the_expansion_has_the_slope_and_curvature_of_the_likelihood(noise) -> None:
    """By central differences of the kernel's own likelihood, where no curvature is held up."""
    log_likelihood = open_kernel(log_pixel_likelihood)
    sky, scale = 40.0, 3.0
    mean = np.array([[1.0, 5.0, 60.0, 200.0]])
    data = mean + np.array([[-2.0, 3.0, 1.0, -4.0]])
    pixel = describe_noise(noise, np.full(mean.shape, sky), np.full(mean.shape, scale**2))
    pseudo, weight = pixel.expand(data, mean)
    h = 1e-3
    for p in range(mean.size):
        low, here, high = (
            log_likelihood(pixel.kind, pixel.numbers, data[0, p], mean[0, p] + d, pixel.known[0, p])
            for d in (-h, 0.0, h)
        )
        # Rounding of 1e-15 times a log likelihood of 1e3, over h^2.
        assert weight[0, p] == pytest.approx(-(low - 2 * here + high) / h**2, abs=1e-5)
        slope = weight[0, p] * (pseudo[0, p] - mean[0, p])
        assert slope == pytest.approx((high - low) / (2 * h), abs=1e-6)


def test_normal_noise_is_its_own_expansion() -> None:
    with pytest.raises(ValueError, match="no expansion"):
        PixelNoise().expand(np.zeros((1, 1)), np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("noise", "information"),
    [
        # Fisher information of the location over that of the core's normal.
        (StudentTNoise(3.0), 4.0 / 6.0),
        (StudentTNoise(8.0), 9.0 / 11.0),
    ],
)
def test_weights_of_outliers_carry_the_fisher_information(noise, information) -> None:
    rng = np.random.default_rng(3)
    residual = stats.t.rvs(noise.dof, size=400_000, random_state=rng) * 2.0
    variance = noise.variance(residual, residual, np.full(residual.shape, 4.0))
    weight = 4.0 / variance
    # 400,000 weights between 0 and 2: four standard errors of their mean.
    assert weight.mean() == pytest.approx(information, abs=4 * weight.std() / 632.0)


def test_the_weight_of_a_wide_outlier_vanishes() -> None:
    noise = ContaminatedGaussian(0.01, 30.0)
    variance = noise.variance(np.array([0.0, 200.0]), np.zeros(2), np.full(2, 4.0))
    np.testing.assert_allclose(variance, [4.0, 4.0 * 900.0], rtol=1e-3)


SCALABLE = [
    NormalNoise(),
    CCDNoise(gain=2.0, read_noise=6.0, sky=10.0),
    StudentTNoise(3.0),
    ContaminatedGaussian(0.02, 20.0),
]


@pytest.mark.parametrize("noise", SCALABLE, ids=repr)
def test_a_correlation_factor_multiplies_the_noise_of_every_pixel(noise) -> None:
    mean, residual = np.array([0.0, 40.0, 500.0]), np.array([3.0, -2.0, 10.0])
    scale2 = np.array([4.0, 4.0, 9.0]) * noise.takes_error
    wide = replace(noise, correlation=1.5)
    # An error map comes to the model with the factor in it.
    given = scale2 * 1.5**2
    found = wide.variance(1.5 * residual, mean, given)
    np.testing.assert_allclose(found, 1.5**2 * noise.variance(residual, mean, scale2))
    assert repr(wide).endswith("correlation=1.5)")


@pytest.mark.parametrize("noise", SCALABLE, ids=repr)
def test_scaled_expansions_are_those_of_the_scaled_noise(noise) -> None:
    """A correlation factor of 2 is a scale of 2; the pull is the slope by the scale's logarithm."""
    mean, residual = np.array([0.0, 40.0, 500.0]), np.array([3.0, -2.0, 10.0])
    scale2 = np.array([4.0, 4.0, 9.0]) * noise.takes_error
    doubled = replace(noise, correlation=2.0)
    known, doubled_known = noise.known(7.0, scale2), doubled.known(7.0, 4.0 * scale2)
    for mine, theirs in zip(
        noise.expand(residual, mean, known, 2.0),
        doubled.expand(residual, mean, doubled_known),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs)
    log_likelihood = open_kernel(log_pixel_likelihood)
    pixel = PixelNoise(replace(noise, inflation=LogNormal(1.0, 0.3)), known)

    def likelihood(p, scale):
        data = mean[p] + residual[p] / scale
        return log_likelihood(pixel.kind, pixel.numbers, data, mean[p], known[p])

    pull = noise.pull(residual, mean, known, 2.0)
    for p in range(3):
        low, high = (likelihood(p, 2.0 * math.exp(d)) for d in (-1e-4, 1e-4))
        assert pull[p] == pytest.approx((high - low) / 2e-4, abs=1e-6)


def test_the_joint_density_holds_the_scale_of_the_noise() -> None:
    """Against scipy: flux, sky and scale of a lone star whose place is known."""
    inflation = LogNormal(1.2, 0.3)
    scene = make_scene(
        31,
        (1,),
        free_x=False,
        free_y=False,
        background="prior",
        nuisance_sd=(0.1,),
        inflation=inflation,
    )
    pixels = scene.pixels
    known = np.where(pixels.weight > 0.0, pixels.weight, 1.0)
    noise = PixelNoise(NormalNoise(inflation=inflation), known)
    blank = np.zeros((1, *pixels.data.shape))
    scene = replace(scene, pixels=replace(pixels, noise=noise, nuisance=blank))
    data = scene.batch().propose_scales(np.array([[0.1, 400.0]]), inflation.whole())
    layout = scene.settings.layout(1, sampling=True)
    target = Target(data, 0, layout)
    vectors = np.array([[900.0, 0.3, 0.0], [1500.0, -0.2, 0.4], [1200.0, 0.1, -0.3]])
    group = scene.oracle_group(0)
    unit = oracle.render_source(group.x, group.y, np.array([*group.state[0, :2], 1.0, SIGMA_LOG]))
    expected = [
        stats.norm.logpdf(group.data, flux * unit + sky, math.exp(t) / np.sqrt(group.weight)).sum()
        + stats.norm.logpdf(sky, 0.0, pixels.sky_error)
        + stats.norm.logpdf(t, math.log(1.2), 0.3)
        for flux, sky, t in vectors
    ]
    found = target.log_joint(vectors)
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-7)


@pytest.mark.parametrize(
    ("noise", "outlier"),
    [
        (StudentTNoise(3.0), 0.0),
        (StudentTNoise(3.0), 1e4),
        (StudentTNoise(3.0), 1e30),
        (ContaminatedGaussian(0.02, 20.0), 0.0),
        (ContaminatedGaussian(0.02, 20.0), 1e4),
    ],
)
def test_the_joint_density_multiplies_the_likelihoods_of_all_pixels(noise, outlier) -> None:
    """Against scipy, for outliers whose product no number can hold, too."""
    scene = make_scene(31, (1,), free_x=False, free_y=False, background="prior")
    pixels = scene.pixels
    data = pixels.data.copy()
    data[::2, ::2] += outlier
    seen = PixelNoise(noise, pixels.weight, data=data, weight=pixels.weight)
    # The normal whose draws are corrected does not see the outliers.
    scene = replace(scene, pixels=replace(pixels, noise=seen))
    target = Target(scene.batch(), 0, scene.settings.layout(1, sampling=True))
    vectors = np.array([[900.0, 0.3], [1500.0, -0.2], [1200.0, 0.1]])
    group = scene.oracle_group(0)
    unit = oracle.render_source(group.x, group.y, np.array([*group.state[0, :2], 1.0, SIGMA_LOG]))
    true = replace(scene, pixels=replace(pixels, data=data)).oracle_group(0)
    scale = 1.0 / np.sqrt(group.weight)
    expected = [
        referee(noise, true.data, flux * unit + sky, 0.0, scale).sum()
        + stats.norm.logpdf(sky, 0.0, pixels.sky_error)
        for flux, sky in vectors
    ]
    found = target.log_joint(vectors)
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    "inflation", [Uniform(0.0, 1e7), LogNormal(1e6, 2.0), LogNormal(1.0, 50.0), Uniform(0.5, 2.0)]
)
def test_a_factor_may_lie_partly_where_it_is_not_looked_for(inflation) -> None:
    assert NormalNoise(inflation=inflation).inflation == inflation


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: StudentTNoise(0.0), ValueError, "dof must be positive"),
        (lambda: StudentTNoise("3"), TypeError, "dof must be a number"),
        (lambda: StudentTNoise(1e16), ValueError, r"dof must lie between 1e-09 and 1e\+09"),
        (lambda: CCDNoise(1e-200, 5.0), ValueError, r"gain must lie between 1e-30 and 1e\+30"),
        (lambda: CCDNoise(1.0, 1e200), ValueError, r"read_noise must lie between 0 and 1e\+30"),
        (lambda: ContaminatedGaussian(0.1, 1e160), ValueError, "width must lie between"),
        (lambda: ContaminatedGaussian(0.0, 3.0), ValueError, "fraction must lie between"),
        (lambda: ContaminatedGaussian(1.0, 3.0), ValueError, "fraction must lie between"),
        (lambda: ContaminatedGaussian(0.1, 1.0), ValueError, "width must be finite and above 1"),
        (lambda: ContaminatedGaussian(0.1, None), TypeError, "width must be a number"),
        (
            lambda: NormalNoise(correlation=0.9),
            ValueError,
            "correlation must be finite and >= 1, found 0.9",
        ),
        (lambda: CCDNoise(1.0, 2.0, correlation="2"), TypeError, "correlation must be a number"),
        (
            lambda: NormalNoise(inflation=0.3),
            TypeError,
            r"inflation must be a distribution such as LogNormal\(1, 0.3\), or None, found 0.3",
        ),
        (
            lambda: NormalNoise(inflation=LogNormal),
            TypeError,
            r"inflation must be an object, found the class LogNormal: write LogNormal\(\.\.\.\)",
        ),
        (
            lambda: NormalNoise(inflation=Uniform(1e6, 1e7)),
            ValueError,
            r"inflation must be a .* of factors between 6.1e-06 and 1.6e\+05, .*found Uniform",
        ),
        (
            lambda: CCDNoise(1.0, 2.0, inflation=Uniform(1e-9, 1e-6)),
            ValueError,
            "inflation must be a distribution of factors between 6.1e-06 and",
        ),
        (
            lambda: NormalNoise(inflation=LogNormal(1e9, 0.3)),
            ValueError,
            "inflation must be a distribution of factors between.*found LogNormal",
        ),
        (
            lambda: StudentTNoise(4.0, inflation=Normal(1.0, 0.1)),
            ValueError,
            r"inflation must be a proper distribution of positive numbers .*found Normal",
        ),
        (
            lambda: NormalNoise(inflation=Uniform(low=0.5)),
            ValueError,
            r"inflation must be a proper distribution of positive numbers .*found Uniform",
        ),
        (
            lambda: PoissonNoise(correlation=1.5),
            ValueError,
            "correlation must be 1.0 for PoissonNoise.*found 1.5",
        ),
        (
            lambda: PoissonNoise(inflation=LogNormal(1.0, 0.3)),
            ValueError,
            "inflation must be None for PoissonNoise.*found LogNormal",
        ),
    ],
)
def test_impossible_noise_is_refused(make, error, text) -> None:
    with pytest.raises(error, match=text):
        make()


def test_numbers_of_a_ccd_may_have_units():
    noise = CCDNoise(gain=2.0 * u.electron / u.adu, read_noise=5.0 * u.electron)
    assert (noise.gain, noise.read_noise) == (2.0, 5.0)
    assert CCDNoise(gain=2.0 * u.electron / u.DN, read_noise=5.0).gain == 2.0
    with pytest.raises(
        ValueError, match="gain must be in electron / adu, found 2.0 adu / electron"
    ):
        CCDNoise(gain=2.0 * u.adu / u.electron, read_noise=5.0)


@pytest.mark.parametrize("unit", [u.electron / u.s, u.MJy / u.sr, u.Jy, u.K])
def test_counts_are_in_no_unit_that_has_a_time_or_a_calibration(unit):
    phot = bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, noise=bp.PoissonNoise(),
        sampler=False,
    )  # fmt: skip
    image, star = np.ones((20, 20)), {"x_0": [10.0], "y_0": [10.0]}
    with pytest.raises(ValueError, match="image must hold counts where noise is PoissonNoise"):
        phot(image * unit, positions=star)
    for counts in (u.electron, u.adu, u.photon):
        assert len(phot(image * counts, positions=star)) == 1
