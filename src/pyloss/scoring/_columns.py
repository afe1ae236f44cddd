"""Which columns of a table are predictions, targets, weights and groups, and how they become arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._arguments import Array, check_choice
from ._tally import Groups, grouped

if TYPE_CHECKING:
    import pyarrow as pa

Nulls: TypeAlias = Literal["error", "drop"]
ColumnSpec: TypeAlias = str | Sequence[str]
"""The name of a column, or of several: a pattern with ``*``, or a sequence of names."""


@dataclass(frozen=True)
class Place:
    """Where a batch of rows lies."""

    source: str
    first_row: int
    part: str = ""
    """What of the source it is a part of: "row group 3"."""

    def row(self, i: int) -> str:
        """Tell where row i of the batch is."""
        return f"row {self.first_row + i} of {self.source}{f' ({self.part})' if self.part else ''}"

    def __str__(self) -> str:
        return f"{self.source}{f', {self.part}' if self.part else ''}, from row {self.first_row} on"


@dataclass(frozen=True)
class Columns:
    """What is asked for, by argument: the inputs of the losses, `weight` and `by`."""

    inputs: Mapping[str, ColumnSpec]
    weight: str | None
    by: str | None
    ids: str | None
    nulls: Nulls

    def __post_init__(self) -> None:
        """Check every name."""
        check_choice(self.nulls, "nulls", ("error", "drop"))
        for argument, spec in self._asked():
            if isinstance(spec, str):
                continue
            if argument not in self.inputs:
                raise TypeError(f"{argument}: got {spec!r}, wanted the name of a column")
            if not (isinstance(spec, Sequence) and spec and all(isinstance(each, str) for each in spec)):
                raise TypeError(f"{argument}: got {spec!r}, wanted the name of a column, or a sequence of names")

    def _asked(self) -> Iterable[tuple[str, ColumnSpec]]:
        yield from self.inputs.items()
        for argument, name in (("weight", self.weight), ("by", self.by), ("id", self.ids)):
            if name is not None:
                yield argument, name

    def resolve(self, names: Sequence[str], source: str, lacking: Mapping[str, tuple[str, list[str]]]) -> Resolved:
        """Find the columns among those of a source, of which some files may be lacking some."""
        found = {argument: _matching(argument, spec, names, source) for argument, spec in self._asked()}
        for argument, columns in found.items():
            for name in (columns,) if isinstance(columns, str) else columns:
                if name in lacking:
                    file, known = lacking[name]
                    raise ValueError(
                        f"{argument}: got {name!r}, which {file} does not have; its columns are {_list(known)}"
                    )
        return Resolved(self, found)


def _matching(argument: str, spec: ColumnSpec, names: Sequence[str], source: str) -> str | tuple[str, ...]:
    known = set(names)
    if isinstance(spec, str):
        if spec in known:
            return spec
        if "*" in spec:
            found = [name for name in names if fnmatchcase(name, spec)]
            if found:
                return tuple(sorted(found, key=_natural))
        raise ValueError(f"{argument}: got {spec!r}, wanted one of the columns of {source}: {_list(names)}")
    for name in spec:
        if name not in known:
            raise ValueError(f"{argument}: got {name!r}, wanted some of the columns of {source}: {_list(names)}")
    return tuple(spec)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort p_2 before p_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


class Resolved:
    """Columns of one source, by argument."""

    def __init__(self, asked: Columns, found: dict[str, str | tuple[str, ...]]) -> None:
        self.asked = asked
        self.found = found
        each = [(names,) if isinstance(names, str) else names for names in found.values()]
        self.names = list(dict.fromkeys(name for names in each for name in names))
        """All columns, each once."""

    def argument_of(self, name: str) -> str:
        """Return the argument that asks for a column."""
        return next(
            argument
            for argument, found in self.found.items()
            if name in ((found,) if isinstance(found, str) else found)
        )


class Extractor:
    """Turns batches of a source into arrays."""

    def __init__(self, columns: Resolved) -> None:
        self._columns = columns
        self._lists: list[int] | None = None
        self._dtypes: dict[str, np.dtype[Any]] = {}
        """Those of the columns that are NumPy arrays as they are, but for nulls."""
        self._dictionary: pa.Array | None = None
        self._meaning: list[Any] = []
        self.dropped = 0

    def arrays(
        self, batch: pa.RecordBatch, place: Place, null_count: Any = None
    ) -> tuple[dict[str, Array], Array | None, Groups | None, Callable[[], Array | pa.Array]]:
        """Return the inputs, the weights and the groups of a batch, and what returns the ids or numbers of its rows."""
        count = batch.num_rows
        if self._lists is None:  # all batches are of one schema
            self._lists, self._dtypes = _kinds(batch.schema)
        if self._lists:
            batch = self._with_rows_of_one_length(batch, self._lists, place)
        if (full := self._full(batch, place, null_count)) is not None:
            batch = batch.filter(full)
            self.dropped += count - batch.num_rows
        given = {argument: self._input(batch, argument, place) for argument in self._columns.asked.inputs}
        weight = None if self._columns.asked.weight is None else self._input(batch, "weight", place)
        by, ids = self._columns.asked.by, self._columns.asked.ids
        groups = None if by is None else self._groups(batch.column(by))

        def rows() -> Array | pa.Array:
            if ids is not None:
                return batch.column(ids)
            numbers = np.arange(place.first_row, place.first_row + count)
            return numbers if full is None else numbers[full.to_numpy(zero_copy_only=False)]

        return given, weight, groups, rows

    def _with_rows_of_one_length(self, batch: pa.RecordBatch, lists: list[int], place: Place) -> pa.RecordBatch:
        """Turn lists of any length, which files without Arrow's schema have, into lists of that of the first."""
        import pyarrow as pa

        for i in lists:
            name, column = batch.schema.names[i], batch.column(i)
            lengths = column.value_lengths().drop_null()
            width = lengths[0].as_py() if len(lengths) else 0
            try:
                column = column.cast(pa.list_(column.type.value_type, width))
            except pa.ArrowInvalid as error:
                argument = self._columns.argument_of(name)
                raise ValueError(
                    f"{argument}: got lists of several lengths in column {name!r} of {place.source}: {error}"
                ) from error
            batch = batch.set_column(i, name, column)
        return batch

    def _full(self, batch: pa.RecordBatch, place: Place, null_count: Any) -> pa.Array | None:
        """Tell which rows have no nulls, or raise if there are others; None if there are none."""
        holes = [name for name in self._columns.names if self._null_count(batch.column(name), name)]
        if not holes:
            return None
        import pyarrow.compute as pc

        full = None
        for name in holes:
            if name == self._columns.asked.ids:
                continue
            valid = _valid(batch.column(name))
            if self._columns.asked.nulls == "error":
                argument = self._columns.argument_of(name)
                here = len(valid) - pc.sum(valid).as_py()
                total = null_count(name) if null_count else None
                known = here if total is None else total
                count = f"{'at least ' if total is None else ''}{known} null{'' if known == 1 else 's'}"
                raise ValueError(
                    f"{argument}: got {count} in column {name!r}, the first in "
                    f"{place.row(pc.index(valid, False).as_py())}, wanted none; nulls='drop' leaves out such rows"
                )
            full = valid if full is None else pc.and_(full, valid)
        return full

    def _null_count(self, column: pa.Array, name: str) -> int:
        return column.null_count if name in self._dtypes else _null_count(column)

    def _input(self, batch: pa.RecordBatch, argument: str, place: Place) -> Array:
        found = self._columns.found[argument]
        if isinstance(found, str):
            return self._numbers(batch, argument, found, place)
        return np.stack([self._numbers(batch, argument, name, place) for name in found], axis=-1)

    def _numbers(self, batch: pa.RecordBatch, argument: str, name: str, place: Place) -> Array:
        column = batch.column(name)
        dtype = self._dtypes.get(name)
        return _numbers(column, argument, name, place) if dtype is None else _view(column, dtype)

    def _groups(self, column: pa.Array) -> Groups:
        import pyarrow as pa

        kind = column.type
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
            return grouped(_as_array(column))
        if not pa.types.is_dictionary(kind):
            column = column.dictionary_encode()
        dictionary = column.dictionary
        if self._dictionary is None or not self._dictionary.equals(dictionary):
            self._dictionary, self._meaning = dictionary, dictionary.to_pylist()
        return Groups(_as_array(column.indices), self._meaning)


