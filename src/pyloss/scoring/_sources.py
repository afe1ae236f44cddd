"""Where rows come from: files, tables, streams and arrays, as parts that can be read one by one, or side by side."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._arguments import Array
from ._columns import Place

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1 << 18
"""Rows that are read at a time."""
PART = 1 << 18
"""Rows that a part of a file has at least, if the file is as long: row groups or record batches are put together."""
_CHUNK, _CHUNKS, _BUFFER = 1 << 23, 1 << 26, 1 << 20
"""Bytes of a column, and of all columns, in a row group that are read at once; of more, so many of each at a time."""

Batches = Iterator[tuple["pa.RecordBatch", Place]]


class Part(Protocol):
    """Rows that one thread, or one process, reads by itself."""

    def batches(self, names: list[str]) -> Batches:
        """Read the columns, batch by batch."""

    def null_count(self, name: str) -> int | None:
        """Return the nulls of a column in the whole source, if they are known."""


@dataclass(frozen=True)
class Source:
    """What can be scored: its columns, and its parts."""

    name: str
    columns: list[str]
    parts: Iterable[Part]
    rows: int | None
    """None where nobody knows before they have been read."""
    lacking: Mapping[str, tuple[str, list[str]]] = field(default_factory=dict)
    """Of columns that not all files have: one that lacks it, and what it has."""


def cannot_read(what: str, error: Exception) -> ValueError:
    """Error for a file that is not what it should be."""
    text = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"source: {what} cannot be read: {text}")


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError('scoring files and tables needs pyarrow: pip install "pyloss[score]"') from error
    return pyarrow


# Files.


@dataclass(frozen=True)
class File:
    """A file, and the columns that its path gives it: ``year=2024/``."""

    path: str
    given: tuple[tuple[str, Any], ...] = ()

    def null_count(self, name: str) -> int | None:
        """Return None: nobody has counted."""
        return None

    def with_given(self, batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
        """Add what the path says to a batch."""
        if not self.given:
            return batch if batch.schema.names == names else batch.select(names)
        pa = _arrow()
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name, value in self.given:
            if name in names and name not in columns:
                indices = pa.array(np.zeros(batch.num_rows, np.int32))
                one = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
                columns[name] = one if isinstance(value, str) else one.cast(pa.array([value]).type)
        return pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)

    def own(self, names: list[str]) -> list[str]:
        """Return which of the columns the file itself has."""
        given = dict(self.given)
        return [name for name in names if name not in given]


def _spans(counts: list[int]) -> Iterator[tuple[tuple[int, int], int]]:
    """Put row groups of these numbers of rows together to parts; yield which they are, and the first row."""
    begin = row = rows = 0
    for i, count in enumerate(counts):
        rows += count
        if rows >= PART or i + 1 == len(counts):
            yield (begin, i + 1), row
            begin, row, rows = i + 1, row + rows, 0


class _Open(threading.local):
    """The file that a thread has read last, since it will mostly be the next."""

    key: tuple[Any, ...] = ()
    file: Any = None


_open = _Open()


@dataclass(frozen=True)
class Parquet(File):
    """Some row groups of a Parquet file."""

    groups: tuple[int, int] = (0, 0)
    first_row: int = 0
    side_by_side: bool = False
    """Whether columns are to be decoded in parallel, since there are not parts enough."""

    def _file(self, names: Sequence[str] = ()) -> Any:
        """Open the file, to read these columns; text comes as a dictionary."""
        import pyarrow.parquet as pq

        at = os.stat(self.path)
        key = (self.path, at.st_mtime_ns, at.st_size, tuple(names))
        if _open.key != key:
            file = pq.ParquetFile(self.path, pre_buffer=False)
            text = [name for name in names if _is_text(file.schema_arrow.field(name).type)]
            # A copy through a buffer takes a twentieth of the time of reading.
            buffer = _BUFFER if _are_large(file.metadata, set(names)) else 0
            if text or buffer:
                file = pq.ParquetFile(
                    self.path, read_dictionary=text, metadata=file.metadata, buffer_size=buffer, pre_buffer=False
                )
            _open.key, _open.file = key, file
        return _open.file

    def batches(self, names: list[str]) -> Batches:
        """Read the columns of the row groups."""
        pa = _arrow()
        first = self.first_row
        for group in range(*self.groups):
            what = f"row group {group} of {self.path}"
            try:
                own = self.own(names)
                file = self._file(own)
                # What surrounds a batch takes 0.14 ms, decoding as many rows 3 ms.
                read = file.iter_batches(2 * BATCH, row_groups=[group], columns=own, use_threads=self.side_by_side)
                for batch in read:
                    yield self.with_given(batch, names), Place(self.path, first, f"row group {group}")
                    first += batch.num_rows
            except (OSError, pa.ArrowException) as error:
                raise cannot_read(self._bad_column(group, names) or what, error) from error

    def _bad_column(self, group: int, names: list[str]) -> str | None:
        """Tell which column it is that cannot be read."""
        pa = _arrow()
        for name in self.own(names):
            try:
                for _ in self._file([name]).iter_batches(BATCH, row_groups=[group], columns=[name], use_threads=False):
                    pass
            except (OSError, pa.ArrowException):
                return f"column {name!r} in row group {group} of {self.path}"
        return None

    def null_count(self, name: str) -> int | None:
        """Add up the null counts of the row groups, if the file has them."""
        metadata = self._file().metadata
        if not metadata.num_row_groups:
            return 0
        first = metadata.row_group(0)
        at = next((i for i in range(first.num_columns) if first.column(i).path_in_schema == name), None)
        if at is None:
            return None
        known = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)]
        if any(each is None or not each.has_null_count for each in known):
            return None
        return int(sum(each.null_count for each in known))


def _are_large(metadata: Any, names: set[str]) -> bool:
    """Tell whether a row group of these columns is too much to be read at once: it may be the whole file."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if not groups:
        return False
    paths = [groups[0].column(i).path_in_schema for i in range(metadata.num_columns)]
    wanted = [i for i, path in enumerate(paths) if path in names or path.partition(".")[0] in names]
    sizes = ([group.column(i).total_compressed_size for i in wanted] for group in groups)
    return any(max(each, default=0) > _CHUNK or sum(each) > _CHUNKS for each in sizes)


