"""Every check of an argument, and every error text, of the package."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
ArrayLike: TypeAlias = Any
"""A NumPy array, or what NumPy can view as one: a sequence, a CPU tensor of torch or JAX, a column of pandas, ..."""

Reduction: TypeAlias = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")

# The numbers of C++'s enum Kind.
_KINDS: dict[np.dtype[Any], int] = {
    np.dtype(name): kind
    for kind, name in (
        (0, "float32"), (1, "float64"), (2, "float16"), (4, "bool"),
        (5, "int8"), (6, "int16"), (7, "int32"), (8, "int64"),
        (9, "uint8"), (10, "uint16"), (11, "uint32"), (12, "uint64"),
    )
}  # fmt: skip
_BFLOAT16 = 3
_FLOATS = (0, 1, 2, _BFLOAT16)
_INTEGERS = (5, 6, 7, 8, 9, 10, 11, 12)
# Types that float32 cannot hold exactly; NumPy promotes them to float64 too.
_WIDE = (1, 7, 8, 11, 12)

Operand: TypeAlias = tuple[Array, int]


def kind_of(dtype: np.dtype[Any]) -> int | None:
    """Return the number of an element type in C++, None if there is none."""
    kind = _KINDS.get(dtype)
    if kind is None and dtype.name == "bfloat16":
        return _BFLOAT16
    # `q` and `l` may both be int64; only native byte order is readable.
    if kind is None and dtype.isnative and dtype.kind in "iu":
        return _KINDS.get(np.dtype(dtype.name))
    return kind


def _bfloat16_tensor(value: ArrayLike) -> ArrayLike:
    """View a torch tensor of bfloat16, which torch does not export, through integers of the same bits."""
    import ml_dtypes

    return np.asarray(value.view(sys.modules["torch"].int16)).view(ml_dtypes.bfloat16)


def as_array(value: ArrayLike, name: str) -> Array:
    """View `value` as an array of a supported type, or say what is wrong with it."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: got a masked array, wanted a plain one; pass weight=0 where it is masked")
    if not isinstance(value, np.ndarray):
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            value = _bfloat16_tensor(value)
        try:
            by_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
            value = np.from_dlpack(value) if by_dlpack else np.asarray(value)
        except Exception as error:
            kind = type(value).__name__
            raise TypeError(f"{name}: got {kind}, which NumPy cannot view as an array: {error}") from error
    if kind_of(value.dtype) is None:
        order = "" if value.dtype.isnative else " (not in this machine's byte order)"
        wanted = "float32, float64, float16, bfloat16, an integer or bool"
        raise TypeError(f"{name}: got dtype {value.dtype}{order}, wanted {wanted}")
    return np.asarray(value)


def is_weak(value: ArrayLike) -> bool:
    """Whether `value` is a Python number, which takes the type of the arrays beside it."""
    return isinstance(value, (int, float))


def operand(array: Array) -> Operand:
    """Return what C++ takes for an array: it and the number of its type."""
    kind = kind_of(array.dtype)
    assert kind is not None
    return (array.view(np.uint16) if kind == _BFLOAT16 else array), kind


def needs_float64(arrays: Iterable[Array]) -> bool:
    """Whether to compute in float64: some array holds what float32 cannot, or none is of a float type."""
    kinds = [kind_of(array.dtype) for array in arrays]
    return any(kind in _WIDE for kind in kinds) or not any(kind in _FLOATS for kind in kinds)


def is_integer(array: Array) -> bool:
    """Whether the array holds integers (not bool)."""
    return kind_of(array.dtype) in _INTEGERS


def result_dtype(array: Array) -> np.dtype[Any]:
    """Type of a gradient: the input's own, float64 for integers and bool."""
    return array.dtype if kind_of(array.dtype) in _FLOATS else np.dtype(np.float64)


def common_dtype(arrays: list[Array]) -> np.dtype[Any]:
    """Return the type of what is made of all of them; integers and bools take that of floats, if it holds them."""
    if needs_float64(arrays):
        return np.dtype(np.float64)
    floats = {each.dtype for each in arrays if each.dtype.kind not in "iub"}
    return floats.pop() if len(floats) == 1 else np.dtype(np.float32)


