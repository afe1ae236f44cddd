"""The state of a score: sums over groups of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._arguments import Array, Operand, is_integer, operand
from .._native import kernels

Label: TypeAlias = Hashable

_WIDEST = 1 << 20
"""Whole numbers that lie no farther apart are looked up in a table."""

_NONE = np.zeros(0, np.int64)

GroupsOfRows: TypeAlias = tuple[Operand, int, NDArray[np.int64]]
AddUp: TypeAlias = Callable[[GroupsOfRows | None, NDArray[np.float64]], bool]


class Groups:
    """The groups of some rows: for each row a whole number, and what the numbers mean (None: themselves)."""

    def __init__(self, numbers: Array, meaning: Sequence[Label] | None = None) -> None:
        self.numbers = numbers
        self.meaning = meaning

    def __getitem__(self, rows: slice) -> Groups:
        return Groups(self.numbers[rows], self.meaning)

    def labels_of(self, numbers: Array) -> list[Label]:
        """Return what the numbers mean."""
        return numbers.tolist() if self.meaning is None else [self.meaning[i] for i in numbers]


def grouped(group: Array) -> Groups:
    """Return the groups that an array of any type names."""
    if group.dtype == np.bool_:
        return Groups(group, (False, True))
    if is_integer(group) and (group.dtype != np.uint64 or not group.size or int(group.max()) < 1 << 63):
        return Groups(group)
    labels, numbers = np.unique(group, return_inverse=True)
    return Groups(numbers.reshape(group.shape), labels.tolist())


class Tally:
    """Sums of columns, by groups of rows; the groups are met one by one.

    A row of `_sums` has the sums of a group, of its weights and of its rows, and what each lacks to be exact: twice
    float64's digits.
    """

    def __init__(self, columns: int, by_groups: bool) -> None:
        self.columns = columns
        self.by_groups = by_groups
        self.labels: list[Label] = [] if by_groups else [None]
        self._cells: dict[Label, int] = {}
        self._sums = np.zeros((0 if by_groups else 1, kernels.tally_size(columns)))
        # The cell of each whole number from `_least` on, for the meaning that it was made for.
        self._least = 0
        self._table: NDArray[np.int64] = _NONE
        self._meaning: Sequence[Label] | None = None
        self.scratch: dict[tuple[Any, ...], Array] = {}
        """Memory for columns, by whatever says which."""

    def add(self, add_up: AddUp, groups: Groups | None) -> None:
        """Add rows to the sums of their groups: `add_up` gets what kernels want of groups, and the sums."""
        if groups is None:
            add_up(None, self._used())
            return
        if groups.meaning is not self._meaning:
            self._meaning, self._least, self._table = groups.meaning, 0, _NONE
        if add_up((operand(groups.numbers), self._least, self._table), self._used()):
            return
        numbers = self._meet(groups)
        added = add_up((operand(numbers), self._least, self._table), self._used())
        assert added, "every row has a cell"

    def _used(self) -> NDArray[np.float64]:
        return self._sums[: len(self.labels)]

    def _meet(self, groups: Groups) -> Array:
        """Give every group of these rows a cell; return its number in the table for each row."""
        numbers = groups.numbers
        least, most = kernels.group_range(operand(numbers), 1)
        if self._table.size:
            least, most = min(least, self._least), max(most, self._least + self._table.size - 1)
        if most - least >= max(_WIDEST, 4 * numbers.size):
            present, places = np.unique(numbers, return_inverse=True)
            self._least, self._table = 0, self._cells_of(groups, present)
            self._meaning = ()  # what follows has another: the table is of these rows alone
            return places.reshape(numbers.shape)
        offset = numbers.astype(np.int64)
        offset -= least
        met = np.zeros(most - least + 1, np.bool_)
        met[offset] = True
        table = np.full(met.size, -1, np.int64)
        if self._table.size:
            table[self._least - least :][: self._table.size] = self._table
        present = np.flatnonzero(met & (table < 0))
        table[present] = self._cells_of(groups, present + least)
        self._least, self._table = least, table
        return numbers

    def _cells_of(self, groups: Groups, numbers: Array) -> NDArray[np.int64]:
        return np.array([self._cell(label) for label in groups.labels_of(numbers)], np.int64)

    def _cell(self, label: Label) -> int:
        label = _one_nan(label)
        cell = self._cells.get(label)
        if cell is None:
            cell = self._cells[label] = len(self.labels)
            self.labels.append(label)
            if cell == len(self._sums):
                more = np.zeros((max(8, cell), self._sums.shape[1]))
                self._sums = np.concatenate([self._sums, more])
        return cell

    def merge(self, other: Tally) -> None:
        """Add the sums of another one."""
        cells = [self._cell(label) for label in other.labels] if self.by_groups else [0]
        kernels.merge_tallies(other._used(), cells, self.columns, self._used())

    def copy(self) -> Tally:
        """Return another one of the same sums."""
        return _tally_of(self.columns, self.by_groups, self.labels, self._used())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the sums and what groups they are of."""
        return _tally_of, (self.columns, self.by_groups, self.labels, self._used())

    def order(self) -> list[int]:
        """Return the cells by ascending label, as far as labels have an order."""
        try:
            return sorted(range(len(self.labels)), key=self.labels.__getitem__)  # type: ignore[arg-type]
        except TypeError:
            return sorted(range(len(self.labels)), key=lambda cell: _place(self.labels[cell]))

    def totals(self) -> NDArray[np.float64]:
        """Return the sums of each cell: of the columns, of the weights and of its rows."""
        return self._rounded(self._used())

    def total(self) -> NDArray[np.float64]:
        """Return the sums over all cells."""
        whole = np.zeros((1, self._sums.shape[1]))
        kernels.merge_tallies(self._used(), [0] * len(self.labels), self.columns, whole)
        return self._rounded(whole)

    def _rounded(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        sums, lacking = (half[:, : self.columns + 2] for half in np.split(cells, 2, axis=1))
        with np.errstate(invalid="ignore"):  # what an infinite sum lacks is NaN
            rounded: NDArray[np.float64] = np.where(np.isfinite(sums), sums + lacking, sums)
        return rounded


def _one_nan(label: Label) -> Label:
    """Return the same NaN for every NaN, none of which equals another."""
    return math.nan if isinstance(label, float) and math.isnan(label) else label


def _place(label: Label) -> tuple[bool, str, str]:
    return label is not None, type(label).__name__, str(label)


def _tally_of(columns: int, by_groups: bool, labels: list[Label], sums: NDArray[np.float64]) -> Tally:
    tally = Tally(columns, by_groups)
    tally._sums = sums.copy()
    tally.labels = [_one_nan(label) for label in labels]
    if by_groups:
        tally._cells = {label: cell for cell, label in enumerate(tally.labels)}
    return tally
