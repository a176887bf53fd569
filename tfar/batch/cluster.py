"""A batch on Ray: workers on this machine or on many, of which any may die."""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data.exceptions import SystemException, UserCodeException
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tfar import backend
from tfar.batch.ledger import QUARANTINED, Ledger
from tfar.batch.listing import entries
from tfar.batch.places import STATE, Place
from tfar.batch.plan import part_names, read_parts, write_plan
from tfar.batch.report import BAD, STOPPED, Report
from tfar.batch.worker import Settings, Worker
from tfar.errors import TfarError, first_line
from tfar.machine import cores, free_memory
from tfar.terminal import bar

PARCEL = 8  # pictures that a worker takes at a time
MEMORY = 1_500_000_000  # bytes that a worker takes, about
STORE = 100_000_000  # bytes of shared memory for plans and reports, which hold no pixels
STARTS = 3  # of Ray on this machine, before it is given up
LIST = f"{QUARANTINED}.json"


@dataclasses.dataclass(frozen=True)
class Machines:
    """Where a batch runs.

    Attributes:
        address: of a Ray cluster; None starts Ray on this machine, for this run.
        workers: how many; None for as many as there are processors, GPUs or memory for.
        cpus: threads of each.
        gpus: of each; 0 for workers that compute on processors.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0


@dataclasses.dataclass(frozen=True)
class Batch:
    """What became of a batch.

    Attributes:
        counts: of pictures by what became of them.
        others: of what the source holds besides, by the reason why it was passed over.
        bad: rows of the report of the first pictures that could not be restored.
        report: the folder of the Parquet files with all rows.
    """

    counts: Counter[str]
    others: Counter[str]
    bad: list[dict[str, Any]]
    report: Place


def restore_all(
    source: str,
    target: Place,
    settings: Settings,
    machines: Machines,
    *,
    extension: str | None = ".png",
    root: str | None = None,
    report: Place | None = None,
    attempts: int = 3,
    forgive: bool = False,
    shown: int = 20,
) -> Batch:
    """Restore the pictures of a folder, a store or a manifest; those whose results are there are skipped.

    A picture whose worker dies is tried again, up to ``attempts`` times; then it is quarantined: listed in the target's
    ``.tfar/quarantined.json``, and not tried in later runs, unless ``forgive``.

    Args:
        source: see :func:`tfar.batch.listing.entries`.
        target: the folder for results, under the same names below it.
        settings: how pictures are restored.
        machines: where.
        extension: of the results; None keeps the names.
        root: of a manifest.
        report: the folder for the report's files, instead of one in the target's ``.tfar``.
        attempts: how many workers a picture may kill.
        forgive: try pictures that are quarantined.
        shown: of the pictures that could not be restored, how many are returned.

    Raises:
        TfarError: when there is no such source, the report's folder holds other Parquet files, the workers cannot
            start, the cluster is lost, or a disk is full. Everything that was done until then stays.
    """
    run = target / STATE / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    batch = Batch(Counter(), Counter(), [], report or run / "report")
    written = Report(batch.report)
    plan = run / "plan"
    listed = entries(source, target, root, batch.others)
    try:
        total = write_plan(listed, plan, extension)
        if not total:
            raise TfarError(f"{source}: no image files")
        quarantine = Quarantine(target, forgive=forgive)
        with (
            _ray(machines),
            _quiet(),
            contextlib.closing(written),
            bar(total, "restoring") as advance,
        ):
            ledger = _ledger(attempts, quarantine.sources)
            for table in _restored(plan, total, settings, target, machines, ledger):
                rows = table.to_pylist()
                written.add(table)
                _raise_if_stopped(rows)
                quarantine.add(row["path"] for row in rows if row["status"] == QUARANTINED)
                batch.counts.update(row["status"] for row in rows)
                batch.bad.extend([row for row in rows if row["status"] in BAD][: shown - len(batch.bad)])
                ledger.forget.remote([row["target"] for row in rows])
                advance(len(rows))
    except (RayError, UserCodeException, SystemException) as error:
        raise TfarError(f"Ray gave up ({first_line(error)}); run the same again to go on") from error
    finally:
        plan.remove()
    return batch


class Quarantine:
    """The list of pictures that have killed their workers, in a target's ``.tfar/quarantined.json``."""

    def __init__(self, target: Place, *, forgive: bool = False):
        self._folder = target / STATE
        try:
            self.sources = {str(source) for source in json.loads(self._folder.read(LIST) or "[]")}
        except (TypeError, ValueError) as error:
            raise TfarError(f"{self._folder.url}/{LIST}: not a list of pictures; mend or remove it") from error
        if forgive and self.sources:
            self.sources = set()
            self._write()

    def add(self, sources: Iterable[str]):
        """List more of them."""
        new = set(sources) - self.sources
        if new:
            self.sources |= new
            self._write()

    def _write(self):
        self._folder.write(LIST, json.dumps(sorted(self.sources), indent=2).encode())