def check_broadcast(array: Array, name: str, shape: tuple[int, ...], of: str = "pred") -> None:
    """Raise unless `array` broadcasts to `shape` without changing it."""
    missing = len(shape) - array.ndim
    if missing >= 0 and all(size in (1, wanted) for size, wanted in zip(array.shape, shape[missing:], strict=True)):
        return
    raise ValueError(
        f"{name}: got shape {array.shape}, wanted the shape of {of}, {shape}, or one that broadcasts to it"
    )


def check_reduction(reduction: object) -> None:
    """Raise unless `reduction` is one."""
    if not (isinstance(reduction, str) and reduction in REDUCTIONS):
        raise ValueError(f"reduction: got {reduction!r}, wanted 'mean', 'sum' or 'none'")


def check_out(out: object, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Array]) -> Array:
    """Raise unless `out` can take the results: nothing may be lost, nor an input be overwritten before it is read."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: got {type(out).__name__}, wanted a NumPy array")
    if out.dtype != dtype:
        raise TypeError(f"{name}: got dtype {out.dtype}, wanted {dtype}")
    if out.shape != shape:
        raise ValueError(f"{name}: got shape {out.shape}, wanted {shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: got a read-only array, wanted a writeable one")
    if not out.flags.aligned:
        raise ValueError(f"{name}: got a misaligned array, wanted one aligned to its {out.itemsize}-byte elements")
    if _overlaps_itself(out):
        raise ValueError(
            f"{name}: got an array whose elements share memory, wanted one with an element for each result"
        )
    for other, array in inputs.items():
        if not same_memory(out, array) and np.may_share_memory(out, array) and _share_memory(out, array):
            raise ValueError(f"{name}: got an array that overlaps {other}, wanted {other} itself or separate memory")
    return out


def same_memory(a: Array, b: Array) -> bool:
    """Whether the two are the same elements at the same places."""
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.shape == b.shape
        and all(s == t for s, t, size in zip(a.strides, b.strides, a.shape, strict=True) if size > 1)
        and a.itemsize == b.itemsize
    )


def _overlaps_itself(array: Array) -> bool:
    """Whether two indices may name the same memory, decided axis by axis from the smallest stride up."""
    reach = array.itemsize
    axes = ((abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True) if size > 1)
    for stride, size in sorted(axes):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def _share_memory(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except Exception:  # NumPy's TooHardError moved between versions
        return True


def bad_weight(weight: Array, shape: tuple[int, ...], first: int, name: str = "weight") -> ValueError:
    """Error for the weight at flat index `first` of `shape`."""
    index = tuple(int(i) for i in np.unravel_index(first, shape))
    value = np.broadcast_to(weight, shape)[index]
    wanted = "weights" if name == "weight" else "numbers"
    return ValueError(f"{name}: got {value} at index {index}, wanted finite {wanted} of at least 0")


def bad_label(
    labels: Array, shape: tuple[int, ...], first: int, classes: int, ignored: int | None = None, name: str = "target"
) -> ValueError:
    """Error for the label at flat index `first` of `shape`."""
    index = tuple(int(i) for i in np.unravel_index(first, shape))
    value = np.broadcast_to(labels, shape)[index]
    but = "" if ignored is None else f" or ignore_index = {ignored}"
    return ValueError(f"{name}: got label {value} at index {index}, wanted a class from 0 to {classes - 1}{but}")


def positive_integer(count: object, name: str) -> int:
    """Return `count` as an integer of at least 1, or raise."""
    if isinstance(count, bool) or not isinstance(count, numbers.Integral):
        raise TypeError(f"{name}: got {count!r}, wanted a positive integer")
    if count < 1:
        raise ValueError(f"{name}: got {count}, wanted a positive integer")
    return int(count)


Check: TypeAlias = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Interval:
    """Real numbers from `low` to `high`, an open end left out; parameters are finite unless `infinite`."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False

    def __contains__(self, x: float) -> bool:
        above = x > self.low if self.open_low else x >= self.low
        return above and (x < self.high if self.open_high else x <= self.high)

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    def number(self, value: Any, name: str) -> float:
        """Return `value` as a float of this interval, or raise."""
        not_real = (bool, np.bool_, np.complexfloating)
        if isinstance(value, not_real) or not isinstance(value, (numbers.Real, np.number)):
            raise TypeError(f"{name}: got {value!r}, wanted a number in {self}")
        if not (math.isfinite(value) or self.infinite) or float(value) not in self:
            raise ValueError(f"{name}: got {value}, wanted a number in {self}")
        return float(value)

    def optional(self, value: object, name: str) -> float | None:
        """Like `number`, None allowed."""
        return None if value is None else self.number(value, name)

    def numbers(self, value: Any, name: str) -> float | tuple[float, ...]:
        """Return `value` as a float, or as a tuple if it is a sequence or array of one axis."""
        if isinstance(value, (str, bytes)) or not (hasattr(value, "__len__") or getattr(value, "ndim", False)):
            return self.number(value, name)
        if getattr(value, "ndim", 1) != 1 or not len(value):
            raise ValueError(f"{name}: got {value!r}, wanted a number or a sequence of numbers in {self}")
        return tuple(self.number(each, f"{name}[{i}]") for i, each in enumerate(value))

    def optional_numbers(self, value: object, name: str) -> float | tuple[float, ...] | None:
        """Like `numbers`, None allowed."""
        return None if value is None else self.numbers(value, name)


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {value!r}, wanted True or False")
    return bool(value)


