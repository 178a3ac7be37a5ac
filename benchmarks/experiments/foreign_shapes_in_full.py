"""Widths that all stars share, of a kind and of a model that is none.

python benchmarks/experiments/foreign_shapes_in_full.py
"""

from __future__ import annotations

import time

import numpy as np

NOISE, BOX, STEP, FWHM = 3.0, 15, 21, 3.7
SPREAD = 0.2  # of ln(width), the default prior
#: Stars along a side, flux (of 270 the signal is 16 times the noise), simulations.
CASES = ((1, 270.0, 400), (2, 270.0, 200), (6, 270.0, 60), (2, 1e4, 60))
TO_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def main() -> None:
    """Print pulls of both, and how often their intervals hold the truth."""
    print(f"{'stars':>5} {'flux':>6} {'n':>4} {'error':>7}  pull and share in 68 %, kind, model")
    for side, flux, n in CASES:
        began = time.perf_counter()
        found = np.array([simulate(side, flux, seed) for seed in range(n)])
        texts = []
        for i, what in enumerate(("width", "flux")):
            for j in (0, 1):
                pull, inside = found[:, i, j, 0], found[:, i, j, 1]
                texts.append(f"{what} {pull.mean():+.2f} {inside.mean():.3f}")
            off = found[:, i, 1, 0] - found[:, i, 0, 0]
            texts.append(f"(by {off.mean():+.3f} +- {off.std() / np.sqrt(n):.3f})")
        error, seconds = found[:, 2, 1, 0].mean(), time.perf_counter() - began
        print(f"{side**2:5d} {flux:6.0f} {n:4d} {error:7.4f}  {'  '.join(texts)}  {seconds:.0f} s")


def simulate(side: int, flux: float, seed: int) -> np.ndarray:
    """Return (pull, share inside) of width and flux by kind and model, and the width's error."""
    import bayesphot as bp

    rng = np.random.default_rng(seed)
    width = FWHM * np.exp(SPREAD * rng.standard_normal())
    y, x = (np.mgrid[:side, :side].reshape(2, -1) + 0.5) * STEP + rng.uniform(-1, 1, (2, side**2))
    model = free_width(width, is_kind=False)
    fluxes = flux * np.exp(rng.uniform(-0.2, 0.2, x.size))
    image = rng.normal(0.0, NOISE, (side * STEP, side * STEP))
    rows, columns = np.indices(image.shape)
    for place in zip(x, y, fluxes, strict=True):
        model.x_0, model.y_0, model.flux = place
        image += model(columns, rows)
    stars, out = {"x_0": x, "y_0": y, "flux_0": fluxes}, np.empty((3, 2, 2))
    for j, is_kind in enumerate((True, False)):
        phot = bp.BasicPSFPhotometry(
            psf_model=free_width(FWHM, is_kind=is_kind),
            fitshape=BOX,
            shape="image",
            fit_background=False,
            seed=seed,
        )
        result = phot(image, NOISE, positions=stars)
        name, unit = ("sigma", TO_FWHM) if is_kind else ("fwhm", 1.0)
        for i, (column, truth) in enumerate(((name, width / unit), ("flux", fluxes))):
            pull = (result[f"{column}_median"] - truth) / result[f"{column}_err"]
            inside = (result[f"{column}_lo"] <= truth) & (truth <= result[f"{column}_hi"])
            out[i, j] = np.mean(pull), np.mean(inside)
        out[2, j] = np.mean(result[f"{name}_err"] / result[f"{name}_median"])
    return out


def free_width(fwhm: float, *, is_kind: bool):
    """Return photutils' round Gaussian of a free width, known by its name or not."""
    from photutils.psf import CircularGaussianPRF

    other = type("Round", (CircularGaussianPRF,), {})
    model = (CircularGaussianPRF if is_kind else other)(fwhm=fwhm)
    model.fwhm.fixed = False
    return model


if __name__ == "__main__":
    main()