def _is_text(kind: pa.DataType) -> bool:
    pa = _arrow()
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _parquet(path: str, given: tuple[tuple[str, Any], ...]) -> tuple[list[str], list[Part], int]:
    import pyarrow.parquet as pq

    pa = _arrow()
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise cannot_read(path, error) from error
    counts = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    parts: list[Part] = [Parquet(path, given, span, row) for span, row in _spans(counts)]
    return file.schema_arrow.names, parts, sum(counts)


@dataclass(frozen=True)
class Ipc(File):
    """Some record batches of an Arrow IPC file, or the whole of an IPC stream."""

    span: tuple[int, int] | None = None
    first_row: int = 0

    def batches(self, names: list[str]) -> Batches:
        """Read the columns of the record batches."""
        pa = _arrow()
        first, at = self.first_row, 0
        try:
            with pa.OSFile(self.path) as file:
                options = _only(file, self.own(names), self.span is None)
                if self.span is None:
                    each: Iterable[Any] = enumerate(pa.ipc.open_stream(file, options=options))
                else:
                    reader = pa.ipc.open_file(file, options=options)
                    each = ((i, reader.get_batch(i)) for i in range(*self.span))
                for at, batch in each:
                    for piece in _pieces(batch):
                        yield self.with_given(piece, names), Place(self.path, first, f"record batch {at}")
                        first += piece.num_rows
        except (OSError, pa.ArrowException) as error:
            raise cannot_read(f"record batch {at} of {self.path}", error) from error


def _only(file: Any, names: list[str], stream: bool) -> Any:
    """Return options by which only these columns of an open file are read."""
    pa = _arrow()
    file.seek(0)
    schema = (pa.ipc.open_stream if stream else pa.ipc.open_file)(file).schema
    file.seek(0)
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])