def _optional_integer(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, wanted an integer or None")
    if not -(2**63) <= int(value) < 2**63:
        raise ValueError(f"{name}: got {value}, wanted an integer of 64 bits")
    return int(value)


POSITIVE = Interval(0.0, open_low=True)
NON_NEGATIVE = Interval(0.0)
UNIT = Interval(0.0, 1.0)
OPEN_UNIT = Interval(0.0, 1.0, open_low=True, open_high=True)
BELOW_ONE = Interval(0.0, 1.0, open_high=True)
BELOW_HALF = Interval(0.0, 0.5, open_low=True, open_high=True)
REAL = Interval()
BELOW_INFINITY = Interval(open_high=True, infinite=True)


def parameter(
    default: Any,
    check: Check,
    *,
    as_input: float | None = None,
    kernel: bool = True,
    encode: Callable[[Any], float] = float,
) -> Any:
    """Declare a parameter of a loss: a field of its dataclass that `check` turns into its final value, or rejects.

    In the order of the fields, those with ``kernel=True`` are the members of the C++ struct. With `as_input` the
    parameter may be an array along the last axis and goes to the kernel as a further input; the number given stands
    for None. The kernel gets what `encode` makes of a value.
    """
    metadata = {"check": check, "as_input": as_input, "kernel": kernel and as_input is None, "encode": encode}
    return dataclasses.field(default=default, metadata=metadata)


def tweedie_power(value: Any, name: str) -> float:
    """Return the power of a variance if there is a distribution with it, or raise."""
    power = REAL.number(value, name)
    if 0.0 < power < 1.0:
        raise ValueError(f"{name}: got {power}, wanted a number at most 0 or at least 1")
    return power


def flag(default: bool, *, kernel: bool = True) -> Any:
    """Declare a parameter that is True or False."""
    return parameter(default, _flag, kernel=kernel)


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def word(self, value: object, name: str) -> str:
        """Return `value` if it is one of the words, or raise."""
        check_choice(value, name, self.words)
        return str(value)


def choice(default: str, choices: tuple[str, ...], *, kernel: bool = False) -> Any:
    """Declare a parameter that is one of some words; the kernel, if it is one of its own, gets its place among them."""
    return parameter(default, Choice(choices).word, kernel=kernel, encode=choices.index)


def number_or_none(default: float | None, interval: Interval) -> Any:
    """Declare a parameter that is a number of an interval or None, for which the kernel gets a negative one."""
    return parameter(default, interval.optional, encode=lambda value: -1.0 if value is None else value)


def integer_or_none() -> Any:
    """Declare a parameter that is an integer or None and not the kernel's."""
    return parameter(None, _optional_integer, kernel=False)


def _weights_or_none(value: object, name: str) -> tuple[float, ...] | None:
    weights = NON_NEGATIVE.optional_numbers(value, name)
    if isinstance(weights, float):
        raise TypeError(f"{name}: got {value!r}, wanted a sequence with a weight for each class")
    return weights


def weights_or_none() -> Any:
    """Declare a parameter that gives each class a weight, or is None."""
    return parameter(None, _weights_or_none, kernel=False)


def counts_of_classes(value: ArrayLike, name: str) -> Array:
    """View `value` as one axis of integers of at least 0, or say what is wrong with it."""
    array = as_array(value, name)
    if not is_integer(array):
        raise TypeError(f"{name}: got dtype {array.dtype}, wanted the number of samples of each class, integers")
    if array.ndim != 1:
        raise ValueError(f"{name}: got shape {array.shape}, wanted one axis, (classes,)")
    if array.size and array.min() < 0:
        raise ValueError(f"{name}: got {array.min()} at [{int(array.argmin())}], wanted integers of at least 0")
    return array


# Distances.


def as_rows(value: ArrayLike, name: str, *, width: int | None = None, of: str = "") -> Array:
    """View `value` as a matrix of rows, or say what is wrong with it."""
    array = as_array(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: got shape {array.shape}, wanted two axes, (rows, features)")
    if width is not None and array.shape[1] != width:
        raise ValueError(f"{name}: got rows of {array.shape[1]} features, wanted {width}, as those of {of}")
    return array


def check_shape(array: Array, name: str, shape: tuple[int, ...], what: str) -> None:
    """Raise unless `array` has that shape."""
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, wanted {shape}, {what}")


LABELS_OF_FLOAT32 = 1 << 24
"""As many labels float32 can tell apart."""


def check_choice(value: object, name: str, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the words."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {value!r}, wanted one of {', '.join(choices)}")
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(choices)}")


def check_counted(value: object, name: str, most: int, of: str) -> None:
    """Raise unless `value` is a positive integer, at most `most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, wanted a positive integer")
    if not 1 <= int(value) <= most:
        raise ValueError(f"{name}: got {value}, wanted 1 to {max(most, 0)}, the number of {of}")


def number_or_infinity(value: Any, name: str, interval: Interval) -> float:
    """Return `value` as a float of this interval or as infinity, or raise."""
    if isinstance(value, numbers.Real) and value == math.inf:
        return math.inf
    return interval.number(value, name)


def check_out_apart(
    out: object, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: dict[str, Array]
) -> None:
    """Like `check_out`, where inputs are read again after results have been written."""
    checked = check_out(out, name, shape, dtype, {})
    for other, array in inputs.items():
        if np.may_share_memory(checked, array) and _share_memory(checked, array):
            raise ValueError(f"{name}: got an array that overlaps {other}, wanted separate memory")


def _available_memory() -> float:
    """Bytes that this process could still get, infinity if the system does not tell."""
    available = math.inf
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(float(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        try:
            available = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return math.inf
    try:
        with (
            open("/sys/fs/cgroup/memory.max", encoding="ascii") as most,
            open("/sys/fs/cgroup/memory.current", encoding="ascii") as now,
        ):
            available = min(available, float(most.read()) - float(now.read()))
    except (OSError, ValueError):  # no such limit, or the word "max"
        pass
    return available


def check_fits(shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Raise if a matrix of distances would not fit in memory."""
    size, available = shape[0] * shape[1] * dtype.itemsize, _available_memory()
    if size > available:
        raise MemoryError(
            f"a matrix of {shape[0]} x {shape[1]} distances in {dtype} needs {size / 1e9:.1f} GB, of which "
            f"{available / 1e9:.1f} GB are available; wanted nearest() or within(), which store no matrix, or chunks "
            "of rows of a memory-mapped array as `out`"
        )


def distribution_rows(rows: Array, name: str) -> Array:
    """Return rows scaled to add up to 1, in float64."""
    rows = np.asarray(rows, np.float64)
    bad = ~(rows >= 0.0)
    if bad.any():
        row, column = (int(at[0]) for at in np.nonzero(bad))
        raise ValueError(f"{name}: got {rows[row, column]} at [{row}, {column}], wanted probabilities, at least 0")
    total = rows.sum(axis=1, keepdims=True)
    if rows.shape[1] and not (np.isfinite(total) & (total > 0.0)).all():
        row = int(np.argmax(~(np.isfinite(total) & (total > 0.0))))
        raise ValueError(f"{name}: got row {row} with sum {total[row, 0]}, wanted rows with a positive, finite sum")
    return rows / np.where(total > 0.0, total, 1.0)


def check_quadratic_form(value: ArrayLike, name: str, rows: Array) -> Array:
    """Return A with A @ A.T the positive semi-definite `value`, by default the inverse covariance of `rows`."""
    width = rows.shape[1]
    if value is None:
        if len(rows) <= width:
            raise ValueError(
                f"{name}: got None with {len(rows)} rows of {width} features, wanted more rows or a matrix"
            )
        matrix = np.linalg.pinv(np.atleast_2d(np.cov(rows.astype(np.float64).T)), hermitian=True)
    else:
        matrix = np.asarray(as_array(value, name), np.float64)
        check_shape(matrix, name, (width, width), "a row and a column for each feature")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name}: got a matrix with NaN or infinity, wanted finite numbers")
    largest = float(np.abs(matrix).max(initial=0.0))
    if not np.allclose(matrix, matrix.T, rtol=0.0, atol=1e-8 * largest):
        raise ValueError(f"{name}: got a matrix that is not symmetric, wanted a symmetric one")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values.size and values[0] < -1e-10 * largest:
        raise ValueError(f"{name}: got a matrix with eigenvalue {values[0]:g}, wanted a positive semi-definite one")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# Ranking.


