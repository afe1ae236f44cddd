"""Learn an embedding of real handwritten digits by triplets: 64 pixels to 16 numbers, near for the same digit.

The data are the 1797 images of 8 x 8 pixels that scikit-learn ships (UCI "Optical recognition of handwritten digits").
Half of them are to learn from; the others are recognised by the digit of the nearest of the first half.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import pyloss as pl

Floats = NDArray[np.float32]
Digits = NDArray[np.intp]


class Network:
    """One hidden layer, 64 -> 256 -> 16, and Adam."""

    def __init__(self, random: np.random.Generator) -> None:
        weights = random.normal(size=(64, 256)) / 8, np.zeros(256), random.normal(size=(256, 16)) / 16
        self.weights = [each.astype(np.float32) for each in weights]
        self._mean = [np.zeros_like(each) for each in self.weights]
        self._square = [np.zeros_like(each) for each in self.weights]
        self._steps = 0

    def hidden(self, pixels: Floats) -> Floats:
        """Return what the hidden layer makes of each image."""
        return np.maximum(pixels @ self.weights[0] + self.weights[1], 0)

    def __call__(self, pixels: Floats) -> Floats:
        """Embed images."""
        return self.hidden(pixels) @ self.weights[2]

    def step(self, pixels: Floats, hidden: Floats, by_embeddings: Floats, rate: float = 0.003) -> None:
        """Move the weights against the gradient, given that by the embeddings."""
        by_hidden = by_embeddings @ self.weights[2].T * (hidden > 0)
        grads = pixels.T @ by_hidden, by_hidden.sum(axis=0), hidden.T @ by_embeddings
        self._steps += 1
        scale = rate * np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        for weight, mean, square, grad in zip(self.weights, self._mean, self._square, grads, strict=True):
            mean += 0.1 * (grad - mean)
            square += 0.001 * (grad**2 - square)
            weight -= scale * mean / (np.sqrt(square) + 1e-8)


def accuracy(known: Floats, digits: Digits, asked: Floats, truth: Digits) -> float:
    """Return how many rows of `asked` have the digit of the nearest row of `known`."""
    _, indices = pl.nearest(asked, known)
    return float(np.mean(digits[indices[:, 0]] == truth))


def train(network: Network, pixels: Floats, digits: Digits, random: np.random.Generator, epochs: int = 40) -> None:
    """Show the network batches, each with some pixels left out, and what the triplet loss makes of them."""
    loss = pl.Triplet(margin=1.0, mining="semihard", average="active")
    for epoch in range(1, epochs + 1):
        values = []
        for batch in np.array_split(random.permutation(len(digits)), 4):
            seen = pixels[batch] * (random.random((len(batch), 64)) > 0.3)
            hidden = network.hidden(seen)
            value, by_embeddings = loss.value_and_grad(hidden @ network.weights[2], digits[batch])
            network.step(seen, hidden, by_embeddings)
            values.append(value)
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss of the active triplets {np.mean(values):.3f}")


def main() -> None:
    """Train, and report the accuracy of nearest neighbours before and after."""
    random = np.random.default_rng(0)
    images, digits = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    known, asked, known_digits, asked_digits = train_test_split(
        images, digits, test_size=0.5, random_state=0, stratify=digits
    )
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    first, second = ((each - mean) / np.where(deviation > 0, deviation, 1) for each in (known, asked))
    network = Network(random)
    print(f"{len(digits)} handwritten digits, {len(known)} to learn from; right of the other {len(asked)}:")
    print(f"  64 pixels as they are      {accuracy(known, known_digits, asked, asked_digits):.1%}")
    print(f"  64 standardised pixels     {accuracy(first, known_digits, second, asked_digits):.1%}")
    print(f"  16 numbers before training {accuracy(network(first), known_digits, network(second), asked_digits):.1%}")
    start = time.perf_counter()
    train(network, first, known_digits, random)
    print(f"  16 numbers after training  {accuracy(network(first), known_digits, network(second), asked_digits):.1%}")
    print(f"trained in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
