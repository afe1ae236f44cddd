"""Every kind of bad input: the error's type, the argument that it names, and that nothing was written."""

from __future__ import annotations

import numpy as np
import pytest

import pyloss as pl
from cases import CLASSES, DEFAULTS, Case, every_loss
from pyloss.losses._rowwise import PROBABILITIES

N = 12


@pytest.fixture
def loss():
    return pl.MSE()


@pytest.fixture
def arrays():
    return np.linspace(-1, 1, N), np.zeros(N)


def backward(array):
    return array.astype(array.dtype.newbyteorder())


# What is wrong with an array, whichever argument it is.
BAD_ARRAYS = {
    "complex": (lambda x: x + 0j, TypeError, "complex128"),
    "object": (lambda x: x.astype(object), TypeError, "object"),
    "strings": (lambda x: x.astype(str), TypeError, "<U"),
    "bytes": (lambda x: x.astype("S"), TypeError, r"\|S"),
    "dates": (lambda x: x.astype("M8[s]"), TypeError, "datetime64"),
    "long double": (lambda x: x.astype(np.longdouble), TypeError, "longdouble|float128|float64"),
    "records": (lambda x: x.view([("a", float)]), TypeError, r"\('a', '<f8'\)"),
    "masked": (lambda x: np.ma.masked_less(x, 0.0), TypeError, "masked array.*weight=0"),
    "byte-swapped": (backward, TypeError, "not in this machine's byte order"),
    "byte-swapped integers": (lambda x: backward(x.astype(np.int32)), TypeError, "byte order"),
    "None": (lambda x: None, TypeError, "object"),
    "a word": (lambda x: "many", TypeError, "<U4"),
    "a dictionary": (lambda x: {"a": 1}, TypeError, "object"),
    "ragged": (lambda x: [[1.0], [1.0, 2.0]], TypeError, "list, which NumPy cannot view"),
}


every_argument = pytest.mark.parametrize(
    ("case", "argument"),
    [(case, name) for case in DEFAULTS for name in ("pred", "target", "weight") if case.takes(name)],
    ids=str,
)


@pytest.mark.parametrize("bad", BAD_ARRAYS)
@every_argument
def test_arrays_of_no_supported_type(case, bad, argument):
    make, error, what = BAD_ARRAYS[bad]
    if (bad, argument) == ("None", "weight") or (bad == "long double" and np.longdouble == np.float64):
        return  # no error
    pred, target = case.draw(N)
    arguments = {"pred": pred, "target": target, "weight": np.ones(N)}
    arguments[argument] = make(arguments[argument].astype(float))
    out = np.full(pred.shape, 7.0)
    with pytest.raises(error, match=rf"(?s)^{case.called(argument)}: got .*({what})"):
        case.loss().value_and_grad(arguments["pred"], arguments["target"], weight=arguments["weight"], out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (
            np.zeros(N + 1),
            rf"target: got shape \({N + 1},\), wanted the shape of pred, \({N},\), or one that broadcasts to it",
        ),
        (np.zeros((1, N)), rf"target: got shape \(1, {N}\), wanted the shape of pred"),
        (np.zeros((N, 1)), "target: got shape"),
        (np.zeros(0), r"target: got shape \(0,\)"),
    ],
)
def test_target_that_does_not_broadcast(loss, arrays, target, text):
    for call in (loss, loss.value_and_grad, loss.value_grad_hess):
        with pytest.raises(ValueError, match=rf"^{text}"):
            call(arrays[0], target)


def test_pred_is_never_broadcast(loss):
    with pytest.raises(ValueError, match=r"^target: got shape \(12,\), wanted the shape of pred, \(1,\)"):
        loss(np.zeros(1), np.zeros(12))
    with pytest.raises(ValueError, match=r"^target: got shape \(12,\), wanted the shape of pred, \(0,\)"):
        loss(np.zeros(0), np.zeros(12))


def test_inputs_that_the_loss_does_not_have(loss, arrays):
    for each in (loss, loss + loss, pl.CrossEntropy()):
        with pytest.raises(TypeError, match=r"^inputs: got 3 arrays, wanted pred and target$"):
            each(np.zeros((N, 2)), np.zeros((N, 2)), np.zeros((N, 2)))
        with pytest.raises(TypeError, match="target"):
            each(arrays[0])


