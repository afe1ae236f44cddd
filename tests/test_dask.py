"""Scoring on a cluster of processes: the same bits as in one process, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

import pyloss as pl
from pyloss.cli import main
from pyloss.scoring import _dask, _score, _sources
from test_score import ASKED, CLASSES, FILES, LOSSES, as_npy, as_parquet, as_parts, classes, damaged, table

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

# How Dask reads Parquet.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index is deprecated")


@pytest.fixture(scope="module", autouse=True)
def environment():
    """Take back what Dask tells its workers by the environment of this process: threads of OpenMP among it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def new_cluster(folder, n_workers=2):
    # A worker that wants what a dead one has tries to reach it for so long.
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        return distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # None would be a port that may be in use
            host="127.0.0.1",
            local_directory=str(folder),
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with new_cluster(tmp_path_factory.mktemp("workers")) as cluster:
        yield cluster


@pytest.fixture
def victims(tmp_path):
    """A cluster whose workers may be killed."""
    with new_cluster(tmp_path / "victims") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(params=["here", "address", "client"])
def scheduler(request):
    """What runs the tasks: Dask's threads of this process, or a cluster by its address or by a client of it."""
    if request.param == "here":
        return None
    client = request.getfixturevalue("client")
    return client if request.param == "client" else client.scheduler.address


def wild(**changed):
    """A table whose losses, added up in another order in float64, have another sum."""
    rng = np.random.default_rng(1)
    size = 5000
    yhat = rng.standard_normal(size) * np.exp(rng.uniform(-20, 20, size))
    return table(size, yhat=yhat, y=np.zeros(size), **changed)


def same_bits(got, want):
    assert got.means == want.means
    assert (got.count, got.weight, got.dropped) == (want.count, want.weight, want.dropped)
    assert got.group_values.labels == want.group_values.labels
    for name in ("counts", "weights", "means"):
        assert_array_equal(getattr(got.group_values, name), getattr(want.group_values, name))


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def connected(cluster):
    """Clients of a cluster."""
    return {name for name in list(cluster.scheduler.clients) if name.startswith("Client-")}


def install(hook):
    original = _score.Job._score

    def hooked(job, part, stop):
        hook()
        return original(job, part, stop)

    hooked.original = original
    _score.Job._score = hooked


def uninstall():
    _score.Job._score = getattr(_score.Job._score, "original", _score.Job._score)


@contextlib.contextmanager
def before_each_part(client, hooks):
    """Let workers, by address, call something before they score a part."""
    for worker, hook in hooks.items():
        client.run(install, hook, workers=[worker])
    try:
        yield
    finally:
        client.run(uninstall)


def block(folder, first=0):
    """Return what lets a worker score some parts, and then say so and wait."""
    scored = []

    def hook():
        scored.append(None)
        if len(scored) > first:
            (folder / "blocked").touch()
            wait_until((folder / "go").exists)

    return hook


def test_sums_depend_on_the_order():
    """Without this, the same bits would prove little."""
    yhat = wild()["yhat"].to_numpy()
    assert sum(yhat**2) != sum(yhat[::-1] ** 2)


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_every_kind_of_file(make, client, tmp_path, monkeypatch):
    source = make(wild(), tmp_path)
    want = pl.score(source, LOSSES, **ASKED)
    monkeypatch.setattr(_sources, "PART", 900)
    same_bits(pl.score(source, LOSSES, scheduler=client, **ASKED), want)


