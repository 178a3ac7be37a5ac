"""What a run that was interrupted leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import PhotometryResult

__all__ = ["InterruptedRun"]


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C while groups were sampled; ``result`` holds what is finished.

    Not swallowed into a result that is returned: a loop over images must stop where its user
    stops it. Who does not catch it sees a `KeyboardInterrupt`, as ever.

    Parameters
    ----------
    result : PhotometryResult
        All sources with their least squares; those whose group was not reached are flagged
        INTERRUPTED and have NaN posterior columns and draws.

    Examples
    --------
    >>> import bayesphot as bp
    >>> scene = bp.simulate_scene((40, 40), n_sources=2, sigma=1.5, noise=1.0, seed=1)
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=9, seed=1)
    >>> try:
    ...     result = phot(scene.image, error=scene.error, positions=scene.truth)
    ... except bp.InterruptedRun as stop:
    ...     result = stop.result
    >>> len(result)
    2
    """

    def __init__(self, result: PhotometryResult) -> None:
        super().__init__("interrupted; what is finished is in the exception's result")
        self.result = result