def as_scores(value: ArrayLike, name: str) -> Array:
    """View `value` as one score for each item, or say what is wrong with it."""
    array = as_array(value, name)
    if array.ndim != 1:
        raise ValueError(f"{name}: got shape {array.shape}, wanted one axis, a score for each item")
    return array


def as_query(value: ArrayLike, name: str, count: int) -> Array:
    """View `value` as the id of the query of each of `count` items."""
    ids = as_array(value, name)
    if not is_integer(ids) and ids.size:
        raise TypeError(f"{name}: got dtype {ids.dtype}, wanted ids of an integer dtype")
    check_shape(ids, name, (count,), "an id for each item")
    return ids if is_integer(ids) else np.empty(0, np.int64)


def bad_relevance(target: Array, item: int) -> ValueError:
    """Error for the relevance of an item."""
    return ValueError(f"target: got relevance {target[item]} at index {item}, wanted a relevance of at least 0")


def count_or_none() -> Any:
    """Declare a parameter that is a positive integer, or None for no limit."""
    return parameter(None, lambda value, name: None if value is None else positive_integer(value, name))


# Embeddings.


def as_labels(value: ArrayLike, name: str, count: int, classes: int | None = None) -> NDArray[np.int64]:
    """Return a label for each of `count` rows; one of `classes` where these are numbered, else numbered from 0 here."""
    labels = as_array(value, name)
    if not is_integer(labels):
        raise TypeError(f"{name}: got dtype {labels.dtype}, wanted labels of an integer dtype")
    check_shape(labels, name, (count,), "a label for each row")
    if classes is not None:
        bad = (labels < 0) | (labels >= classes)
        if bad.any():
            raise bad_label(labels, labels.shape, int(np.argmax(bad)), classes, name=name)
    elif count and (labels.min() < 0 or labels.max() >= 4 * count):
        labels = np.unique(labels, return_inverse=True)[1].reshape(count)
    return np.ascontiguousarray(labels, np.int64)