def _ipc(path: str, given: tuple[tuple[str, Any], ...]) -> tuple[list[str], list[Part], int | None]:
    pa = _arrow()
    try:
        with pa.OSFile(path) as file:
            if file.read(6) != b"ARROW1":
                file.seek(0)
                return pa.ipc.open_stream(file).schema.names, [Ipc(path, given)], None
            file.seek(0)
            names = pa.ipc.open_file(file).schema.names
            reader = pa.ipc.open_file(file, options=_only(file, [], False))
            counts = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    except (OSError, pa.ArrowException) as error:
        raise cannot_read(path, error) from error
    return names, [Ipc(path, given, span, row) for span, row in _spans(counts)], sum(counts)


@dataclass(frozen=True)
class Csv(File):
    """A CSV file: its numbers are floats or, where labels are, whole; whatever else is text."""

    numbers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def batches(self, names: list[str]) -> Batches:
        """Read the columns."""
        import pyarrow.csv as csv

        pa = _arrow()
        own, first = self.own(names), 0
        kinds = {
            name: pa.float64() if name in self.numbers else pa.int64() if name in self.labels else pa.string()
            for name in own
        }
        convert = csv.ConvertOptions(
            include_columns=own, column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        try:
            with csv.open_csv(
                self.path, convert_options=convert, read_options=csv.ReadOptions(block_size=1 << 20)
            ) as reader:
                for batch in reader:
                    for piece in _pieces(batch):
                        yield self.with_given(piece, names), Place(self.path, first)
                        first += piece.num_rows
        except (OSError, pa.ArrowException) as error:
            raise cannot_read(f"{self.path}, from row {first} on,", error) from error


def _csv(path: str, given: tuple[tuple[str, Any], ...]) -> tuple[list[str], list[Part], None]:
    import pyarrow.csv as csv

    pa = _arrow()
    try:
        with csv.open_csv(path, read_options=csv.ReadOptions(block_size=1 << 16)) as reader:
            names = reader.schema.names
    except (OSError, pa.ArrowException) as error:
        raise cannot_read(path, error) from error
    return names, [Csv(path, given)], None


# Arrays.


@dataclass(frozen=True)
class Mapped:
    """An array in a file, of which nothing is in memory but what is at work."""

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool = False
    field: str | None = None

    def rows(self, begin: int, end: int) -> Array:
        """Return some rows, from a mapping of them alone."""
        if self.fortran and len(self.shape) > 1:
            count = self.shape[0]
            size = count * self.dtype.itemsize
            columns = [Mapped(self.path, self.offset + i * size, (count,), self.dtype) for i in range(self.shape[1])]
            return np.stack([column.rows(begin, end) for column in columns], axis=-1)
        width = math.prod(self.shape[1:])
        count = (end - begin) * width
        if count == 0:
            return np.empty((0, *self.shape[1:]), self.dtype)
        start = self.offset + begin * width * self.dtype.itemsize
        skip = start % mmap.ALLOCATIONGRANULARITY
        length = skip + count * self.dtype.itemsize
        with open(self.path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=start - skip)
        rows: Array = np.frombuffer(mapped, self.dtype, count, skip).reshape(end - begin, *self.shape[1:])
        return rows if self.field is None else rows[self.field]


@dataclass(frozen=True)
class Rows:
    """Rows [begin, end) of arrays of one length."""

    source: str
    arrays: Mapping[str, Array | Mapped]
    begin: int
    end: int
    before: int = 0
    """Rows of the source before those of the arrays."""

    def null_count(self, name: str) -> int | None:
        """Return 0: arrays have no nulls."""
        return 0

    def batches(self, names: list[str]) -> Batches:
        """Cut the arrays into batches."""
        pa = _arrow()
        for begin in range(self.begin, self.end, BATCH):
            end = min(begin + BATCH, self.end)
            columns = []
            for name in names:
                array = self.arrays[name]
                try:
                    rows = array.rows(begin, end) if isinstance(array, Mapped) else array[begin:end]
                except (OSError, ValueError) as error:
                    raise cannot_read(self.source, error) from error
                columns.append(_as_column(rows, name))
            yield pa.RecordBatch.from_arrays(columns, names=names), Place(self.source, self.before + begin)


def _as_column(rows: Array, name: str) -> Any:
    """Return rows of an array as a column of Arrow."""
    pa = _arrow()
    if rows.ndim > 2:
        raise ValueError(
            f"source: got array {name!r} of shape (rows, {', '.join(map(str, rows.shape[1:]))}), wanted one or two axes"
        )
    if rows.dtype.name == "bfloat16":
        rows = rows.astype(np.float32)
    try:
        if rows.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).reshape(-1)), rows.shape[1])
        return pa.array(rows)
    except (pa.ArrowException, TypeError) as error:
        raise TypeError(f"source: got array {name!r} of {rows.dtype}, wanted numbers: {error}") from error


