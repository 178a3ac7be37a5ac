"""The pieces of a calibration: draws from priors, designs, truths, noise, tables, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.modeling.models import Gaussian2D, Moffat2D
from astropy.nddata import NDData
from scipy import stats

import bayesphot as bp
from bayesphot.calibration.bands import FALSE_ALARM, binomial_band, per_test, sd_band
from bayesphot.calibration.designs import draw_crowd, draw_packs
from bayesphot.calibration.pixel_noise import scatter_pixels
from bayesphot.calibration.setup import read_setup
from bayesphot.calibration.simulate import simulate_groups
from bayesphot.calibration.statistics import choose_bins, count_inside, tabulate_scatter
from bayesphot.calibration.truths import draw_places, draw_shapes
from bayesphot.priors import draw_prior
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources

FLUX = bp.PowerLaw(-2.0, 150.0, 5000.0)
PHOT = bp.BasicPSFPhotometry(
    psf_model=bp.IntegratedGaussianPRF(sigma=1.5),
    fitshape=11,
    group_maker=bp.DAOGroup(5.0),
)
N_DRAW = 4000
#: Priors and the laws that their draws should have.
LAWS = [
    (bp.Normal(3.0, 2.0), stats.norm(3.0, 2.0)),
    (bp.HalfNormal(2.0), stats.halfnorm(scale=2.0)),
    (bp.LogNormal(5.0, 0.4), stats.lognorm(0.4, scale=5.0)),
    (bp.LogUniform(2.0, 50.0), stats.loguniform(2.0, 50.0)),
    (bp.Uniform(-1.0, 4.0), stats.uniform(-1.0, 5.0)),
    (bp.PowerLaw(-2.5, 10.0), stats.pareto(1.5, scale=10.0)),
    (bp.PowerLaw(-1.0, 2.0, 50.0), stats.loguniform(2.0, 50.0)),
    (bp.PowerLaw(1.0, 1e-9, 3.0), stats.powerlaw(2.0, scale=3.0)),
    (bp.PowerLaw(200.0, 1.0, 1e5), stats.powerlaw(201.0, scale=1e5)),
    (bp.PowerLaw(-200.0, 1e5), stats.pareto(199.0, scale=1e5)),
    (bp.TruncatedNormal(1.0, 2.0, 0.0), stats.truncnorm(-0.5, np.inf, 1.0, 2.0)),
    (stats.gamma(3.0), stats.gamma(3.0)),
]


def free_width(phot: bp.BasicPSFPhotometry) -> bp.BasicPSFPhotometry:
    """Return the photometry with a free width."""
    psf = bp.IntegratedGaussianPRF(sigma=1.5)
    psf.sigma.fixed = False
    return replace(phot, psf_model=psf)


def setup_of(phot, **arguments):
    """Return the set-up of a photometry."""
    given = {"flux": FLUX, "background": None, "error": 3.0, "truth": None, "true_error": None}
    return read_setup(phot, **given | arguments)


@pytest.mark.parametrize(("prior", "law"), LAWS, ids=lambda law: type(law).__name__)
def test_draws_have_the_density_of_the_prior(prior, law) -> None:
    values = draw_prior(prior, np.random.default_rng(11), N_DRAW)
    assert stats.kstest(values, law.cdf).pvalue > per_test(len(LAWS))


@pytest.mark.parametrize("prior", [bp.Uniform(), bp.Uniform(0.0), np.log, 3.0])
def test_nothing_is_drawn_from_what_is_no_proper_distribution(prior) -> None:
    with pytest.raises(ValueError, match="proper distribution"):
        draw_prior(prior, np.random.default_rng(1), 3)


def test_mates_keep_the_separation() -> None:
    starts = draw_packs(np.random.default_rng(2), 50, n_sources=(4, 4), separation=(2.0, 3.0))
    assert starts.n_group == 50
    for pack in starts.place.reshape(50, 4, 2):
        apart = np.hypot(*(pack[:, None] - pack[None]).transpose(2, 0, 1))
        nearest = np.sort(apart + 9.0 * np.eye(4), axis=1)[:, 0]
        assert np.ptp(nearest) < 1e-6
        assert 2.0 <= nearest[0] <= 3.0 + 1e-6


def test_sizes_are_drawn_in_their_range() -> None:
    starts = draw_packs(np.random.default_rng(2), 500, n_sources=(1, 5), separation=(2.0, 3.0))
    assert starts.n_group == 500
    count = np.bincount(np.bincount(starts.group), minlength=6)
    assert count[0] == 0
    assert stats.chisquare(count[1:]).pvalue > FALSE_ALARM


def test_a_crowd_is_cut_as_the_group_maker_cuts_it() -> None:
    starts = draw_crowd(
        np.random.default_rng(3),
        300,
        density=0.01,
        min_separation=1.5,
        group_maker=bp.DAOGroup(5.0),
        max_group_size=20,
    )
    sizes = np.bincount(starts.group)
    assert starts.n_group == 300
    assert sizes.max() > 2
    # Neighbours within the link of a random field: exp(-pi r^2 density) are alone, less the core.
    alone = np.exp(-np.pi * (5.0**2 - 1.5**2) * 0.01)
    share = np.count_nonzero(sizes == 1) / starts.group.size
    low, high = binomial_band(starts.group.size, alone, FALSE_ALARM)
    assert low <= share <= high
    for g in np.flatnonzero(sizes > 1):
        labels = bp.DAOGroup(5.0).group(*starts.place[starts.group == g].T, None).labels
        assert np.all(labels == 1)


def test_groups_too_large_for_the_photometry_are_left_out_and_counted() -> None:
    options = {"min_separation": 1.0, "group_maker": bp.DAOGroup(5.0), "max_group_size": 3}
    starts = draw_crowd(np.random.default_rng(4), 200, density=0.02, **options)
    assert np.bincount(starts.group).max() <= 3
    assert 0.0 < starts.left_out < 1.0


def test_truths_lie_in_the_discs_of_the_fit_in_the_order_of_their_starts() -> None:
    starts = draw_packs(np.random.default_rng(5), 400, n_sources=(2, 2), separation=(2.5, 2.5))
    place = draw_places(np.random.default_rng(6), starts, setup_of(PHOT))
    offset = np.hypot(*(place - starts.place).T)
    # Half a FWHM where discs of one FWHM meet; uniform: a quarter lies within half the radius.
    radius = 0.5 * 1.5 * 2.3548200
    assert offset.max() <= radius
    assert offset.max() > 0.95 * radius
    first, second = place[0::2] - place[1::2], starts.place[0::2] - starts.place[1::2]
    assert np.all(np.sum(first * second, axis=1) >= 0.0)


def test_places_of_a_lone_star_are_uniform_in_one_fwhm() -> None:
    starts = draw_packs(np.random.default_rng(7), 2000, n_sources=(1, 1), separation=(0.0, 0.0))
    place = draw_places(np.random.default_rng(8), starts, setup_of(PHOT))
    share = np.sum((place - starts.place) ** 2, axis=1) / (1.5 * 2.3548200) ** 2
    assert stats.kstest(share, "uniform").pvalue > FALSE_ALARM


def test_priors_of_offsets_are_cut_at_the_disc() -> None:
    phot = replace(PHOT, priors={"x": bp.Normal(0.5, 0.3), "position": bp.Disc(1.0)})
    starts = draw_packs(np.random.default_rng(7), 2000, n_sources=(1, 1), separation=(0.0, 0.0))
    offset = draw_places(np.random.default_rng(8), starts, setup_of(phot)) - starts.place
    assert np.hypot(*offset.T).max() <= 1.0

    # p(x) = Normal(x) sqrt(1 - x^2), by trapezoids.
    grid = np.linspace(-1.0, 1.0, 4001)
    density = stats.norm.pdf(grid, 0.5, 0.3) * np.sqrt(1.0 - grid**2)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    law = stats.kstest(offset[:, 0], lambda x: np.interp(x, grid, below / below[-1]))
    assert law.pvalue > FALSE_ALARM


def test_forced_positions_are_true() -> None:
    psf = bp.IntegratedGaussianPRF(sigma=1.5)
    psf.x_0.fixed = psf.y_0.fixed = True
    phot = replace(PHOT, psf_model=psf)
    starts = draw_packs(np.random.default_rng(1), 30, n_sources=(1, 1), separation=(0.0, 0.0))
    place = draw_places(np.random.default_rng(2), starts, setup_of(phot))
    np.testing.assert_array_equal(place, starts.place)


def test_an_image_holds_the_flux_and_the_sky_of_its_truth() -> None:
    # A point-like noise of 1e-9: the sum of a cell is flux and sky.
    setup = setup_of(PHOT, error=1e-9, background=20.0)
    starts = draw_packs(np.random.default_rng(1), 4, n_sources=(2, 2), separation=(3.0, 3.0))
    simulation = simulate_groups(np.random.default_rng(2), starts, setup)
    total = simulation.image.sum() - 20.0 * simulation.image.size
    assert total == pytest.approx(simulation.truth["flux"].sum(), rel=1e-6)
    assert simulation.list_positions().colnames == ["x_0", "y_0", "group_id"]


def make_photutils(name):
    """Return a model of photutils: an image, a grid of two equal images, a Moffat."""
    theirs = pytest.importorskip("photutils.psf", reason="photutils' models are the subject")
    side = np.arange(-40, 41) / 2
    bell = np.exp(-0.5 * (side[:, None] ** 2 + side**2) / 1.5**2) / (2 * np.pi * 1.5**2)
    if name == "image":
        return theirs.ImagePSF(bell, oversampling=2)
    if name == "grid":
        meta = {"grid_xypos": [(0, 0), (0, 90), (90, 0), (90, 90)], "oversampling": 2}
        return theirs.GriddedPSFModel(NDData(np.array([bell] * 4), meta=meta))
    return theirs.MoffatPSF(alpha=2.0, beta=4.0)


OTHERS = {
    "astropy Gaussian": lambda: Gaussian2D(1.0, x_stddev=1.5, y_stddev=1.5),
    "astropy Moffat": lambda: Moffat2D(1.0, gamma=2.0, alpha=4.0),
    "photutils image": lambda: make_photutils("image"),
    "photutils grid": lambda: make_photutils("grid"),
    "photutils Moffat": lambda: make_photutils("Moffat"),
}


def fix_shape(model):
    """Return a model with all but flux and place fixed."""
    for name in model.param_names:
        model.fixed[name] = name not in ("flux", "amplitude", "x_0", "y_0", "x_mean", "y_mean")
    return model


@pytest.mark.parametrize("name", OTHERS)
def test_psfs_of_others_are_simulated_as_they_are_fitted(name) -> None:
    """Rendering by the model itself, at the truth, is what the fits' table says of it."""
    phot = replace(PHOT, psf_model=fix_shape(OTHERS[name]()))
    setup = setup_of(phot, error=1e-9, background=20.0)
    starts = draw_packs(np.random.default_rng(1), 4, n_sources=(2, 2), separation=(3.0, 3.0))
    simulation = simulate_groups(np.random.default_rng(2), starts, setup)
    truth, psf = simulation.truth, describe_psf(phot.psf_model)
    state = [truth["x"], truth["y"], truth["flux"], np.zeros(8)]
    expected = render_sources(simulation.image.shape, np.stack(state, axis=1), psf)
    # A table is made as fine as 1e-5 of the peak; wings beyond a cell are under 1e-4 of it.
    peak = expected.max()
    np.testing.assert_allclose(simulation.image - 20.0, expected, atol=1e-4 * peak)