@pytest.mark.parametrize("value", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 40_000])
def test_bad_weights_are_named(value, place):
    n = max(N, place + 3)
    weight, out = np.ones(n), np.full(n, 7.0)
    weight[[place, -1]] = value
    text = rf"^weight: got {value} at index \({place},\), wanted finite weights of at least 0$"
    with pytest.raises(ValueError, match=text):
        pl.MSE().value_and_grad(np.zeros(n), np.zeros(n), weight=weight, out=out)
    assert (out == 7).all()
    rows = np.full((n, 2), 7.0)
    with pytest.raises(ValueError, match=text):
        pl.CrossEntropy().value_and_grad(np.zeros((n, 2)), np.zeros(n, int), weight=weight, out=rows)
    assert (rows == 7).all()


def test_negative_zero_is_a_weight(loss, arrays):
    assert loss(*arrays, weight=np.full(N, -0.0)) == 0.0


def test_bad_weight_in_a_matrix_or_of_other_types(loss):
    weight = np.ones((3, 4), np.float32)
    weight[1, 2] = -2
    with pytest.raises(ValueError, match=r"^weight: got -2.0 at index \(1, 2\)"):
        loss(np.zeros((3, 4)), 0.0, weight=weight)
    with pytest.raises(ValueError, match=r"^weight: got -2 at index \(1, 2\)"):
        loss(np.zeros((3, 4)), 0.0, weight=weight.astype(np.int8))
    with pytest.raises(ValueError, match=r"^weight: got -2.0 at index \(0, 2\)"):
        loss(np.zeros((3, 4)), 0.0, weight=weight[1])
    with pytest.raises(ValueError, match=r"^weight: got shape \(3,\), wanted the shape of pred, \(3, 4\)"):
        loss(np.zeros((3, 4)), 0.0, weight=np.ones(3))
    with pytest.raises(ValueError, match=r"^weight: got shape \(3, 4\), wanted the shape of pred's rows, \(3,\)"):
        pl.CrossEntropy()(np.zeros((3, 4)), np.zeros(3, int), weight=weight)


@pytest.mark.parametrize("reduction", ["average", "Mean", "", None, 1, b"mean", ["mean"], np.array(["mean", "sum"])])
@every_loss
def test_unknown_reduction(case, reduction):
    pred, target = case.draw(N)
    out = np.full(pred.shape, 7.0)
    for call in (lambda: case.loss()(pred, target, reduction=reduction),
                 lambda: case.loss().value_and_grad(pred, target, reduction=reduction, out=out)):  # fmt: skip
        with pytest.raises(ValueError, match=r"(?s)^reduction: got .*, wanted 'mean', 'sum' or 'none'$"):
            call()
    assert (out == 7).all()


def read_only(x):
    x.flags.writeable = False
    return x


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype)
    return raw.reshape(x.shape)


