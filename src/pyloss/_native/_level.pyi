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
        grad: Operand | None,
        hess: Operand | None,
        scale: collections.abc.Sequence[float],
        want: int,
        float64: bool,
        threads: int,
    ) -> list[float]: ...
    def small(self, pred: typing.Any, target: typing.Any, want: int, reduction: typing.Any, /) -> typing.Any: ...

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

def elementwise_losses() -> dict[str, tuple[int, int]]:
    """
    Name -> (number of parameters, number of inputs) of every elementwise kernel.
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

def rowwise(
    components: collections.abc.Sequence[RowComponent],
    scores: Operand,
    target: Operand,
    labels: bool,
    weight: Operand | None,
    value: Operand | None,
    grad: Operand | None,
    hess: Operand | None,
    scale: collections.abc.Sequence[float],
    want: int,
    float64: bool,
    threads: int,
) -> list[float]: ...
def rowwise_losses() -> dict[str, int]:
    """
    Name -> number of parameters of every rowwise kernel.
    """

compiler: str
level: str
math_functions: tuple[str, ...]
openmp: int
