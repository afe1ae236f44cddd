"""Whatever NumPy can view: layouts, types, other libraries' arrays, and very many elements."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import (
    CLASSES,
    DEFAULTS,
    LONG_ROWS,
    LOSSES,
    Case,
    assert_same_bits,
    every_elementwise_loss,
    every_loss,
    rows,
    same_bits,
)

# Views of an array of shape (6, 8, 10), or (6, 8), with the same elements, laid out otherwise.
LAYOUTS = {
    "F order": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "strided rows": lambda x: np.repeat(x, 3, axis=0)[::3],
    "backwards": lambda x: np.flip(np.ascontiguousarray(np.flip(x, (0, -1))), (0, -1)),
    "transposed": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1),
    "swapped": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    "a field": lambda x: in_record(x, x.dtype),
    "a packed field": lambda x: in_record(x, np.uint8),
    "misaligned": lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "read-only": lambda x: read_only(x),
}


def in_record(x, head):
    records = np.zeros(x.shape, [("head", head), ("it", x.dtype)])
    records["it"] = x
    return records["it"]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def draw(case: Case, dtype) -> tuple[np.ndarray, np.ndarray]:
    if case.rowwise:
        pred, target = case.draw(48, dtype, probabilities=True)
        return pred.reshape(6, 8, CLASSES), target.reshape(6, 8, *target.shape[1:])
    return tuple(each.reshape(6, 8, 10) for each in case.draw(480, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@every_loss
def test_layouts(case, layout, dtype):
    lay, loss, (pred, target) = LAYOUTS[layout], case.loss(), draw(case, dtype)
    weight = (np.arange(pred.size // (CLASSES if case.rowwise else 1)) % 3).astype(dtype)
    weight = weight.reshape(pred.shape[: 2 if case.rowwise else 3])
    plain = loss.value_grad_hess(pred, target, reduction="none"), loss.value_grad_hess(pred, target, weight=weight)
    for p, t in ((lay(pred), target), (pred, lay(target)), (lay(pred), lay(target))):
        assert_same_bits(loss.value_grad_hess(p, t, reduction="none"), plain[0])
        value, *derivatives = loss.value_grad_hess(p, t, weight=weight)
        assert_same_bits(tuple(derivatives), plain[1][1:])
        assert_allclose(value, plain[1][0], rtol=1e-14)  # added up in the order of memory
    if layout not in ("read-only", "misaligned", "a packed field"):
        out = lay(np.full_like(pred, 7)), lay(np.full_like(pred, 7))
        results = loss.value_grad_hess(lay(pred), lay(target), reduction="none", out=out)
        assert results[1] is out[0]
        assert results[2] is out[1]
        assert_same_bits(results, plain[0])


@every_loss
def test_gaps_between_output_elements_stay(case, dtype):
    pred, target = draw(case, dtype)
    memory = np.full((6, 8, 20), 7, dtype)
    case.loss().value_and_grad(pred, target, out=memory[..., ::2])
    assert (memory[..., 1::2] == 7).all()
    flat, labels = case.draw(5, dtype)
    border = np.full((7, *flat.shape[1:]), 7, dtype)
    case.loss().value_and_grad(flat, labels, out=border[1:-1])
    assert (border[[0, -1]] == 7).all()


@pytest.mark.parametrize(
    "shape", [(), (1,), (10,), (1, 10), (8, 1), (8, 10), (6, 1, 1), (1, 8, 10), (6, 8, 10)], ids=str
)
@every_elementwise_loss
def test_broadcast_targets_and_weights(case, shape, dtype):
    pred, target = draw(case, dtype)
    small = target[tuple(slice(size) for size in ((6, 8, 10)[3 - len(shape) :] if shape else ()))]
    small = np.ascontiguousarray(
        target.ravel()[: int(np.prod(shape))].reshape(shape) if small.shape != shape else small
    )
    weight = (np.arange(small.size).reshape(shape) % 3 + 1).astype(dtype)
    whole = np.broadcast_to(small, pred.shape).copy(), np.broadcast_to(weight, pred.shape).copy()
    for reduction in ("none", "mean"):
        got = case.loss().value_grad_hess(pred, small, weight=weight, reduction=reduction)
        assert_same_bits(got, case.loss().value_grad_hess(pred, whole[0], weight=whole[1], reduction=reduction))
    # A prediction may be a broadcast view itself.
    one = np.broadcast_to(pred[:1], pred.shape)
    got = case.loss().value_grad_hess(one, target, reduction="none")
    assert_same_bits(got, case.loss().value_grad_hess(one.copy(), target, reduction="none"))


@pytest.mark.parametrize("shape", [(), (1,), (8,), (1, 8), (6, 1), (6, 8)], ids=str)
def test_broadcast_weights_of_rows(shape):
    pred, target = draw(Case(pl.CrossEntropy), np.float32)
    weight = np.arange(np.prod(shape)).reshape(shape) % 3 + 1
    whole = np.broadcast_to(weight, (6, 8)).copy()
    for labels in (target, np.argmax(target, axis=-1), target[:1, :1]):
        got = pl.CrossEntropy().value_grad_hess(pred, labels, weight=weight)
        assert_same_bits(got, pl.CrossEntropy().value_grad_hess(pred, labels, weight=whole))


SUMS = {
    "a sum": lambda: 0.7 * pl.MSE() + 0.3 * pl.MAE(),
    "three": lambda: pl.MSE() + 0.5 * pl.LogCosh() + pl.Quantile(q=0.3),
    "a row sum": lambda: 0.5 * pl.CrossEntropy() + pl.CrossEntropy(softcap=5.0, label_smoothing=0.1),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["mse", *sorted(set(LOSSES) - {"mse"}), *SUMS])
def test_in_place(name, weighted, dtype):
    """`out` may be an input: pred, target or weight; also as the first or the second of two."""
    of = {"a row sum": "cross_entropy"}.get(name, "mse") if name in SUMS else name
    case = next(case for case in DEFAULTS if case.name == of)
    loss = SUMS[name]() if name in SUMS else case.loss()
    for pred, target in (
        case.draw(4099, dtype),
        draw(case, dtype),
        tuple(each.swapaxes(0, 1) for each in draw(case, dtype)),
    ):
        rows = pred.shape[:-1] if case.rowwise else pred.shape
        weight = (np.arange(np.prod(rows)).reshape(rows) % 3).astype(dtype) if weighted else None
        for reduction in ("mean", "none"):
            value, grad, hess = loss.value_grad_hess(pred, target, weight=weight, reduction=reduction)
            own = pred.copy(order="K")
            got = loss.value_and_grad(own, target, weight=weight, reduction=reduction, out=own)
            assert got[1] is own
            assert_same_bits(got, (value, grad), name)
            for place in (0, 1):
                own = pred.copy(order="K")
                out = (own, np.empty_like(own)) if place == 0 else (np.empty_like(own), own)
                assert_same_bits(
                    loss.value_grad_hess(own, target, weight=weight, reduction=reduction, out=out),
                    (value, grad, hess),
                    name,
                )
        if target.dtype == pred.dtype and target.shape == pred.shape:
            own = target.copy(order="K")
            assert_same_bits((loss.value_and_grad(pred, own, weight=weight, out=own)[1],),
                             (loss.value_and_grad(pred, target, weight=weight)[1],))  # fmt: skip
        if weighted and not case.rowwise:
            own = weight.copy()
            assert_same_bits((loss.value_and_grad(pred, target, weight=own, out=own)[1],),
                             (loss.value_and_grad(pred, target, weight=weight)[1],))  # fmt: skip


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("classes", LONG_ROWS)
@pytest.mark.parametrize("name", ["cross_entropy", "a row sum"])
def test_long_rows_in_place_and_in_other_layouts(name, classes, probabilities, dtype):
    loss = SUMS[name]() if name in SUMS else pl.get(name)
    pred, target = rows(7, classes, dtype, probabilities=probabilities)
    pred[2] = np.nan
    weight = np.arange(7) != 2
    want = loss.value_grad_hess(pred, target, weight=weight)
    assert not np.isnan(want[1].astype(float)).any()
    own = pred.copy()
    assert_same_bits(loss.value_and_grad(own, target, weight=weight, out=own), want[:2])
    own = pred.copy()
    assert_same_bits(loss.value_grad_hess(own, target, weight=weight, out=(np.empty_like(own), own)), want)
    for layout in ("F order", "strided", "misaligned", "read-only"):
        turned = LAYOUTS[layout](pred), LAYOUTS[layout](target) if probabilities else target
        assert_same_bits(loss.value_grad_hess(*turned, weight=weight), want, layout)


@every_loss
def test_lists_scalars_and_zero_axes(case):
    pred, target = case.draw(3)
    assert_same_bits(
        case.loss().value_grad_hess(pred.tolist(), target.tolist()), case.loss().value_grad_hess(pred, target)
    )
    if case.rowwise:
        value, grad = case.loss().value_and_grad(pred[0], target[0])
        assert grad.shape == (CLASSES,)
    else:
        value, grad = case.loss().value_and_grad(float(pred[0]), float(target[0]))
        assert (grad.shape, grad.dtype) == ((), np.float64)
    assert type(value) is float
    each = case.loss()(pred, target, reduction="none")
    assert value == pytest.approx(each[0], rel=1e-15)


@every_elementwise_loss
def test_python_numbers_take_the_type_of_the_array(case, dtype):
    pred, _ = case.draw(40, dtype)
    target = dtype.type(1)
    got = case.loss().value_grad_hess(pred, 1.0)
    assert got[1].dtype == dtype
    assert_same_bits(got, case.loss().value_grad_hess(pred, np.full(40, target)))


@pytest.mark.parametrize("kind", ["bool", "int8", "int32", "int64", "uint8", "uint16", "uint64"])
@every_loss
def test_integers_count_as_float64(case, kind):
    numbers = np.arange(3 * CLASSES).reshape(3, CLASSES).astype(kind) if case.rowwise else np.arange(30).astype(kind)
    target = np.ones(numbers.shape, kind) if not case.labelled else np.arange(3)
    want = case.loss().value_grad_hess(numbers.astype(float), target if case.labelled else target.astype(float))
    got = case.loss().value_grad_hess(numbers, target)
    assert got[1].dtype == np.float64
    assert_same_bits(got, want)


def test_mixed_types_compute_in_the_wider():
    pred, target = np.float32([0.1, 0.2]), np.array([1e-9, 1.0])
    value, grad = pl.MSE().value_and_grad(pred, target, reduction="sum")
    assert value == float(np.sum((pred.astype(float) - target) ** 2))
    assert grad.dtype == np.float32
    half = np.float16([0.1, 0.2])
    assert pl.MSE()(half, np.float32([0.5, 0.5]), reduction="sum") == pytest.approx(
        float(np.sum((half.astype(float) - 0.5) ** 2)), rel=1e-7
    )


@pytest.mark.parametrize("shape", [(0,), (0, 10), (3, 0, 10), (3, 10, 0)])
@every_loss
def test_nothing(case, shape, dtype):
    if case.rowwise:
        shape = (*shape[:-1], 10)
        if 0 not in shape:
            shape = (0, 10)
    pred = np.zeros(shape, dtype)
    target = np.zeros(shape[:-1], int) if case.labelled else pred
    for reduction in ("mean", "sum"):
        value, grad, hess = case.loss().value_grad_hess(pred, target, reduction=reduction)
        assert value == 0.0
        assert grad.shape == hess.shape == shape
        assert grad.dtype == dtype
    assert case.loss()(pred, target, reduction="none").shape == (shape[:-1] if case.rowwise else shape)


# Other libraries' arrays, without a copy.


def addresses(monkeypatch) -> list[int]:
    """Collect where the arrays lie that reach the kernels."""
    from pyloss.losses import _elementwise, _rowwise

    seen: list[int] = []
    for module in (_elementwise, _rowwise):
        real = module.operand
        monkeypatch.setattr(module, "operand", lambda array, real=real: seen.append(array.ctypes.data) or real(array))
    return seen


def check_without_copy(monkeypatch, make, address):
    values = np.float32([0.5, -1.0, 2.0, 3.0])
    pred, target = make(values), make(values[::-1].copy())
    want = pl.MSE().value_and_grad(values, values[::-1].copy())
    seen = addresses(monkeypatch)
    got = pl.MSE().value_and_grad(pred, target, weight=None)
    assert_same_bits(got, want)
    assert isinstance(got[1], np.ndarray)
    assert seen[:2] == [address(pred), address(target)]


def test_torch(monkeypatch):
    torch = pytest.importorskip("torch")
    check_without_copy(monkeypatch, torch.tensor, lambda x: x.data_ptr())
    half = torch.tensor([1.0, 2.5], dtype=torch.bfloat16)
    value, grad = pl.MSE().value_and_grad(half, torch.zeros(2, dtype=torch.bfloat16), reduction="sum")
    assert (value, grad.dtype.name) == (7.25, "bfloat16")
    with pytest.raises(TypeError, match=r"^pred: got Tensor, which NumPy cannot view"):
        pl.MSE()(torch.zeros(2, requires_grad=True), torch.zeros(2))
    scores = torch.zeros(4, 3)
    assert pl.CrossEntropy()(scores, torch.tensor([0, 1, 2, 0])) == pytest.approx(np.log(3))


def test_jax(monkeypatch):
    jax = pytest.importorskip("jax")
    check_without_copy(monkeypatch, jax.numpy.asarray, lambda x: x.unsafe_buffer_pointer())
    half = jax.numpy.asarray([1.0, 2.5], dtype="bfloat16")
    assert pl.MSE()(half, half) == 0.0


def test_arrow(monkeypatch):
    pa = pytest.importorskip("pyarrow")
    check_without_copy(monkeypatch, pa.array, lambda x: x.buffers()[1].address)
    assert pl.MSE()(pa.chunked_array([[1.0], [2.0]]), np.zeros(2)) == 2.5


def test_pandas(monkeypatch):
    pd = pytest.importorskip("pandas")
    check_without_copy(monkeypatch, pd.Series, lambda x: x.to_numpy().ctypes.data)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert pl.MSE()(frame, 0.0) == 7.5


def test_polars(monkeypatch):
    polars = pytest.importorskip("polars")
    check_without_copy(monkeypatch, polars.Series, lambda x: x.to_numpy().ctypes.data)


def test_only_dlpack_or_array_interface(monkeypatch):
    class Exporter:
        def __init__(self, array):
            self.array = array

    class ByDLPack(Exporter):
        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    class ByInterface(Exporter):
        @property
        def __array_interface__(self):
            return self.array.__array_interface__

    class ByMethod(Exporter):
        def __array__(self, dtype=None, copy=None):
            return self.array

    for exporter in (ByDLPack, ByInterface, ByMethod):
        with monkeypatch.context() as patch:
            check_without_copy(patch, exporter, lambda x: x.array.ctypes.data)
    with monkeypatch.context() as patch:
        check_without_copy(patch, memoryview, lambda x: np.asarray(x).ctypes.data)


# Size and memory.


def test_strided_and_half_inputs_are_never_copied_whole():
    pred = np.zeros((1000, 2000), np.float32)[:, ::2]
    half = np.zeros(1_000_000, np.float16)
    scores, labels = np.zeros((1000, 2000), np.float32)[:, ::2], np.zeros(1000, int)
    calls = (
        lambda: pl.MSE()(pred, np.float32(0)),
        lambda: pl.MSE()(pred.T, np.zeros(1000, np.float32)),
        lambda: pl.MSE()(half, np.zeros(1, np.float16), weight=np.ones(1)),
        lambda: pl.CrossEntropy()(scores, labels),
    )
    for call in calls:
        call()
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000


MANY = 2**31 + 3


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
def test_more_than_two_to_31_elements(dtype):
    """A broadcast view, so that it needs no memory; the last ones count."""
    pred = np.broadcast_to(dtype(3), MANY)
    assert pl.MSE()(pred, dtype(1), reduction="sum") == 4.0 * MANY
    assert pl.MSE()(pred, dtype(1)) == 4.0


def free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.big
@pytest.mark.skipif(free_memory() < 10 << 30, reason="needs 10 GB of free memory")
def test_gradient_of_more_than_two_to_31_elements():
    pred = np.broadcast_to(np.float16(3), MANY)
    value, grad = pl.MSE().value_and_grad(pred, np.float16(1), reduction="sum")
    assert value == 4.0 * MANY
    assert grad.shape == (MANY,)
    for begin in range(0, MANY, 1 << 28):
        assert (grad[begin : begin + (1 << 28)] == 4).all()


@pytest.mark.parametrize("size", [3_000_001, 1_500_000])
def test_large_outputs_of_any_size(size):
    """What does not fill a group, and what pyloss itself allocates, is as in small calls."""
    pred, target = (np.random.default_rng(i).standard_normal(size).astype(np.float32) for i in (0, 1))
    loss = 0.5 * pl.Huber() + pl.MSE()
    for each in (pl.Huber(), loss):
        want = each.value_grad_hess(pred, target, reduction="sum")
        memory = np.zeros((2, size + 16), np.float32)
        for shift in (0, 1, 7):
            out = memory[0, shift : shift + size], memory[1, shift : shift + size]
            got = each.value_grad_hess(pred, target, reduction="sum", out=out)
            assert_same_bits(got, want)
    assert_array_equal(want[1][:1000], loss.value_and_grad(pred[:1000], target[:1000], reduction="sum")[1])
    assert same_bits(want[1], loss.value_and_grad(pred, target, reduction="sum")[1])


# What writes large results, of rows of 1000 numbers x and t with weights w.
LARGE = {
    "alone": lambda x, t, w, out: pl.Huber().value_and_grad(x, t, out=out[0]),
    "weighted": lambda x, t, w, out: pl.Huber().value_grad_hess(x, t, weight=w, out=out),
    "values": lambda x, t, w, out: pl.Huber().value_and_grad(x, t, weight=w, reduction="none", out=out[0]),
    "a sum": lambda x, t, w, out: (0.5 * pl.Huber() + pl.MSE()).value_grad_hess(x, t, weight=w, out=out),
    "by two inputs": lambda x, t, w, out: pl.GaussianNLL().value_and_grad(x, t, w + 1, out=out),
    "classes": lambda x, t, w, out: pl.CrossEntropy().value_grad_hess(x, abs(t), weight=w[:, 0], out=out),
    "few classes": lambda x, t, w, out: pl.CrossEntropy().value_grad_hess(
        *(each.reshape(-1, 100, 10) for each in (x, abs(t))), out=tuple(each.reshape(-1, 100, 10) for each in out)
    ),
    "boxes": lambda x, t, w, out: pl.BoxIoU().value_and_grad(
        *(each.reshape(-1, 250, 4) for each in (x, t)), out=out[0].reshape(-1, 250, 4)
    ),
    "masks": lambda x, t, w, out: pl.Dice().value_and_grad(abs(x), abs(t) > 1, out=out[0]),
    "ordered": lambda x, t, w, out: pl.Lovasz().value_and_grad(x, t > 0, out=out[0]),
    "penalty": lambda x, t, w, out: pl.ElasticNet(0.1, 0.2).value_grad_hess(x, out=out),
    "dropout": lambda x, t, w, out: pl.dropout(x, out=out[0]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("call", LARGE)
def test_large_outputs_are_the_same_wherever_they_lie(call, gap, dtype):
    """Large results leave past the caches, which wants alignment; nothing beside them is written."""
    height = (9 << 20) // 1000 // np.dtype(dtype).itemsize
    rng = np.random.default_rng(0)
    x, t = (rng.standard_normal((height, 1000)).astype(dtype) for _ in range(2))
    w = rng.integers(0, 3, x.shape).astype(dtype)
    apart = np.full((2, height, 1000, 2), 7.0, dtype)[..., 0]
    want = LARGE[call](x, t, w, tuple(apart))
    for start in (0, 1, 4, 15):
        memory = np.full((2, height * (1000 + gap) + 32), 7.0, dtype)
        first = [-row.ctypes.data % 64 // row.itemsize + start for row in memory]
        wide = [row[i : i + height * (1000 + gap)].reshape(height, -1) for row, i in zip(memory, first, strict=True)]
        got = LARGE[call](x, t, w, tuple(each[:, :1000] for each in wide))
        assert same_bits(got[0], want[0])
        assert_array_equal([each[:, :1000] for each in wide], apart)
        assert all((each[:, 1000:] == 7.0).all() for each in wide)
        assert (np.concatenate([row[:i] for row, i in zip(memory, first, strict=True)]) == 7.0).all()
        assert all((row[i + each.size :] == 7.0).all() for row, i, each in zip(memory, first, wide, strict=True))
