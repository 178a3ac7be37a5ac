"""The executor of a dask client, with a worker in a process of its own."""

from __future__ import annotations

import os
import warnings

import pytest
from test_determinism import assert_same, field, reference, run_field  # noqa: F401

from bayesphot.execute import Workers, run_batches

distributed = pytest.importorskip("distributed", reason="the executor of dask is the subject")

# A cluster that starts and ends on a loaded machine warns of its own late events and ports that are
# taken, through tornado and asyncio, in words and categories that change with its versions: nothing
# of it is about this package, whose own warnings the other tests of executors do not let pass.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client():
    """One worker, started anew."""
    with warnings.catch_warnings():
        # Ports that are taken and late events of the cluster itself: not of this package. The
        # fixture is of the module, which ``pytestmark`` does not reach.
        warnings.simplefilter("ignore", category=Warning)  # starting and ending the cluster warns
        cluster = distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


def test_answer_does_not_depend_on_dask(client, field, reference) -> None:  # noqa: F811
    assert_same(run_field(field, executor=client.get_executor()), reference)


def die_once(number, marker):
    """Kill the worker at the batch of 3, once."""
    if number == 3 and not os.path.exists(marker):
        with open(marker, "w"):
            os._exit(1)
    return number * number


def test_a_dask_worker_that_dies_costs_nothing_but_time(client, tmp_path) -> None:
    batches = [(n, str(tmp_path / "died")) for n in range(6)]
    workers = Workers(executor=client.get_executor())
    results = run_batches(die_once, batches, workers, label="", unit="", weights=[1] * 6)
    assert results == [0, 1, 4, 9, 16, 25]
    assert os.path.exists(tmp_path / "died")