@pytest.mark.parametrize("name", OTHERS)
def test_psfs_of_others_can_be_calibrated(name) -> None:
    phot = replace(PHOT, psf_model=fix_shape(OTHERS[name]()))
    result = bp.calibrate(phot, n_simulations=20, flux=FLUX, error=3.0, seed=1)
    assert list(result.ranks) == ["x", "y", "flux"]
    table = result.table
    pull = (table["flux_mean"] - table["flux_true"]) / table["flux_err"]
    # The mean of 20 pulls has a standard error of 1 / sqrt(20): four of them.
    assert abs(np.mean(pull)) < 4.0 / np.sqrt(20)


def test_shapes_are_drawn_above_their_limits() -> None:
    """Of beta it is 1; an angle has none."""
    beta = bp.MoffatPRF(alpha=2.0, beta=1.5)
    beta.beta.fixed = False
    theta = bp.GaussianPRF(x_fwhm=3.0, y_fwhm=4.0, theta=5.0)
    theta.theta.fixed = False
    starts = draw_packs(np.random.default_rng(1), 200, n_sources=(1, 1), separation=(0.0, 0.0))
    drawn = {}
    for name, psf, prior in (
        ("beta", beta, bp.Normal(1.5, 0.5)),
        ("theta", theta, bp.Normal(5.0, 20.0)),
    ):
        setup = setup_of(replace(PHOT, psf_model=psf, priors={name: prior}))
        drawn[name] = draw_shapes(np.random.default_rng(2), starts, setup)[name]
    # A share of 0.16 and 0.4 of these normals is below: 200 draws all above have odds of 1e-15.
    assert drawn["beta"].min() > 1.0
    assert drawn["theta"].min() < 0.0


