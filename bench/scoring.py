"""Scoring a Parquet file beside the peers: times, and peak memory.

python bench/scoring.py [--rows 20] [--rounds 7] [--folder /tmp]     rows in millions
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import pyloss as pl

os.environ.setdefault("POLARS_MAX_THREADS", "2")
THREE = ["mse", "mae", "quantile:q=0.9"]
FIVE = ["bce_with_logits", "poisson_nll", "log_cosh", "focal", "pseudo_huber"]
GROUPS = 50
CHUNK = 1_000_000


def write(path: Path, millions: int) -> None:
    """Write float32 predictions, targets in [0, 1], and groups as text and as numbers: zstd, row groups of a million."""
    rng = np.random.default_rng(0)
    names = np.array([f"region {i:02}" for i in range(GROUPS)])
    schema = pa.schema([("yhat", pa.float32()), ("y", pa.float32()), ("region", pa.string()), ("number", pa.int64())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(millions):
            group = rng.integers(0, GROUPS, CHUNK)
            region = pa.DictionaryArray.from_arrays(pa.array(group, pa.int32()), pa.array(names)).cast(pa.string())
            target = rng.random(CHUNK, np.float32)
            pred = (target + 0.5 * rng.standard_normal(CHUNK, np.float32)).astype(np.float32)
            writer.write_table(pa.table([pred, target, region, group], schema=schema), row_group_size=CHUNK)


def pandas_and_sklearn(path: Path) -> list[float]:
    import pandas as pd
    from sklearn import metrics

    frame = pd.read_parquet(path, columns=["yhat", "y"])
    y, yhat = frame["y"], frame["yhat"]
    return [
        metrics.mean_squared_error(y, yhat),
        metrics.mean_absolute_error(y, yhat),
        metrics.mean_pinball_loss(y, yhat, alpha=0.9),
    ]


def three_in_polars() -> list[Any]:
    from polars import col

    r = (col("yhat") - col("y")).cast(float)
    q = 0.9
    return [
        (r * r).mean().alias("mse"),
        r.abs().mean().alias("mae"),
        _max(q * -r, (1 - q) * r).mean().alias("quantile"),
    ]


def _max(a: Any, b: Any) -> Any:
    import polars

    return polars.when(a > b).then(a).otherwise(b)


def five_in_polars() -> list[Any]:
    from polars import col

    z, t = col("yhat"), col("y")
    r = z - t
    softplus = (-z.abs()).exp().log1p() + _max(z, 0 * z)
    bce = softplus - z * t
    p = 1 / (1 + (-z).exp())
    away = t * (1 - p) + (1 - t) * p
    balance = 0.25 * t + 0.75 * (1 - t)
    focal = balance * away * away * bce
    log_cosh = r.abs() + (-2 * r.abs()).exp().log1p() - float(np.log(2))
    pseudo = (1 + r * r).sqrt() - 1
    each = {
        "bce_with_logits": bce,
        "poisson_nll": z.exp() - t * z,
        "log_cosh": log_cosh,
        "focal": focal,
        "pseudo_huber": pseudo,
    }
    return [loss.mean().alias(name) for name, loss in each.items()]


def polars_of(path: Path, expressions: list[Any], by: str | None = None) -> Any:
    import polars

    lazy = polars.scan_parquet(path)
    lazy = lazy.select(expressions) if by is None else lazy.group_by(by).agg(expressions)
    return lazy.collect(engine="streaming")


def duckdb_of(path: Path) -> Any:
    import duckdb

    with duckdb.connect(config={"threads": 2}) as connection:
        return connection.sql(
            "select avg((yhat - y) ** 2), avg(abs(yhat - y)), avg(greatest(0.9 * (y - yhat), 0.1 * (yhat - y))) "
            f"from '{path}'"
        ).fetchall()


def decode(path: Path, names: list[str]) -> None:
    pq.read_table(path, columns=names)


def decode_in_batches(path: Path, names: list[str]) -> None:
    for _ in ds.dataset(path).scanner(columns=names, batch_size=1 << 17).to_batches():
        pass


def score(path: Path, losses: list[str], by: str | None = None) -> pl.Scores:
    return pl.score(path, losses, pred="yhat", target="y", by=by)


def times(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each, taken in turn in an order that changes."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle
    for call in contenders.values():
        call()
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            time.sleep(0.05)
            start = time.perf_counter()
            contenders[name]()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


def peak_memory(path: Path, by: str | None) -> float:
    """Return the most memory, in MB, that a process of its own had while it scored a file."""
    program = (
        f"import pyloss as pl, resource; pl.score({str(path)!r}, {THREE!r}, pred='yhat', target='y', by={by!r});"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def on_dask(path: Path, workers: int, rounds: int) -> float:
    """Return the median seconds on a cluster of so many processes of one thread."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def call() -> pl.Scores:
            return pl.score(path, FIVE, pred="yhat", target="y", scheduler=client)

        return times({"dask": call}, rounds)["dask"]


