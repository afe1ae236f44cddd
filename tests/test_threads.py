"""Threads: the same bits for any number of them, who sets it, and what they must not break."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyloss as pl
from cases import Case, assert_same_bits, every_case, rows
from pyloss import _native


@every_case
def test_any_number_of_threads_gives_the_same_bits(case, dtype):
    pred, target = case.draw(30_011 if case.rowwise else 200_003, dtype)
    weight = (np.arange(len(pred)) % 3).astype(dtype)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            loss = case.loss()
            results.append(
                (
                    *loss.value_grad_hess(pred, target),
                    *loss.value_grad_hess(pred, target, weight=weight, reduction="sum"),
                    *loss.value_grad_hess(pred[::-2], target[::-2], reduction="none"),
                )
            )
    for other in results[1:]:
        for i in range(0, 9, 3):
            assert_same_bits(results[0][i : i + 3], other[i : i + 3])


@pytest.mark.parametrize("probabilities", [False, True])
def test_rows_longer_than_a_block_and_sums(probabilities, dtype):
    pred, target = rows(40, 5000, dtype, probabilities=probabilities)
    loss = pl.CrossEntropy(label_smoothing=0.1, softcap=5.0) + 0.3 * pl.CrossEntropy(z_loss=0.1)
    results = []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append(loss.value_grad_hess(pred, target))
    for other in results[1:]:
        assert_same_bits(results[0], other)


# The number of threads.


def test_set_get_and_context():
    before = pl.get_num_threads()
    try:
        pl.set_num_threads(5)
        assert pl.get_num_threads() == 5
        with pl.num_threads(3):
            assert pl.get_num_threads() == 3
            with pl.num_threads(2):
                assert pl.get_num_threads() == 2
            pl.set_num_threads(4)
            assert pl.get_num_threads() == 3
        assert pl.get_num_threads() == 4
        with pytest.raises(ZeroDivisionError), pl.num_threads(2):
            raise ZeroDivisionError
        assert pl.get_num_threads() == 4
    finally:
        pl.set_num_threads(None)
    assert pl.get_num_threads() == before


def test_context_is_of_its_own_thread():
    with pl.num_threads(3), ThreadPoolExecutor(1) as pool:
        assert pool.submit(pl.get_num_threads).result() != 3


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)]
)
def test_bad_counts(count, error):
    with pytest.raises(error, match=r"^count: got .*, wanted a positive integer"):
        pl.set_num_threads(count)
    with pytest.raises(error, match=r"^count: got .*, wanted a positive integer"), pl.num_threads(count):
        pass


SHOW = "import pyloss; print(pyloss.get_num_threads())"


def test_environment(python):
    assert python(SHOW, PYLOSS_NUM_THREADS="3", OMP_NUM_THREADS="5") == "3"
    assert python(SHOW, OMP_NUM_THREADS="5") == ("5" if _native.kernels.openmp else "1")
    assert int(python(SHOW)) <= len(__import__("os").sched_getaffinity(0))
    set_it = "import pyloss; pyloss.set_num_threads(2); print(pyloss.get_num_threads())"
    assert python(set_it, PYLOSS_NUM_THREADS="3") == "2"
    assert (
        python(
            "import pyloss; pyloss.set_num_threads(2); pyloss.set_num_threads(None)\n" + SHOW, PYLOSS_NUM_THREADS="3"
        )
        == "3"
    )
    affinity = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n" + SHOW
    assert python(affinity) == "1"


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5"])
def test_bad_environment(python, value):
    error = python(SHOW, PYLOSS_NUM_THREADS=value, fails=True)
    assert f"ValueError: PYLOSS_NUM_THREADS: got {value!r}, wanted a positive integer" in error


def test_threadpoolctl(python):
    pytest.importorskip("threadpoolctl")
    program = """
import threadpoolctl, pyloss as pl
inside = pl.get_num_threads()
with threadpoolctl.threadpool_limits(1):
    print(pl.get_num_threads())