def _npy(path: str, at: int = 0, end: int | None = None) -> Mapped:
    """Read where the numbers of an .npy file are, which begins at a byte of another file or is one."""
    try:
        with open(path, "rb") as file:
            file.seek(at)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
            file.seek(0, os.SEEK_END)
            length = (file.tell() if end is None else end) - offset
    except (OSError, ValueError, EOFError) as error:
        raise cannot_read(path, error) from error
    if dtype.hasobject:
        raise TypeError(f"source: got {path} of Python objects, wanted numbers")
    need = math.prod(shape) * dtype.itemsize
    if length < need:
        raise ValueError(
            f"source: {path} cannot be read: it is cut off, {need} bytes of numbers wanted, {length} there"
        )
    return Mapped(path, offset, shape, dtype, fortran)


def _npz(path: str) -> dict[str, Array | Mapped]:
    arrays: dict[str, Array | Mapped] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(
                        f"source: {path} is compressed and cannot be read piece by piece; wanted numpy.savez"
                    )
                with open(path, "rb") as file:
                    file.seek(member.header_offset + 26)
                    lengths = file.read(4)
                start = (
                    member.header_offset
                    + 30
                    + int.from_bytes(lengths[:2], "little")
                    + int.from_bytes(lengths[2:], "little")
                )
                arrays[name] = _npy(path, start, start + member.file_size)
    except (OSError, zipfile.BadZipFile) as error:
        raise cannot_read(path, error) from error
    return arrays


def of_arrays(arrays: Mapping[str, Array | Mapped], name: str) -> Source:
    """Return a source of arrays of one length."""
    if not arrays:
        raise ValueError(f"source: {name} has no arrays")
    flat = {name: array for key, given in arrays.items() for name, array in _fields(key, given).items()}
    lengths = {key: each.shape[0] if each.shape else None for key, each in flat.items()}
    count = next(iter(lengths.values()))
    for key, length in lengths.items():
        if length is None:
            raise ValueError(
                f"source: got {key!r} with a single number, wanted an array with a row for each prediction"
            )
        if length != count:
            raise ValueError(f"source: got {key!r} with {length} rows, wanted {count}, as {next(iter(lengths))!r} has")
    assert count is not None
    parts = [Rows(name, flat, begin, min(begin + PART, count)) for begin in range(0, count, PART)]
    return Source(name, list(flat), parts, count)


def _fields(name: str, array: Array | Mapped) -> dict[str, Array | Mapped]:
    """Return the arrays of a structured one by the names of its fields."""
    if not array.dtype.names:
        return {name: array}
    if isinstance(array, Mapped):
        return {field: replace(array, field=field) for field in array.dtype.names}
    return {field: array[field] for field in array.dtype.names}


# What is already in memory, or comes as a stream.


