"""The mean of reference stars, and how they differ from it."""

from __future__ import annotations

import numpy as np
import pytest

import bayesphot as bp

Y, X = np.mgrid[-10:11, -10:11].astype(float)


def make_star(sigma: float, stretch: float = 0.0) -> np.ndarray:
    """Return an elliptical Gaussian of unit flux."""
    a, b = sigma * (1.0 + stretch), sigma / (1.0 + stretch)
    return np.exp(-0.5 * ((X / a) ** 2 + (Y / b) ** 2)) / (2.0 * np.pi * a * b)


def make_stars(n: int, seed: int = 3, width: float = 0.01, stretch: float = 0.004) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array(
        [make_star(1.5 * (1 + width * a), stretch * b) for a, b in rng.standard_normal((n, 2))]
    )


def test_modes_are_those_by_which_stars_differ() -> None:
    psf, error = bp.combine_psfs(make_stars(400))
    # By width and stretch: their derivatives span the modes.
    by_width = (make_star(1.5 * 1.001) - make_star(1.5 * 0.999)) / 0.002
    by_stretch = (make_star(1.5, 0.001) - make_star(1.5, -0.001)) / 0.002
    np.testing.assert_allclose(psf.data, make_star(1.5), atol=1e-3 * psf.data.max())
    assert len(error.sds) == 2
    basis = np.array([by_width.ravel(), by_stretch.ravel()])
    for image in error.images:
        flat = image.ravel()
        inside = basis.T @ np.linalg.lstsq(basis.T, flat, rcond=None)[0]
        assert np.linalg.norm(flat - inside) < 0.05 * np.linalg.norm(flat)
    norm = np.linalg.norm(psf.data)
    expected = [0.01 * np.linalg.norm(by_width) / norm, 0.004 * np.linalg.norm(by_stretch) / norm]
    # Standard deviations of 400 draws: 3.5 %, at a false alarm of 1e-4.
    np.testing.assert_allclose(error.sds, expected, rtol=3.9 / np.sqrt(2 * 400))
    assert error.white < 0.002


def test_noise_of_the_stars_is_no_error_of_the_psf() -> None:
    rng = np.random.default_rng(4)
    stars, sd = make_stars(60), 2e-4
    noisy = stars + rng.normal(0.0, sd, stars.shape)
    _, error = bp.combine_psfs(noisy, error=sd)
    _, truth = bp.combine_psfs(stars)
    assert error.sds[0] == pytest.approx(truth.sds[0], rel=0.1)
    with pytest.raises(ValueError, match="differ by more than their noise"):
        bp.combine_psfs(make_star(1.5) + rng.normal(0.0, sd, (8, 21, 21)), error=sd)


def test_few_stars_say_less() -> None:
    """The variance of another star about the mean of n is 1 + 1/n times theirs."""
    stars = make_stars(4, stretch=0.0)
    _, error = bp.combine_psfs(stars, n_modes=1)
    rest = (stars - stars.mean(axis=0)).reshape(4, -1)
    power = np.linalg.svd(rest, compute_uv=False)[0] ** 2 / 3
    norm = np.linalg.norm(stars.mean(axis=0))
    assert error.sds[0] == pytest.approx(np.sqrt(1.25 * power) / norm, rel=1e-9)


@pytest.mark.parametrize("known", [True, False])
def test_companions_are_not_found_in_what_reference_stars_differ_by(known) -> None:
    """A star of SNR 1000, 2 % wider than the mean of stars that scatter by 1.5 %."""
    psf, error = bp.combine_psfs(make_stars(30, width=0.015), n_modes=4)
    rng = np.random.default_rng(6)
    flux = 1e6
    image = 100.0 + flux * np.pad(make_star(1.5 * 1.02), 10)
    noise = np.sqrt(image)
    found = bp.companion_map(
        rng.normal(image, noise), psf, (20.0, 20.0), error=noise,
        psf_error=None if known else error,
    )  # fmt: skip
    assert (found.p_companion > 0.999) == known


@pytest.mark.parametrize(
    ("images", "options", "said"),
    [
        (make_stars(2), {}, "at least 3"),
        (make_stars(5)[:, :-1], {}, "odd sides"),
        (make_stars(5)[0], {}, "3 axes"),
        (np.full((4, 9, 9), np.nan), {}, "finite"),
        (make_stars(5), {"error": np.ones(3)}, "error must be"),
        (make_stars(5), {"error": -1.0}, "not negative"),
        (make_stars(5), {"oversampling": (2, 3)}, "one integer"),
        (make_stars(5), {"n_modes": -1}, "n_modes"),
        (np.tile(make_star(1.5), (4, 1, 1)), {}, "differ by more"),
    ],
)
def test_images_that_tell_nothing_are_refused(images, options, said) -> None:
    with pytest.raises(ValueError, match=said):
        bp.combine_psfs(images, **options)
