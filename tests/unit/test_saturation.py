"""Saturated cores: found where an image is cut off, and nowhere else."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import NDData
from astropy.table import Table
from scipy.ndimage import binary_dilation

import bayesphot as bp
from bayesphot.config.arguments import read_saturation
from bayesphot.image import prepare_image
from bayesphot.kernels.structs import FLUX
from bayesphot.psf import describe_psf
from bayesphot.render import render_sources
from bayesphot.saturation import find_plateau, mask_plateau


def make_star(peak: float = 5000.0, sigma: float = 1.6, x: float = 20.3, y: float = 17.8):
    """Return an image (40, 44) of a star without noise."""
    row, col = np.indices((40, 44))
    return peak * np.exp(-0.5 * ((col - x) ** 2 + (row - y) ** 2) / sigma**2)


def add_noise(image, seed: int = 1):
    """Return the image on a sky of 100 with noise of 5."""
    return image + 100.0 + np.random.default_rng(seed).normal(0.0, 5.0, image.shape)


def test_cut_off_core_is_masked_once_said_and_has_its_place(caplog):
    image = np.minimum(add_noise(make_star()), 1500.0)
    prepared = prepare_image(image, error=5.0)
    with caplog.at_level(logging.INFO, logger="bayesphot"):
        masked, plateau = mask_plateau(prepared)
    assert len(caplog.records) == 1
    assert plateau.level == 1500.0
    assert plateau.n_pixel == np.sum(image == 1500.0)
    np.testing.assert_array_equal(~masked.good, binary_dilation(image == 1500.0))
    np.testing.assert_allclose(masked.cores[:, :2], [[20.3, 17.8]], atol=0.4)
    assert prepared.good.all()


def test_smaller_cores_at_the_same_level_are_masked_too():
    image = add_noise(make_star()) + make_star(1700.0, x=8.2, y=30.1)
    masked, _ = mask_plateau(prepare_image(np.minimum(image, 1500.0)))
    assert len(masked.cores) == 2
    assert masked.cores[np.argmin(masked.cores[:, 0]), 0] == pytest.approx(8.2, abs=0.6)


@pytest.mark.parametrize(
    "image",
    [
        make_star(),
        make_star(x=20.0, y=18.0),
        # Four equal pixels, and two: a star without noise between pixels.
        make_star(x=20.5, y=17.5),
        make_star(x=20.5, y=18.0),
        add_noise(make_star()),
        np.round(add_noise(make_star(30.0))).astype(int),
        np.random.default_rng(2).poisson(0.3, (40, 44)),
        np.random.default_rng(2).poisson(6.0, (40, 44)),
        np.zeros((40, 44)),
        np.full((40, 44), 7.0),
        np.minimum(np.random.default_rng(2).normal(0.0, 1.0, (40, 44)), 1.5),
    ],
)
def test_images_without_saturation_are_left_alone(image):
    prepared = prepare_image(image)
    assert find_plateau(prepared) is None
    assert mask_plateau(prepared)[0] is prepared


def test_image_of_bad_pixels_has_no_plateau():
    assert find_plateau(prepare_image(np.ones((5, 5)), mask=np.ones((5, 5), dtype=bool))) is None


def test_a_saturated_star_is_measured_from_its_wings_and_the_meta_says_so():
    image = np.minimum(add_noise(make_star(20_000.0)), 3000.0)
    phot = bp.IterativelySubtractedPSFPhotometry(
        # The star is point-sampled, and its wings are all there is: the width counts.
        psf_model=bp.IntegratedGaussianPRF(sigma=np.sqrt(1.6**2 - 1.0 / 12.0)),
        fitshape=13,
        finder=bp.DAOStarFinder(nsigma=5.0, fwhm=3.8),
        bkg_estimator=bp.MMMBackground(),
        sampler=False,
    )
    result = phot(image, error=5.0)
    assert result.meta["saturation"] == {
        "level": 3000.0,
        "n_pixel": int(np.sum(image == 3000.0)),
    }
    assert len(result) == 1
    assert int(result["flags"][0]) & bp.Flag.SATURATED
    assert result["flux_fit"][0] == pytest.approx(20_000.0 * 2.0 * np.pi * 1.6**2, rel=0.15)
    assert result["x_fit"][0] == pytest.approx(20.3, abs=0.1)
    assert "saturation" not in phot(add_noise(make_star()), error=5.0).meta


def test_a_map_of_few_counts_is_not_saturated():
    rng = np.random.default_rng(3)
    image = np.minimum(rng.poisson(0.02 + make_star(60.0 / 16.0)), 1)
    assert np.sum(image) > 20
    assert find_plateau(prepare_image(image)) is None


def test_a_plateau_within_the_noise_is_none():
    image = np.minimum(make_star(100.0), 60.0)
    assert find_plateau(prepare_image(image)) is not None
    assert find_plateau(prepare_image(image, error=5.0)) is None


def test_several_stars_that_end_at_one_value_are_saturated_on_a_bright_sky_too():
    """Twenty errors above the sky, where one patch might be anything."""
    rng = np.random.default_rng(8)
    image = sum(make_star(x=x, y=y) for x, y in ((8.0, 9.0), (30.0, 12.0), (19.0, 29.0)))
    image = np.minimum(image + rng.normal(50.0, 2.0, image.shape), 90.0)
    plateau, top = find_plateau(prepare_image(image, error=2.0))
    assert plateau.level == 90.0
    assert plateau.n_pixel == top.sum() == np.sum(image == 90.0)
    assert find_plateau(prepare_image(np.minimum(image, 66.0), error=2.0)) is None


def test_a_given_level_masks_what_is_at_it_and_beside_it(caplog):
    # No two saturated pixels are equal, as after a flat field.
    image = add_noise(make_star())
    with caplog.at_level(logging.INFO, logger="bayesphot"):
        masked, plateau = mask_plateau(prepare_image(image, error=5.0), 1500.0)
    assert "at or above the saturation level, 1500" in caplog.text
    assert plateau.level == 1500.0
    assert plateau.n_pixel == np.sum(image >= 1500.0)
    np.testing.assert_array_equal(masked.saturated, binary_dilation(image >= 1500.0))
    np.testing.assert_array_equal(masked.good, ~masked.saturated)
    np.testing.assert_allclose(masked.cores[:, :2], [[20.3, 17.8]], atol=0.4)
    untouched = prepare_image(image)
    assert mask_plateau(untouched, 1e6) == (untouched, None)


def test_a_level_replaces_the_search_for_a_plateau():
    image = np.minimum(add_noise(make_star()), 1500.0)
    assert mask_plateau(prepare_image(image))[1] is not None
    assert mask_plateau(prepare_image(image), 1501.0)[1] is None


@pytest.mark.parametrize("rows", [slice(4, 24), slice(12, 40), slice(17, 40)])
def test_a_bled_column_moves_a_core_little(rows):
    image = np.minimum(add_noise(make_star(20_000.0)), 1500.0)
    image[rows, 20] = 1500.0
    masked, _ = mask_plateau(prepare_image(image), 1500.0)
    np.testing.assert_allclose(masked.cores[:, :2], [[20.3, 17.8]], atol=0.5)


@pytest.mark.parametrize(
    ("value", "header", "level"),
    [
        (None, {"SATURATE": 5.0}, None),
        (30.0, {}, 30.0),
        (0.03 * u.kct, {}, 30.0),
        ("header", {"SATURATE": 20.0}, 20.0),
        ("header", {"SATLEVEL": 25}, 25.0),
    ],
)
def test_the_level_comes_from_a_number_a_quantity_or_the_header(value, header, level):
    prepared = prepare_image(NDData(np.ones((4, 4)), unit=u.ct, meta=header))
    assert read_saturation(value, prepared) == level


def test_levels_that_cannot_be_had_are_refused():
    image = np.ones((9, 9))
    for value, problem in (
        ("top", TypeError),
        (True, TypeError),
        ([1.0, 2.0], TypeError),
        (np.nan, ValueError),
        (-5.0, ValueError),
        (0.0 * u.ct, ValueError),
    ):
        with pytest.raises(problem, match="saturation must be"):
            configure(saturation=value)
    with pytest.raises(ValueError, match="saturation='header' needs SATURATE or SATLEVEL"):
        configure(saturation="header")(image)
    with pytest.raises(ValueError, match="needs a positive level in the image's header, found -5"):
        configure(saturation="header")(NDData(image, meta={"SATURATE": -5}))
    with pytest.raises(ValueError, match="saturation has 'ct', image none"):
        configure(saturation=30.0 * u.ct)(image)


def configure(**options):
    """Return photometry of given positions, least squares only."""
    psf = bp.IntegratedGaussianPRF(sigma=np.sqrt(1.6**2 - 1.0 / 12.0))
    return bp.BasicPSFPhotometry(
        psf_model=psf, fitshape=9, bkg_estimator=100.0, sampler=False, **options
    )


def test_a_star_beside_a_core_is_measured_as_if_the_core_were_masked_by_hand():
    image = add_noise(make_star(20_000.0) + make_star(2000.0, x=29.0, y=18.0))
    positions = Table([[29.0, 20.3], [18.0, 17.8]], names=["x_0", "y_0"])
    result = configure(saturation=3000.0)(image, error=5.0, positions=positions)
    by_hand = configure()(
        image, error=5.0, positions=positions, mask=binary_dilation(image >= 3000.0)
    )
    names = [bp.decode_flags(int(value)) for value in result["flags"]]
    assert names[0] == bp.decode_flags(int(by_hand["flags"][0]))
    assert "SATURATED" in names[1]
    assert "SATURATED" not in bp.decode_flags(int(by_hand["flags"][1]))
    assert result["n_pixels"][0] == by_hand["n_pixels"][0]
    # Of the bright one there is more to see.
    assert result["n_pixels"][1] > 81 > by_hand["n_pixels"][1]
    assert result["flux_fit_err"][1] < by_hand["flux_fit_err"][1]


def test_a_saturated_pixel_that_is_no_star_is_no_source():
    image = add_noise(np.zeros((40, 44)))
    image[12, 30] = 60_000.0
    phot = bp.IterativelySubtractedPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=1.6),
        fitshape=13,
        finder=bp.DAOStarFinder(nsigma=5.0, fwhm=3.8),
        bkg_estimator=bp.MMMBackground(),
        saturation=50_000.0,
        sampler=False,
    )
    with pytest.warns(UserWarning, match="no source was found"):
        assert len(phot(image, error=5.0)) == 0


def test_a_very_bright_star_is_rendered_to_the_end_of_its_table():
    side = np.arange(-40, 41) / 4.0
    table = (1.0 + (side**2 + side[:, None] ** 2) / 4.0) ** -2.5
    psf = describe_psf(bp.ImagePSF(table * 16.0 / table.sum(), oversampling=4)).with_floor(1.0)
    reached = []
    for flux in (1e2, 1e4, 1e9):
        state = np.array([[30.0, 30.0, flux, 0.0]])
        light = render_sources((61, 61), state, psf) / state[0, FLUX]
        reached.append(np.abs(np.argwhere(light != 0.0) - 30).max())
    # The spline takes a table of 10 pixels a little beyond its edge.
    assert reached[0] < reached[1] < 10 <= reached[2] <= 12


def test_what_lies_in_the_box_of_a_saturated_star_is_of_its_group():
    image = add_noise(make_star(20_000.0) + make_star(900.0, x=24.5, y=21.0), seed=2)
    image += make_star(900.0, x=8.0, y=30.0)
    # The second of them has its middle in the core.
    places = [[20.3, 24.5, 22.0, 8.0], [17.8, 21.0, 18.5, 30.0]]
    positions = Table(places, names=["x_0", "y_0"])
    sizes = {}
    for level in (3000.0, None):
        phot = configure(saturation=level, group_maker=bp.DAOGroup(1.0))
        sizes[level] = phot(image, error=5.0, positions=positions)["group_size"].tolist()
    assert sizes == {3000.0: [3, 3, 3, 1], None: [1, 1, 1, 1]}
    positions["group_id"] = [1, 2, 3, 4]
    phot = configure(saturation=3000.0)
    assert phot(image, error=5.0, positions=positions)["group_size"].tolist() == [1, 1, 1, 1]
