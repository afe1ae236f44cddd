"""Scoring whatever holds predictions and targets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._arguments import Array
from ..losses import PredictionLoss
from ..losses._call import VALUE, Call
from ..threads import get_num_threads, num_threads
from ._columns import Columns, ColumnSpec, Extractor, Nulls, Resolved
from ._scorer import Scorer
from ._scores import Scores, names_of
from ._sources import Csv, Held, Parquet, Part, Source, open_source
from ._tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int | None, int], None]
"""Is told how many rows have been scored, how many there are if that is known, and the bytes of the columns so far."""


@dataclass
class Scored:
    """What has been found out of a part: sums, rows, dropped rows, and losses row by row if wanted."""

    tally: Tally
    rows: int
    size: int
    dropped: int
    each: list[pa.RecordBatch]


@dataclass(frozen=True)
class Job:
    """What is to be done with each part of a source."""

    scorer: Scorer
    columns: Resolved
    each_row: bool = False

    def __call__(self, part: Part, stop: threading.Event | None = None) -> Scored:
        """Score a part, on one thread."""
        with num_threads(1):
            return self._score(part, stop)

    def _score(self, part: Part, stop: threading.Event | None) -> Scored:
        scorer, first = self.scorer, self.scorer._plan.first
        extractor = Extractor(self.columns)
        done = Scored(scorer._empty(), 0, 0, 0, [])
        for batch, place in part.batches(self.columns.names):
            if stop is not None and stop.is_set():
                break
            done.rows += batch.num_rows
            done.size += batch.nbytes
            inputs, weight, groups, rows = extractor.arrays(batch, place, part.null_count)
            pred = inputs[first]
            if not len(pred):
                continue
            try:
                weights, _ = Call(VALUE, "sum", None).weights(weight, pred.shape[:1], first)
                if scorer._plan.by_rows and pred.ndim == 1:
                    raise ValueError(f"{first}: got one column, wanted one for each class, as 'p_*'")
                if not scorer._plan.by_rows and pred.ndim == 2:
                    raise ValueError(f"{first}: got several columns, wanted one, as no loss is of classes")
                scorer._plan.add(done.tally, inputs, weights, groups, 1)
                if self.each_row:
                    done.each.append(self._rows(inputs, rows()))
            except (ValueError, TypeError) as error:
                raise type(error)(f"{error} (in {place})") from error
        done.dropped = extractor.dropped
        done.tally.scratch.clear()
        return done

    def _rows(self, inputs: dict[str, Array], ids: Any) -> pa.RecordBatch:
        import pyarrow as pa

        losses = [
            loss._compute(VALUE, tuple(inputs[name] for name in loss._names()), None, "none", None)[0]
            for loss in self.scorer.losses
        ]
        names = [self.columns.asked.ids or "row", *names_of(self.scorer.losses)]
        return pa.RecordBatch.from_arrays([pa.array(each) for each in (ids, *losses)], names=names)


def plan(source: Source, scorer: Scorer, columns: Columns, *, each_row: bool = False) -> tuple[Job, Iterable[Part]]:
    """Return what is to be done with each part of a source, and the parts, ready for it."""
    resolved = columns.resolve(source.columns, source.name, source.lacking)
    found = {argument: (each,) if isinstance(each, str) else each for argument, each in resolved.found.items()}
    labels = found.get("target", ()) if scorer._plan.by_rows and len(found.get("target", ())) == 1 else ()
    asked = chain.from_iterable(names for argument, names in found.items() if argument not in ("by", "id"))
    numbers = tuple(name for name in asked if name not in labels)
    if columns.ids in names_of(scorer.losses):
        raise ValueError(f"id: got {columns.ids!r}, which is the name of a loss")
    parts = source.parts
    if isinstance(parts, list):
        parts = [replace(part, numbers=numbers, labels=labels) if isinstance(part, Csv) else part for part in parts]
    return Job(scorer, resolved, each_row), parts


def finish(scorer: Scorer, source: str, rows: int) -> Scores:
    """Return the scores of all parts."""
    if rows == 0:
        raise ValueError(f"source: {source} has no rows")
    return scorer.result()


class _RowWriter:
    """A Parquet file of losses row by row, which is there once it is complete."""

    def __init__(self, path: Any) -> None:
        self._path = None if path is None else Path(path)
        self._part = None if self._path is None else self._path.with_name(f"{self._path.name}.part")
        self._writer: Any = None

    def __enter__(self) -> _RowWriter:
        return self

    def write(self, batches: list[pa.RecordBatch]) -> None:
        """Append rows."""
        for batch in batches:
            if self._writer is None:
                import pyarrow.parquet as pq

                self._writer = pq.ParquetWriter(self._part, batch.schema, compression="zstd")
            self._writer.write_batch(batch)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the file take its name if all went well, else remove it."""
        if self._part is None or self._path is None:
            return
        if self._writer is not None:
            self._writer.close()
        if kind is not None:
            self._part.unlink(missing_ok=True)  # also where Ctrl-C came while it was made
        elif self._writer is not None:
            self._part.replace(self._path)


A = TypeVar("A")
B = TypeVar("B")