@pytest.mark.parametrize(
    ("noise", "error", "sd"),
    [
        (None, 3.0, 3.0),
        (bp.CCDNoise(2.0, 4.0), None, np.sqrt(4.0 + 50.0 / 2.0)),
        (bp.PoissonNoise(), None, np.sqrt(50.0)),
        (bp.StudentTNoise(5.0), 3.0, 3.0 * np.sqrt(5.0 / 3.0)),
        (bp.ContaminatedGaussian(0.1, 4.0), 3.0, 3.0 * np.sqrt(0.9 + 0.1 * 16.0)),
    ],
    ids=repr,
)
def test_pixels_scatter_as_the_noise_model_says(noise, error, sd) -> None:
    mean = np.full((300, 300), 50.0)
    image = scatter_pixels(mean, noise, error, np.random.default_rng(9))
    # Student t of 5 has a kurtosis of 9: the error of its sd is sqrt(8 / 4 n), 0.5 %.
    assert image.std() == pytest.approx(sd, rel=0.025)
    assert image.mean() == pytest.approx(50.0, abs=5.0 * sd / 300.0)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected counts >= 0 .* found -1 at \(y, x\) = \(0, 1\)"
    ):
        scatter_pixels(np.array([[1.0, -1.0]]), bp.PoissonNoise(), None, np.random.default_rng(1))


