"""A free width of a PSF given as images is recovered, by a group and by the whole image.

Fields of two close pairs, stars 5 % wider than the images from which the fits start; as many
fields and the seeds as they stand here before the first run.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from bands import FALSE_ALARM, mean_band, normal_limit, per_test, sd_band

import bayesphot as bp

WIDTH, NOISE, SNR, BOX, STEP, SIDE = 1.05, 5.0, 120.0, 13, 4, 48
N_FIELD, SEED = 40, 31
#: Two pairs, their stars 4 pixels or 1.8 FWHM apart: a group each, the first of which is row 0, 2.
PLACES = np.array([(12.3, 13.8), (16.1, 12.7), (33.6, 34.2), (35.9, 37.5)])
SHARES = np.array([1.0, 0.6, 0.8, 1.2])
FIRST = [0, 2]
#: For two kinds by two ways to share: each pull, their mean and their scatter.
ALARM = per_test(2 * (N_FIELD + 2) + 2 * (N_FIELD * len(FIRST) + 2), FALSE_ALARM)


def make_table(width: float) -> np.ndarray:
    """Return an oversampled image of a round PSF with wings."""
    side = np.arange(-9 * STEP, 9 * STEP + 1) / STEP
    return 2.0 / (np.pi * width**2) * (1.0 + (side**2 + side[:, None] ** 2) / width**2) ** -3.0


@cache
def make_model(kind: str):
    """Return a PSF; on the grid the pairs lie near the narrow and the wide corner."""
    if kind == "ImagePSF":
        return bp.ImagePSF(make_table(2.2), oversampling=STEP)
    corners = [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)]
    images = [make_table(width) for width in (2.0, 2.3, 2.3, 2.7)]
    return bp.GriddedPSF(images, corners, oversampling=STEP)


@cache
def find_pulls(kind: str, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pulls and errors of the widths: of each field, or of each group of each field."""
    truth = make_model(kind).copy()
    truth.width = WIDTH
    y, x = np.mgrid[:SIDE, :SIDE]
    unit = [truth.evaluate(x, y, 1.0, *place, WIDTH) for place in PLACES]
    flux = SNR * NOISE * SHARES / np.sqrt(np.sum(np.square(unit[0])))
    clean = np.tensordot(flux, unit, axes=1)
    model = make_model(kind).copy()
    model.width.fixed = False
    phot = bp.BasicPSFPhotometry(
        psf_model=model,
        fitshape=BOX,
        group_maker=bp.DAOGroup(8.0),
        shape=shape,
        fit_background=False,
        sampler=bp.Sampler(draws=250),
        seed=3,
    )
    starts = {"x_0": PLACES[:, 0] + 0.2, "y_0": PLACES[:, 1] - 0.2}
    medians, errors = [], []
    for field in range(N_FIELD):
        noise = np.random.default_rng([SEED, kind == "ImagePSF", field]).normal(size=clean.shape)
        result = phot(clean + NOISE * noise, error=NOISE, positions=starts)
        assert not result["flags"].any()
        rows = FIRST if shape == "group" else FIRST[:1]
        medians.append(result["width_median"][rows])
        errors.append(result["width_err"][rows])
    medians, errors = np.ravel(medians), np.ravel(errors)
    return (medians - WIDTH) / errors, errors


@pytest.mark.parametrize("shape", ["group", "image"])
@pytest.mark.parametrize("kind", ["ImagePSF", "GriddedPSF"])
def test_a_free_width_is_recovered_with_its_error(kind, shape) -> None:
    pulls, errors = find_pulls(kind, shape)
    n = pulls.size
    # The start is off by many errors, and the default prior, 0.2 wide about it, draws the median
    # back by 0.05 (error / 0.2)^2: under a fiftieth of an error.
    assert errors.max() < 0.01
    assert np.abs(pulls).max() < normal_limit(ALARM)
    assert abs(pulls.mean()) < mean_band(n, false_alarm=ALARM)
    low, high = sd_band(n, ALARM)
    assert low < np.sqrt(np.mean(pulls**2)) < high