def check_classes(labels: Array, name: str, shape: tuple[int, ...], classes: int) -> None:
    """Raise unless `labels` has one of as many classes for each place of `shape`."""
    if not is_integer(labels):
        raise TypeError(f"{name}: got dtype {labels.dtype}, wanted class indices of an integer dtype")
    check_shape(labels, name, shape, "a class index for each row of pred")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise bad_label(labels, shape, int(np.argmax((labels < 0) | (labels >= classes))), classes, name=name)


def as_indices(value: ArrayLike, name: str, places: int, count: int) -> NDArray[np.int64]:
    """Return tuples of indices of `count` rows."""
    indices = as_array(value, name)
    if indices.size == 0 and indices.ndim < 2:
        indices = np.empty((0, places), np.int64)
    if not is_integer(indices):
        raise TypeError(f"{name}: got dtype {indices.dtype}, wanted indices of an integer dtype")
    if indices.ndim != 2 or indices.shape[1] != places:
        raise ValueError(f"{name}: got shape {indices.shape}, wanted (n, {places}), {places} indices of rows each")
    bad = (indices < 0) | (indices >= count)
    if bad.any():
        row, place = (int(at[0]) for at in np.nonzero(bad))
        raise ValueError(f"{name}: got {indices[row, place]} at [{row}, {place}], wanted a row from 0 to {count - 1}")
    return np.ascontiguousarray(indices, np.int64)