def self_overlapping(x):
    raw = np.zeros(2 * x.size, x.dtype)
    return np.lib.stride_tricks.as_strided(raw, x.shape, (x.itemsize,) * x.ndim if x.ndim > 1 else (x.itemsize // 2,))


BAD_OUT = {
    "no array": (lambda x: x.tolist(), TypeError, "got list, wanted a NumPy array"),
    "other float": (lambda x: x.astype(np.float32), TypeError, "got dtype float32, wanted float64"),
    "integer": (lambda x: x.astype(int), TypeError, "got dtype int64, wanted float64"),
    "byte-swapped": (backward, TypeError, "got dtype >f8, wanted float64"),
    "too short": (lambda x: x[1:].copy(), ValueError, "got shape .*, wanted"),
    "another axis": (lambda x: x[None].copy(), ValueError, "got shape .*, wanted"),
    "broadcast": (lambda x: np.broadcast_to(x[:1], x.shape), ValueError, "read-only|share memory"),
    "read-only": (read_only, ValueError, "got a read-only array, wanted a writeable one"),
    "misaligned": (misaligned, ValueError, "misaligned"),
    "self-overlapping": (self_overlapping, ValueError, "misaligned|elements share memory"),
}


@pytest.mark.parametrize("verb", ["value", "grad", "hess first", "hess second"])
@pytest.mark.parametrize("bad", BAD_OUT)
@every_loss
def test_bad_out(case, bad, verb):
    make, error, what = BAD_OUT[bad]
    pred, target = case.draw(N)
    shape = (N,) if verb == "value" else pred.shape
    wrong, good = make(np.full(shape, 7.0)), np.full(shape, 7.0)
    before = np.array(wrong)
    call, out, name = {
        "value": (case.loss(), wrong, "out"),
        "grad": (case.loss().value_and_grad, wrong, "out"),
        "hess first": (case.loss().value_grad_hess, (wrong, good), r"out\[0\]"),
        "hess second": (case.loss().value_grad_hess, (good, wrong), r"out\[1\]"),
    }[verb]
    with pytest.raises(error, match=rf"^{name}(\[0\])?: .*({what})"):
        call(pred, target, reduction="none", out=out)
    assert (good == 7).all()
    np.testing.assert_array_equal(wrong, before)


def test_out_of_the_wrong_number(loss, arrays):
    out = np.full(N, 7.0)
    for wrong in (out, (out,), (out, out, out), [out, out.copy()]):
        with pytest.raises(TypeError, match=r"^out: got (ndarray|tuple|list), wanted a tuple of two arrays"):
            loss.value_grad_hess(*arrays, out=wrong)
    with pytest.raises(TypeError, match=r"^out: got tuple, wanted a NumPy array"):
        loss.value_and_grad(*arrays, out=(out, out))
    with pytest.raises(ValueError, match=r"^out: got two arrays that overlap"):
        loss.value_grad_hess(*arrays, out=(out, out))
    for reduction in ("mean", "sum"):
        with pytest.raises(ValueError, match=rf"^out: got an array with reduction='{reduction}'"):
            loss(*arrays, out=out, reduction=reduction)
    assert (out == 7).all()


@every_argument
def test_out_that_overlaps_an_input(case, argument):
    """Shifted by one it would be overwritten before it is read; an input of another type lies in it likewise."""
    pred, target = case.draw(N)
    if argument == "target" and target.dtype.kind == "i" and PROBABILITIES in case.cls.targets:
        target = np.eye(CLASSES)[target]
    arguments = {"pred": pred, "target": target, "weight": np.ones(N)}
    size = arguments[argument].size
    memory = np.zeros(pred.size + size + 1)
    shifted = memory[1 : 1 + size].view(arguments[argument].dtype).reshape(arguments[argument].shape)
    shifted[...] = arguments[argument]
    arguments[argument], out = shifted, memory[: pred.size].reshape(pred.shape)
    before = memory.copy()
    called = case.called(argument)
    with pytest.raises(
        ValueError,
        match=rf"^out(\[0\])?: got an array that overlaps {called}, wanted {called} itself or separate memory",
    ):
        case.loss().value_and_grad(arguments["pred"], arguments["target"], weight=arguments["weight"], out=out)
    np.testing.assert_array_equal(memory, before)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", ["separate", "pred", "target"])
def test_out_of_a_small_call(level, place, dtype, reduction):
    rng = np.random.default_rng(0)
    for size in (0, 1, N, 1000):
        pred, target = rng.standard_normal((2, size)).astype(dtype)
        value, grad = pl.Huber().value_and_grad(pred, target, reduction=reduction)
        out = {"separate": np.full(size, 7, dtype), "pred": pred, "target": target}[place]
        got, taken = pl.Huber().value_and_grad(pred, target, reduction=reduction, out=out)
        assert taken is out
        assert got == value
        np.testing.assert_array_equal(out, grad, strict=True)


@pytest.mark.parametrize("weight", [None, 1.0])
def test_out_is_pred_whatever_the_strides_of_axes_of_one(weight):
    memory = np.arange(N, dtype=np.float32)
    value, grad = pl.MSE().value_and_grad(memory[None], np.ones((1, N), np.float32), weight=weight)
    out = memory.reshape(1, N)
    got, _ = pl.MSE().value_and_grad(memory[None], np.ones((1, N), np.float32), weight=weight, out=out)
    assert got == value
    np.testing.assert_array_equal(memory, grad[0])


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda memory: memory[1:-1].view(), ValueError, "overlaps pred"),
        (lambda memory: memory[2:].view(), ValueError, "overlaps target"),
        (lambda memory: np.zeros(N, np.float64), TypeError, "dtype float64"),
        (lambda memory: np.zeros(N + 1, np.float32), ValueError, "shape"),
        (lambda memory: np.broadcast_to(np.float32(7), N), ValueError, "read-only"),
        (lambda memory: [0.0] * N, TypeError, "got list"),
        (lambda memory: np.zeros(4 * N + 1, np.uint8)[1:].view(np.float32), ValueError, "misaligned"),
    ],
)
def test_wrong_out_of_a_small_call(make, error, what):
    memory = np.arange(N + 2, dtype=np.float32)
    pred, target = memory[:N], memory[2:] if what == "overlaps pred" else np.zeros(N, np.float32)
    if what == "overlaps target":
        pred, target = target, memory[1 : N + 1]
    out, before = make(memory), memory.copy()
    with pytest.raises(error, match=rf"^out: .*{what}"):
        pl.MSE().value_and_grad(pred, target, out=out)
    np.testing.assert_array_equal(memory, before)


