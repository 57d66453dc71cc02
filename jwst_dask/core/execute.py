"""The one place that computes: on the active client, a named scheduler, a local cluster, or threads."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask

from jwst_dask.core.blocks import BlockTask, Receipt, failed, guarded
from jwst_dask.core.errors import InputError, JwstDaskError

log = logging.getLogger(__name__)
Done = Callable[[Receipt], None]


@dataclass(frozen=True)
class Resources:
    """Where the work goes.

    Attributes
    ----------
    kind : str
        ``threads``, ``sync``, or ``distributed``.
    workers, threads : int
        Processes, and threads of each.
    memory_limit : int or None
        Bytes of one worker, if it has a limit.
    """

    kind: str
    workers: int
    threads: int
    memory_limit: int | None
    address: str = ""

    def describe(self) -> str:
        """One line for the plan and the log."""
        limit = f", {self.memory_limit / 1e9:.1f} GB each" if self.memory_limit else ""
        where = f"cluster {self.address}" if self.kind == "distributed" else "this process"
        return f"{where}: {self.workers} worker{'s' if self.workers != 1 else ''} x {self.threads} thread{'s' if self.threads != 1 else ''}{limit}"


def active_client() -> Any | None:
    """The `distributed.Client` of this process, if it has one."""
    import sys

    if "distributed" not in sys.modules:  # nobody can have made one
        return None
    from distributed import get_client

    with contextlib.suppress(ValueError):
        return get_client()
    return None


@contextlib.contextmanager
def connect(scheduler: str | None = None, scheduler_file: str | None = None, local: int | None = None, threads: int | None = None,
            memory_limit: str | int | None = None, security: Any = None) -> Iterator[Any | None]:  # fmt: skip
    """The client that a command asked for, or the active one, or None for threads in this process.

    Parameters
    ----------
    scheduler : str
        Address of a running scheduler (``tcp://...``, ``tls://...``), or ``threads`` / ``sync``.
    scheduler_file : str
        File that a scheduler wrote its address to.
    local : int
        Start a local cluster with this many worker processes for the length of the run.
    threads : int
        Threads of each worker of the local cluster.
    memory_limit : str or int
        Memory of each worker of the local cluster (``"1.5GB"``).

    Raises
    ------
    InputError
        When the scheduler cannot be reached.
    """
    if scheduler in ("threads", "sync", "synchronous"):
        yield None
        return
    if scheduler or scheduler_file:
        from distributed import Client

        try:
            client = Client(scheduler, scheduler_file=scheduler_file, security=security, timeout="20s")
        except (OSError, TimeoutError) as error:
            raise InputError(f"no scheduler answers at {scheduler or scheduler_file}: start one with `dask scheduler`, or leave the option out") from error
        with client:
            yield client
        return
    if local:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=local, threads_per_worker=threads or 1, memory_limit=memory_limit or "auto", processes=True,
                         host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            yield client
        return
    yield active_client()


def resources(client: Any | None, scheduler: str | None = None, threads: int | None = None) -> Resources:
    """What a run can count on."""
    if client is None:
        count = 1 if scheduler in ("sync", "synchronous") else threads or len(os.sched_getaffinity(0))
        return Resources("sync" if count == 1 and scheduler else "threads", 1, count, None)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [w["memory_limit"] for w in workers if w.get("memory_limit")]
    return Resources("distributed", len(workers), max((w["nthreads"] for w in workers), default=1), min(limits, default=None), client.scheduler.address)


def run_tasks(tasks: Sequence[BlockTask], done: Done, client: Any | None = None, threads: int | None = None, scheduler: str | None = None) -> None:
    """Carry out block tasks, calling ``done(receipt)`` in this process as each ends.

    Tasks are independent, write their own rows and send back only small receipts, so nothing piles up on workers; a task of a lost
    worker is run again by the scheduler.
    """
    if not tasks:
        return
    if client is not None:
        _on_cluster(tasks, done, client)
    else:
        _in_process(tasks, done, threads, scheduler)


def _on_cluster(tasks: Sequence[BlockTask], done: Done, client: Any) -> None:
    from distributed import CancelledError, KilledWorker, as_completed

    run = uuid.uuid4().hex[:8]  # never the result of an earlier run: what a task is for is the rows it writes
    named = {f"block-{run}-{i:06d}": task for i, task in enumerate(tasks)}
    futures = _submitted(client, named)
    try:
        for future in as_completed(futures):
            try:
                receipt = future.result()
            except KilledWorker as error:
                receipt = failed(named[future.key], error, "the workers that had it died, for want of memory perhaps; try a smaller --chunk")
            future.release()
            done(receipt)
    except (CancelledError, OSError) as error:
        raise JwstDaskError(f"the scheduler is gone ({type(error).__name__}: {error}); start it again and run with --resume") from error
    finally:
        client.cancel(futures)


def _submitted(client: Any, named: Mapping[str, Any]) -> list[Any]:
    """Futures of all tasks; those that need others get their receipts, which are small.

    Exposures go one after the other: what tasks of one leave on disk for others of it should be used up before the next begins.
    """
    futures: dict[str, Any] = {}
    free: dict[int, dict[str, Any]] = {}
    chained = any(task.needs for task in named.values())
    for key, task in named.items():
        if not task.needs:
            free.setdefault(task.exposure if chained else 0, {})[key] = task
    for index, tasks in free.items():
        found = client.map(guarded, list(tasks.values()), key=list(tasks), retries=2, priority=-index)
        futures |= dict(zip([task.name for task in tasks.values()], found))
    for key, task in named.items():
        if task.needs:
            before = [futures[name] for name in task.needs]
            futures[task.name] = client.submit(guarded, task, *before, key=key, retries=2, priority=-task.exposure)
    return list(futures.values())


def _in_process(tasks: Sequence[BlockTask], done: Done, threads: int | None, scheduler: str | None) -> None:
    from dask import threaded
    from dask.callbacks import Callback

    def posttask(key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
        if isinstance(result, Receipt):
            done(result)

    # dask takes the last key first: number them so that exposures are finished one after the other;
    # the task is bound to the function: as an argument, dask would take it apart in search of collections
    work: dict[str, Any] = {}
    for i, task in enumerate(tasks):
        call = dask.delayed(partial(guarded, task), traverse=False, pure=False)
        work[task.name] = call(*[work[name] for name in task.needs], dask_key_name=f"block-{len(tasks) - i:06d}")
    with Callback(posttask=posttask):
        # by function: given a name, dask imports distributed, which takes a third of a second
        if scheduler in ("sync", "synchronous"):
            dask.compute(*work.values(), scheduler=dask.get)
        else:
            dask.compute(*work.values(), scheduler=threaded.get, num_workers=threads or len(os.sched_getaffinity(0)))


def compute(*things: Any, **keywords: Any) -> tuple[Any, ...]:
    """Compute lazy things together, so that what they share is done once (`dask.compute`)."""
    return tuple(dask.compute(*things, **keywords))
