"""Random numbers by counter, and what is made of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ._terms import Array

LANES = 16
"""Counters side by side: word w is number w / 16 % 4 of the counter w / 64 * 16 + w % 16."""


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four words of 32 bits by Philox4x32-10 (Salmon 2011, section 3.3)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def word(seed: int, stream: int, index: int) -> int:
    """Word number `index` of a seed; stream 0 is of uniforms, 1 of normals."""
    counter = index // (4 * LANES) * LANES + index % LANES
    return philox((counter % 2**32, counter // 2**32, stream, 0), (seed % 2**32, seed // 2**32))[index // LANES % 4]


def normals(seed: int, count: int) -> Array:
    """Return standard normals of uniforms of 53 bits (Box and Muller 1958), 16 with the cosines, 16 with the sines."""
    result = np.empty(-(-count // 32) * 32)
    for begin in range(0, count, 32):

        def uniform(i: int, begin: int = begin) -> float:
            high, low = (word(seed, 1, 2 * begin + at) for at in (i, i + 32))
            return ((high >> 5) * 2**26 + (low >> 6)) / 2**53

        for i in range(16):
            radius, angle = math.sqrt(-2 * math.log(uniform(i) + 2**-53)), 2 * math.pi * uniform(i + 16)
            result[begin + i], result[begin + i + 16] = radius * math.cos(angle), radius * math.sin(angle)
    return result[:count]


def dropout(x: ArrayLike, p: float = 0.5, seed: int = 0) -> Array:
    """0 where the word of the index is less than p 2^32, else x / (1 - p) (Srivastava 2014, inverted)."""
    values = np.asarray(x, np.float64)
    bound = min(round(p * 2**32), 2**32 - 1)
    kept = np.array([word(seed, 0, i) >= bound for i in range(values.size)], bool).reshape(values.shape)
    return np.where(kept, values / (1 - p), 0.0)


def clip_per_sample(grads: ArrayLike, norm: float, noise: float = 0.0, seed: int = 0, reduction: str = "mean") -> Array:
    """Sum of the gradients shortened to `norm`, plus noise of that times `noise` (Abadi 2016, algorithm 1)."""
    rows = np.asarray(grads, np.float64)
    total = np.zeros(rows.shape[1:])
    for row in rows:
        total += row / max(1.0, float(np.linalg.norm(row)) / norm)
    if noise:
        total += noise * norm * normals(seed, total.size).reshape(total.shape)
    if reduction == "sum":
        return total
    return total / len(rows) if len(rows) else 0 * total