def test_out_that_is_an_input_of_another_type():
    memory = np.zeros(N)
    with pytest.raises(ValueError, match=r"^out: got an array that overlaps target"):
        pl.MSE().value_and_grad(np.zeros(N), memory.view(np.float32)[:N], out=memory)


# Row losses.


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize("ignored", [None, 3])
def test_labels_out_of_range_are_named(dtype, ignored):
    pred, label = np.zeros((2, 3, 5)), np.zeros((2, 3), dtype)
    loss = pl.CrossEntropy(ignore_index=ignored)
    but = "" if ignored is None else f" or ignore_index = {ignored}"
    for value in [5, 200 if dtype == np.uint8 else 100, *([] if dtype(0).dtype.kind == "u" else [-1, -100])]:
        label[1, 1:] = value
        out = np.full(pred.shape, 7.0)
        text = rf"^target: got label {value} at index \(1, 1\), wanted a class from 0 to 4{but}$"
        for call in (lambda: loss(pred, label), lambda: loss.value_and_grad(pred, label, out=out)):  # noqa: B023
            with pytest.raises(ValueError, match=text):
                call()
        assert (out == 7).all()


def test_huge_unsigned_label_is_no_negative_one():
    label = np.array([2**64 - 1], np.uint64)
    for ignored in (None, -1):
        with pytest.raises(ValueError, match=r"^target: got label 18446744073709551615 at index"):
            pl.CrossEntropy(ignore_index=ignored)(np.zeros((1, 3)), label)


def test_labels_of_rows_that_do_not_count_are_checked_too():
    with pytest.raises(ValueError, match=r"^target: got label 9 at index \(1,\)"):
        pl.CrossEntropy()(np.zeros((2, 3)), [0, 9], weight=[1.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, bool])
def test_labels_that_are_no_integers(dtype):
    with pytest.raises(
        TypeError, match=r"^target: got shape \(4,\) of (float|bool).*, wanted class indices of an integer dtype"
    ):
        pl.CrossEntropy()(np.zeros((4, 3)), np.zeros(4, dtype))


@pytest.mark.parametrize("shape", [(5,), (1,), (4, 2), (1, 4, 3), (4, 4), ()])
def test_row_targets_of_other_shapes(shape):
    for dtype, error in ((int, ValueError), (float, (ValueError, TypeError))):
        with pytest.raises(error, match=r"^target: got shape"):
            pl.CrossEntropy()(np.zeros((4, 3)), np.zeros(shape, dtype))


def test_scores_that_are_no_rows():
    with pytest.raises(ValueError, match=r"^pred: got a single number"):
        pl.CrossEntropy()(1.0, 0)
    with pytest.raises(ValueError, match=r"^pred: got shape \(3, 0\), wanted at least one class"):
        pl.CrossEntropy()(np.zeros((3, 0)), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"^class_weight: got 2 weights, wanted one for each of the 3 classes"):
        pl.CrossEntropy(class_weight=[1, 2])(np.zeros((4, 3)), np.zeros(4, int))


# Parameters and sums.