def check(path: Path) -> None:
    """Assert that the contenders agree."""
    ours = score(path, THREE).means
    np.testing.assert_allclose(ours, pandas_and_sklearn(path), rtol=1e-5)
    np.testing.assert_allclose(ours, polars_of(path, three_in_polars()).row(0), rtol=1e-5)
    np.testing.assert_allclose(ours, duckdb_of(path)[0], rtol=1e-5)
    np.testing.assert_allclose(score(path, FIVE).means, polars_of(path, five_in_polars()).row(0), rtol=1e-4)
    groups = score(path, THREE, "region").group_values
    assert groups is not None
    theirs = polars_of(path, three_in_polars(), "region").sort("region")
    np.testing.assert_allclose(groups.means, theirs.select("mse", "mae", "quantile").to_numpy(), rtol=1e-4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20, help="millions")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument(
        "--large", type=int, default=10, help="how many times larger the file of the memory test is; 0: none"
    )
    options = parser.parse_args()
    pl.set_num_threads(2)
    pa.set_cpu_count(2)
    path = Path(options.folder) / f"scoring-{options.rows}.parquet"
    if not path.exists():
        write(path, options.rows)
    check(path)
    report = {
        "three losses": times(
            {
                "pyloss": lambda: score(path, THREE),
                "pyarrow decode, table": lambda: decode(path, ["yhat", "y"]),
                "pyarrow decode, batches": lambda: decode_in_batches(path, ["yhat", "y"]),
                "polars": lambda: polars_of(path, three_in_polars()),
                "duckdb": lambda: duckdb_of(path),
                "pandas + scikit-learn": lambda: pandas_and_sklearn(path),
            },
            options.rounds,
        ),
        **{
            f"three losses by {by}": times(
                {
                    "pyloss": lambda by=by: score(path, THREE, by),
                    "pyarrow decode, table": lambda by=by: decode(path, ["yhat", "y", by]),
                    "polars": lambda by=by: polars_of(path, three_in_polars(), by),
                },
                options.rounds,
            )
            for by in ("region", "number")
        },
        "five losses": times(
            {"pyloss": lambda: score(path, FIVE), "polars": lambda: polars_of(path, five_in_polars())}, options.rounds
        ),
    }
    for work, found in report.items():
        print(work, {name: round(t, 4) for name, t in found.items()}, flush=True)
    if options.large:
        large = Path(options.folder) / f"scoring-{options.rows * options.large}.parquet"
        if not large.exists():
            write(large, options.rows * options.large)
        report["peak MB"] = {
            f"{each.name}{' by region' if by else ''}": peak_memory(each, by)
            for by in (None, "region")
            for each in (path, large)
        }
        print("peak MB", report["peak MB"], flush=True)
    report["dask, five losses"] = {f"{n} workers": on_dask(path, n, options.rounds) for n in (1, 2)}
    print("dask", report["dask, five losses"])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
