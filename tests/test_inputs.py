"""Losses of other inputs than `pred` and `target`, or with gradients by several: all of them as arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import pyloss as pl
from cases import CASES, Case, Expected, assert_same_bits, draw_inputs, same_bits

pytestmark = pytest.mark.usefixtures("level")


def has_more(case: Case) -> bool:
    return not case.rowwise and (len(case.inputs) != 2 or len(case.gradients) > 1)


# One of each loss and its choice of inputs.
WITH_MORE = list({(case.cls, case.inputs): case for case in reversed(CASES) if has_more(case)}.values())[::-1]
OF_SEVERAL = [case for case in WITH_MORE if len(case.inputs) > 1]
every_case = pytest.mark.parametrize("case", [case for case in CASES if has_more(case)], ids=str)
every_loss = pytest.mark.parametrize("case", WITH_MORE, ids=str)
every_loss_of_several = pytest.mark.parametrize("case", OF_SEVERAL, ids=str)
full_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
REDUCTIONS = ["mean", "sum", "none"]


def by_each(case: Case, derivatives: Any) -> tuple[np.ndarray, ...]:
    """Derivatives as a tuple, also of a loss that has them by one input."""
    return derivatives if len(case.gradients) > 1 else (derivatives,)


def flat(case: Case, results: tuple[Any, ...]) -> tuple[Any, ...]:
    """Value and derivatives of a call, one after the other."""
    return (results[0], *(each for kind in results[1:] for each in by_each(case, kind)))


def alone(inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`pred` and `target` as cases have them: there is a target even for losses that take none."""
    return inputs[0], inputs[1] if len(inputs) > 1 else inputs[0]


@full_dtype
@every_case
@pytest.mark.parametrize("size", [0, 1, 17, 4099])
def test_arrays(case, size, dtype):
    inputs = draw_inputs(case, size, dtype)
    weight = np.random.default_rng(3).choice([0.0, 0.5, 1.75], size).astype(dtype)
    for reduction in REDUCTIONS:
        for w in (None, weight):
            value, grad, hess = case.bare().value_grad_hess(*inputs, weight=w, reduction=reduction)
            for by, (g, h) in enumerate(zip(by_each(case, grad), by_each(case, hess), strict=True)):
                one = replace(case, extra=inputs[2:], by=by)
                Expected(one, *alone(inputs)).check((value, g, h), w, reduction)


@every_loss
def test_types_of_gradients_are_those_of_their_inputs(case, dtype):
    others = [np.dtype(np.float64), *[dtype] * 3]
    inputs = [each.astype(kind) for each, kind in zip(draw_inputs(case, 33), others, strict=False)]
    _, grad = case.bare().value_and_grad(*inputs)
    for name, each in zip(case.gradients, by_each(case, grad), strict=True):
        assert each.dtype == inputs[case.inputs.index(name)].dtype
    want = case.bare().value_and_grad(*(each.astype(float) for each in inputs))
    for got, whole in zip(by_each(case, grad), by_each(case, want[1]), strict=True):
        assert same_bits(got, whole.astype(got.dtype))


@every_loss
def test_half_types_are_float32_rounded_once(case):
    inputs = draw_inputs(case, 1001, np.float16)
    results = flat(case, case.bare().value_grad_hess(*inputs, reduction="none"))
    single = flat(case, case.bare().value_grad_hess(*(each.astype(np.float32) for each in inputs), reduction="none"))
    with np.errstate(over="ignore"):
        assert all(same_bits(got, want.astype(np.float16)) for got, want in zip(results, single, strict=True))


@every_case
def test_threads_do_not_change_a_bit(case, dtype):
    inputs = draw_inputs(case, 200_003, dtype)
    with pl.num_threads(1):
        want = flat(case, case.bare().value_grad_hess(*inputs))
    for count in (2, 3, 7):
        with pl.num_threads(count):
            got = flat(case, case.bare().value_grad_hess(*inputs))
        assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))


