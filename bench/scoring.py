"""Scoring a Parquet file beside the peers: times, and peak memory.

python bench/scoring.py [--rows 20] [--rounds 9] [--folder /tmp]     rows in millions; fewer than 20 write no results
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import pyloss as pl
from roofline import cpu, slug

os.environ.setdefault("POLARS_MAX_THREADS", "2")
THREE = ["mse", "mae", "quantile:q=0.9"]
FIVE = ["bce_with_logits", "poisson_nll", "log_cosh", "focal", "pseudo_huber"]
GROUPS = 50
CHUNK = 1_000_000
HERE = Path(__file__).parent
BEGIN, END = "<!-- scoring:begin -->", "<!-- scoring:end -->"


def write(path: Path, millions: int) -> None:
    """Write float32 predictions, targets in [0, 1], and groups as text and as numbers; row groups of a million."""
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


def in_turn(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median of what each measures, taken in turn in an order that changes."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    order = list(measures)
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            taken[name].append(measures[name]())
    return {name: statistics.median(each) for name, each in taken.items()}


def later_call(contender: Callable[[], Any]) -> float:
    """Return the seconds of a contender's second call."""
    contender()  # untimed: what the contender before it did to caches and page tables is not its work
    time.sleep(0.1)  # until allocators have given back what they do not keep
    return seconds(contender)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def times(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of a later call of each."""
    return in_turn({name: partial(later_call, contender) for name, contender in contenders.items()}, rounds)


def first_calls(path: Path, work: str, rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender's first call, each in a process of its own that has imported it."""

    def measure(name: str) -> float:
        command = [sys.executable, __file__, "--first-call", str(path), work, name]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return in_turn({name: partial(measure, name) for name in works(path)[work]}, rounds)


def first_call(path: str, work: str, name: str) -> float:
    """Return the seconds of a contender's call, the first of this process."""
    for package in ("pandas", "sklearn.metrics", "polars", "duckdb"):
        import_module(package)
    return seconds(works(Path(path))[work][name])


def peak_memory(path: Path, by: str | None) -> float:
    """Return the most memory, in MB, that a process of its own had while it scored a file: the median of five."""
    return statistics.median(one_peak_memory(path, by) for _ in range(5))


def one_peak_memory(path: Path, by: str | None) -> float:
    program = (
        f"import pyloss as pl; pl.score({str(path)!r}, {THREE!r}, pred='yhat', target='y', by={by!r});"
        # Not getrusage: its maximum includes the process that this one was forked from.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def on_dask(path: Path, rounds: int) -> dict[str, float]:
    """Return the median seconds on clusters of one and of two processes of one thread."""
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        contenders = {}
        for workers, name in ((1, "1 worker"), (2, "2 workers")):
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
            client = stack.enter_context(Client(stack.enter_context(cluster)))
            contenders[name] = partial(pl.score, path, FIVE, pred="yhat", target="y", scheduler=client)
        return times(contenders, rounds)


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


def works(path: Path) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return the contenders of each work."""
    three = {
        "pyloss": lambda: score(path, THREE),
        "pyarrow's decoding alone": lambda: decode_in_batches(path, ["yhat", "y"]),
        "pyarrow's decoding alone, as a table": lambda: decode(path, ["yhat", "y"]),
        "polars": lambda: polars_of(path, three_in_polars()),
        "DuckDB": lambda: duckdb_of(path),
        "pandas + scikit-learn": lambda: pandas_and_sklearn(path),
    }
    by = {
        f"three losses by {GROUPS} groups ({kind})": {
            "pyloss": partial(score, path, THREE, column),
            "pyarrow's decoding alone": partial(decode_in_batches, path, ["yhat", "y", column]),
            "polars": partial(polars_of, path, three_in_polars(), column),
        }
        for column, kind in (("region", "text"), ("number", "numbers"))
    }
    five = {"pyloss": lambda: score(path, FIVE), "polars": lambda: polars_of(path, five_in_polars())}
    return {"three losses": three, **by, "five losses with exp and log": five}


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    columns = ("pyloss", "pyarrow's decoding alone", "polars", "DuckDB", "pandas + scikit-learn")
    lines = [f"| {report['millions']} M rows | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for work, found in report["seconds"].items():
        cells = []
        for name in columns:
            each = [f"{found[name]:.3f} s"] if name in found else []
            each += [
                f"({t:.3f} s{other.removeprefix(name)})" for other, t in found.items() if other.startswith(f"{name},")
            ]
            cells.append(" ".join(each))
        lines.append(f"| {work} | {' | '.join(cells)} |")
    peaks = ", ".join(f"{mb:.0f} MB with {work}" for work, mb in report["peak MB"].items())
    dask = ", ".join(f"{seconds:.2f} s on {work}" for work, seconds in report["dask"].items())
    versions = ", ".join(f"{name} {number}" for name, number in report["peers"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"Peak memory of the process: {peaks}. Dask, five losses: {dask}.",
            "",
            f"{report['cpu']}, {report['date']}, two threads; {versions}.",
        ]
    )


def main() -> None:
    """Measure, print, and write the results and README's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20, help="millions")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the files of 0.2 and 2 GB go, and stay")
    parser.add_argument("--first-call", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    pl.set_num_threads(2)
    pa.set_cpu_count(2)
    if options.first_call:
        print(first_call(*options.first_call))
        return
    paths = [Path(options.folder) / f"scoring-{millions}.parquet" for millions in (options.rows, 10 * options.rows)]
    for path, millions in zip(paths, (options.rows, 10 * options.rows), strict=True):
        if not path.exists():
            write(path, millions)
    check(paths[0])
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu(),
        "millions": options.rows,
        "peers": {
            name: version(name) for name in ("pyarrow", "polars", "duckdb", "pandas", "scikit-learn", "distributed")
        },
        "seconds": {},
        "peak MB": {},
    }
    for work, contenders in works(paths[0]).items():
        report["seconds"][work] = found = times(contenders, options.rounds)
        print(work, {name: round(t, 4) for name, t in found.items()}, flush=True)
    first = {"three losses, the first call of a process": first_calls(paths[0], "three losses", options.rounds)}
    report["seconds"] = first | report["seconds"]
    print(first, flush=True)
    for path, millions in zip(paths, (options.rows, 10 * options.rows), strict=True):
        for by in (None, "region"):
            report["peak MB"][f"{millions} M rows{' by region' if by else ''}"] = peak_memory(path, by)
    report["dask"] = on_dask(paths[0], options.rounds)
    text = table(report)
    print(text)
    if options.rows < 20 or not (HERE.parent / "README.md").exists():
        return
    (HERE / "results" / f"{report['date']}-{slug(report['cpu'])}-scoring.json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    readme = HERE.parent / "README.md"
    before, after = readme.read_text(encoding="utf-8").split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
