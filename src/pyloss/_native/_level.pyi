"""
pyloss kernels for one micro-architecture level.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

Operand: typing.TypeAlias = tuple[numpy.typing.NDArray[typing.Any], int]

class ElementwisePlan:
    """
    A sum of elementwise losses, ready to be called.
    """
    def __init__(
        self,
        terms: collections.abc.Sequence[
            tuple[str, collections.abc.Sequence[float], float, collections.abc.Sequence[float] | None]
        ],
    ) -> None: ...
    def run(
        self,
        inputs: collections.abc.Sequence[Operand],
        own_inputs: collections.abc.Sequence[collections.abc.Sequence[Operand]],
        weight: Operand | None,
        value: Operand | None,
        grad: collections.abc.Sequence[Operand],
        hess: collections.abc.Sequence[Operand],
        surrogate: collections.abc.Sequence[tuple[float, float]],
        scale: collections.abc.Sequence[float],
        want: int,
        float64: bool,
        threads: int,
    ) -> list[float]: ...
    def small(
        self, pred: typing.Any, target: typing.Any, want: int, reduction: typing.Any, out: typing.Any, /
    ) -> typing.Any: ...
    def tally(
        self,
        inputs: collections.abc.Sequence[Operand],
        own_inputs: collections.abc.Sequence[collections.abc.Sequence[Operand]],
        float64: bool,
        columns: collections.abc.Sequence[Operand],
        weight: Operand | None,
        groups: tuple[Operand, int, typing.Annotated[numpy.typing.ArrayLike, numpy.int64]] | None,
        sums: numpy.ndarray,
        threads: int,
    ) -> bool: ...

class RowComponent:
    """
    A row loss with its parameters.
    """
    def __init__(
        self,
        name: str,
        parameters: collections.abc.Sequence[float],
        class_weight: collections.abc.Sequence[float],
        label_smoothing: float,
        softcap: float,
        temperature: float,
        ignored: int | None,
    ) -> None: ...

class Queries:
    """
    Which items are of the same query, the queries by ascending id; None: all.
    """
    def __init__(self, ids: Operand | None, size: int) -> None: ...
    @property
    def count(self) -> int:
        """
        How many queries there are.
        """

def bfloat16_unit() -> str:
    """
    The one in use.
    """

def bfloat16_units() -> list[str]:
    """
    Instructions for products of bfloat16 that this CPU has and this level uses, the best one last.
    """

def box_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of boxes.
    """

def box_matrix(kind: str, format: int, a: Operand, b: Operand, out: Operand, float64: bool, threads: int) -> None: ...
def boxes(
    kind: str,
    format: int,
    eps: float,
    pred: Operand,
    target: Operand,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    scale: float,
    threads: int,
) -> float: ...
def check_labels(
    labels: Operand,
    shape: collections.abc.Sequence[int],
    classes: int,
    component: RowComponent,
    weight: Operand | None,
    threads: int,
) -> tuple[int | None, float]:
    """
    First index of a label that is no class, if any, and the sum of weight times class weight over the rows that count.
    """

def check_weights(weight: Operand, shape: collections.abc.Sequence[int], threads: int) -> tuple[int | None, float]:
    """
    First index of a negative or non-finite weight, if any, and the sum of the weights broadcast to `shape`.
    """

def clip_rows(
    grads: Operand, norm: float, noise: float, seed: int, scale: float, out: Operand, threads: int
) -> None: ...
def combine(
    rows: collections.abc.Sequence[Operand], coefficients: collections.abc.Sequence[float], out: Operand, threads: int
) -> None: ...
def covariance(
    loss: str,
    parameters: collections.abc.Sequence[float],
    x: numpy.ndarray,
    y: numpy.ndarray,
    grads: tuple[numpy.ndarray, numpy.ndarray] | None,
    threads: int,
) -> float: ...
def covariance_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of the covariances of two batches.
    """

def directions(rows: numpy.ndarray, centred: bool, threads: int) -> numpy.typing.NDArray[numpy.float64]: ...
def dropout(x: Operand, p: float, seed: int, float64: bool, out: Operand, threads: int) -> None: ...
def elementwise_losses() -> dict[str, tuple[int, int, int]]:
    """
    Name -> numbers of parameters, inputs and gradients of every elementwise kernel.
    """

def embedding(
    loss: str,
    parameters: collections.abc.Sequence[float],
    metric: str,
    x: numpy.ndarray,
    x_labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    y: numpy.ndarray,
    y_labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    self: bool,
    mean: bool,
    scale: float,
    terms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    grad_x: numpy.ndarray | None,
    grad_y: numpy.ndarray | None,
    threads: int,
) -> float: ...
def embedding_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of a batch of embeddings.
    """

