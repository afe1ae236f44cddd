"""Train a softmax classifier on real handwritten digits, then time its loss and gradient beside NumPy's.

The data are the 1797 images of 8 x 8 pixels that scikit-learn ships (UCI "Optical recognition of handwritten digits").
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float64]


def train(pixels: Floats, digits: NDArray[np.intp]) -> Floats:
    """Return the weights (65, 10) that minimise the cross-entropy plus a small ridge penalty, by L-BFGS."""
    loss = pl.CrossEntropy()
    shape = (pixels.shape[1], 10)
    ridge = 1e-4

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        value, by_scores = loss.value_and_grad(pixels @ weights, digits)
        return value + ridge * float(flat @ flat), (pixels.T @ by_scores).ravel() + 2 * ridge * flat

    return minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B").x.reshape(shape)


def numpy_loss(scores: NDArray[np.floating], digits: NDArray[np.intp]) -> tuple[float, NDArray[np.floating]]:
    """Return cross-entropy and gradient as one writes them by hand."""
    rows = np.arange(len(scores))
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    value = float((np.log(total[:, 0]) - shifted[rows, digits]).mean())
    grad = exponentials / total
    grad[rows, digits] -= 1
    grad /= len(scores)
    return value, grad


def milliseconds(call: Callable[[], object], repeat: int = 15) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Train, report the accuracy, and time."""
    images, digits = load_digits(return_X_y=True)
    pixels = np.column_stack([images / 16, np.ones(len(images))])
    train_pixels, test_pixels, train_digits, test_digits = train_test_split(
        pixels, digits, random_state=0, stratify=digits
    )
    weights = train(train_pixels, train_digits)
    correct = (test_pixels @ weights).argmax(axis=1) == test_digits
    print(f"{len(digits)} handwritten digits, {len(train_digits)} to train on")
    print(f"accuracy on the other {len(test_digits)}: {correct.mean():.1%}\n")

    config = pl.show_config()
    print(f"loss + gradient on this machine (level {config['level']}, {config['threads']} threads)")
    print(f"{'rows':>9} {'dtype':>8} {'NumPy':>10} {'pyloss':>10}  faster")
    loss = pl.CrossEntropy()
    for copies, dtype in ((1, np.float64), (1, np.float32), (200, np.float64), (200, np.float32)):
        scores = np.tile((pixels @ weights).astype(dtype), (copies, 1))
        labels = np.tile(digits, copies)
        value, grad = loss.value_and_grad(scores, labels)
        expected, expected_grad = numpy_loss(scores.astype(np.float64), labels)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(grad, expected_grad, rtol=1e-4, atol=1e-6 / len(labels))
        by_hand = milliseconds(lambda scores=scores, labels=labels: numpy_loss(scores, labels))
        fused = milliseconds(lambda scores=scores, labels=labels: loss.value_and_grad(scores, labels))
        print(
            f"{len(labels):>9,} {np.dtype(dtype).name:>8} {by_hand:>7.3f} ms {fused:>7.3f} ms  {by_hand / fused:.1f} x"
        )


if __name__ == "__main__":
    main()