@every_loss
def test_weight_zero_leaves_nan_out(case, dtype):
    inputs = draw_inputs(case, 40, dtype)
    weight = (np.arange(40) % 3).astype(dtype)
    want = flat(case, case.bare().value_grad_hess(*inputs, weight=weight))
    for each in inputs:
        spoilt = [other if other is not each else np.where(weight == 0, np.nan, each).astype(dtype) for other in inputs]
        got = flat(case, case.bare().value_grad_hess(*spoilt, weight=weight))
        assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))


@every_loss
def test_nan_of_any_input_shows(case):
    inputs = draw_inputs(case, 5)
    for i in range(len(inputs)):
        spoilt = [each.copy() for each in inputs]
        spoilt[i][3] = np.nan
        value = case.bare()(*spoilt, reduction="none")
        assert np.isnan(value).tolist() == [False] * 3 + [True, False]


@pytest.mark.parametrize("shape", [(), (1,), (10,), (8, 1), (1, 8, 10), (6, 1, 1), (6, 8, 10)], ids=str)
@every_loss_of_several
def test_broadcast_inputs(case, shape, dtype):
    """Derivatives by a broadcast input are added up over its places."""
    whole = [each.reshape(6, 8, 10) for each in draw_inputs(case, 480, dtype)]
    if dtype == np.float16:  # so that nothing overflows
        for i in (0, 1, *(2 + i for i, domain in enumerate(case.domains) if np.isinf(domain.low))):
            whole[i] = whole[i] / dtype.type(4)
    weight = (np.arange(480).reshape(6, 8, 10) % 3).astype(dtype)
    for i in range(1, len(whole)):
        small = whole[i].ravel()[: int(np.prod(shape))].reshape(shape)
        inputs, copied = list(whole), list(whole)
        inputs[i], copied[i] = small, np.broadcast_to(small, (6, 8, 10)).copy()
        for w in (None, weight):
            each = case.bare().value_grad_hess(*copied, weight=w, reduction="none")
            assert_same_bits(
                flat(case, case.bare().value_grad_hess(*inputs, weight=w, reduction="none")), flat(case, each)
            )
            value, *kinds = case.bare().value_grad_hess(*inputs, weight=w, reduction="sum")
            assert value == case.bare()(*copied, weight=w, reduction="sum")
            for kind, places in zip(kinds, each[1:], strict=True):
                for name, got, want in zip(case.gradients, by_each(case, kind), by_each(case, places), strict=True):
                    if case.inputs.index(name) != i:
                        assert same_bits(got, want)
                        continue
                    assert got.shape == shape
                    assert got.dtype == dtype
                    axes = tuple(range(3 - len(shape))) + tuple(
                        axis + 3 - len(shape) for axis, size in enumerate(shape) if size == 1
                    )
                    numbers = want.astype(float)
                    assert_allclose(
                        got.astype(float),
                        numbers.sum(axes).reshape(shape),
                        rtol=0,
                        atol=0.51 * float(pl_eps(dtype)) * (np.abs(numbers).sum(axes).max() * 2),
                    )


def pl_eps(dtype: np.dtype) -> float:
    """Spacing of numbers at 1."""
    if dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(dtype).eps)


@every_loss
def test_inputs_by_name(case):
    inputs = draw_inputs(case, 9)
    names = case.inputs
    want = flat(case, case.bare().value_grad_hess(*inputs))
    for count in range(1, len(names)):
        named = dict(zip(names[count:], inputs[count:], strict=True))
        got = flat(case, case.bare().value_grad_hess(*inputs[:count], **named))
        assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))
        with pytest.raises(TypeError, match=f"^{names[-1]}: got nothing, wanted {names[0]}"):
            case.bare()(*inputs[:-1])
    with pytest.raises(TypeError, match="^nonsense: got it unexpectedly, wanted"):
        case.bare()(*inputs, nonsense=1.0)
    with pytest.raises(TypeError, match=rf"^inputs: got {len(names) + 1} arrays, wanted"):
        case.bare()(*inputs, inputs[0])
    if len(names) > 1:
        with pytest.raises(TypeError, match=f"{names[1]}: got it twice|multiple values for argument '{names[1]}'"):
            case.bare()(*inputs, **{names[1]: inputs[1]})