print(pl.get_num_threads() == inside)
"""
    assert python(program, OMP_NUM_THREADS="4") == "1\nTrue"


# What threads must not break.

PARALLEL = "import numpy as np, pyloss as pl, os, sys, time, signal, threading\nx = np.ones(1_000_000, np.float32)\n"


def test_forked_child_computes(python):
    program = (
        PARALLEL
        + """
with pl.num_threads(2):
    want = pl.MSE()(x, np.zeros_like(x))
    child = os.fork()
    if child == 0:
        good = pl.get_num_threads() == 1 and pl.MSE()(x, np.zeros_like(x)) == want
        good = good and pl.CrossEntropy()(x.reshape(-1, 10), np.zeros(100_000, int)) > 0
        os._exit(0 if good else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), pl.get_num_threads())
"""
    )
    assert python(program, timeout=20) == "0 2"


def test_multiprocessing_by_fork_computes(python):
    program = (
        PARALLEL
        + """
import multiprocessing, warnings
warnings.simplefilter("ignore")
with pl.num_threads(2):
    pl.MSE()(x, x)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.starmap(pl.MSE(), [(x, x + 1), (x, x + 2)]))
"""
    )
    assert python(program, timeout=20) == "[1.0, 4.0]"


# Calls of minutes, on views that need no memory.
LONG = {
    "elementwise": "pl.MSE()(np.broadcast_to(np.float32(3), 1 << 37), np.float32(1))",
    "weighted": "y = np.broadcast_to(np.float32(3), 1 << 37); pl.MSE()(y, np.float32(1), weight=y)",
    "sum": "(pl.MSE() + pl.LogCosh())(np.broadcast_to(np.float16(3), 1 << 36), np.float16(1))",
    "rows": "y = np.broadcast_to(np.float32(1e-3), (1 << 27, 1000)); pl.CrossEntropy()(y, y)",
    "labels": "pl.CrossEntropy()(np.broadcast_to(np.float32(3), (1 << 33, 2)), np.broadcast_to(1, 1 << 33))",
    "one row": "pl.CrossEntropy()(np.broadcast_to(np.float32(3), (1, 1 << 34)), [5])",
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("call", LONG)
def test_ctrl_c_ends_a_long_call(seconds_to_interrupt, call, threads):
    assert seconds_to_interrupt(LONG[call], threads) < 0.2


def test_other_threads_go_on_meanwhile():
    """The GIL is released: a counting thread keeps counting."""
    big = np.broadcast_to(np.float32(3), 1 << 29)
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        time.sleep(0.01)
        before, begin = counted[0], time.perf_counter()
        with pl.num_threads(1):
            pl.MSE()(big, np.float32(1))
        during, seconds = counted[0] - before, time.perf_counter() - begin
    finally:
        done.set()
        counter.join()
    assert seconds > 0.05
    assert during > 20 * seconds  # of some 800; a held GIL allows one or two


def test_concurrent_calls():
    cases = [Case(pl.MSE), Case(pl.BCEWithLogits), Case(pl.CrossEntropy), Case(pl.PoissonNLL)]
    inputs = [case.draw(50_000, np.float32) for case in cases]
    losses = [case.loss() for case in cases]  # shared by all threads
    want = [loss.value_grad_hess(*each) for loss, each in zip(losses, inputs, strict=True)]

    def work(i):
        k = i % len(cases)
        with pl.num_threads(1 + i % 3):
            return k, losses[k].value_grad_hess(*inputs[k])

    with ThreadPoolExecutor(8) as pool:
        for k, got in pool.map(work, range(64)):
            assert_same_bits(got, want[k])


def test_a_loss_is_prepared_once_by_many_threads():
    pred, target = Case(pl.Huber).draw(10)
    for _ in range(50):
        loss, start = pl.Huber(delta=0.5) + pl.MSE(), threading.Barrier(4)

        def call(loss=loss, start=start):
            start.wait()
            return loss(pred, target)

        with ThreadPoolExecutor(4) as pool:
            assert len({each.result() for each in [pool.submit(call) for _ in range(4)]}) == 1