class Remote:
    """A ledger in a process of its own, as workers see it."""

    def __init__(self, ledger: Any):
        self._ledger = ledger

    def begin(self, source: str, target: str) -> dict[str, Any] | int:
        return ray.get(self._ledger.begin.remote(source, target))

    def end(self, target: str, row: dict[str, Any]):
        ray.get(self._ledger.end.remote(target, row))


@contextlib.contextmanager
def _ray(machines: Machines) -> Iterator[None]:
    """Ray, as it runs in this process already, on a cluster, or started here for this run."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the deaths of workers are told by the report
    address = machines.address or os.environ.get("RAY_ADDRESS")
    here: dict[str, Any] = {"address": address}
    if not address:
        cpus = 1 + machines.cpus * (machines.workers or _fitting(machines, cores(), free_memory()))
        here = {"address": "local", "num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
    _start(**here)
    try:
        yield
    finally:
        ray.shutdown()


def _start(**here: Any):
    """Start or reach Ray. On a busy machine its processes may miss their deadlines: a start here is tried again."""
    local = here["address"] == "local"
    with _sigterm_kept():
        for left in reversed(range(STARTS if local else 1)):
            try:
                with backend.starting():
                    ray.init(**here, log_to_driver=False, logging_level=logging.ERROR)
                return
            except Exception as error:  # Ray raises bare ones, too
                ray.shutdown()
                if not left:
                    place = "this machine" if local else here["address"]
                    raise TfarError(f"{place}: Ray cannot be started or reached: {first_line(error)}") from error


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """SIGTERM does afterwards what it did before: Ray takes it, in Python and beneath, and prints a stack."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(TypeError, ValueError):  # no handler of Python's; another thread than the main one
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what Ray Data says of itself: its plans, its progress and its own calls of what it deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        yield


def _fitting(machines: Machines, cpus: float, memory: float, gpus: float = 0) -> int:
    """How many workers there are processors, memory and GPUs for; at least one."""
    fitting = [cpus // machines.cpus, memory // MEMORY]
    if machines.gpus:
        fitting.append(gpus // machines.gpus)
    return max(int(min(fitting)), 1)


def _workers(machines: Machines) -> int:
    """How many workers the cluster gets; one of its processors stays free for reading the plan."""
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0) - 1, there.get("GPU", 0)
    workers = machines.workers or _fitting(machines, cpus, there.get("memory", 0), gpus)
    for name, wanted, free in (("processors", machines.cpus, cpus), ("GPUs", machines.gpus, gpus)):
        if workers * wanted > free:
            raise TfarError(
                f"{workers} workers of {wanted:g} {name} do not fit: Ray has {free:g} for them"
                " (one processor is for the plan)"
            )
    return workers


def _ledger(attempts: int, quarantined: Iterable[str]) -> Any:
    """A ledger beside this process, which lives as long as it does."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    return ray.remote(Ledger).options(**options).remote(attempts, sorted(quarantined))


def _restored(
    plan: Place, total: int, settings: Settings, target: Place, machines: Machines, ledger: Any
) -> Iterator[pa.Table]:
    """The rows of a plan, through the workers: rows of the report, in no order."""
    parts = ray.data.from_items([{"part": name} for name in part_names(total)])
    rows = parts.map_batches(functools.partial(read_parts, plan), batch_size=1, batch_format="pyarrow")
    restored = rows.repartition(target_num_rows_per_block=PARCEL).map_batches(
        Worker,
        fn_constructor_args=(settings, target, Remote(ledger)),
        batch_size=PARCEL,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=_workers(machines), max_tasks_in_flight_per_actor=2),
        num_cpus=machines.cpus,
        num_gpus=machines.gpus,
        max_restarts=-1,
        max_task_retries=-1,
    )
    return iter(restored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))


def _raise_if_stopped(rows: Sequence[Mapping[str, Any]]):
    for row in rows:
        if row["status"] == STOPPED:
            raise TfarError(row["error"])
