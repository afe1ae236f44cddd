"""Scoring on a cluster: parts are scored where they are read, and their sums are merged as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._arguments import Array
from ._columns import Columns
from ._score import Job, Progress, Scored, finish, plan
from ._scorer import Scorer
from ._scores import Scores
from ._sources import Frame, Part, Rows, Source, open_source

_BRANCHES = 8


def _merged(scored: Sequence[Scored]) -> Scored:
    """Add up parts, which stay as they are: Dask may need them again."""
    tally = scored[0].tally.copy()
    for each in scored[1:]:
        tally.merge(each.tally)
    rows, size, dropped = (sum(getattr(each, name) for each in scored) for name in ("rows", "size", "dropped"))
    return Scored(tally, rows, size, dropped, [])


def _score_frame(job: Job, frame: Any, number: int) -> Scored:
    return job(Frame(frame, 0, len(frame), f"partition {number}"))


def _score_arrays(job: Job, names: list[str], first: int, *blocks: Array) -> Scored:
    arrays = dict(zip(names, blocks, strict=True))
    return job(Rows("the arrays", arrays, 0, len(blocks[0]), first))


def score_with_dask(source: Any, scorer: Scorer, columns: Columns, scheduler: Any, progress: Progress | None) -> Scores:
    """Score a source by Dask's tasks: on a cluster, or by whatever Dask uses by default."""
    try:
        import dask
    except ImportError as error:
        raise ImportError('scoring with Dask needs it: pip install "pyloss[dask]"') from error
    name, tasks = _tasks(source, scorer, columns, dask.delayed)
    if not tasks:
        raise ValueError(f"source: {name} has no rows")
    merged = dask.delayed(_merged, pure=False)
    while len(tasks) > 1:
        tasks = [merged(tasks[i : i + _BRANCHES]) for i in range(0, len(tasks), _BRANCHES)]
    scored = _compute(tasks[0], scheduler)
    scorer._take(scored.tally, scored.dropped)
    if progress is not None:
        progress(scored.rows, scored.rows, scored.size)
    return finish(scorer, name, scored.rows)


def _compute(task: Any, scheduler: Any) -> Scored:
    result: Scored
    if scheduler is None:
        result = task.compute()
        return result
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('scheduler: needs distributed: pip install "pyloss[dask]"') from error
    if not isinstance(scheduler, (str, Client)):
        raise TypeError(f"scheduler: got {scheduler!r}, wanted its address or a distributed.Client")
    if isinstance(scheduler, Client):
        result = scheduler.compute(task).result()
        return result
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler: got {scheduler!r}, which does not answer: {error}") from error
    with client:
        result = client.compute(task).result()
    return result


def _tasks(source: Any, scorer: Scorer, columns: Columns, delayed: Any) -> tuple[str, list[Any]]:
    """Return the name of a source, and a task for each of its parts."""
    if isinstance(source, dict) and any(hasattr(each, "dask") for each in source.values()):
        return _tasks_of_arrays(source, scorer, columns, delayed)
    if hasattr(source, "to_delayed"):
        names = [str(name) for name in source.columns]
        job, _ = plan(Source("the frame", names, [], None), scorer, columns)
        score = delayed(_score_frame, pure=False)
        parts = source[job.columns.names].to_delayed()
        return "the frame", [score(job, part, i) for i, part in enumerate(parts)]
    opened = open_source(source)
    job, found = plan(opened, scorer, columns)
    if not isinstance(found, list):
        raise TypeError(f"source: got {opened.name} with a scheduler, wanted files, or frames or arrays of Dask")
    given: list[Part] = found
    score = delayed(Job.__call__, pure=False)
    return opened.name, [score(job, part) for part in given]


def _tasks_of_arrays(source: dict[str, Any], scorer: Scorer, columns: Columns, delayed: Any) -> tuple[str, list[Any]]:
    import dask.array as da

    arrays = {name: da.asarray(value) for name, value in source.items()}
    job, _ = plan(Source("the arrays", list(arrays), [], None), scorer, columns)
    names = job.columns.names
    first = arrays[names[0]]
    for name in names:
        array = arrays[name]
        if not array.ndim or len(array) != len(first):
            raise ValueError(
                f"source: got {name!r} of shape {array.shape}, wanted {len(first)} rows, as {names[0]!r} has"
            )
    blocks = []
    for name in names:
        array = arrays[name].rechunk({0: first.chunks[0], **dict.fromkeys(range(1, arrays[name].ndim), -1)})
        blocks.append(array.to_delayed().ravel())
    score, begin, tasks = delayed(_score_arrays, pure=False), 0, []
    for rows, *each in zip(first.chunks[0], *blocks, strict=True):
        tasks.append(score(job, names, begin, *each))
        begin += rows
    return "the arrays", tasks