def group_range(groups: Operand, threads: int) -> tuple[int, int]:
    """
    The least and the largest number of a group; of no groups, the least is the larger.
    """

def group_spread(
    cells: tuple[Operand, int, Operand | None, int],
    factor: Operand | None,
    slope: numpy.typing.NDArray[numpy.float64],
    bend: numpy.typing.NDArray[numpy.float64],
    grad: Operand,
    hess: Operand | None,
    threads: int,
) -> None: ...
def group_sums(
    values: Operand,
    cells: tuple[Operand, int, Operand | None, int],
    weight: Operand | None,
    summand: int,
    scale: float,
    float64: bool,
    threads: int,
) -> tuple[int | None, numpy.typing.NDArray[numpy.float64]]:
    """
    First index of an element of no group or class, if any, and two sums of each cell, class by class.
    """

def inner_products(
    rows: collections.abc.Sequence[Operand], scale: float, threads: int
) -> numpy.typing.NDArray[numpy.float64]: ...
def lovasz(
    loss: str,
    pred: Operand,
    target: Operand,
    labels: bool,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    scale: float,
    float64: bool,
    threads: int,
) -> float: ...
def lovasz_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of sorted errors.
    """

@typing.overload
def math(name: str, x: numpy.typing.NDArray[numpy.float32], out: numpy.typing.NDArray[numpy.float32]) -> None:
    """
    Applies an elementary function.
    """

@typing.overload
def math(name: str, x: numpy.typing.NDArray[numpy.float64], out: numpy.typing.NDArray[numpy.float64]) -> None: ...
def max_threads() -> int:
    """
    What OpenMP would use now: OMP_NUM_THREADS or threadpoolctl's limit.
    """

def merge_tallies(
    from_sums: numpy.ndarray, cells: collections.abc.Sequence[int], columns: int, sums: numpy.ndarray
) -> None:
    """
    Adds sums to those of the cells.
    """

def mine(
    kind: str,
    metric: str,
    x: numpy.ndarray,
    labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    threads: int,
) -> numpy.typing.NDArray[numpy.int64]: ...
def nearest(
    metric: tuple[str, float], x: numpy.ndarray, y: numpy.ndarray, self: bool, float64: bool, k: int, threads: int
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]: ...
def overlap(
    terms: collections.abc.Sequence[tuple[str, collections.abc.Sequence[float]]],
    pred: Operand,
    target: Operand,
    per_class: bool,
    together: bool,
    squared: bool,
    logits: bool,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    scale: collections.abc.Sequence[float],
    float64: bool,
    threads: int,
) -> list[float]: ...
def overlap_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of overlapping masks.
    """

def paired(
    metric: tuple[str, float], x: numpy.ndarray, y: numpy.ndarray, threads: int
) -> numpy.typing.NDArray[numpy.float64]: ...
def pairwise(
    metric: tuple[str, float], x: numpy.ndarray, y: numpy.ndarray, self: bool, float64: bool, out: Operand, threads: int
) -> None: ...
def pairwise_vjp(
    metric: tuple[str, float], x: numpy.ndarray, y: numpy.ndarray, cotangent: Operand, threads: int
) -> numpy.typing.NDArray[numpy.float64]: ...
def penalty(
    loss: str,
    parameters: collections.abc.Sequence[float],
    inputs: collections.abc.Sequence[Operand],
    grad: Operand | None,
    hess: Operand | None,
    want: int,
    step: float,
    float64: bool,
    threads: int,
) -> float: ...
def penalty_losses() -> dict[str, tuple[int, int]]:
    """
    Name -> (number of parameters, number of inputs) of every kernel of weights.
    """