def test_paths_are_those_of_this_process(client, tmp_path, monkeypatch):
    as_parts(wild(), tmp_path)
    as_npy(wild(), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert set(client.run(os.getcwd).values()) != {str(tmp_path)}
    for source in ("part-*.parquet", {name: f"{name}.npy" for name in ("yhat", "y", "w", "region")}):
        same_bits(pl.score(source, LOSSES, scheduler=client, **ASKED), pl.score(source, LOSSES, **ASKED))


def test_an_address_will_do(cluster, tmp_path):
    source = as_parts(wild(), tmp_path)
    told = []
    got = pl.score(
        source, LOSSES, scheduler=cluster.scheduler_address, progress=lambda *each: told.append(each), **ASKED
    )
    same_bits(got, pl.score(source, LOSSES, **ASKED))
    [(rows, total, size)] = told
    assert (rows, total) == (5000, 5000)
    assert size >= 5000 * 24


@pytest.mark.parametrize("kind", ["pandas", "parquet", "categories", "empty partitions"])
def test_frames(kind, scheduler, tmp_path):
    source = data = wild()
    if kind == "parquet":
        frame = dd.read_parquet(as_parts(data, tmp_path))
    else:
        source = data.to_pandas()
        if kind == "categories":
            source["region"] = source["region"].astype("category")
        frame = dd.from_pandas(source, npartitions=7)
        if kind == "empty partitions":
            frame, source = frame[frame["id"] > 14_000], source[source["id"] > 14_000]
    assert frame.npartitions > 4
    same_bits(pl.score(frame, LOSSES, scheduler=scheduler, **ASKED), pl.score(source, LOSSES, **ASKED))


def test_nulls(scheduler):
    holes = np.arange(5000) % 7 == 3
    frame = wild().to_pandas()
    frame.loc[holes, "yhat"] = np.nan
    split = dd.from_pandas(frame, npartitions=4)
    want = pl.score(frame, LOSSES, nulls="drop", **ASKED)
    assert want.dropped == holes.sum()
    same_bits(pl.score(split, LOSSES, nulls="drop", scheduler=scheduler, **ASKED), want)
    frame["yhat"] = np.where(np.arange(5000) == 1252, np.nan, 0.0)
    with pytest.raises(
        ValueError,
        match="pred: got 1 null in column 'yhat', the first in row 2 of partition 1, wanted none; nulls='drop'",
    ):
        pl.score(dd.from_pandas(frame, npartitions=4), LOSSES, scheduler=scheduler, **ASKED)


def test_arrays(scheduler):
    data = {name: wild()[name].to_numpy() for name in ("yhat", "y", "w")}
    data["region"] = np.arange(5000) % 3
    want = pl.score(data, LOSSES, **ASKED)
    chunks = {"yhat": 700, "y": (1, 4999), "w": 5000}
    cut = {name: da.from_array(data[name], chunks=size) for name, size in chunks.items()} | {"region": data["region"]}
    same_bits(pl.score(cut, LOSSES, scheduler=scheduler, **ASKED), want)


@pytest.mark.parametrize("chunks", [(5000, 5), (600, CLASSES), (999, 7)])
def test_arrays_of_class_scores(chunks, scheduler):
    pred, target = classes()
    losses = ["cross_entropy", pl.CrossEntropy(ignore_index=3)]
    group = np.arange(5000) // 1024
    want = pl.score({"pred": pred, "target": target, "group": group}, losses, by="group")
    cut = {"pred": da.from_array(pred, chunks=chunks), "target": target, "group": group}
    same_bits(pl.score(cut, losses, by="group", scheduler=scheduler), want)
    target[4321] = CLASSES
    with pytest.raises(ValueError, match="target: got label 12") as error:
        pl.score(cut, losses, scheduler=scheduler)
    index, row = re.search(r"at index \((\d+),\), .*\(in the arrays, from row (\d+) on\)", str(error.value)).groups()
    assert int(index) + int(row) == 4321


BAD = {
    "lengths": (
        lambda: {"pred": da.zeros(3), "target": da.zeros(4)},
        r"got 'target' of shape \(4,\), wanted 3 rows, as 'pred' has",
    ),
    "one number": (
        lambda: {"pred": da.zeros(3), "target": 1.0},
        r"got 'target' of shape \(\), wanted 3 rows, as 'pred' has",
    ),
    "unknown length": (
        lambda: {"pred": da.zeros(3)[da.zeros(3) > 1], "target": [1.0]},
        "got 'pred' of unknown length, wanted a known one: call its compute_chunk_sizes",
    ),
    "three axes": (
        lambda: {"pred": da.zeros((3, 3, 3)), "target": [1.0] * 3},
        r"got array 'pred' of shape \(rows, 3, 3\), wanted one or two axes",
    ),
    "no rows": (lambda: {"pred": da.zeros(0), "target": da.zeros(0)}, "the arrays has no rows"),
    "no rows in a frame": (
        lambda: dd.from_pandas(pd.DataFrame({"pred": [], "target": []}), npartitions=1),
        "the frame has no rows",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_and_frames(make, message, scheduler):
    with pytest.raises(ValueError, match=f"source: {message}"):
        pl.score(make(), ["mse"], scheduler=scheduler)


def test_a_missing_column_of_a_frame():
    frame = dd.from_pandas(wild().to_pandas(), npartitions=2)
    with pytest.raises(ValueError, match="pred: got 'pred', wanted one of the columns of the frame: yhat, y, w"):
        pl.score(frame, ["mse"])


@pytest.mark.parametrize(
    "make", [lambda: da.zeros(3), lambda: dask.delayed(3), lambda: dd.from_pandas(pd.Series([1.0]))]
)
def test_other_things_of_dask_are_no_sources(make):
    with pytest.raises(TypeError, match=r"source: got dask\..*, wanted a path"):
        pl.score(make(), ["mse"])


@pytest.mark.parametrize("parts", [1, 2, 32, 33, 65])
def test_sums_are_merged_as_a_tree(parts, monkeypatch):
    merged, sizes = _dask._merged, []

    def count(scored):
        sizes.append(len(scored))
        assert not any(each.tally.scratch for each in scored)
        merged(scored)  # as Dask does if the sum is lost with its worker
        return merged(scored)

    monkeypatch.setattr(_dask, "_merged", count)
    pred, target = classes()
    given = {"pred": pred, "target": target, "group": np.arange(len(pred)) % 7}
    cut = given | {"pred": da.from_array(pred, chunks=(-(-len(pred) // parts), CLASSES))}
    same_bits(pl.score(cut, ["cross_entropy"], by="group"), pl.score(given, ["cross_entropy"], by="group"))
    assert sorted(sizes) == {1: [1], 2: [2], 32: [32], 33: [1, 2, 32], 65: [1, 3, 32, 32]}[parts]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "Timed out trying to connect"),
        ("threads", "missing port"),
        ("", "missing port"),
        ("nonsense://127.0.0.1:1", "unknown address scheme"),
    ],
)
def test_a_wrong_address(address, message, tmp_path):
    source = as_parquet(wild(), tmp_path)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(ValueError, match=f"scheduler: got '{address}', which does not answer: .*{message}"),
    ):
        pl.score(source, LOSSES, scheduler=address, **ASKED)


def test_wrong_schedulers(cluster, tmp_path, monkeypatch):
    source = as_parquet(wild(), tmp_path)
    for wrong in (3, cluster):
        with pytest.raises(TypeError, match=r"scheduler: got .*, wanted its address or a distributed\.Client"):
            pl.score(source, LOSSES, scheduler=wrong, **ASKED)

    async def from_a_loop():
        async with distributed.Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
            pl.score(source, LOSSES, scheduler=client, **ASKED)

    with pytest.raises(TypeError, match="scheduler: got <Client.*, which is asynchronous, wanted one that is not"):
        asyncio.run(from_a_loop())
    for module, message in (("distributed", "scheduler: needs distributed"), ("dask.delayed", "scoring with Dask")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, module, None)
            with pytest.raises(ImportError, match=rf'{message}.*: pip install "pyloss\[dask\]"'):
                pl.score(source, LOSSES, scheduler=cluster.scheduler_address, **ASKED)


IN_MEMORY = {
    "the stream": lambda data: data.to_reader(),
    "the table": lambda data: data,
    "the frame": lambda data: data.to_pandas(),
    "the arrays": lambda data: {name: data[name].to_numpy() for name in data.column_names},
}


@pytest.mark.parametrize(("name", "make"), IN_MEMORY.items(), ids=IN_MEMORY)
def test_what_is_in_memory_stays_there(name, make, client):
    with pytest.raises(
        TypeError, match=f"source: got {name} with a scheduler, wanted files, or frames or arrays of Dask"
    ):
        pl.score(make(wild()), LOSSES, scheduler=client, **ASKED)


def test_rows_are_written_by_one_process(client, tmp_path):
    with pytest.raises(TypeError, match="rows: got a path with a scheduler, wanted None"):
        pl.score(as_parquet(wild(), tmp_path), LOSSES, scheduler=client, rows=tmp_path / "rows.parquet", **ASKED)
    assert not (tmp_path / "rows.parquet").exists()


def bad_labels(folder):
    data = pa.table(
        {f"p_{i}": np.zeros(3000) for i in range(3)} | {"target": np.arange(3000) // 1000 + (np.arange(3000) == 2999)}
    )
    pq.write_table(data, folder / "a.parquet", row_group_size=1000)
    return folder / "a.parquet", ["cross_entropy"], {"pred": "p_*"}


def missing_column(folder):
    source = as_parts(wild(), folder)
    pq.write_table(wild().drop_columns(["y"]), folder / "part-3.parquet")
    return source, LOSSES, ASKED


def damaged_file(folder):
    data = wild()
    as_parts(data, folder)
    pq.write_table(data, folder / "part-3.parquet", compression="zstd", use_dictionary=False)
    chunk = pq.ParquetFile(folder / "part-3.parquet").metadata.row_group(0).column(1)
    text = bytearray((folder / "part-3.parquet").read_bytes())
    text[chunk.data_page_offset + 60 : chunk.data_page_offset + 160] = b"\xff" * 100
    (folder / "part-3.parquet").write_bytes(text)
    return str(folder / "part-*.parquet"), LOSSES, ASKED


def cut_off_file(folder):
    (folder / "bad").mkdir()
    return damaged(as_parquet(wild(), folder), folder / "bad", cut=True), LOSSES, ASKED


def negative_weight(folder):
    return as_parts(wild(w=np.where(np.arange(5000) == 4321, -1.0, 1.0)), folder), LOSSES, ASKED


# One part has the fault: of several, the one that fails first is told, whichever it is.
def text_column(folder):
    return as_parquet(wild(), folder), LOSSES, ASKED | {"pred": "text"}


def holes(folder):
    return as_parts(wild(w=[1.0] * 3210 + [None] * 500 + [1.0] * 1290), folder), LOSSES, ASKED


@pytest.mark.parametrize(
    "make", [bad_labels, missing_column, damaged_file, cut_off_file, negative_weight, text_column, holes]
)
def test_errors_are_those_of_one_process(make, cluster, client, tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "PART", 1000)
    source, losses, asked = make(tmp_path)
    with pytest.raises((ValueError, TypeError)) as here, pl.num_threads(1):
        pl.score(source, losses, **asked)
    for scheduler in (client, cluster.scheduler_address):
        with pytest.raises(type(here.value)) as there:
            pl.score(source, losses, scheduler=scheduler, **asked)
        assert str(there.value) == str(here.value)
        wait_until(lambda: not cluster.scheduler.tasks)
    wait_until(lambda: connected(cluster) == {client.id})


def test_a_worker_scores_with_one_thread(client, tmp_path):
    """It runs as many tasks at a time as it has threads."""

    def tell():
        with (tmp_path / f"{os.getpid()}").open("a") as file:
            print(pl.get_num_threads(), file=file)

    workers = client.run(pl.set_num_threads, 3)
    try:
        assert set(client.run(pl.get_num_threads).values()) == {3}
        with before_each_part(client, dict.fromkeys(workers, tell)):
            pl.score(as_parts(wild(), tmp_path), LOSSES, scheduler=client, **ASKED)
    finally:
        client.run(pl.set_num_threads, None)
    used = [
        line
        for pid in client.run(os.getpid).values()
        if (tmp_path / str(pid)).exists()
        for line in (tmp_path / str(pid)).read_text().split()
    ]
    assert used == ["1"] * 5


@pytest.mark.parametrize("kind", ["address", "client"])
def test_ctrl_c_leaves_nothing_behind(kind, cluster, client, tmp_path, monkeypatch):
    source = as_parts(wild(), tmp_path)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored

    def press():
        wait_until((tmp_path / "blocked").exists)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    try:
        workers = client.run(os.getpid)
        with before_each_part(client, dict.fromkeys(workers, block(tmp_path))):
            pressing.start()
            with pytest.raises(KeyboardInterrupt) as pressed:
                pl.score(source, LOSSES, scheduler=client if kind == "client" else client.scheduler.address, **ASKED)
            wait_until(lambda: connected(cluster) == {client.id} and not cluster.scheduler.tasks)
            del pressed  # until here, what it refers to is not released by chance
    finally:
        (tmp_path / "go").touch()
        pressing.join()
        signal.signal(signal.SIGINT, handler)
    same_bits(pl.score(source, LOSSES, scheduler=client, **ASKED), pl.score(source, LOSSES, **ASKED))


@contextlib.contextmanager
def kill_in_the_middle(cluster, folder):
    """Kill a worker that has scored five parts and is at its sixth, with the other one at its first."""
    with distributed.Client(cluster, set_as_default=False) as client:
        pids = client.run(os.getpid)
        victim, other = pids

        def wait():
            wait_until((folder / "blocked").exists)

        def kill():
            wait()
            os.kill(pids[victim], signal.SIGKILL)

        client.run(install, block(folder, 5), workers=[victim])
        client.run(install, wait, workers=[other])
    killing = threading.Thread(target=kill)
    killing.start()
    yield
    killing.join()
    assert victim not in cluster.scheduler.workers


def many_parts(folder):
    data = wild()
    for i in range(50):
        pq.write_table(data.slice(100 * i, 100), folder / f"part-{i:02}.parquet")
    return str(folder / "part-*.parquet")


@pytest.mark.parametrize("branches", [2, 64])
def test_a_killed_worker_loses_nothing(branches, victims, tmp_path, monkeypatch):
    """With 64 branches, nothing has been merged when it dies: what it has scored was there alone."""
    monkeypatch.setattr(_dask, "_BRANCHES", branches)
    source = many_parts(tmp_path)
    with kill_in_the_middle(victims, tmp_path):
        got = pl.score(source, LOSSES, scheduler=victims.scheduler_address, **ASKED)
    same_bits(got, pl.score(source, LOSSES, **ASKED))


def test_workers_that_die_again_and_again(victims, tmp_path, monkeypatch):
    monkeypatch.setattr(victims.scheduler, "allowed_failures", 0)
    source = many_parts(tmp_path)
    with (
        kill_in_the_middle(victims, tmp_path),
        pytest.raises(ConnectionError, match=r"scheduler: got 'tcp://.*', which gave up: .* workers died"),
    ):
        pl.score(source, LOSSES, scheduler=victims.scheduler_address, **ASKED)


def test_a_cluster_that_goes_away(tmp_path):
    source = as_parts(wild(), tmp_path)
    with new_cluster(tmp_path / "workers", n_workers=0) as cluster:

        def close():
            wait_until(lambda: cluster.scheduler.tasks)
            cluster.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(ConnectionError, match=r"scheduler: got 'tcp://.*', which gave up: "):
            pl.score(source, LOSSES, scheduler=cluster.scheduler_address, **ASKED)
        closing.join()


COMMAND = ["--pred=yhat", "--target=y", "--weight=w", "--by=region", *(f"--loss={loss}" for loss in LOSSES)]
PROGRAM = """
import signal, sys
from pyloss.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
sys.exit(main())
"""


def test_the_command(cluster, tmp_path, capsys):
    source = as_parts(wild(), tmp_path)
    assert main(["score", source, *COMMAND, "--scheduler", cluster.scheduler_address]) == 0
    assert capsys.readouterr() == (f"{pl.score(source, LOSSES, **ASKED)}\n", "")


def start(*arguments):
    command = [sys.executable, "-c", PROGRAM, "score", *map(str, arguments), *COMMAND]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_ends_at_once_without_a_cluster(tmp_path):
    command = start(as_parquet(wild(), tmp_path), "--scheduler=nowhere")
    out, err = command.communicate(timeout=20)
    assert (command.returncode, out) == (1, "")
    assert err.startswith("pyloss score: scheduler: got 'nowhere', which does not answer: missing port")
    assert err.count("\n") == 1


def test_large_parts_share_tasks(client, tmp_path, monkeypatch):
    data = wild()
    for i in range(20):
        pq.write_table(data.slice(100 * i, 100), tmp_path / f"part-{i:02}.parquet")
    monkeypatch.setattr(_dask, "_ROWS", 250)
    for parts, rows, threads, wanted in (
        (20, 500, 2, [5, 5, 5, 5]),
        (20, 600, 1, [8, 8, 4]),  # at most 250 rows
        (20, 2000, 3, [2] * 10),
        (20, 20000, 2, [1] * 20),
        (20, None, 2, [1] * 20),  # nobody knows how long parts are
        (3, 3, 16, [1, 1, 1]),
        (0, 0, 2, []),
    ):
        spans = list(_dask._spans(range(parts), rows, threads))
        assert [len(span) for span in spans] == wanted
        assert [part for span in spans for part in span] == list(range(parts))
    source = str(tmp_path / "part-*.parquet")
    same_bits(pl.score(source, LOSSES, scheduler=client, **ASKED), pl.score(source, LOSSES, **ASKED))


def test_frames_write_no_rows_and_may_have_numbers_for_names(tmp_path):
    frame = dd.from_pandas(pd.DataFrame({0: [1.0, 2.0], 1: [2.0, 4.0]}), npartitions=2)
    assert pl.score(frame, ["mse"], pred="0", target="1")["mse"] == 2.5
    with pytest.raises(TypeError, match="rows: got a path with a scheduler"):
        pl.score(frame, ["mse"], pred="0", target="1", rows=tmp_path / "rows.parquet")


def test_ctrl_c_ends_the_command(tmp_path):
    with new_cluster(tmp_path / "workers", n_workers=0) as cluster:
        command = start(as_parquet(wild(), tmp_path), "--scheduler", cluster.scheduler_address)
        wait_until(lambda: cluster.scheduler.tasks)
        command.send_signal(signal.SIGINT)
        assert command.communicate(timeout=20) == ("", "")
        assert command.returncode == 130
        wait_until(lambda: not cluster.scheduler.tasks and not connected(cluster))
