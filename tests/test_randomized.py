"""What is drawn at random from a seed: dropout and the noise of private gradients."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pyloss as pl
from cases import same_bits, wide
from pyloss.reference import randomized as reference

SEEDS = [0, 1, 12345678901234567890, 2**64 - 1]
EPS = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Of one rounding."""


def refused(text, error, call):
    with pytest.raises(error, match="^" + re.escape(text)):
        call()


# The generator.


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_reference_generator_gives_the_published_words(counter, key, words):
    assert " ".join(f"{word:08x}" for word in reference.philox(counter, key)) == words


# Dropout.


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("shape", [(0,), (1,), (), (63,), (65,), (1025,), (3, 0, 2), (7, 11, 5)], ids=str)
def test_dropout_agrees_with_the_reference(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for p in (0.0, 0.1, 0.5, 0.99, 1 - 1e-12):
        for seed in SEEDS:
            got, want = pl.dropout(x, p, seed), reference.dropout(wide(x), p, seed)
            assert got.dtype == dtype
            assert got.shape == shape
            assert_array_equal(wide(got) == 0, want == 0)
            assert_allclose(wide(got), want, rtol=3 * EPS[dtype.name])
            assert same_bits(pl.dropout_backward(x, p, seed), got)


def test_dropped_elements_are_the_same_for_any_layout_type_and_number_of_threads(dtype):
    x = np.ones((301, 700))
    kept = pl.dropout(x, 0.3, 5) != 0
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            for given in (x, np.asfortranarray(x), np.ones((602, 700))[::-2], np.broadcast_to(np.ones(1), x.shape)):
                got = pl.dropout(given.astype(dtype, order="K"), 0.3, 5)
                assert got.shape == x.shape
                assert_array_equal(wide(got) != 0, kept)
    assert_array_equal(pl.dropout(x.ravel()[:1000], 0.3, 5) != 0, kept.ravel()[:1000])


def test_large_dropout_is_streamed():
    size = (9 << 20) // 4 + 3
    x, memory = np.full(size, 3.0, np.float32), np.empty(size + 1, np.float32)
    got = pl.dropout(x, 0.25, 1)
    assert_array_equal(np.unique(got), np.array([0.0, 4.0], np.float32))
    assert_array_equal(pl.dropout(x, 0.25, 1, out=memory[1:]), got)
    assert_array_equal(pl.dropout(x[:5000], 0.25, 1), got[:5000])


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
def test_dropout_drops_as_often_as_it_should(p):
    """Counts over all, over blocks and over every lane are binomial: within five standard deviations."""
    size = 1 << 20
    for seed in range(3):
        dropped = pl.dropout(np.ones(size, np.float32), p, seed) == 0

        def check(counts, of):
            assert (abs(counts - p * of) < 5 * np.sqrt(of * p * (1 - p))).all()

        check(np.sum(dropped), size)
        for period in (4, 16, 64, 1024):
            check(dropped.reshape(-1, period).sum(axis=0), size // period)
        blocks = dropped.reshape(-1, 1024).sum(axis=1)
        check(blocks, 1024)
        # As far apart as they should be: the chi-square of 1023 degrees of freedom.
        chi_square = np.sum((blocks - p * 1024) ** 2) / (1024 * p * (1 - p))
        assert abs(chi_square - 1024) < 5 * np.sqrt(2 * 1024)


def test_neighbours_and_seeds_are_independent():
    p, size = 0.5, 1 << 20
    masks = [pl.dropout(np.ones(size), p, seed) == 0 for seed in (0, 1, 2, 1 << 32, (1 << 32) + 1)]

    def correlation(a, b):
        return np.mean((a - p) * (b - p)) / (p * (1 - p))

    bound = 5 / np.sqrt(size)
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert abs(correlation(mask, other)) < bound
        for lag in (1, 2, 15, 16, 17, 32, 63, 64, 65, 1024):
            assert abs(correlation(mask[lag:], mask[:-lag])) < bound


def test_dropout_edges(dtype):
    x = np.random.default_rng(0).standard_normal(3000).astype(dtype)
    assert same_bits(pl.dropout(x, 0.0, 3), x)
    got = pl.dropout(np.full(3000, np.nan, dtype), 0.5, 3)
    assert_array_equal(np.isnan(wide(got)), wide(pl.dropout(np.ones(3000, dtype), 0.5, 3)) != 0)
    own = x.copy()
    assert pl.dropout(own, 0.4, 3, out=own) is own
    assert same_bits(own, pl.dropout(x, 0.4, 3))
    assert np.count_nonzero(pl.dropout(np.ones(100_000), 1 - 1e-9)) == 0
    assert pl.dropout(np.arange(5)).dtype == np.float64


def test_dropout_backward_is_the_transpose():
    rng = np.random.default_rng(0)
    x, cotangent = rng.standard_normal(2000), rng.standard_normal(2000)
    forward = pl.dropout(x, 0.3, 11) @ cotangent
    assert_allclose(pl.dropout_backward(cotangent, 0.3, 11) @ x, forward, rtol=1e-12)


# Gradients of samples.


def draw(samples, shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.05, 3.0, samples).reshape(-1, *(1,) * len(shape))
    size = np.sqrt(max(1, int(np.prod(shape))))
    return (rng.standard_normal((samples, *shape)) * lengths / size).astype(dtype)


def check_clipped(grads, dtype, seed=0, **options):
    got = pl.clip_per_sample(grads, seed=seed, **options)
    want = reference.clip_per_sample(wide(grads), seed=seed, **options)
    assert got.dtype == dtype
    assert got.shape == grads.shape[1:]
    floor = 2.0**-25 if dtype == "float16" else 0.0
    largest = np.max(abs(want), initial=0.0) + options["norm"]
    assert (abs(wide(got) - want) <= EPS[str(dtype)] * abs(want) * 1.01 + 1e-13 * largest + floor).all()
    return got


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("samples", [0, 1, 2, 65, 300])
@pytest.mark.parametrize("shape", [(0,), (1,), (17,), (33, 5), (1100,)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_clipping_agrees_with_the_reference(samples, shape, reduction, dtype):
    grads = draw(samples, shape, dtype)
    for noise in (0.0, 1.3):
        check_clipped(grads, dtype, 7, norm=1.0, noise=noise, reduction=reduction)


@pytest.mark.parametrize("width", [32768, 32769, 100_001])
def test_clipping_of_long_gradients(width, dtype):
    grads = draw(9, (width,), dtype)
    check_clipped(grads, dtype, norm=0.8)
    got = pl.clip_per_sample(grads, 0.8, 0.1, seed=3) - pl.clip_per_sample(grads, 0.8)
    assert_allclose(np.std(wide(got)), 0.1 * 0.8 / 9, rtol=0.05)


def test_layouts_of_sample_gradients(dtype):
    grads = draw(40, (30, 20), dtype)
    want = pl.clip_per_sample(grads, 0.5, 1.0, seed=1)
    for given in (np.asfortranarray(grads), np.repeat(grads, 2, axis=2)[:, :, ::2], grads[::-1][::-1]):
        assert same_bits(pl.clip_per_sample(given, 0.5, 1.0, seed=1), want)
    out = np.empty((20, 30), dtype).T
    assert pl.clip_per_sample(grads, 0.5, 1.0, seed=1, out=out) is out
    assert same_bits(np.ascontiguousarray(out), want)
    long = draw(3, (2, 40_000), dtype)
    assert same_bits(pl.clip_per_sample(np.asfortranarray(long), 0.5), pl.clip_per_sample(long, 0.5))


@pytest.mark.parametrize("shape", [(5000, 300), (7, 200_001)], ids=str)
def test_clipping_by_any_number_of_threads_has_the_same_bits(shape, dtype):
    grads, results = draw(shape[0], shape[1:], dtype), []
    for threads in (1, 2, 3, 7):
        with pl.num_threads(threads):
            results.append(pl.clip_per_sample(grads, 0.7, 1.1, seed=2))
    assert all(same_bits(each, results[0]) for each in results[1:])


def test_clipping_agrees_with_torch():
    torch = pytest.importorskip("torch")
    grads = draw(50, (40,), "float64")
    want = torch.zeros(40, dtype=torch.float64)
    for each in torch.tensor(grads):
        parameter = torch.nn.Parameter(torch.zeros(40, dtype=torch.float64))
        parameter.grad = each.clone()
        torch.nn.utils.clip_grad_norm_([parameter], 0.9)
        want += parameter.grad
    # torch adds 1e-6 to the length.
    assert_allclose(pl.clip_per_sample(grads, 0.9, reduction="sum"), want.numpy(), rtol=1e-5, atol=1e-6)


def test_no_sample_counts_more_than_the_norm():
    grads = draw(100, (60,), "float64") * 100
    for norm in (0.01, 1.0, 50.0):
        for i in range(100):
            length = np.linalg.norm(pl.clip_per_sample(grads[i : i + 1], norm))
            assert length <= norm * (1 + 1e-14)
            assert_allclose(length, min(norm, np.linalg.norm(grads[i])), rtol=1e-13)


@pytest.mark.parametrize("width", [3, 40_000])
@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1e300])
def test_lengths_neither_overflow_nor_vanish(size, width):
    row = np.zeros(width)
    row[:2] = 3 * size, 4 * size
    assert_allclose(pl.clip_per_sample(row[None], size)[:2], [0.6 * size, 0.8 * size], rtol=1e-14)
    assert_allclose(pl.clip_per_sample(row[None], 100 * size)[:2], row[:2], rtol=1e-15)


@pytest.mark.parametrize("width", [3, 40_000])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_makes_the_result_nan(bad, width):
    grads = np.ones((2, width))
    grads[0, 0] = bad
    assert np.isnan(pl.clip_per_sample(grads, 1.0)).all()


def test_noise_is_normal():
    """Moments and the distribution function, within five standard deviations."""
    size = 1 << 19
    z = pl.clip_per_sample(np.zeros((1, size)), 1.0, 1.0, seed=9, reduction="sum")
    assert_array_equal(z[:2000], pl.clip_per_sample(np.zeros((4, 2000)), 1.0, 1.0, seed=9, reduction="sum"))
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - moment) < 5 * np.sqrt(variance / size)
    stats = pytest.importorskip("scipy.stats")
    assert stats.kstest(z, "norm").pvalue > 1e-4
    for lag in (1, 15, 16, 17, 32, 1024):
        assert abs(np.mean(z[lag:] * z[:-lag])) < 5 / np.sqrt(size)
    other = pl.clip_per_sample(np.zeros((1, size)), 1.0, 1.0, seed=10, reduction="sum")
    assert abs(np.mean(z * other)) < 5 / np.sqrt(size)
    assert_allclose(
        pl.clip_per_sample(np.zeros((4, size)), 2.0, 1.5, seed=9), 2.0 * 1.5 / 4 * z, rtol=1e-14
    )  # in units of norm, divided by the number of samples


@pytest.mark.usefixtures("level")
def test_noise_is_that_of_the_reference():
    for seed in SEEDS:
        got = pl.clip_per_sample(np.zeros((1, 700)), 1.0, 1.0, seed=seed)
        # The reference rounds angles of up to 2 pi.
        assert_allclose(got, reference.normals(seed, 700), rtol=1e-14, atol=2.0**-50 * 3)


def test_noise_is_accurate_to_the_last_digits():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(30):
        for seed in SEEDS:
            got = pl.clip_per_sample(np.zeros((1, 64)), 1.0, 1.0, seed=seed)
            for i, z in enumerate(got):
                pair = i // 32 * 32 + i % 16

                def uniform(at, seed=seed):
                    first = at // 32 * 64 + at % 32
                    words = (reference.word(seed, 1, first + each) for each in (0, 32))
                    return (
                        mpmath.mpf(sum((w >> s) << t for w, s, t in zip(words, (5, 6), (26, 0), strict=True))) / 2**53
                    )

                radius = mpmath.sqrt(-2 * mpmath.log(uniform(pair) + mpmath.mpf(2) ** -53))
                angle = 2 * mpmath.pi * uniform(pair + 16)
                want = radius * (mpmath.cos(angle) if i % 32 < 16 else mpmath.sin(angle))
                assert abs(z - want) <= 8 * 2.0**-53 * abs(want)


BAD = {
    "grads: got shape (3,), wanted (samples, ...)": (ValueError, lambda: pl.clip_per_sample(np.zeros(3), 1.0)),
    "norm: got 0.0, wanted a number in (0, inf]": (ValueError, lambda: pl.clip_per_sample(np.zeros((1, 1)), 0.0)),
    "noise: got -1.0, wanted a number": (ValueError, lambda: pl.clip_per_sample(np.zeros((1, 1)), 1.0, -1.0)),
    "seed: got 18446744073709551616, wanted an integer from 0": (
        ValueError,
        lambda: pl.clip_per_sample(np.zeros((1, 1)), 1.0, seed=2**64),
    ),
    "reduction: got 'none', wanted one of mean, sum": (
        ValueError,
        lambda: pl.clip_per_sample(np.zeros((1, 1)), 1.0, reduction="none"),
    ),
    "out: got shape (1, 1), wanted (1,)": (
        ValueError,
        lambda: pl.clip_per_sample(np.zeros((1, 1)), 1.0, out=np.zeros((1, 1))),
    ),
    "p: got 1.0, wanted a number in [0, 1)": (ValueError, lambda: pl.dropout([1.0], 1.0)),
    "p: got -0.5, wanted a number in [0, 1)": (ValueError, lambda: pl.dropout_backward([1.0], -0.5)),
    "seed: got 'a', wanted an integer": (TypeError, lambda: pl.dropout([1.0], 0.5, "a")),
    "x: got dtype complex128": (TypeError, lambda: pl.dropout(np.zeros(1, complex))),
    "cotangent: got dtype complex128": (TypeError, lambda: pl.dropout_backward(np.zeros(1, complex))),
    "out: got dtype float64, wanted float32": (
        TypeError,
        lambda: pl.dropout(np.zeros(1, np.float32), out=np.zeros(1)),
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_arguments(text):
    refused(text, *BAD[text])


def test_out_that_overlaps_is_refused():
    memory = np.zeros((3, 4))
    refused("out: got an array that overlaps grads", ValueError, lambda: pl.clip_per_sample(memory, 1.0, out=memory[0]))
    refused(
        "out: got an array that overlaps x", ValueError, lambda: pl.dropout(memory.ravel()[1:], out=memory.ravel()[:-1])
    )


LONG = {
    "dropout": "pl.dropout(np.broadcast_to(np.float16(3), 1 << 28))",
    "short rows": "pl.clip_per_sample(np.broadcast_to(np.float32(3), (1 << 27, 1000)), 1.0)",
    "long rows": "pl.clip_per_sample(np.broadcast_to(np.float32(3), (1 << 16, 1 << 20)), 1.0)",
}


@pytest.mark.parametrize("call", LONG)
def test_ctrl_c_ends_a_long_call(seconds_to_interrupt, call):
    assert seconds_to_interrupt(LONG[call], "1") < 0.2