@typing.overload
def power(
    x: numpy.typing.NDArray[numpy.float32], y: float, less_one: bool, out: numpy.typing.NDArray[numpy.float32]
) -> None:
    """
    x^y, or (1 + x)^y - 1.
    """

@typing.overload
def power(
    x: numpy.typing.NDArray[numpy.float64], y: float, less_one: bool, out: numpy.typing.NDArray[numpy.float64]
) -> None: ...
def quantile_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of quantiles.
    """

def quantiles(
    terms: collections.abc.Sequence[tuple[str, collections.abc.Sequence[float]]],
    pred: Operand,
    target: Operand,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    hess: Operand | None,
    scale: collections.abc.Sequence[float],
    float64: bool,
    threads: int,
) -> list[float]: ...
def ranking(
    loss: str,
    parameters: collections.abc.Sequence[float],
    queries: Queries,
    pred: Operand,
    target: Operand,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    hess: Operand | None,
    mean: bool,
    want: int,
    float64: bool,
    threads: int,
) -> tuple[float, int | None]:
    """
    The reduced value, and the first item whose relevance the loss does not allow, if any: then nothing is written.
    """

def ranking_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of lists.
    """

def rowwise(
    components: collections.abc.Sequence[RowComponent],
    scores: Operand,
    target: Operand | None,
    teacher: Operand | None,
    labels: bool,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    hess: Operand | None,
    surrogate: collections.abc.Sequence[tuple[float, float]],
    scale: collections.abc.Sequence[float],
    want: int,
    float64: bool,
    threads: int,
) -> list[float]: ...
def rowwise_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every rowwise kernel.
    """

@typing.overload
def stirling_fall(
    z: numpy.typing.NDArray[numpy.float32],
    t: numpy.typing.NDArray[numpy.float32],
    order: int,
    out: numpy.typing.NDArray[numpy.float32],
) -> None:
    """
    By how much Stirling's remainder, its slope or bend fall from z to z + t.
    """

@typing.overload
def stirling_fall(
    z: numpy.typing.NDArray[numpy.float64],
    t: numpy.typing.NDArray[numpy.float64],
    order: int,
    out: numpy.typing.NDArray[numpy.float64],
) -> None: ...
def tally(
    columns: collections.abc.Sequence[Operand],
    rows: int,
    weight: Operand | None,
    groups: tuple[Operand, int, typing.Annotated[numpy.typing.ArrayLike, numpy.int64]] | None,
    sums: numpy.ndarray,
    threads: int,
) -> bool:
    """
    Adds weight times each column to the sums of the rows' cells; False and nothing if a row has none.
    """

def tally_size(columns: int) -> int:
    """
    How many numbers the sums of a cell take: sums, count, and what they lack.
    """

@typing.overload
def times_power(
    a: numpy.typing.NDArray[numpy.float32],
    x: numpy.typing.NDArray[numpy.float32],
    y: float,
    out: numpy.typing.NDArray[numpy.float32],
) -> None:
    """
    a x^y, also where x^y alone is out of range.
    """

@typing.overload
def times_power(
    a: numpy.typing.NDArray[numpy.float64],
    x: numpy.typing.NDArray[numpy.float64],
    y: float,
    out: numpy.typing.NDArray[numpy.float64],
) -> None: ...
def tuples(
    loss: str,
    parameters: collections.abc.Sequence[float],
    metric: str,
    inputs: collections.abc.Sequence[numpy.ndarray],
    sources: collections.abc.Sequence[int],
    indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    marks: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    mean: bool,
    terms: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    grads: collections.abc.Sequence[numpy.ndarray],
    threads: int,
) -> float: ...
def tuples_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every kernel of given tuples of rows.
    """

def use_bfloat16_unit(name: str) -> None:
    """
    Chooses another one.
    """

def within(
    metric: tuple[str, float],
    x: numpy.ndarray,
    y: numpy.ndarray,
    self: bool,
    float64: bool,
    radius: float,
    threads: int,
) -> tuple[
    numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]
]: ...

compiler: str
level: str
math_functions: tuple[str, ...]
openmp: int