@every_loss_of_several
def test_inputs_that_do_not_fit_are_named(case):
    inputs, first = draw_inputs(case, 12), case.inputs[0]
    for i, name in enumerate(case.inputs[1:], 1):
        bad = list(inputs)
        bad[i] = inputs[i][:5]
        with pytest.raises(ValueError, match=rf"^{name}: got shape \(5,\), wanted the shape of {first}, \(12,\), or"):
            case.bare()(*bad)
        bad[i] = inputs[i].astype(str)
        with pytest.raises(TypeError, match=f"^{name}: got dtype <U32"):
            case.bare()(*bad)


@every_loss
def test_out(case, dtype):
    inputs = draw_inputs(case, 50, dtype)
    loss, names = case.bare(), case.gradients
    want = flat(case, loss.value_grad_hess(*inputs))
    outs = [tuple(np.full_like(inputs[0], 7) for _ in names) for _ in range(2)]
    given = [each if len(names) > 1 else each[0] for each in outs]
    value, grad = loss.value_and_grad(*inputs, out=given[0])
    assert value == want[0]
    assert all(a is b for a, b in zip(by_each(case, grad), outs[0], strict=True))
    results = flat(case, loss.value_grad_hess(*inputs, out=tuple(given)))
    assert all(a is b for a, b in zip(results[1:], (*outs[0], *outs[1]), strict=True))
    assert all(same_bits(a, b) for a, b in zip(results, want, strict=True))
    if len(names) > 1:
        with pytest.raises(TypeError, match=rf"^out: got tuple, wanted a tuple of {len(names)} arrays, for {names[0]}"):
            loss.value_and_grad(*inputs, out=outs[0][:-1])
        with pytest.raises(ValueError, match="^out: got .* arrays that overlap"):
            loss.value_and_grad(*inputs, out=(outs[0][0],) * len(names))
        with pytest.raises(TypeError, match=r"^out\[1\]: got ndarray, wanted a tuple of"):
            loss.value_grad_hess(*inputs, out=(outs[0], outs[1][0]))
        # Each may be the input that it is by.
        own = [each.copy() for each in inputs]
        by = tuple(own[case.inputs.index(name)] for name in names)
        got = flat(case, loss.value_and_grad(*own, out=by))
        assert all(same_bits(a, b) for a, b in zip(got, want[: 1 + len(names)], strict=True))


@every_loss
def test_strided_inputs(case, dtype):
    inputs = draw_inputs(case, 60, dtype)
    want = flat(case, case.bare().value_grad_hess(*inputs, reduction="none"))
    for i in range(len(inputs)):
        laid = list(inputs)
        laid[i] = np.repeat(inputs[i], 2)[::2]
        got = flat(case, case.bare().value_grad_hess(*laid, reduction="none"))
        assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))
        laid[i] = np.ascontiguousarray(inputs[i][::-1])[::-1]
        got = flat(case, case.bare().value_grad_hess(*laid, reduction="none"))
        assert all(same_bits(a, b) for a, b in zip(got, want, strict=True))


@every_loss
def test_sums_of_a_loss_with_itself(case):
    inputs = draw_inputs(case, 100)
    loss = case.bare()
    want = flat(case, loss.value_grad_hess(*inputs, reduction="none"))
    got = flat(case, (0.5 * loss + 2 * loss).value_grad_hess(*inputs, reduction="none"))
    for a, b in zip(got, want, strict=True):
        assert_allclose(a, 2.5 * b, rtol=1e-15)