@pytest.mark.parametrize("level", [0.5, 0.68, 0.9, 0.95])
def test_the_middle_ranks_have_exactly_the_probability_of_their_interval(level) -> None:
    inside, asked = count_inside(np.arange(200), 200, level)
    assert asked == pytest.approx(level, abs=1e-12)
    assert inside == round(200 * level)
    assert count_inside(np.array([-1]), 200, level)[0] == 0


def test_histograms_of_few_ranks_have_few_bins() -> None:
    assert [choose_bins(n, 200) for n in (20, 60, 150, 1000)] == [2, 5, 10, 20]


def test_the_band_of_normal_pulls_is_that_of_chi_squared() -> None:
    random = np.random.default_rng(5)
    n = 500
    columns = {name: random.random(n) for name in ("snr", "blend_var_frac")}
    columns |= {"flux_true": np.zeros(n), "flux_err": np.ones(n)}
    columns["flux_mean"] = random.standard_normal(n)
    pulls = {"flux": random.standard_normal((n, 199))}
    table = tabulate_scatter(columns, pulls, ("flux",), FALSE_ALARM)
    row = table[table["by"] == "snr"][0]
    low, high = sd_band(row["n"], per_test(len(table)))
    # 199 replicates know a variance to a tenth, a band's half-width to a twentieth.
    assert row["low"] == pytest.approx(low, abs=0.1 * (1.0 - low) * 2)
    assert row["high"] == pytest.approx(high, abs=0.1 * (high - 1.0) * 2)
    assert np.all(table["holds"])