def _kinds(schema: pa.Schema) -> tuple[list[int], dict[str, np.dtype[Any]]]:
    """Return which columns are lists of any length, and the dtypes of those of numbers."""
    import pyarrow as pa

    of = pa.types
    lists = [i for i, kind in enumerate(schema.types) if of.is_list(kind) or of.is_large_list(kind)]
    numbers = {
        name: np.dtype(kind.to_pandas_dtype())
        for name, kind in zip(schema.names, schema.types, strict=True)
        if of.is_floating(kind) or of.is_integer(kind)
    }
    return lists, numbers


def _null_count(column: pa.Array) -> int:
    """Nulls of a column: places without a value, in lists as in dictionaries."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
        column = column.cast(column.type.value_type)
    count: int = column.null_count
    if pa.types.is_fixed_size_list(column.type):
        count += column.flatten().null_count
    return count


def _valid(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type).is_valid()
    valid = column.is_valid()
    if pa.types.is_fixed_size_list(column.type) and column.flatten().null_count:
        width = column.type.list_size
        each = column.values.slice(column.offset * width, len(column) * width).is_valid()
        rows = each.to_numpy(zero_copy_only=False).reshape(len(column), width).all(axis=1)
        return pa.array(rows & valid.to_numpy(zero_copy_only=False))
    return valid


def _numbers(column: pa.Array, argument: str, name: str, place: Place) -> Array:
    """Return a column of numbers, without a copy where Arrow holds them as NumPy does."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_fixed_size_list(kind) and argument != "weight":
        width = kind.list_size
        return _numbers(column.flatten(), argument, name, place).reshape(len(column), width)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise TypeError(f"{argument}: got column {name!r} of type {kind} in {place.source}, wanted numbers")
    return _as_array(column)


def _as_array(column: pa.Array) -> Array:
    """Return a column of numbers that has no nulls."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):  # bits
        array: Array = column.to_numpy(zero_copy_only=False)
        return array
    return _view(column, np.dtype(column.type.to_pandas_dtype()))


def _view(column: pa.Array, dtype: np.dtype[Any]) -> Array:
    """View a column that has no nulls; Arrow's own `to_numpy` would import pandas, which takes longer."""
    if not len(column):  # no buffer to view
        return np.empty(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)
