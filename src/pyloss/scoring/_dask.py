"""Scoring on a cluster: parts are scored where they are read, and their sums are merged as a tree."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from .._arguments import Array
from ._columns import Columns
from ._score import Job, Progress, Scored, finish, plan
from ._scorer import Scorer
from ._scores import Scores
from ._sources import File, Frame, Mapped, Part, Rows, Source, open_source

Delayed = Callable[..., Any]

_BRANCHES = 32
"""Sums that are merged at a time, by a task or, the last ones, here."""
_ROWS = 1 << 23
"""Rows of a task at most, where parts have fewer: what is lost with a worker."""


def _merged(scored: Sequence[Scored]) -> Scored:
    """Add up parts, which stay as they are: Dask may need them again."""
    tally = scored[0].tally.copy()
    for each in scored[1:]:
        tally.merge(each.tally)
    rows, size, dropped = (sum(getattr(each, name) for each in scored) for name in ("rows", "size", "dropped"))
    return Scored(tally, rows, size, dropped, [])


def _score_parts(job: Job, parts: Sequence[Part]) -> Scored:
    return _merged([job(part) for part in parts])


def _spans(parts: Sequence[Any], rows: int | None, threads: int) -> Iterator[Sequence[Any]]:
    """Put parts together to two tasks a thread: Dask needs milliseconds for each, enough for half a million rows."""
    most = _ROWS * len(parts) // rows if rows else 1
    step = max(1, min(most, math.ceil(len(parts) / (2 * threads))))
    return (parts[begin : begin + step] for begin in range(0, len(parts), step))


def _score_frame(job: Job, frame: Any, number: int) -> Scored:
    return job(Frame(frame, 0, len(frame), f"partition {number}"))


def _score_arrays(job: Job, names: list[str], first: int, *blocks: Array) -> Scored:
    arrays = dict(zip(names, blocks, strict=True))
    return job(Rows("the arrays", arrays, 0, len(blocks[0]), first))


def score_with_dask(source: Any, scorer: Scorer, columns: Columns, scheduler: Any, progress: Progress | None) -> Scores:
    """Score a source by Dask's tasks: on a cluster, or by whatever Dask uses by default."""
    try:
        from dask.delayed import delayed
    except ImportError as error:
        raise ImportError('scoring with Dask needs it: pip install "pyloss[dask]"') from error
    if scheduler is not None:
        _check_scheduler(scheduler)
    name, tasks_for = _tasks(source, scorer, columns, delayed)
    with _client(scheduler) as client:
        tasks = tasks_for(_threads(client))
        if not tasks:
            raise ValueError(f"source: {name} has no rows")
        merged = delayed(_merged, pure=False)
        while len(tasks) > _BRANCHES:
            tasks = [merged(tasks[i : i + _BRANCHES]) for i in range(0, len(tasks), _BRANCHES)]
        # The last merge happens here: as a task it would wait for the sums to go from worker to worker.
        scored = _merged(_compute(tasks, client, scheduler))
    scorer._take(scored.tally, scored.dropped)
    if progress is not None:
        progress(scored.rows, scored.rows, scored.size)
    return finish(scorer, name, scored.rows)


def _check_scheduler(scheduler: Any) -> None:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('scheduler: needs distributed: pip install "pyloss[dask]"') from error
    if not isinstance(scheduler, (str, Client)):
        raise TypeError(f"scheduler: got {scheduler!r}, wanted its address or a distributed.Client")
    if isinstance(scheduler, Client) and scheduler.asynchronous:
        raise TypeError(f"scheduler: got {scheduler!r}, which is asynchronous, wanted one that is not")


def _threads(client: Any) -> int:
    """Return how many threads there are for tasks; as many as here if nobody knows."""
    known = 0
    if client is not None:
        with suppress(Exception):  # of a scheduler that is gone, what comes next tells
            known = sum(client.nthreads().values())
    return known or os.cpu_count() or 1


def _compute(tasks: list[Any], client: Any, scheduler: Any) -> Any:
    if client is None:
        import dask.base

        compute: Callable[..., Any] = dask.base.compute
        return compute(*tasks)
    import distributed
    from distributed import CancelledError, KilledWorker

    completed: Callable[..., Any] = distributed.as_completed
    futures = client.compute(tasks)
    try:
        # Until the first error. Waiting in `gather` would leave a complaint behind when interrupted.
        for future in completed(futures, loop=client.loop):
            if future.status in ("error", "cancelled"):
                break
        return client.gather(futures)
    except BaseException as error:
        with suppress(Exception):  # a client that has lost its scheduler has nothing to cancel
            client.cancel(futures)
        if isinstance(error, (CancelledError, KilledWorker)):
            raise ConnectionError(f"scheduler: got {scheduler!r}, which gave up: {error}") from error
        raise