def in_order(work: Callable[[A, threading.Event], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Do the work of each item on several threads; return the results in order, no more than a few ahead."""
    stop = threading.Event()
    if threads == 1:
        for item in items:
            yield work(item, stop)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, "pyloss-score") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item, stop))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()
            for each in waiting:
                each.cancel()


def score(
    source: Any,
    losses: Sequence[PredictionLoss | str],
    *,
    pred: ColumnSpec = "pred",
    target: ColumnSpec = "target",
    weight: str | None = None,
    by: str | None = None,
    nulls: Nulls = "error",
    scheduler: Any = None,
    rows: Any = None,
    id: str | None = None,
    progress: Progress | None = None,
    **inputs: ColumnSpec,
) -> Scores:
    """Score predictions, wherever they are, in one pass that holds no more than a few batches in memory.

    Parameters
    ----------
    source : path, table, frame, stream or mapping
        - Paths, patterns with ``*`` or a list of them: Parquet, Arrow IPC (``.arrow``, ``.feather``), CSV, ``.npy`` and
          ``.npz`` (each array a column); a directory of such files, where ``name=value`` in a path is a column;
        - a table, record batch or reader of Arrow, a frame of pandas or polars, or whatever exports an Arrow stream;
        - a frame of Dask;
        - a mapping of names to arrays, NumPy's or Dask's, or to ``.npy`` files.
    losses : sequence of PredictionLoss or str
        Elementwise losses, or multiclass losses, or their names, also with parameters: ``"huber:delta=2"``.
    pred, target, **inputs : str or sequence of str
        The columns of the inputs. Of class scores, and of probabilities as a target, several: a sequence of names, or
        a pattern, whose columns are sorted with numbers in them as numbers; or one column of lists of one length.
    weight : str, optional
        The column of weights, finite and at least 0; weight 0 leaves a row out.
    by : str, optional
        A column of groups: whole numbers, text, dates. In CSV, groups are text.
    nulls : {"error", "drop"}, default "error"
        What to do where one of the columns is null (in pandas: NaN, too). "drop" leaves the row out and counts it.
        NaN is no null elsewhere: it makes the losses NaN.
    scheduler : str or distributed.Client, optional
        Address of a Dask cluster, whose workers then read the files.
    rows : path, optional
        A Parquet file that takes the losses of each row, beside its number or its `id`.
    id : str, optional
        The column of `source` that says which row it is.
    progress : callable, optional
        Called with the number of rows so far, that of all rows or None, and the bytes of the columns so far.

    Returns
    -------
    Scores
        The weighted means, over all rows and over those of each group.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        Naming the argument, the file, the column and the row group or row. Nothing has been written to `rows` then.

    Notes
    -----
    Each thread reads a part of a file by itself: a row group, or as many as make 262144 rows. In memory are then, for
    each thread, a row group of each column as it is in the file (1 MB of it where a column has more than 8 MB, or all
    have more than 64), a page of it, and a few batches of 262144 rows, of Parquet of 524288, with their losses; of
    files of which one batch is larger (Arrow IPC), that batch. A stream is read two batches ahead for each thread.

    Examples
    --------
    >>> import pyloss as pl
    >>> import pyarrow as pa
    >>> table = pa.table({"yhat": [0.0, 5.0, 3.0], "y": [1.0, 1.0, 1.0], "region": ["north", "south", "north"]})
    >>> print(pl.score(table, ["mse", pl.MAE()], pred="yhat", target="y", by="region"))
    region  mse       mae  rows
    all       7  2.333333     3
    north   2.5       1.5     2
    south    16         4     1
    worst mse: region south, gap 13.5
    worst mae: region south, gap 2.5
    3 rows
    """
    scorer = Scorer(losses, by)
    needed = scorer._plan.inputs
    # The defaults give way to what the losses call their first two inputs.
    first = ... if needed[0] in inputs else pred
    second = ... if len(needed) == 1 or needed[1] in inputs else target
    asked = scorer._plan.bind(first, second, inputs, "a column")
    columns = Columns({name: asked[name] for name in needed}, weight, by, id, nulls)
    if rows is not None and (scheduler is not None or _is_dask(source)):
        raise TypeError("rows: got a path with a scheduler, wanted None: rows are written by one process")
    if rows is not None and (Path(rows).is_dir() or not Path(rows).absolute().parent.is_dir()):
        raise ValueError(f"rows: got {str(rows)!r}, wanted a file in a folder that exists")
    if scheduler is not None or _is_dask(source):
        from ._dask import score_with_dask

        return score_with_dask(source, scorer, columns, scheduler, progress)
    opened = open_source(source)
    job, parts = plan(opened, scorer, columns, each_row=rows is not None)
    threads = get_num_threads()
    if isinstance(parts, list) and (len(parts) < threads or rows is not None):
        parts = [replace(part, side_by_side=True) if isinstance(part, Parquet) else part for part in parts]
    if rows is not None:
        parts = _batches(parts, job.columns.names)
    done = size = 0
    with _RowWriter(rows) as writer:
        for scored in in_order(job, parts, threads):
            scorer._take(scored.tally, scored.dropped)
            writer.write(scored.each)
            done += scored.rows
            size += scored.size
            if progress is not None:
                progress(done, opened.rows, size)
        return finish(scorer, opened.name, done)


def _batches(parts: Iterable[Part], names: list[str]) -> Iterator[Part]:
    """Return each batch as a part: of a part as long as its file, the losses of all rows would fill the memory."""
    for part in parts:
        for batch, place in part.batches(names):
            yield Held(batch, place, part)


def _is_dask(source: Any) -> bool:
    of = source.values() if isinstance(source, dict) else [source]
    return any(type(each).__module__.split(".")[0] in ("dask", "dask_expr") for each in of)