INFLATED = bp.NormalNoise(inflation=bp.LogNormal(1.0, 0.3))
BAD = [
    ({"phot": bp.BasicPSFPhotometry}, TypeError, "phot must be a photometry object"),
    ({"phot": None}, TypeError, "phot must be a photometry object"),
    ({"truth": 3}, TypeError, "truth must be a photometry object"),
    ({"phot": replace(PHOT, sampler=False)}, ValueError, "phot.sampler must not be False"),
    (
        {"phot": replace(free_width(PHOT), shape="image")},
        ValueError,
        "phot.shape must be 'group' or 'source'",
    ),
    (
        {"phot": replace(PHOT, fit_background="plane", bkg_estimator=0.0)},
        ValueError,
        "phot.fit_background must be False, 'prior' or 'flat', found 'plane'",
    ),
    (
        {"phot": replace(PHOT, priors={"x": lambda x: -x * x})},
        ValueError,
        r"phot.priors\['x'\] must be a distribution that values can be drawn from",
    ),
    (
        {"phot": replace(PHOT, psf_error=bp.PSFError(0.02))},
        ValueError,
        "phot.psf_error must be None: .* found PSFError",
    ),
    (
        {"phot": replace(PHOT, noise=INFLATED), "truth": PHOT},
        ValueError,
        "truth.noise.inflation must be that of phot.noise, .* found None and LogNormal",
    ),
    (
        {"truth": replace(PHOT, noise=INFLATED)},
        ValueError,
        "truth.noise.inflation must be that of phot.noise, .* found LogNormal.* and None",
    ),
    ({"flux": None}, ValueError, "flux must be a proper prior, e.g. PowerLaw.* found None"),
    ({"flux": bp.Uniform()}, ValueError, "flux must be a proper prior"),
    ({"flux": bp.Uniform(0.0)}, ValueError, "flux must be a proper prior"),
    ({"flux": 1000.0}, ValueError, "flux must be a distribution of bayesphot.priors"),
    (
        {"phot": replace(PHOT, priors={"flux": bp.Normal(1e3, 1e2)})},
        ValueError,
        r"flux and phot.priors\['flux'\] must be the same",
    ),
    (
        {"phot": replace(PHOT, bkg_estimator=bp.MMMBackground())},
        ValueError,
        r"background must be a proper prior of the sky level, e.g. Normal\(20.0, 0.5\)",
    ),
    ({"background": bp.Uniform()}, ValueError, "background must be a proper prior"),
    ({"background": "dark"}, TypeError, "background must be a number"),
    (
        {
            "phot": replace(PHOT, priors={"background": bp.Normal(1.0, 0.1)}),
            "background": bp.Normal(2.0, 0.1),
        },
        ValueError,
        r"background and phot.priors\['background'\] must be the same",
    ),
    ({"error": None}, ValueError, "error must be given, the 1-sigma noise per pixel"),
    ({"error": -1.0}, ValueError, "error must be positive and finite, found -1.0"),
    ({"true_error": 0.0}, ValueError, "true_error must be positive"),
    (
        {"phot": replace(PHOT, noise=bp.PoissonNoise())},
        ValueError,
        "error and phot.noise both say how large the noise is",
    ),
    (
        {"phot": replace(PHOT, noise=bp.PoissonNoise()), "error": None, "truth": PHOT},
        ValueError,
        "true_error must be given",
    ),
    (
        {
            "phot": replace(PHOT, noise=bp.PoissonNoise()),
            "error": None,
            "flux": bp.Normal(0.0, 1e3),
        },
        ValueError,
        "PoissonNoise needs expected counts >= 0",
    ),
    ({"n_simulations": 5}, ValueError, "n_simulations must be at least 20, found 5"),
    ({"n_simulations": 1e3}, TypeError, "n_simulations must be an integer, found 1000.0"),
    ({"n_sources": 0}, ValueError, "n_sources must be at least 1"),
    ({"n_sources": 2}, ValueError, "separation must be given in pixels"),
    ({"n_sources": 21, "separation": 3.0}, ValueError, "at most phot.max_group_size=20"),
    ({"n_sources": (3, 2), "separation": 3.0}, ValueError, "n_sources must be .* in rising order"),
    ({"n_sources": (1, 2, 3), "separation": 3.0}, ValueError, "n_sources must be one number or"),
    ({"n_sources": (1, 2.5), "separation": 3.0}, TypeError, "n_sources must be an integer"),
    ({"separation": 3.0}, ValueError, "separation needs n_sources of at least 2"),
    ({"n_sources": 2, "separation": -3.0}, ValueError, "separation must be positive"),
    ({"n_sources": 2, "separation": (4.0, 3.0)}, ValueError, "in rising order"),
    ({"n_sources": 2, "separation": (1, 2, 3)}, ValueError, "one number or"),
    ({"n_sources": 2, "separation": "far"}, TypeError, "separation must be a number"),
    ({"n_sources": 2, "separation": 5e4}, ValueError, "separation .or density .*at most 100000000"),
    ({"density": -0.1}, ValueError, "density must be positive"),
    ({"density": 0.01, "n_sources": 2}, ValueError, "either density or n_sources"),
    ({"density": 0.5}, ValueError, "density must leave room for min_separation"),
    (
        {"density": 0.3, "min_separation": 0.5, "phot": replace(PHOT, max_group_size=1)},
        ValueError,
        "density must leave groups of at most max_group_size=1",
    ),
    ({"density": 0.01, "phot": replace(PHOT, group_maker=None)}, ValueError, "phot.group_maker"),
    ({"min_separation": 2.0}, ValueError, "min_separation needs density"),
    ({"n_ranks": 90}, ValueError, "n_ranks must be a multiple of 20, found 90"),
    ({"n_ranks": 4000}, ValueError, r"chains x draws \+ 1 = 2001, found 4000"),
    ({"seed": -1}, ValueError, "seed must be at least 0"),
    ({"seed": 2**64}, ValueError, "seed must be below"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1"),
]


@pytest.mark.parametrize(("wrong", "kind", "said"), BAD, ids=[said[:40] for *_, said in BAD])
def test_bad_input_says_which_argument_is_wrong(wrong, kind, said) -> None:
    arguments = {"phot": PHOT, "flux": FLUX, "error": 3.0, "seed": 1, "n_simulations": 20} | wrong
    phot = arguments.pop("phot")
    with pytest.raises(kind, match=said):
        bp.calibrate(phot, **arguments)