@dataclass(frozen=True)
class Held:
    """A batch that is at hand."""

    batch: pa.RecordBatch
    place: Place
    part: Part | None = None
    """What it is a part of."""

    def null_count(self, name: str) -> int | None:
        """Return what the source knows."""
        return None if self.part is None else self.part.null_count(name)

    def batches(self, names: list[str]) -> Batches:
        """Return the batch."""
        yield self.batch.select(names), self.place


@dataclass(frozen=True)
class Frame:
    """Rows [begin, end) of a frame of pandas, in which NaN is a null."""

    frame: Any
    begin: int
    end: int
    name: str = "the frame"

    def null_count(self, name: str) -> int | None:
        """Count them."""
        return int(self._columns([name]).isna().sum().iloc[0])

    def _columns(self, names: list[str]) -> Any:
        """Return columns by the text of their names, which may be numbers."""
        called = {str(name): name for name in self.frame.columns}
        columns = self.frame[[called[name] for name in names]]
        return columns if list(columns.columns) == names else columns.set_axis(names, axis="columns")

    def batches(self, names: list[str]) -> Batches:
        """Convert the columns of the rows."""
        pa = _arrow()
        columns = self._columns(names)
        for begin in range(self.begin, self.end, BATCH):
            rows = columns.iloc[begin : min(begin + BATCH, self.end)]
            try:
                batch = pa.RecordBatch.from_pandas(rows, preserve_index=False, nthreads=1)
            except (pa.ArrowException, TypeError) as error:
                raise TypeError(
                    f"source: a column of {self.name} is neither of numbers nor of text: {error}"
                ) from error
            yield batch, Place(self.name, begin)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for begin in range(0, batch.num_rows, BATCH):
        yield batch.slice(begin, BATCH)


def _held(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[Part]:
    pa = _arrow()
    first = 0
    try:
        for batch in batches:
            for piece in _pieces(batch):
                yield Held(piece, Place(name, first))
                first += piece.num_rows
    except (OSError, pa.ArrowException) as error:
        raise cannot_read(f"{name}, from row {first} on,", error) from error


def _of_stream(reader: pa.RecordBatchReader, name: str, rows: int | None) -> Source:
    return Source(name, reader.schema.names, _held(reader, name), rows)


# Paths.

_FORMATS: dict[str, Callable[[str, tuple[tuple[str, Any], ...]], tuple[list[str], list[Part], int | None]]] = {
    ".parquet": _parquet, ".pq": _parquet,
    ".arrow": _ipc, ".feather": _ipc, ".ipc": _ipc, ".arrows": _ipc,
    ".csv": _csv, ".csv.gz": _csv,
}  # fmt: skip
_ARRAYS = (".npy", ".npz")


def _suffix(path: str) -> str | None:
    name = os.path.basename(path).lower()
    return next((suffix for suffix in (*_FORMATS, *_ARRAYS) if name.endswith(suffix)), None)


def _in_directory(path: Path) -> list[File]:
    """Return the files of a directory, sorted, with what ``name=value`` in their paths says."""
    files: list[tuple[str, dict[str, str]]] = []
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path).parts
        if (
            file.is_file()
            and not any(part.startswith((".", "_")) for part in inside)
            and _suffix(str(file)) in _FORMATS
        ):
            files.append((str(file), dict(part.split("=", 1) for part in inside[:-1] if "=" in part)))
    if not files:
        raise ValueError(f"source: got directory {path}, wanted one with files of {', '.join(_FORMATS)}")
    # A column of whole numbers in all paths is one; any other is text.
    whole = {name for name in files[0][1] if all(_is_whole(given.get(name, "")) for _, given in files)}
    return [
        File(file, tuple((name, int(text) if name in whole else text) for name, text in given.items()))
        for file, given in files
    ]


