"""Batches through threads and executors: order, errors, lost workers, interrupts."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context

import numpy as np
import pytest

from bayesphot.execute import Workers, finish_batches, run_batches, split_evenly


def square(number):
    return number * number


def die_once(number, marker):
    """Kill the process that runs the batch of 3 if it is the first to do so."""
    if number == 3 and not os.path.exists(marker):
        with open(marker, "w"):
            os._exit(1)
    return number * number


def fail(number):
    if number == 2:
        raise ZeroDivisionError("a bug")
    return number


def run(function, batches, workers):
    return run_batches(
        function, batches, workers, label="test", unit="batches", weights=[1] * len(batches)
    )


class FakeExecutor(Executor):
    """Runs at once; loses the calls that are listed, and refuses from a call on."""

    def __init__(self, lose=(), error=BrokenExecutor, refuse_from=None):
        self.lose, self.error, self.refuse_from = set(lose), error, refuse_from
        self.calls = 0

    def submit(self, function, /, *arguments):
        call, self.calls = self.calls, self.calls + 1
        if self.refuse_from is not None and call >= self.refuse_from:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future = Future()
        if call in self.lose:
            future.set_exception(self.error("gone"))
        else:
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)
        return future


BATCHES = [(n,) for n in range(6)]
SQUARES = [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_results_come_in_order(n_jobs) -> None:
    assert run(square, BATCHES, Workers(n_jobs)) == SQUARES


def test_parts_have_about_equal_cost() -> None:
    parts = split_evenly(np.ones(100), 4)
    assert [part.size for part in parts] == [25, 25, 25, 25]
    assert split_evenly(np.empty(0), 4) == []


def test_a_worker_that_dies_costs_nothing_but_time(tmp_path, caplog) -> None:
    """A process of a pool kills itself: the pool is broken, the batches run here."""
    batches = [(n, str(tmp_path / "died")) for n in range(6)]
    with (
        caplog.at_level(logging.WARNING, "bayesphot"),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        assert run(die_once, batches, Workers(executor=pool)) == SQUARES
        with pytest.raises(BrokenProcessPool):
            pool.submit(square, 1)
    assert "lost a worker" in caplog.text
    assert "run in this process" in caplog.text


class KilledWorker(Exception):
    """As dask names it."""


@pytest.mark.parametrize("error", [BrokenExecutor, CancelledError, KilledWorker])
def test_lost_batches_run_again_in_the_executor(caplog, error) -> None:
    executor = FakeExecutor(lose=(1, 4), error=error)
    with caplog.at_level(logging.WARNING, "bayesphot"):
        assert run(square, BATCHES, Workers(executor=executor)) == SQUARES
    assert executor.calls == 8
    assert "2 of 6 batches run again" in caplog.text
    assert "this process" not in caplog.text


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batches_lost_twice_run_here(n_jobs) -> None:
    executor = FakeExecutor(lose=(1, 4, 6, 7))
    assert run(square, BATCHES, Workers(n_jobs, executor)) == SQUARES


def test_an_executor_that_was_shut_down_meanwhile_is_done_without() -> None:
    executor = FakeExecutor(lose=(1, 4), refuse_from=6)
    assert run(square, BATCHES, Workers(executor=executor)) == SQUARES


def test_an_executor_that_never_took_work_is_refused() -> None:
    """Given closed: a mistake of the caller, not a lost worker."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        run(square, BATCHES, Workers(executor=pool))


@pytest.mark.parametrize("workers", [Workers(1), Workers(2), Workers(executor=FakeExecutor())])
def test_what_a_batch_raises_is_raised(workers) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(fail, BATCHES, workers)


def wait_a_little(number, begun):
    begun.append(number)
    time.sleep(0.05)
    return number


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_closing_cancels_what_has_not_begun_and_ends_the_threads(stop) -> None:
    begun: list[int] = []
    batches = [(n, begun) for n in range(200)]
    before = threading.active_count()

    def consume():
        finished = finish_batches(
            wait_a_little, batches, Workers(2), label="", unit="", weights=[1] * 200
        )
        with closing(finished):
            for _ in finished:
                raise stop

    with pytest.raises(stop):
        consume()
    assert threading.active_count() == before
    assert len(begun) <= 4


def interrupt(number):
    if number == 2:
        raise KeyboardInterrupt
    return number


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_inside_a_batch_stops_the_run(n_jobs) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, BATCHES, Workers(n_jobs))