def as_marks(value: ArrayLike, name: str, count: int, allowed: tuple[float, float]) -> NDArray[np.float64]:
    """Return one of two numbers for each of `count` pairs."""
    marks = as_array(value, name)
    check_shape(marks, name, (count,), "an element for each pair")
    bad = (marks != allowed[0]) & (marks != allowed[1])
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}: got {marks[at]} at index {at}, wanted {allowed[0]:g} or {allowed[1]:g}")
    return np.ascontiguousarray(marks, np.float64)


def check_triplets_fit(count: float) -> None:
    """Raise if as many triplets would not fit in memory."""
    size, available = 2 * 24 * count, _available_memory()
    if size > available:
        raise MemoryError(
            f"{count:.3g} triplets need {size / 1e9:.1f} GB, of which {available / 1e9:.1f} GB are available; wanted "
            "kind='hard' or 'semihard', or Triplet(mining='all'), which stores none"
        )


def count_from_one(default: int) -> Any:
    """Declare a parameter that is a positive integer."""
    return parameter(default, positive_integer)


# Weights, groups and tasks.


def checked_by(check: Check) -> dict[str, Any]:
    """Return the metadata of a parameter that has no default and is not the kernel's: an array."""
    return {"check": check, "as_input": None, "kernel": False}


def as_kept(value: ArrayLike, name: str) -> Array:
    """View `value` as an array that a loss may keep: nobody writes to it by way of the loss."""
    array = as_array(value, name).view()
    array.flags.writeable = False
    return array


def as_groups(value: ArrayLike, name: str, shape: tuple[int, ...] | None = None, of: str = "") -> Array:
    """View `value` as the numbers of groups, one for each element."""
    groups = as_array(value, name)
    if not is_integer(groups):
        raise TypeError(f"{name}: got dtype {groups.dtype}, wanted group numbers of an integer dtype")
    if shape is not None:
        check_shape(groups, name, shape, f"a group for each element of {of}")
    return groups


def bad_group(groups: Array, first: int, count: int) -> ValueError:
    """Error for the group at flat index `first`."""
    index = tuple(int(i) for i in np.unravel_index(first, groups.shape))
    return ValueError(f"groups: got {groups[index]} at index {index}, wanted a group from 0 to {count - 1}")


def as_seed(value: object) -> int:
    """Return a seed of 64 bits, or raise."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"seed: got {value!r}, wanted an integer")
    if not 0 <= int(value) < 2**64:
        raise ValueError(f"seed: got {value}, wanted an integer from 0 to 2**64 - 1")
    return int(value)