def _is_whole(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return str(int(text)) == text
    return False


def _of_paths(paths: list[str], name: str) -> Source:
    arrays: dict[str, Array | Mapped] = {}
    files: list[File] = []
    for path in paths:
        if Path(path).is_dir():
            files.extend(_in_directory(Path(path)))
            continue
        if not os.path.exists(path):
            raise FileNotFoundError(f"source: got {path!r}, which does not exist")
        suffix = _suffix(path)
        if suffix is None:
            raise ValueError(f"source: got {path!r}, wanted a file of {', '.join((*_FORMATS, *_ARRAYS))}")
        if os.path.getsize(path) == 0:
            raise ValueError(f"source: {path} is empty, 0 bytes")
        if suffix == ".npy":
            arrays[Path(path).stem] = _npy(path)
        elif suffix == ".npz":
            arrays |= _npz(path)
        else:
            files.append(File(path))
    if arrays:
        if files:
            raise ValueError(f"source: got {files[0].path} beside arrays, wanted tables or arrays alone")
        return of_arrays(arrays, name)
    _arrow()
    names: list[str] = []
    lacking: dict[str, tuple[str, list[str]]] = {}
    parts: list[Part] = []
    total: int | None = 0
    for file in files:
        if os.path.getsize(file.path) == 0:
            raise ValueError(f"source: {file.path} is empty, 0 bytes")
        of_file, more, rows = _FORMATS[_suffix(file.path) or ""](file.path, file.given)
        of_file = [*of_file, *(given for given, _ in file.given if given not in of_file)]
        if file is not files[0]:
            lacking |= {name: (files[0].path, names[:]) for name in of_file if name not in names}
        names.extend(name for name in of_file if name not in names)
        lacking |= {name: (file.path, of_file) for name in names if name not in of_file and name not in lacking}
        parts.extend(more)
        total = None if total is None or rows is None else total + rows
    return Source(name, names, parts, total, lacking)


def open_source(source: Any) -> Source:
    """Find out what can be read from whatever was given."""
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        found = sorted(glob(path, recursive=True)) if has_magic(path) and not os.path.exists(path) else [path]
        if not found:
            raise FileNotFoundError(f"source: got {path!r}, which no file fits")
        return _of_paths(found, path)
    if isinstance(source, Mapping):
        return of_arrays({str(name): _array_of(value, str(name)) for name, value in source.items()}, "the arrays")
    if isinstance(source, (list, tuple)) and source and all(isinstance(each, (str, os.PathLike)) for each in source):
        paths = [os.fspath(each) for each in source]
        return _of_paths(paths, paths[0] if len(paths) == 1 else f"{len(paths)} files")
    pa = _arrow()
    if isinstance(source, pa.Table):
        return _of_stream(source.to_reader(max_chunksize=BATCH), "the table", source.num_rows)
    if isinstance(source, pa.RecordBatchReader):
        return _of_stream(source, "the stream", None)
    if isinstance(source, pa.RecordBatch):
        return _of_stream(pa.RecordBatchReader.from_batches(source.schema, [source]), "the batch", source.num_rows)
    kind = type(source)
    if kind.__module__.startswith("pandas") and kind.__name__ == "DataFrame":
        spans = [(begin, min(begin + BATCH, len(source))) for begin in range(0, len(source), BATCH)]
        return Source(
            "the frame", [str(name) for name in source.columns], [Frame(source, *span) for span in spans], len(source)
        )
    if kind.__name__ == "LazyFrame" and hasattr(source, "collect_batches"):
        raise TypeError("source: got a lazy frame, wanted a frame: collect() it, or give its file")
    if hasattr(source, "__arrow_c_stream__"):
        rows = len(source) if hasattr(source, "__len__") else None
        return _of_stream(pa.RecordBatchReader.from_stream(source), "the frame", rows)
    wanted = "a path, a table, a stream or frame of Arrow, pandas, polars or Dask, or a mapping of names to arrays"
    raise TypeError(f"source: got {kind.__module__}.{kind.__name__}, wanted {wanted}")


def _array_of(value: Any, name: str) -> Array | Mapped:
    if isinstance(value, (str, os.PathLike)):
        return _npy(os.fspath(value))
    array = np.asarray(value)
    if not array.shape:
        raise ValueError(f"source: got {name!r} with a single number, wanted an array with a row for each prediction")
    return array
