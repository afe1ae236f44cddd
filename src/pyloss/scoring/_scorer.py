"""Losses of rows that come in batches."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import (
    Array,
    ArrayLike,
    as_array,
    check_broadcast,
    check_shape,
    is_weak,
    needs_float64,
    operand,
)
from .._native import kernels
from ..catalogue import parse
from ..losses import PredictionLoss
from ..losses._call import VALUE, Call
from ..losses._elementwise import Elementwise, own_arrays, plan_of
from ..losses._rowwise import Rowwise, are_labels
from ._scores import GroupValues, Scores
from ._tally import Groups, Tally, grouped

Numbers = NDArray[np.float64]

_BLOCK = 1 << 17
"""Numbers of an input that are at work at a time: few enough to stay in the caches with their losses."""


@dataclass(frozen=True)
class _Term:
    """A loss that is added up, and the column of what its mean is divided by."""

    loss: PredictionLoss
    in_float64: bool
    """Whether its numbers may be beyond float32 where those of the loss it is a part of are not."""
    divisor: int


class _Plan:
    """Which columns are added up for some losses, and how these follow from the sums."""

    def __init__(self, losses: Sequence[PredictionLoss | str]) -> None:
        if isinstance(losses, (str, PredictionLoss)) or not isinstance(losses, Sequence):
            raise TypeError(f"losses: got {losses!r}, wanted a sequence of losses")
        checked: list[PredictionLoss] = []
        for i, given in enumerate(losses):
            loss = parse(given) if isinstance(given, str) else given
            if not isinstance(loss, (Elementwise, Rowwise)):
                raise TypeError(f"losses[{i}]: got {loss!r}, wanted an elementwise or multiclass loss")
            if checked and isinstance(loss, Rowwise) != isinstance(checked[0], Rowwise):
                raise TypeError(
                    f"losses[{i}]: got {loss!r} beside {checked[0]!r}, wanted only losses of elements or of rows"
                )
            checked.append(loss)
        if not checked:
            raise ValueError("losses: got none, wanted at least one")
        self.losses = tuple(checked)
        self.by_rows = isinstance(self.losses[0], Rowwise)
        parts = [[(term, _is_root(loss), coefficient) for coefficient, term in loss._in_pass()] for loss in self.losses]
        unique = list(dict.fromkeys((term, in_float64) for terms in parts for term, in_float64, _ in terms))
        # One kernel's call computes and adds up all elementwise terms of the same inputs; they come first.
        names = unique[0][0]._names()
        together = [each for each in unique if _is_quick(*each) and each[0]._names() == names]
        self._kernel = plan_of([(1.0, loss) for loss, _ in together]) if together else None
        self._together = len(together)
        unique = together + [each for each in unique if each not in together]
        counted = [loss for loss, _ in unique if isinstance(loss, Rowwise) and loss._counts_rows()]
        self.columns = len(unique) + len(counted)
        # Behind the columns are the sums of weights and of rows.
        self.weights, self.rows = self.columns, self.columns + 1
        divisors = iter(range(len(unique), self.columns))
        self.terms = tuple(
            _Term(loss, wide, next(divisors) if loss in counted else self.weights) for loss, wide in unique
        )
        self._of = [[(coefficient, unique.index((term, wide))) for term, wide, coefficient in terms] for terms in parts]
        self.inputs = tuple(dict.fromkeys(name for term in self.terms for name in term.loss._names()))
        self.first = self.inputs[0]
        for i, loss in enumerate(self.losses):
            if loss._names()[0] != self.first:
                raise TypeError(
                    f"losses[{i}]: got {loss!r} beside {self.losses[0]!r}, wanted losses of the same inputs"
                )

    def bind(self, pred: Any, target: Any, inputs: dict[str, Any], what: str) -> dict[str, Any]:
        """Return what is given for each input; the first two may have other names than `pred` and `target`."""
        given = tuple(each for each in (pred, target) if each is not ...)
        if len(given) > len(self.inputs):
            raise TypeError(f"target: got {what} unexpectedly, wanted {self.first} alone")
        named = dict(zip(self.inputs, given, strict=False))
        for name, value in inputs.items():
            if name not in self.inputs or name in named:
                times = "twice" if name in named else "unexpectedly"
                raise TypeError(f"{name}: got {what} {times}, wanted {', '.join(self.inputs)}")
            named[name] = value
        for name in self.inputs:
            if name not in named:
                needs = next(term.loss for term in self.terms if name in term.loss._names())
                raise TypeError(f"{name}: got nothing, wanted {what} for {needs!r}")
        return named

    def means(self, sums: Numbers) -> Numbers:
        """Return the losses of each row of sums; of nothing, they are 0."""
        losses = np.empty((len(sums), len(self.losses)))
        for i, (loss, terms) in enumerate(zip(self.losses, self._of, strict=True)):
            values = []
            for coefficient, term in terms:
                total = sums[:, self.terms[term].divisor]
                with np.errstate(invalid="ignore", over="ignore"):
                    mean = np.divide(sums[:, term], total, out=np.zeros_like(total), where=total > 0.0)
                    values.append(coefficient * mean)
            losses[:, i] = loss._of_means(values)
        return losses

    def add(
        self, tally: Tally, inputs: dict[str, ArrayLike], weight: Array | None, groups: Groups | None, threads: int
    ) -> None:
        """Add rows, whose weights have been checked, to a tally."""
        shape = inputs[self.first].shape
        places = shape[:-1] if self.by_rows else shape
        columns = [operand(column.reshape(-1)) for column in self._columns(inputs, places, tally.scratch)]
        shared: dict[str, Any] = {
            "columns": columns,
            "weight": None if weight is None else operand(weight.reshape(-1)),
            "threads": threads,
        }
        members = groups and Groups(groups.numbers.reshape(-1), groups.meaning)
        if self._kernel is None:
            rows = math.prod(places)
            tally.add(lambda of, sums: kernels.tally(rows=rows, groups=of, sums=sums, **shared), members)
            return
        kernel, terms = self._kernel, [term.loss for term in self.terms[: self._together]]
        named = [inputs[name] for name in terms[0]._names()]
        arrays = [operand(as_array(array, name)) for array, name in zip(named, terms[0]._names(), strict=True)]
        own = [[operand(array) for array in own_arrays(loss, shape)] for loss in terms]
        float64 = needs_float64(array for array in named if not is_weak(array))
        tally.add(
            lambda of, sums: kernel.tally(
                inputs=arrays, own_inputs=own, float64=float64, groups=of, sums=sums, **shared
            ),
            members,
        )

    def _columns(
        self, inputs: dict[str, ArrayLike], shape: tuple[int, ...], scratch: dict[tuple[Any, ...], Array]
    ) -> list[Array]:
        """Return what is added up beside the terms of one kernel: other terms, and what means are divided by."""
        columns: list[Array] = []
        apart = self.terms[self._together :]
        if apart:
            floats = _as_computed(inputs, self.first, self.by_rows)
            pred = floats[self.first]
        for i, term in enumerate(apart):
            given = floats
            if term.in_float64 and pred.dtype != np.float64:
                given = floats | {self.first: pred.astype(np.float64)}
            named = tuple(given[name] for name in term.loss._names())
            # Memory that has been used before: the operating system takes longer to clear new pages than losses take.
            key = (i, shape, given[self.first].dtype)
            if key not in scratch:
                scratch[key] = np.empty(shape, key[2])
            columns.append(term.loss._compute(VALUE, named, None, "none", scratch[key])[0])
        for term in apart:
            if term.divisor != self.weights:
                assert isinstance(term.loss, Rowwise)
                columns.append(np.broadcast_to(term.loss._row_counts(inputs[self.first], inputs.get("target")), shape))
        return columns


def _is_quick(loss: PredictionLoss, in_float64: bool) -> bool:
    return isinstance(loss, Elementwise) and not in_float64


def _is_root(loss: PredictionLoss) -> bool:
    return isinstance(loss, Elementwise) and not loss.additive


def _as_computed(inputs: dict[str, ArrayLike], first: str, by_rows: bool) -> dict[str, ArrayLike]:
    """Return inputs whose losses come out in the type in which they are computed."""
    pred = inputs[first]
    wide = needs_float64(
        value
        for name, value in inputs.items()
        if not is_weak(value) and not (by_rows and name == "target" and are_labels(value, pred.shape))
    )
    if pred.dtype == np.float64 or (pred.dtype == np.float32 and not wide):
        return inputs
    return inputs | {first: pred.astype(np.float64 if wide else np.float32)}


def _whole(array: Array, name: str, shape: tuple[int, ...], by_rows: bool) -> Array:
    """Broadcast an input to what its rows can be cut from."""
    if by_rows and name == "target" and are_labels(array, shape):
        return array
    check_broadcast(array, name, shape)
    return np.broadcast_to(array, shape)


def _as_group(value: ArrayLike, places: tuple[int, ...]) -> Array:
    """View `value` as an array with the group of each place."""
    group = np.asarray(value)
    check_shape(group, "group", places, "a group for each loss")
    return group


def _blocks(places: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Any]:
    """Return indices of the parts of which rows are made up, each a block's worth."""
    if not places:
        yield ...
        return
    step = max(1, _BLOCK * places[0] // max(math.prod(shape), 1))
    for begin in range(0, places[0], step):
        yield slice(begin, begin + step)


class Scorer:
    """Losses of rows that come in batches, over all of them and by groups, in one pass over memory.

    What is kept does not grow with the rows: the sums of the losses and of the weights, of each group, with twice the
    digits of float64. So results do not depend on how rows were cut into batches, nor on the order in which scorers are
    merged.

    Parameters
    ----------
    losses : sequence of PredictionLoss or str
        Elementwise losses, or multiclass losses, or their names, also with parameters: ``"huber:delta=2"``.
    by : str, optional
        What groups are called; each `update` then takes `group`.

    Raises
    ------
    TypeError, ValueError
        If a loss is not the mean of the losses of elements or rows, or elements and rows are mixed.

    Examples
    --------
    >>> import pyloss as pl
    >>> scorer = pl.Scorer([pl.MSE(), "mae"], by="region")
    >>> scorer.update([0.0, 5.0], [1.0, 1.0], group=["north", "south"])
    >>> scorer.update([3.0], [1.0], group=["north"])
    >>> scores = scorer.result()
    >>> scores["mse"], scores.groups["north"]["mae"], scores.gap["mae"], scores.worst["mae"]
    (7.0, 1.5, 2.5, 'south')
    """

    def __init__(self, losses: Sequence[PredictionLoss | str], by: str | None = None) -> None:
        self._plan = _Plan(losses)
        if by is not None and not isinstance(by, str):
            raise TypeError(f"by: got {by!r}, wanted what groups are called, or None")
        self._by = by
        self._tally = self._empty()
        self._lock = threading.Lock()
        self._dropped = 0

    @property
    def losses(self) -> tuple[PredictionLoss, ...]:
        """The losses."""
        return self._plan.losses

    def _empty(self) -> Tally:
        return Tally(self._plan.columns, self._by is not None)

    def __repr__(self) -> str:
        return f"Scorer({list(self.losses)!r}{'' if self._by is None else f', by={self._by!r}'})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the losses and the sums."""
        return _scorer_of, (list(self.losses), self._by, self._tally, self._dropped)

    def update(
        self,
        pred: ArrayLike = ...,
        target: ArrayLike = ...,
        weight: ArrayLike = None,
        group: ArrayLike = None,
        **inputs: ArrayLike,
    ) -> None:
        """Add rows.

        Parameters
        ----------
        pred, target, **inputs : array_like
            As for a call of each loss, in its order or by name. float32, float64, float16, bfloat16; integers and
            bool count as float64.
        weight : array_like, optional
            Finite, at least 0, broadcasts to `pred` (to its rows for multiclass losses). Weight 0 leaves a row out.
        group : array_like, optional
            With `by`: the group of each element (row), whole numbers, strings or whatever NumPy can sort.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted. Nothing has been added then.
        """
        named = self._plan.bind(pred, target, inputs, "an array")
        first = self._plan.first
        given = {
            name: value if is_weak(value) and name != first else as_array(value, name) for name, value in named.items()
        }
        shape = given[first].shape
        if self._plan.by_rows and not shape:
            raise ValueError(f"{first}: got a single number, wanted rows of class scores: shape (..., classes)")
        places = shape[:-1] if self._plan.by_rows else shape
        whole = {
            name: _whole(value, name, shape, self._plan.by_rows)
            for name, value in given.items()
            if isinstance(value, np.ndarray)
        }
        call = Call(VALUE, "sum", None)
        weights, _ = call.weights(weight, places, f"{first}'s rows" if self._plan.by_rows else first)
        if (group is None) != (self._by is None):
            raise TypeError(
                "group: got nothing, wanted the group of each element of pred, as the scorer has `by`"
                if group is None
                else "group: got it, wanted None, as the scorer has no `by`"
            )
        groups = None if group is None else grouped(_as_group(group, places))
        part = self._empty()
        for rows in _blocks(places, shape):
            self._plan.add(
                part,
                given | {name: array[rows] for name, array in whole.items()},
                None if weights is None else np.broadcast_to(weights, places)[rows],
                groups and groups[rows],
                call.threads,
            )
        self._take(part)

    def merge(self, other: Scorer) -> None:
        """Add the rows of another scorer of the same losses.

        Parameters
        ----------
        other : Scorer
            It is not changed.

        Raises
        ------
        TypeError, ValueError
            If `other` is no scorer, or one of other losses or groups.
        """
        if not isinstance(other, Scorer):
            raise TypeError(f"other: got {type(other).__name__}, wanted a Scorer")
        if other.losses != self.losses or other._by != self._by:
            raise ValueError(f"other: got {other!r}, wanted a scorer of the same losses and groups, {self!r}")
        with other._lock:
            part, dropped = other._tally.copy(), other._dropped
        self._take(part, dropped)

    def _take(self, part: Tally, dropped: int = 0) -> None:
        with self._lock:
            self._tally.merge(part)
            self._dropped += dropped

    def result(self) -> Scores:
        """Compute the losses of all rows so far.

        Returns
        -------
        Scores
            The weighted means over all rows, and over those of each group.
        """
        with self._lock:
            plan, tally = self._plan, self._tally
            total = tally.total()
            groups = None
            if self._by is not None:
                order = tally.order()
                sums = tally.totals()[order]
                labels = tuple(tally.labels[cell] for cell in order)
                groups = GroupValues(
                    labels, sums[:, plan.rows].astype(np.int64), sums[:, plan.weights], plan.means(sums)
                )
            return Scores(
                losses=plan.losses,
                means=tuple(plan.means(total)[0].tolist()),
                count=int(total[0, plan.rows]),
                weight=float(total[0, plan.weights]),
                dropped=self._dropped,
                by=self._by,
                group_values=groups,
            )


def _scorer_of(losses: list[PredictionLoss], by: str | None, tally: Tally, dropped: int) -> Scorer:
    scorer = Scorer(losses, by)
    scorer._tally, scorer._dropped = tally, dropped
    return scorer