@pytest.mark.parametrize(
    ("cls", "parameters", "error"),
    [
        (pl.Huber, {"delta": 0}, ValueError),
        (pl.Huber, {"delta": -1.0}, ValueError),
        (pl.Huber, {"delta": np.nan}, ValueError),
        (pl.Huber, {"delta": np.inf}, ValueError),
        (pl.Huber, {"delta": "1"}, TypeError),
        (pl.Huber, {"delta": None}, TypeError),
        (pl.Huber, {"delta": 1j}, TypeError),
        (pl.Huber, {"delta": True}, TypeError),
        (pl.Huber, {"delta": [1.0]}, TypeError),
        (pl.Quantile, {"q": 0.0}, ValueError),
        (pl.Quantile, {"q": 1}, ValueError),
        (pl.Quantile, {"q": (0.5, 1.5)}, ValueError),
        (pl.Quantile, {"q": ()}, ValueError),
        (pl.Quantile, {"q": np.full((2, 2), 0.5)}, ValueError),
        (pl.Quantile, {"q": "0.5"}, TypeError),
        (pl.PoissonNLL, {"log_input": 1}, TypeError),
        (pl.PoissonNLL, {"full": "yes"}, TypeError),
        (pl.PoissonNLL, {"eps": -1e-8}, ValueError),
        (pl.BCEWithLogits, {"pos_weight": 0.0}, ValueError),
        (pl.BCEWithLogits, {"label_smoothing": 1.0}, ValueError),
        (pl.Hinge, {"margin": 0.0}, ValueError),
        (pl.CrossEntropy, {"class_weight": 2.0}, TypeError),
        (pl.CrossEntropy, {"class_weight": [1.0, -1.0]}, ValueError),
        (pl.CrossEntropy, {"label_smoothing": 1.5}, ValueError),
        (pl.CrossEntropy, {"ignore_index": 1.0}, TypeError),
        (pl.CrossEntropy, {"ignore_index": True}, TypeError),
        (pl.CrossEntropy, {"ignore_index": 2**63}, ValueError),
        (pl.CrossEntropy, {"z_loss": -1.0}, ValueError),
        (pl.CrossEntropy, {"softcap": 0.0}, ValueError),
        (pl.CrossEntropy, {"temperature": 0.0}, ValueError),
    ],
    ids=repr,
)
def test_invalid_parameters(cls, parameters, error):
    with pytest.raises(error, match=rf"(?s)^{next(iter(parameters))}(\[\d+\])?: got .*, wanted "):
        cls(**parameters)


def test_sequence_parameter_that_does_not_fit():
    with pytest.raises(
        ValueError, match=r"Quantile\(q=\(0.1, 0.9\)\).*got shape \(2,\), wanted the shape of pred, \(4, 3\)"
    ):
        pl.Quantile(q=(0.1, 0.9))(np.zeros((4, 3)), 0.0)


def test_sums_of_unlike_losses():
    for add in (lambda: pl.MSE() + pl.CrossEntropy(), lambda: pl.CrossEntropy() + pl.MSE()):
        with pytest.raises(
            TypeError, match=r"^\+: got .* beside (row|elementwise) losses, wanted losses of the same inputs"
        ):
            add()
    with pytest.raises(TypeError, match=r"unsupported operand"):
        pl.MSE() + 1.0
    with pytest.raises(TypeError, match=r"unsupported operand"):
        pl.MSE() * pl.MAE()
    for factor in ("2", None, 1j, True):
        with pytest.raises(TypeError, match=r"^factor: got"):
            factor * pl.MSE()
    with pytest.raises(ValueError, match=r"^factor: got nan"):
        np.nan * pl.MSE()


def test_weight_reduction_and_out_are_by_keyword_only():
    for verb in ("__call__", "value_and_grad", "value_grad_hess"):
        with pytest.raises(TypeError):
            getattr(pl.MSE(), verb)(np.zeros(2), np.zeros(2), "sum")


@every_loss
def test_no_bare_error_of_the_bindings(case: Case):
    """What pybind11 says of wrong arguments must not reach a user."""
    bad = [(None, None), ("a", "b"), (object(), 1), (1j, np.zeros((0, 0)))]
    if case.takes("target"):
        bad.append((np.zeros((0, 0)), 1j))
    for pred, target in bad:
        names = "|".join(case.called(argument) for argument in ("pred", "target"))
        with pytest.raises((TypeError, ValueError), match=rf"^({names}): got") as caught:
            case.loss().value_and_grad(pred, target)
        assert "incompatible function arguments" not in str(caught.value)
