"""Running a function over batches: serially, in threads, or through any executor."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesphot.checks import check_integer

__all__ = ["Workers", "count_jobs", "finish_batches", "run_batches", "split_evenly"]

log = logging.getLogger("bayesphot")

#: Seconds between two looks at the work: where a wait cannot be interrupted, Ctrl-C acts then.
LOOK = 0.5
#: What dask says, once it has tried some workers, of a batch whose worker died.
KILLED = "KilledWorker"


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


def count_jobs(n_jobs: int) -> int:
    """Return the number of threads: -1 is one for each core."""
    if check_integer("n_jobs", n_jobs, least=-(2**31)) < 1 and n_jobs != -1:
        raise ValueError(f"n_jobs must be at least 1, or -1 for all cores, found {n_jobs}")
    return (os.cpu_count() or 1) if n_jobs == -1 else n_jobs


def split_evenly(cost: np.ndarray, n_part: int) -> list[np.ndarray]:
    """Return index arrays of consecutive items with about equal total cost."""
    if cost.size == 0:
        return []
    edges = np.cumsum(cost)
    part = np.minimum((edges - 0.5 * cost) / edges[-1] * n_part, n_part - 1).astype(np.int64)
    return [np.flatnonzero(part == p) for p in range(n_part) if np.any(part == p)]


def run_batches(function: Callable, batches: Sequence[tuple], workers: Workers, **shown) -> list:
    """Return the results of all batches in order; everything else as `finish_batches`."""
    results: list[Any] = [None] * len(batches)
    with closing(finish_batches(function, batches, workers, **shown)) as finished:
        for place, result in finished:
            results[place] = result
    return results


def finish_batches(
    function: Callable,
    batches: Sequence[tuple],
    workers: Workers,
    *,
    label: str,
    unit: str,
    weights: Sequence[int],
) -> Generator[tuple[int, Any], None, None]:
    """Call a module-level function on each tuple of arguments; yield results as they are finished.

    Closing the iterator, or an exception in it (an interrupt, too), cancels what has not begun
    and waits for the threads, which end with their batch.

    Parameters
    ----------
    function : callable
        Called as ``function(*batch)``; it must not depend on what runs beside it.
    batches : sequence of tuple
        Positional arguments of each call.
    workers : Workers
        Threads, executor, progress bar. A batch that an executor loses with its worker is run
        again, there or here; what a batch raises by itself is raised.
    label, unit : str
        What the progress bar says it is doing, and what it counts.
    weights : sequence of int
        How many units each batch holds.

    Yields
    ------
    int
        The batch.
    object
        Its result.
    """
    if workers.executor is None:
        finished = _run_here(function, batches, range(len(batches)), workers.n_jobs)
    else:
        finished = _run_there(workers.executor, function, batches, workers.n_jobs)
    bar = _open_bar(workers.progress_bar, label, unit, int(sum(weights)))
    with bar as advance, closing(finished):
        for place, result in finished:
            advance(weights[place])
            yield place, result


def _run_here(
    function: Callable, batches: Sequence[tuple], places: Sequence[int], n_jobs: int
) -> Generator[tuple[int, Any], None, None]:
    """Run some batches in this process."""
    if n_jobs == 1 or len(places) < 2:
        for place in places:
            yield place, function(*batches[place])
        return
    pool = ThreadPoolExecutor(n_jobs)
    try:
        futures = {pool.submit(function, *batches[place]): place for place in places}
        yield from _gather(futures, lost=None)
    finally:
        pool.shutdown(cancel_futures=True)


def _run_there(
    executor: Executor, function: Callable, batches: Sequence[tuple], n_jobs: int
) -> Generator[tuple[int, Any], None, None]:
    """Run all batches through an executor; those it loses once more, and those it loses again here.

    The seeds lie in the batches: whoever runs one gets the same draws.
    """
    lost: list[int] = []
    futures = _submit(executor, function, batches, range(len(batches)), lost, (BrokenExecutor,))
    yield from _gather(futures, lost)
    if not lost:
        return
    log.warning("the executor lost a worker: %d of %d batches run again", len(lost), len(batches))
    left: list[int] = []
    # One that was shut down says so in a RuntimeError.
    futures = _submit(executor, function, batches, sorted(lost), left, (RuntimeError,))
    yield from _gather(futures, left)
    if left:
        log.warning("the executor does not recover: %d batches run in this process", len(left))
        yield from _run_here(function, batches, sorted(left), n_jobs)


def _submit(
    executor: Executor,
    function: Callable,
    batches: Sequence[tuple],
    places: Iterable[int],
    lost: list[int],
    refusals: tuple[type[Exception], ...],
) -> dict[Future, int]:
    """Return futures of the batches and their places; add to ``lost`` what is refused."""
    futures = {}
    for place in places:
        try:
            futures[executor.submit(function, *batches[place])] = place
        except refusals:
            lost.append(place)
    return futures


def _gather(
    futures: dict[Future, int], lost: list[int] | None
) -> Generator[tuple[int, Any], None, None]:
    """Yield (place, result) of futures as they end, and forget each; collect those lost."""
    try:
        while futures:
            done, _ = wait(futures, timeout=LOOK, return_when=FIRST_COMPLETED)
            # In the order of the batches: of what is finished together, what came first.
            queue = sorted(done, key=futures.__getitem__, reverse=True)
            del done
            while queue:
                future = queue.pop()
                place = futures.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    if lost is None or not _is_lost(error):
                        raise
                    lost.append(place)
                    continue
                # Nothing here may hold on to the draws while their taker works.
                del future
                yield place, result
                del result
    except KeyboardInterrupt:
        yield from _save_finished(futures, wait_for_running=lost is None)
        raise
    finally:
        for future in futures:
            future.cancel()


def _save_finished(
    futures: dict[Future, int], *, wait_for_running: bool
) -> Iterator[tuple[int, Any]]:
    """Yield what is finished when an interrupt arrives; threads end with their batch first."""
    running = [future for future in futures if not future.cancel()]
    if wait_for_running:
        wait(running)
    for future in running:
        if future.done() and not future.cancelled() and future.exception() is None:
            yield futures[future], future.result()


def _is_lost(error: Exception) -> bool:
    """Return whether an executor says that a batch's worker, not the batch, failed."""
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__name__ == KILLED


@contextmanager
def _open_bar(shown: bool, label: str, unit: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that moves a progress bar; the bar appears after two seconds."""
    if not shown:
        yield lambda weight: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit=f" {unit}", delay=2.0, leave=False) as bar:
        yield bar.update
