"""The verbs of penalties of weights, and how a loss holds arrays."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any

import numpy as np

from .._arguments import (
    NON_NEGATIVE,
    Array,
    ArrayLike,
    as_array,
    check_broadcast,
    needs_float64,
    operand,
    result_dtype,
)
from .._native import kernels
from ._call import GRAD, HESS, VALUE, Call, turner
from ._loss import Loss, kernel_parameters

PROX = 3
"""Beside VALUE, GRAD and HESS; C++'s enum PenaltyWant."""


class Penalty(Loss):
    """A loss of weights alone: a number that is added to the loss of the predictions."""

    @abstractmethod
    def _compute(self, call: Call, weights: Array, step: float | None) -> tuple[float, Array | None, Array | None]:
        """Compute value, gradient and Hessian as far as wanted; with a step, the proximal map as the gradient."""

    def __call__(self, weights: ArrayLike) -> float:
        """Compute the penalty.

        Parameters
        ----------
        weights : array_like
            Of any shape; float32, float64, float16 or bfloat16 (integers and bool count as float64).

        Returns
        -------
        float
            One number, added up in float64.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what is wanted.
        """
        return self._compute(Call(VALUE, "sum", None), as_array(weights, "weights"), None)[0]

    def value_and_grad(self, weights: ArrayLike, *, out: Array | None = None) -> tuple[float, Array]:
        """Compute the penalty and its gradient.

        Parameters
        ----------
        weights : array_like
            As for the call.
        out : ndarray, optional
            Takes the gradient: of the dtype and shape of `weights`, and may be `weights` itself.

        Returns
        -------
        value : float
            As for the call.
        grad : ndarray
            Dtype and shape of `weights`.
        """
        value, grad, _ = self._compute(Call(GRAD, "sum", out), as_array(weights, "weights"), None)
        assert grad is not None
        return value, grad

    def value_grad_hess(
        self, weights: ArrayLike, *, out: tuple[Array, Array] | None = None
    ) -> tuple[float, Array, Array]:
        """Compute the penalty, its gradient and the diagonal of its Hessian.

        Parameters
        ----------
        weights : array_like
            As for the call.
        out : (ndarray, ndarray), optional
            Takes the gradient and the Hessian: each of the dtype and shape of `weights`; one may be `weights` itself.

        Returns
        -------
        value : float
            As for the call.
        grad, hess : ndarray
            First and second derivatives; dtype and shape of `weights`.
        """
        value, grad, hess = self._compute(Call(HESS, "sum", out), as_array(weights, "weights"), None)
        assert grad is not None
        assert hess is not None
        return value, grad, hess

    def prox(self, weights: ArrayLike, step: float, *, out: Array | None = None) -> Array:
        r"""Compute the proximal map: the weights after a step of proximal gradient descent.

        .. math:: \arg\min_u \; \text{penalty}(u) + \|u - \text{weights}\|^2 / (2 \cdot \text{step})

        Parameters
        ----------
        weights : array_like
            As for the call: the weights after a step along the gradient of the rest of the loss.
        step : float
            Length of that step, the learning rate; at least 0.
        out : ndarray, optional
            Takes the result: of the dtype and shape of `weights`, and may be `weights` itself.

        Returns
        -------
        ndarray
            Dtype and shape of `weights`.
        """
        length = NON_NEGATIVE.number(step, "step")
        result = self._compute(Call(GRAD, "sum", out), as_array(weights, "weights"), length)[1]
        assert result is not None
        return result


class ElementwisePenalty(Penalty):
    """A penalty that is a sum over the weights."""

    @classmethod
    def _check_kernel(cls) -> None:
        if cls.name not in kernels.penalty_losses():
            raise ImportError(
                f"{cls.__name__}: there is no kernel of weights {cls.name!r}; the list in registry.hpp lacks it"
            )

    @property
    def _parameters(self) -> list[float]:
        return kernel_parameters(self)

    @property
    def _own_inputs(self) -> dict[str, Array]:
        """Arrays that go to the kernel beside the weights."""
        return {}

    def _compute(self, call: Call, weights: Array, step: float | None) -> tuple[float, Array | None, Array | None]:
        own = self._own_inputs
        for name, array in own.items():
            check_broadcast(array, name, weights.shape, "weights")
        inputs = {"weights": weights} | own
        _, grad, hess = call.outputs(weights.shape, (), result_dtype(weights), inputs)
        turn = turner(weights)
        value = kernels.penalty(
            loss=self.name,
            parameters=self._parameters,
            inputs=[operand(turn(array)) for array in inputs.values()],
            grad=None if grad is None else operand(turn(grad)),
            hess=None if hess is None else operand(turn(hess)),
            want=call.want if step is None else PROX,
            step=step or 0.0,
            float64=needs_float64(inputs.values()),
            threads=call.threads,
        )
        return value, grad, hess


class HoldsArrays:
    """Equality, hash and text of a loss some of whose parameters are arrays."""

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, HoldsArrays)

        def equal(a: Any, b: Any) -> bool:
            if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
                return a.dtype == b.dtype and np.array_equal(a, b)
            return type(a) is type(b) and bool(a == b)

        return all(equal(a, b) for a, b in zip(self._values().values(), other._values().values(), strict=True))

    def __hash__(self) -> int:
        # Of an array only what cannot change.
        return hash(
            (type(self), *((v.shape, v.dtype) if isinstance(v, np.ndarray) else v for v in self._values().values()))
        )

    def __repr__(self) -> str:
        def show(value: Any) -> str:
            return f"<{value.dtype} {value.shape}>" if isinstance(value, np.ndarray) else repr(value)

        shown = ", ".join(f"{name}={show(value)}" for name, value in self._values().items())
        return f"{type(self).__name__}({shown})"
