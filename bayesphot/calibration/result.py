"""What a calibration returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesphot.calibration.bands import FALSE_ALARM
from bayesphot.calibration.collect import NOT_COUNTED, Sample
from bayesphot.calibration.statistics import (
    tabulate_bias,
    tabulate_coverage,
    tabulate_scatter,
    tabulate_uniformity,
)
from bayesphot.draws import view_readonly
from bayesphot.flags import Flag
from bayesphot.storage import make_plain

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.figure import Figure

__all__ = ["FEWEST_GROUPS", "LEVELS", "CalibrationResult", "build_result"]

#: Probabilities of the intervals whose coverage is measured.
LEVELS = (0.5, 0.68, 0.9, 0.95)
#: Blends that are ranked in so many groups at least.
FEWEST_BLENDS = 20
#: Fewer groups cannot fill a histogram.
FEWEST_GROUPS = 20
#: Flags that warn of the draws.
DOUBTFUL = Flag.HIGH_R_HAT | Flag.LOW_ESS | Flag.HIGH_PARETO_K | Flag.NOT_SAMPLED


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationResult:
    """Truths of simulated groups ranked among their posterior draws. Immutable.

    Parameters
    ----------
    table : QTable
        One row a source. ``group_id``, ``group_size``; ``counted``: one source of each group, by
        lot, of which ranks and coverage are made, for mates are not independent; for each free
        parameter p ``p_true``, ``p_rank`` (0 to ``n_ranks`` - 1), ``p_mean``, ``p_median``,
        ``p_err``, and the central intervals ``p_lo_68``, ``p_hi_68``, ...; ``snr`` (posterior
        mean over error of the flux), ``blend_var_frac``, ``engine``, diagnostics and ``flags`` of
        the photometry; ``flux_sum_rank`` and ``flux_difference_rank`` (of a group's summed flux,
        and of the difference from the nearest mate; -2 on rows that do not count). Where a group
        was not sampled ranks are -1 and numbers NaN.
    pulls : mapping of str to ndarray, (n, n_ranks - 1)
        (mean - draw) / error of the draws among which the truths are ranked.
    meta : mapping
        Arguments, seed, versions.

    Examples
    --------
    >>> import bayesphot as bp
    >>> phot = bp.BasicPSFPhotometry(
    ...     psf_model=bp.IntegratedGaussianPRF(sigma=1.5), fitshape=11)
    >>> result = bp.calibrate(phot, n_simulations=40, error=3.0, seed=1,
    ...                       flux=bp.PowerLaw(-2.0, 100.0, 5000.0))
    >>> result
    <CalibrationResult: 40 sources in 40 groups; x, y, flux: all in their bands>
    >>> result.uniformity().colnames
    ['parameter', 'n', 'n_bins', 'p_value', 'limit', 'holds']
    >>> for table in (result.coverage((0.5, 0.9)), result.scatter(), result.bias()):
    ...     assert table["holds"].all()
    >>> len(result.select(result.table["snr"] > 5.0)), len(result.trusted())
    (40, 40)
    >>> result.passed(), result.summary().partition(",")[0]
    (True, '40 sources in 40 groups')
    >>> figure = result.plot(path="calibration.png")
    >>> sorted(path.name for path in result.write("calibration").iterdir())
    ['calibration.ecsv', 'calibration.png', 'calibration.txt']
    """

    table: QTable
    pulls: Mapping[str, np.ndarray]
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = self.table.copy()
        for name in table.colnames:
            table[name].flags.writeable = False
            if table[name].dtype.kind == "f":
                table[name].info.format = ".4g"
        meta = make_plain(self.meta)
        table.meta = dict(meta)
        pulls = {name: view_readonly(values) for name, values in self.pulls.items()}
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "pulls", pulls)
        object.__setattr__(self, "meta", meta)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def n_groups(self) -> int:
        """Number of simulated groups: of independent ranks."""
        return int(np.count_nonzero(self.table["counted"]))

    @property
    def n_ranks(self) -> int:
        """Number of ranks that a truth can take."""
        return next(iter(self.pulls.values())).shape[1] + 1

    @property
    def parameters(self) -> tuple[str, ...]:
        """Free parameters of a source."""
        return tuple(self.pulls)

    @property
    def ranks(self) -> dict[str, np.ndarray]:
        """Ranks of the truths that count, one a group, of each parameter; -1: not sampled.

        Where there are blends also of ``flux_sum`` and ``flux_difference``.
        """
        counted = np.asarray(self.table["counted"])
        ranks = {name: np.asarray(self.table[f"{name}_rank"])[counted] for name in self.parameters}
        for name in ("flux_sum", "flux_difference"):
            rank = np.asarray(self.table[f"{name}_rank"])
            rank = rank[rank != NOT_COUNTED]
            if rank.size >= FEWEST_BLENDS:
                ranks[name] = rank
        return ranks

    def uniformity(self, *, false_alarm: float = FALSE_ALARM) -> QTable:
        """Return the p-value of uniform ranks of each parameter (chi-squared over bins).

        Parameters
        ----------
        false_alarm : float
            Chance that a correct program fails anywhere in the table.

        Returns
        -------
        QTable
            ``parameter``, ``n``, ``n_bins``, ``p_value``, ``limit``, ``holds``.
        """
        return tabulate_uniformity(self.ranks, self.n_ranks, _check_share(false_alarm))

    def coverage(
        self, levels: tuple[float, ...] = LEVELS, *, false_alarm: float = FALSE_ALARM
    ) -> QTable:
        """Return how often the truth is in the central intervals.

        Counted by ranks: the middle ones are an interval of known probability.

        Parameters
        ----------
        levels : tuple of float
            Probabilities; each is rounded to the nearest that ranks can have.
        false_alarm : float
            Chance that a correct program fails anywhere in the table.

        Returns
        -------
        QTable
            ``parameter``, ``level``, ``n``, ``coverage``, ``low`` and ``high`` (the binomial
            band), ``holds``.

        Raises
        ------
        ValueError
            If a level does not lie between 0 and 1.
        """
        levels = tuple(_check_share(level, name="levels") for level in levels)
        return tabulate_coverage(self.ranks, self.n_ranks, levels, _check_share(false_alarm))

    def scatter(self, *, false_alarm: float = FALSE_ALARM) -> QTable:
        """Return the root mean square of (posterior mean - truth) / error.

        All sources, in bins of the data-derived SNR and of ``blend_var_frac``, where it is 1
        for a correct posterior of any shape. (In bins of the *truth* it would not be.)

        Parameters
        ----------
        false_alarm : float
            Chance that a correct program fails anywhere in the table.

        Returns
        -------
        QTable
            ``by``, ``from``, ``to``, ``parameter``, ``n``, ``scatter``, ``low``, ``high``,
            ``holds``; bins of fewer than 30 sources have no band.
        """
        return tabulate_scatter(
            self._columns(), self.pulls, self._of_sources(), _check_share(false_alarm)
        )

    def bias(self, *, false_alarm: float = FALSE_ALARM) -> QTable:
        """Return the mean of (posterior mean - truth) / error in bins of the data-derived SNR.

        Parameters
        ----------
        false_alarm : float
            Chance that a correct program fails anywhere in the table.

        Returns
        -------
        QTable
            ``by``, ``from``, ``to``, ``parameter``, ``n``, ``bias``, ``low``, ``high``, ``holds``,
            and ``offset``, the mean difference in the parameter's unit.
        """
        return tabulate_bias(
            self._columns(), self.pulls, self._of_sources(), _check_share(false_alarm)
        )

    def passed(self, *, false_alarm: float = FALSE_ALARM) -> bool:
        """Return whether every number of the four tables is in its band.

        Parameters
        ----------
        false_alarm : float
            Chance that a correct program fails, shared by the tables.
        """
        share = _check_share(false_alarm) / 4.0
        tables = (self.uniformity, self.coverage, self.scatter, self.bias)
        return all(bool(np.all(table(false_alarm=share)["holds"])) for table in tables)

    def select(self, rows) -> CalibrationResult:
        """Return the calibration of some groups: of those all of whose rows are chosen.

        Parameters
        ----------
        rows : (n,) array of bool
            Rows of the table, chosen by what is made from the data (SNR, flags, group size): a
            choice by the truth would undo the calibration.

        Raises
        ------
        ValueError
            If ``rows`` has another shape, or leaves fewer than 20 groups.
        """
        rows = np.asarray(rows, dtype=bool)
        if rows.shape != (len(self),):
            raise ValueError(f"rows must have the shape {(len(self),)}, found {rows.shape}")
        group = np.asarray(self.table["group_id"])
        here = ~np.isin(group, group[~rows])
        if np.unique(group[here]).size < FEWEST_GROUPS:
            raise ValueError(f"rows must leave at least {FEWEST_GROUPS} whole groups")
        pulls = {name: values[here] for name, values in self.pulls.items()}
        return CalibrationResult(self.table[here], pulls, self.meta)

    def trusted(self) -> CalibrationResult:
        """Return the calibration of the groups whose draws the photometry does not warn of.

        Those without ``HIGH_R_HAT``, ``LOW_ESS``, ``HIGH_PARETO_K`` and ``NOT_SAMPLED``: flags
        are made from the data, so that a correct program is calibrated in this choice, too.

        Raises
        ------
        ValueError
            If fewer than 20 groups are left.
        """
        return self.select(np.asarray(self.table["flags"]) & int(DOUBTFUL) == 0)

    def summary(self) -> str:
        """Return the verdict and the tables of ranks and coverage as text."""
        from bayesphot.calibration.text import describe_calibration

        return describe_calibration(self)

    def plot(self, *, path=None) -> Figure:
        """Draw rank histograms, coverage, scatter and bias, with their bands.

        Parameters
        ----------
        path : str or Path, optional
            Also save the figure there.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayesphot.calibration.pictures import plot_calibration

        return plot_calibration(self, path=path)

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the table, the picture and the summary to a folder.

        Parameters
        ----------
        folder : str or Path
            Made with its parents.
        overwrite : bool
            Whether an older calibration in it may be replaced; other files stay.

        Returns
        -------
        Path
            The folder, with ``calibration.ecsv``, ``calibration.png`` and ``calibration.txt``.

        Raises
        ------
        FileExistsError
            If the folder is a file, or is not empty and `overwrite` is False.
        """
        from bayesphot.calibration.files import write_calibration

        return write_calibration(self, folder, overwrite=overwrite)

    def _columns(self) -> dict[str, np.ndarray]:
        """Return the table as plain arrays."""
        return {name: np.asarray(self.table[name]) for name in self.table.colnames}

    def _of_sources(self) -> tuple[str, ...]:
        """Return the parameters that are each source's own."""
        return tuple(name for name in ("x", "y", "flux") if name in self.pulls)

    def __repr__(self) -> str:
        verdict = "all in their bands" if self.passed() else "NOT calibrated"
        return (
            f"<CalibrationResult: {len(self)} sources in {self.n_groups} groups; "
            f"{', '.join(self.ranks)}: {verdict}>"
        )


def build_result(sample: Sample, meta: dict) -> CalibrationResult:
    """Return the result of collected rows."""
    from astropy.table import QTable

    return CalibrationResult(QTable(sample.columns), sample.pulls, meta)


def _check_share(value: Any, *, name: str = "false_alarm") -> float:
    """Return a probability strictly between 0 and 1."""
    from bayesphot.checks import check_number

    number = check_number(name, value)
    if not 0.0 < number < 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, found {value!r}")
    return number
