"""Running a function over batches: serially, in threads, or through any executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

__all__ = ["Workers", "run_batches", "split_evenly"]


@dataclass(frozen=True, eq=False)
class Workers:
    """Who does the work.

    Parameters
    ----------
    n_jobs : int
        Number of threads.
    executor : concurrent.futures.Executor, optional
        Used instead of threads.
    progress_bar : bool
        Whether to show progress on anything that lasts.
    """

    n_jobs: int = 1
    executor: Executor | None = None
    progress_bar: bool = False


def split_evenly(cost: np.ndarray, n_part: int) -> list[np.ndarray]:
    """Return index arrays of consecutive items with about equal total cost."""
    if cost.size == 0:
        return []
    edges = np.cumsum(cost)
    part = np.minimum((edges - 0.5 * cost) / edges[-1] * n_part, n_part - 1).astype(np.int64)
    return [np.flatnonzero(part == p) for p in range(n_part) if np.any(part == p)]


def run_batches(
    function: Callable,
    batches: Sequence[tuple],
    workers: Workers,
    *,
    label: str,
    unit: str,
    weights: Sequence[int],
) -> list:
    """Call a module-level function on each tuple of arguments; return results in order.

    Parameters
    ----------
    function : callable
        Called as ``function(*batch)``; it must not depend on what runs beside it.
    batches : sequence of tuple
        Positional arguments of each call.
    workers : Workers
        Threads, executor, progress bar.
    label, unit : str
        What the progress bar says it is doing, and what it counts.
    weights : sequence of int
        How many units each batch holds.
    """
    with _open_bar(workers.progress_bar, label, unit, int(sum(weights))) as advance:
        if workers.executor is None and (workers.n_jobs == 1 or len(batches) < 2):
            results = []
            for batch, weight in zip(batches, weights, strict=True):
                results.append(function(*batch))
                advance(weight)
            return results
        if workers.executor is not None:
            return _collect(workers.executor, function, batches, weights, advance)
        with ThreadPoolExecutor(workers.n_jobs) as pool:
            return _collect(pool, function, batches, weights, advance)


def _collect(pool: Executor, function, batches, weights, advance) -> list:
    """Submit all batches and gather the results in order."""
    futures: list[Future] = [pool.submit(function, *batch) for batch in batches]
    results = []
    try:
        for future, weight in zip(futures, weights, strict=True):
            results.append(future.result())
            advance(weight)
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return results


@contextmanager
def _open_bar(shown: bool, label: str, unit: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that moves a progress bar; the bar appears after two seconds."""
    if not shown:
        yield lambda weight: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit=f" {unit}", delay=2.0, leave=False) as bar:
        yield bar.update