@contextmanager
def _client(scheduler: Any) -> Iterator[Any]:
    """Connect to an address until done; a client that is given stays connected, and None is none."""
    if not isinstance(scheduler, str):
        yield scheduler
        return
    from distributed import Client

    client: Any = Client.__new__(Client)
    try:
        client.__init__(scheduler, set_as_default=False)
    except BaseException as error:
        # A client that could not start holds on to what it has, and at exit waits for it.
        client.close()
        if isinstance(error, (OSError, ValueError)):
            raise ValueError(f"scheduler: got {scheduler!r}, which does not answer: {error}") from error
        raise
    with client:
        yield client


def _tasks(source: Any, scorer: Scorer, columns: Columns, delayed: Delayed) -> tuple[str, Callable[[int], list[Any]]]:
    """Return the name of a source, and what makes tasks of its parts for so many threads."""
    if isinstance(source, dict) and any(hasattr(each, "dask") for each in source.values()):
        name, tasks = _tasks_of_arrays(source, scorer, columns, delayed)
        return name, lambda threads: tasks
    if type(source).__name__ == "DataFrame" and hasattr(source, "to_delayed"):
        names = [str(name) for name in source.columns]
        job, _ = plan(Source("the frame", names, [], None), scorer, columns)
        score = delayed(partial(_score_frame, job), pure=False)
        called = {str(name): name for name in source.columns}
        frame = source[[called[name] for name in job.columns.names]]
        return "the frame", lambda threads: [score(part, i) for i, part in enumerate(frame.to_delayed())]
    opened = open_source(source)
    job, parts = plan(opened, scorer, columns)
    found = _for_workers(parts, opened.name)

    def tasks_for(threads: int) -> list[Any]:
        # Arguments would be searched for collections of Dask, which takes longer than all else here.
        spans = _spans(found, opened.rows, threads)
        return [delayed(partial(_score_parts, job, span), pure=False)() for span in spans]

    return opened.name, tasks_for


def _for_workers(parts: Iterable[Part], name: str) -> list[Any]:
    """Return parts of files by paths that hold wherever a worker runs."""
    found: list[Any] = []
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, File):
            found.append(replace(part, path=os.path.abspath(part.path)))
        elif isinstance(part, Rows):
            files = {key: each for key, each in part.arrays.items() if isinstance(each, Mapped)}
            if len(files) == len(part.arrays):
                arrays = {key: replace(each, path=os.path.abspath(each.path)) for key, each in files.items()}
                found.append(replace(part, arrays=arrays))
    if not isinstance(parts, list) or len(found) < len(parts):
        raise TypeError(f"source: got {name} with a scheduler, wanted files, or frames or arrays of Dask")
    return found


def _tasks_of_arrays(
    source: dict[str, Any], scorer: Scorer, columns: Columns, delayed: Delayed
) -> tuple[str, list[Any]]:
    import dask.array

    as_array: Callable[[Any], Any] = dask.array.asarray
    arrays = {str(name): as_array(value) for name, value in source.items()}
    job, _ = plan(Source("the arrays", list(arrays), [], None), scorer, columns)
    names = job.columns.names
    first = arrays[names[0]]
    for name in names:
        shape = arrays[name].shape
        if shape and math.isnan(shape[0]):
            raise ValueError(
                f"source: got {name!r} of unknown length, wanted a known one: call its compute_chunk_sizes"
            )
        if not shape or shape[0] != first.shape[0]:
            raise ValueError(f"source: got {name!r} of shape {shape}, wanted {len(first)} rows, as {names[0]!r} has")
    blocks = []
    for name in names:
        array = arrays[name].rechunk({0: first.chunks[0], **dict.fromkeys(range(1, arrays[name].ndim), -1)})
        blocks.append(array.to_delayed().ravel())
    score, begin, tasks = delayed(partial(_score_arrays, job, names), pure=False), 0, []
    for rows, *each in zip(first.chunks[0], *blocks, strict=True):
        tasks.append(score(begin, *each))
        begin += rows
    return "the arrays", tasks
