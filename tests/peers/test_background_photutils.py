"""Sky estimators against photutils', and photutils' objects in the place of ours."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import SigmaClip

from bayesphot import background
from bayesphot.background import estimate_noise, estimate_sky
from bayesphot.datasets import make_bright_pair, simulate_scene

theirs = pytest.importorskip("photutils.background", reason="photutils is the referee")

NAMES = (
    "MMMBackground",
    "MedianBackground",
    "MeanBackground",
    "ModeEstimatorBackground",
    "MADStdBackgroundRMS",
    "StdBackgroundRMS",
)


def make_crowd() -> np.ndarray:
    """Return a field whose stars make the clipping work for its living."""
    return simulate_scene(
        (128, 128), n_sources=60, sigma=2.0, background=50.0, noise=4.0, seed=5
    ).image


@pytest.mark.parametrize("image", [make_bright_pair().image, make_crowd()], ids=["pair", "crowd"])
@pytest.mark.parametrize(("sigma", "maxiters"), [(3.0, 10), (3.0, 5), (2.0, 10), (3.0, None)])
@pytest.mark.parametrize("name", NAMES)
def test_estimators_equal_photutils(name: str, sigma: float, maxiters, image) -> None:
    ours = getattr(background, name)(sigma=sigma, maxiters=maxiters)
    referee = getattr(theirs, name)(sigma_clip=SigmaClip(sigma=sigma, maxiters=maxiters))
    # The same numbers but for the order of summation.
    assert ours(image) == pytest.approx(referee(image), rel=1e-10)
    mask = image > 60.0
    hidden = np.ma.MaskedArray(image, mask)
    assert ours(image, mask) == pytest.approx(referee(hidden), rel=1e-10)


def test_default_settings_equal_photutils() -> None:
    image = make_crowd()
    for name in NAMES:
        assert getattr(background, name)()(image) == pytest.approx(
            getattr(theirs, name)()(image), rel=1e-10
        )


def test_sky_of_the_second_scene_is_the_published_one() -> None:
    """The tutorial's time clipped 5 times, later versions 10 times (three decimals known)."""
    image = make_bright_pair().image
    assert background.MMMBackground(maxiters=5)(image) == pytest.approx(5.893, abs=5e-4)
    assert background.MMMBackground(maxiters=10)(image) == pytest.approx(5.973, abs=5e-4)


def test_photutils_objects_plug_in_as_estimators() -> None:
    image = make_crowd()
    mask = image > 100.0
    hidden = np.ma.MaskedArray(image, mask)
    level, scatter = theirs.MMMBackground(), theirs.MADStdBackgroundRMS()
    assert estimate_sky(level, image, mask).level == pytest.approx(level(hidden), rel=1e-10)
    assert estimate_noise(image, mask, scatter) == pytest.approx(scatter(hidden), rel=1e-10)


def test_a_photutils_background_map_plugs_in() -> None:
    image = make_crowd()
    sky = estimate_sky(lambda data: theirs.Background2D(data, 32).background, image)
    assert sky.level.shape == image.shape
    assert abs(np.median(sky.level) - 50.0) < 4.0  # within one sigma of the pixel noise
