"""Twenty scenes on which other packages are referees: seeded, and hard in different ways."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["SCENES", "Scene", "make_stars"]


def make_stars(
    seed,
    *,
    shape=(120, 140),
    n_stars=70,
    fwhm=3.5,
    ratio=1.0,
    theta=0.0,
    noise=1.0,
    margin=1.0,
    heights=(10.0, 200.0),
    **_,
):
    """Elliptical Gaussians, blended and cut by the border, on noise; other settings are ignored.

    Centres lie up to ``margin`` pixels outside those of the outermost pixels; inside if negative.
    """
    rng = np.random.default_rng(seed)
    image = rng.normal(0.0, 1.0, shape) * noise
    y, x = np.mgrid[: shape[0], : shape[1]]
    sigma, angle = fwhm / 2.3548, np.deg2rad(theta)
    for _ in range(n_stars):
        dx = x - rng.uniform(-margin, shape[1] - 1.0 + margin)
        dy = y - rng.uniform(-margin, shape[0] - 1.0 + margin)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = dy * np.cos(angle) - dx * np.sin(angle)
        height = rng.uniform(*heights)
        image += height * np.exp(-0.5 * (along**2 + (across / ratio) ** 2) / sigma**2)
    return image


@dataclass(frozen=True)
class Scene:
    """An image and the kernel with which its stars are sought; ``threshold`` in its unit."""

    image: np.ndarray
    mask: np.ndarray | None = None
    kernel: dict = field(default_factory=lambda: {"fwhm": 3.5})
    threshold: float = 8.0

    @property
    def bad(self) -> np.ndarray:
        """Pixels that are masked or not finite."""
        bad = ~np.isfinite(self.image)
        return bad if self.mask is None else bad | self.mask

    @property
    def plain(self) -> np.ndarray:
        """The image in double precision, zero on the bad pixels."""
        return np.where(self.bad, 0.0, np.nan_to_num(self.image.astype(float)))


def _mask_parts(shape, seed):
    """Return a mask of a block, a column, and single pixels."""
    mask = np.zeros(shape, dtype=bool)
    mask[30:52, 40:61] = mask[:, 90] = True
    mask.flat[np.random.default_rng(seed).integers(0, mask.size, 12)] = True
    return mask


def _make_masked(seed):
    """Return a scene with a mask, under which the values are absurd."""
    image = make_stars(seed)
    mask = _mask_parts(image.shape, seed)
    image[mask] = 1e5
    return Scene(image, mask)


def _make_broken(seed):
    """Return a scene with NaN, infinities and a mask."""
    image = make_stars(seed)
    image[_mask_parts(image.shape, seed)] = np.nan
    image[70, 20:25] = np.inf
    image[5:9, 110] = -np.inf
    mask = np.zeros(image.shape, dtype=bool)
    mask[95:, :12] = True
    return Scene(image, mask)


def _add_gradient(image, along_x, along_y):
    """Return an image on a tilted sky."""
    y, x = np.indices(image.shape)
    return image + along_x * x + along_y * y


def _saturate(image, level):
    """Return an image cut at a level: stars of 9 to 60 equal pixels at their tops."""
    return np.minimum(image, level)


def _build_scenes():
    """Return the scenes by name."""
    ellipse = {"fwhm": 5.0, "ratio": 0.5, "theta": 30.0}
    steep = {"fwhm": 6.0, "ratio": 0.7, "theta": 110.0}
    small, wide = {"fwhm": 1.5, "sigma_radius": 3.0}, {"fwhm": 8.0}
    # Kernels this large are convolved by FFT.
    widest = {"fwhm": 8.0, "sigma_radius": 2.5}
    bright = {"n_stars": 12, "heights": (800.0, 3000.0), "margin": -8.0}
    return {
        "odd and narrow": Scene(make_stars(20, shape=(45, 131), n_stars=30)),
        "crowded": Scene(make_stars(21, shape=(128, 128), n_stars=300)),
        "crowded and wide": Scene(make_stars(22, n_stars=120, **wide), kernel=wide),
        "very many": Scene(
            make_stars(23, shape=(256, 240), n_stars=1500, fwhm=2.5), kernel={"fwhm": 2.5}
        ),
        "two stars": Scene(make_stars(24, shape=(60, 51), n_stars=2, margin=-10.0)),
        "undersampled": Scene(make_stars(25, **small), kernel=small),
        "wide": Scene(make_stars(26, shape=(150, 171), n_stars=25, **widest), kernel=widest),
        "elliptical": Scene(make_stars(27, **ellipse), kernel=ellipse),
        "elliptical, steep": Scene(make_stars(28, **steep), kernel=steep),
        "masked": _make_masked(29),
        "not finite": _make_broken(30),
        "negative sky": Scene(make_stars(31) - 80.0),
        "integers": Scene(
            np.round(make_stars(32, noise=4.0, heights=(60, 900)) + 300).astype(np.uint16),
            threshold=30.0,
        ),
        "single precision": Scene((make_stars(33) + 20.0).astype(np.float32)),
        "gradient": Scene(_add_gradient(make_stars(34), 0.2, -0.1)),
        "at the edges": Scene(make_stars(35, shape=(31, 30), n_stars=25, margin=2.0)),
        "saturated": Scene(_saturate(make_stars(36, **bright), 500.0)),
        "without noise": Scene(make_stars(37, noise=0.0)),
        "noise alone": Scene(make_stars(38, n_stars=0, noise=3.0), threshold=7.0),
        "uniform": Scene(np.full((40, 33), 7.0)),
    }


SCENES = _build_scenes()
