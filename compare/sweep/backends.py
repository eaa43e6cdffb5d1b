"""Where cells are run: joblib's loky on this machine, Dask or Ray by name, here or on a cluster at an address."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from joblib import parallel_config

Backend = Literal["loky", "dask", "ray"]
MODULES = {"dask": "distributed", "ray": "ray"}  # what is imported; the extra has the backend's name
CONNECT_SECONDS = 15


class SweepError(Exception):
    """A sweep cannot be run or kept: says why and what to do. Exit status 3."""


def backend(name: Backend, address: str | None, workers: int | None) -> AbstractContextManager[Any, Any]:
    """Return a context in which joblib sends its tasks there. Raises SweepError where there is no such place."""
    if name == "loky":
        return parallel_config("loky", n_jobs=workers or -1)
    if find_spec(MODULES[name]) is None:
        raise SweepError(f"--backend {name}: it is not installed. pip install 'backproof[{name}]'")
    return dask(address, workers) if name == "dask" else ray(address, workers)


@contextmanager
def dask(address: str | None, workers: int | None) -> Iterator[None]:
    """Send tasks to the Dask cluster at an address, or to one that is made on this machine."""
    from distributed import Client, LocalCluster

    cluster = None
    try:
        if address is None:
            options: dict[str, Any] = {"n_workers": workers, "dashboard_address": None}  # no web server for a moment
            cluster = LocalCluster(threads_per_worker=1, **options)
        client = Client(cluster or address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as failure:
        raise SweepError(f"--backend dask: no scheduler answers at {address or 'this machine'} ({failure}).") from None
    try:
        with parallel_config("dask", n_jobs=-1, client=client):
            yield
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


@contextmanager
def ray(address: str | None, workers: int | None) -> Iterator[None]:
    """Send tasks to the Ray cluster at an address, or to one that is made on this machine."""
    # By name: it is on few machines, and whoever checks the types here need not have it.
    cluster, register_ray = import_module("ray"), import_module("ray.util.joblib").register_ray

    options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        cluster.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except (OSError, ValueError, RuntimeError) as failure:
        raise SweepError(f"--backend ray: no cluster answers at {address or 'this machine'} ({failure}).") from None
    try:
        register_ray()
        with parallel_config("ray", n_jobs=workers or -1):
            yield
    finally:
        cluster.shutdown()
