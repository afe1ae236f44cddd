"""Learn an embedding of 16 thousand images from the hard negatives that a nearest-neighbour index finds.

The images are scikit-learn's 1797 handwritten digits and their shifts by a pixel: 8082 to learn from, the other 8091 to
recognise. Where a batch of all rows would be too large to mine, an index is not: each round embeds every row, indexes
them anew (faiss, or else hnswlib), takes near rows of other digits as negatives, and learns from these triplets.

    pip install ".[index]" && python examples/index_negatives.py
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import numpy as np
from digits_embedding import Digits, Floats, Network, accuracy
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import pyloss as pl

Indices = NDArray[np.int64]


def neighbours(rows: Floats, k: int) -> Indices:
    """Return about the k nearest of all rows for each row, itself among them, by an index of navigable small worlds."""
    if find_spec("faiss"):
        import faiss

        graph = faiss.IndexHNSWFlat(rows.shape[1], 8)
        graph.add(rows)
        return graph.search(rows, k)[1]
    if find_spec("hnswlib"):
        import hnswlib

        index = hnswlib.Index(space="l2", dim=rows.shape[1])
        index.init_index(max_elements=len(rows), M=8, ef_construction=40)
        index.add_items(rows)
        index.set_ef(2 * k)
        return index.knn_query(rows, k)[0].astype(np.int64)
    raise SystemExit('This example needs an index: pip install faiss-cpu (or hnswlib), or pip install ".[index]"')


def hard_triplets(embeddings: Floats, digits: Digits, random: np.random.Generator, k: int = 50) -> Indices:
    """Return triplets of a row, one of its neighbours of the same digit, and the nearest three of other digits."""
    found = neighbours(embeddings, k)
    found_digits = np.where(found >= 0, digits[found], -1)  # the index may find fewer than k, and tells by -1
    itself = np.arange(len(found))[:, None]
    same = (found_digits == digits[:, None]) & (found != itself)
    other = (found_digits != digits[:, None]) & (found >= 0)
    drawn = (same * random.random(same.shape)).argmax(axis=1)
    anchors, places = np.nonzero(other & (np.cumsum(other, axis=1) <= 3) & same.any(axis=1, keepdims=True))
    return np.column_stack([anchors, found[anchors, drawn[anchors]], found[anchors, places]])


def shifted(images: Floats) -> Floats:
    """Return images of 8 x 8 and their shifts by one pixel in eight directions, copy after copy."""
    square = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    return np.concatenate([square[:, i : i + 8, j : j + 8].reshape(-1, 64) for i in range(3) for j in range(3)])


def main() -> None:
    """Mine and train in turn, and report the accuracy of nearest neighbours before and after."""
    random = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    # Whole images are set apart before they are shifted: no test image is a shift of one to learn from.
    images, others, labels, other_labels = train_test_split(
        images.astype(np.float32) / 16, labels, test_size=0.5, random_state=0, stratify=labels
    )
    pixels, asked = shifted(images), shifted(others)
    digits, truth = np.tile(labels, 9), np.tile(other_labels, 9)
    network = Network(random)
    print(f"{len(pixels)} images to learn from; right of the other {len(asked)}:")
    print(f"  64 pixels                  {accuracy(pixels, digits, asked, truth):.1%}")
    print(f"  16 numbers before training {accuracy(network(pixels), digits, network(asked), truth):.1%}")
    loss = pl.Triplet(margin=1.0, average="active")
    start = time.perf_counter()
    for mined in range(1, 11):
        triplets = hard_triplets(network(pixels), digits, random)
        values = []
        for batch in np.array_split(random.permutation(triplets), 1 + len(triplets) // 512):
            rows, places = np.unique(batch, return_inverse=True)
            hidden = network.hidden(pixels[rows])
            embeddings = hidden @ network.weights[2]
            value, by_embeddings = loss.value_and_grad(embeddings, triplets=places.reshape(batch.shape))
            network.step(pixels[rows], hidden, by_embeddings)
            values.append(value)
        if mined % 2 == 0:
            print(f"round {mined}: {len(triplets)} triplets, loss of the active ones {np.mean(values):.3f}")
    print(f"  16 numbers after training  {accuracy(network(pixels), digits, network(asked), truth):.1%}")
    print(f"trained in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
