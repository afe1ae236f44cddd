"""Scoring files, tables and streams: every source gives the same losses, and every fault is named."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

import pyloss as pl
from pyloss.scoring import _score, _sources

SIZE = 5000
LOSSES = ["mse", "mae", "huber:delta=0.5"]
ASKED = {"pred": "yhat", "target": "y", "weight": "w", "by": "region"}


def columns(size=SIZE, kind="float32"):
    rng = np.random.default_rng(size)
    return {
        "yhat": rng.standard_normal(size).astype(kind),
        "y": rng.uniform(size=size).astype(kind),
        "w": rng.integers(0, 3, size).astype("float64"),
        "region": np.array(["north", "south", "east"])[rng.integers(0, 3, size)],
        "id": 7 * np.arange(size),
        "text": np.array(["x"] * size),
    }


def table(size=SIZE, **changed):
    return pa.table(columns(size) | changed)


def expected(given):
    scorer = pl.Scorer(LOSSES, by="region")
    scorer.update(given["yhat"], given["y"], given["w"], given["region"])
    return scorer.result()


def same(got, want):
    assert got.means == want.means
    assert got.count == want.count
    assert got.weight == want.weight
    assert {str(label): of.means for label, of in got.groups.items()} == {
        label: of.means for label, of in want.groups.items()
    }


def csv_text(data):
    out = io.BytesIO()
    pyarrow.csv.write_csv(data, out)
    return out.getvalue()


def ipc(data, path, *, stream=False, rows=700):
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, new(file, data.schema) as writer:
        writer.write_table(data, max_chunksize=rows)


def as_parquet(data, folder):
    pq.write_table(data, folder / "a.parquet", row_group_size=900)
    return folder / "a.parquet"


def as_ipc(data, folder):
    ipc(data, folder / "a.arrow")
    return str(folder / "a.arrow")


def as_stream_file(data, folder):
    ipc(data, folder / "a.arrows", stream=True)
    return folder / "a.arrows"


def as_csv(data, folder):
    (folder / "a.csv").write_bytes(csv_text(data))
    return folder / "a.csv"


def as_parts(data, folder):
    for i in range(5):
        pq.write_table(data.slice(i * 1000, 1000), folder / f"part-{i}.parquet")
    return str(folder / "part-*.parquet")


def as_list(data, folder):
    as_parts(data, folder)
    return [folder / f"part-{i}.parquet" for i in range(5)]


def as_mixed_directory(data, folder):
    (folder / "in").mkdir()
    pq.write_table(data.slice(0, 10), folder / "in" / "a.parquet")
    ipc(data.slice(10, 2000), folder / "in" / "b.feather")
    pq.write_table(data.slice(2010), folder / "in" / "c.parquet")
    (folder / "in" / "_SUCCESS").touch()
    (folder / "in" / ".hidden.parquet").touch()
    (folder / "in" / "notes.txt").write_text("nothing")
    return folder / "in"


def as_partitions(data, folder):
    for region in ("north", "south", "east"):
        (folder / f"region={region}").mkdir()
        mine = data.filter(pa.compute.equal(data["region"], region))
        pq.write_table(mine.drop_columns(["region"]), folder / f"region={region}" / "part.parquet")
    return folder


def as_npz(data, folder):
    np.savez(folder / "a.npz", **{name: data[name].to_numpy() for name in ("yhat", "y", "w")}, region=_numbers(data))
    return folder / "a.npz"


def _numbers(data):
    return np.unique(data["region"].to_numpy().astype(str), return_inverse=True)[1]


def as_npy(data, folder):
    for name in ("yhat", "y", "w"):
        np.save(folder / f"{name}.npy", data[name].to_numpy())
    np.save(folder / "region.npy", _numbers(data))
    return [folder / f"{name}.npy" for name in ("yhat", "y", "w", "region")]


def as_structured(data, folder):
    kinds = [("yhat", "f4"), ("y", "f4"), ("w", "f8"), ("region", "i4")]
    records = np.empty(SIZE, kinds)
    for name in ("yhat", "y", "w"):
        records[name] = data[name].to_numpy()
    records["region"] = _numbers(data)
    np.save(folder / "records.npy", records)
    return folder / "records.npy"


def as_mapping(data, folder):
    np.save(folder / "other.npy", data["yhat"].to_numpy())
    given = {name: data[name].to_numpy() for name in ("y", "w")}
    return {"yhat": str(folder / "other.npy"), **given, "region": _numbers(data).tolist()}


IN_MEMORY = {
    "table": lambda data, folder: data,
    "chunked": lambda data, folder: pa.concat_tables([data.slice(0, 17), data.slice(17)]),
    "reader": lambda data, folder: data.to_reader(max_chunksize=333),
    "batch": lambda data, folder: data.combine_chunks().to_batches()[0],
    "dictionary": lambda data, folder: data.set_column(3, "region", data["region"].dictionary_encode()),
    "pandas": lambda data, folder: data.to_pandas(),
    "categories": lambda data, folder: data.to_pandas().astype({"region": "category"}),
    "polars": lambda data, folder: polars.from_arrow(data),
    "mapping": as_mapping,
}
FILES = {
    each.__name__[3:]: each
    for each in (
        as_parquet, as_ipc, as_stream_file, as_csv, as_parts, as_list, as_mixed_directory, as_partitions, as_npz,
        as_npy, as_structured,
    )
}  # fmt: skip


@pytest.mark.parametrize("make", [*IN_MEMORY.values(), *FILES.values()], ids=[*IN_MEMORY, *FILES])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1 << 17, 64])
def test_every_source(make, threads, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "BATCH", batch)
    monkeypatch.setattr(_sources, "PART", 8 * batch)
    data = table()
    with pl.num_threads(threads):
        got = pl.score(make(data, tmp_path), LOSSES, **ASKED)
    given = {name: data[name].to_numpy() for name in data.column_names}
    want = expected(given)
    if make is as_csv:  # float64: the text of a float32 is another number
        given |= {name: np.array([float(str(pa.scalar(x))) for x in given[name]]) for name in ("yhat", "y")}
        assert_allclose(got.means, want.means, rtol=1e-6)
        assert got.count == want.count
        return
    if set(got.groups) == {0, 1, 2}:
        want = expected(given | {"region": np.array(["0", "1", "2"])[_numbers(data)]})
    same(got, want)


def test_csv_may_be_compressed(tmp_path):
    import gzip

    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv_text(table())))
    as_csv(table(), tmp_path)
    same(pl.score(tmp_path / "a.csv.gz", LOSSES, **ASKED), pl.score(tmp_path / "a.csv", LOSSES, **ASKED))


CLASSES = 12


def classes(size=SIZE):
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, CLASSES)).astype(np.float32), rng.integers(0, CLASSES, size)


@pytest.mark.parametrize("kind", ["pattern", "names", "lists", "npy", "fortran"])
def test_class_scores(kind, tmp_path):
    scores, labels = classes()
    losses = [pl.CrossEntropy(), pl.CrossEntropy(class_weight=tuple(range(CLASSES)), ignore_index=3)]
    pred = "p_*"
    names = [f"p_{i}" for i in range(CLASSES)]
    if kind in ("pattern", "names"):
        # Not in their order, so that p_10 must be found behind p_9.
        source = pa.table(
            {name: scores[:, i] for i, name in sorted(enumerate(names), key=lambda each: each[1])} | {"target": labels}
        )
        pred = pred if kind == "pattern" else names
    elif kind == "lists":
        source, pred = (
            pa.table({"p": pa.FixedSizeListArray.from_arrays(scores.ravel(), CLASSES), "target": labels}),
            "p",
        )
    else:
        pred = "p"
        np.save(tmp_path / "p.npy", np.asfortranarray(scores) if kind == "fortran" else scores)
        np.save(tmp_path / "target.npy", labels)
        source = [tmp_path / "p.npy", tmp_path / "target.npy"]
    got = pl.score(source, losses, pred=pred)
    assert_allclose(got.means, [loss(scores, labels) for loss in losses], rtol=1e-6)
    changed = labels.copy()
    changed[7] = CLASSES
    bad = pa.table({name: scores[:, i] for i, name in enumerate(names)} | {"target": changed})
    with pytest.raises(ValueError, match=r"target: got label 12 at index \(7,\), wanted a class from .*in the table"):
        pl.score(bad, losses, pred="p_*")


def test_lists_have_one_length():
    scores, labels = classes()
    lists = pa.array(scores.tolist(), pa.list_(pa.float32()))
    got = pl.score(pa.table({"pred": lists, "target": labels}), ["cross_entropy"])
    assert_allclose(got.means, [pl.CrossEntropy()(scores, labels)], rtol=1e-6)
    with pytest.raises(ValueError, match="got lists of several lengths in column 'pred' of the table"):
        pl.score(pa.table({"pred": [[1.0, 2.0], [1.0]], "target": [0, 0]}), ["cross_entropy"])


def test_csv_quotes_what_is_no_null(tmp_path):
    (tmp_path / "a.csv").write_text('pred,target,g\n1,0,"NA"\n2,0,x\n')
    assert list(pl.score(tmp_path / "a.csv", ["mse"], by="g").groups) == ["NA", "x"]
    (tmp_path / "b.csv").write_text("pred,target,g\n1,0,NA\n,0,x\n")
    with pytest.raises(ValueError, match=r"got at least 1 null in column 'pred', the first in row 1 of .*b\.csv"):
        pl.score(tmp_path / "b.csv", ["mse"])
    assert pl.score(tmp_path / "b.csv", ["mse"], by="g", nulls="drop").dropped == 2


def test_further_inputs(tmp_path):
    data = table(variance=np.full(SIZE, 0.25))
    got = pl.score(data, [pl.GaussianNLL(), "mse"], pred="yhat", target="y", var="variance")
    yhat, y = data["yhat"].to_numpy(), data["y"].to_numpy()
    assert_allclose(got.means, [pl.GaussianNLL()(yhat, y, np.full(SIZE, 0.25)), pl.MSE()(yhat, y)], rtol=1e-6)
    for arguments, message in (
        ({}, "var: got nothing"),
        ({"var": "variance", "other": "w"}, "other: got a column unexpectedly"),
    ):
        with pytest.raises(TypeError, match=message):
            pl.score(data, [pl.GaussianNLL()], pred="yhat", target="y", **arguments)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float64(), pa.int8(), pa.uint64(), pa.bool_(), pa.decimal128(21, 2)])
def test_types(kind):
    numbers = [0, 1, 1, 0, 1]
    values = (
        pa.array([bool(x) for x in numbers] if kind == pa.bool_() else numbers).cast(kind)
        if not pa.types.is_float16(kind)
        else pa.array(np.array(numbers, np.float16))
    )
    assert pl.score(pa.table({"pred": values, "target": [0.5] * 5}), ["mse"])["mse"] == 0.25
    assert (
        pl.score(
            pa.table(
                {"pred": values.dictionary_encode() if not pa.types.is_float16(kind) else values, "target": values}
            ),
            ["mse"],
        )["mse"]
        == 0.0
    )


HOLES = {
    "yhat": [1.0, None, 3.0, None],
    "y": [1.0, 1.0, 1.0, 1.0],
    "w": [1.0, 1.0, None, 1.0],
    "g": ["a", "a", "a", None],
}


def test_nulls_are_an_error(tmp_path):
    data = pa.table(HOLES)
    with pytest.raises(
        ValueError,
        match=r"pred: got at least 2 nulls in column 'yhat', the first in row 1 of the table, wanted none",
    ):
        pl.score(data, ["mse"], pred="yhat", target="y")
    with pytest.raises(ValueError, match="weight: got at least 1 null in column 'w', the first in row 2"):
        pl.score(data, ["mse"], pred="y", target="y", weight="w")
    with pytest.raises(ValueError, match="by: got at least 1 null in column 'g', the first in row 3"):
        pl.score(data, ["mse"], pred="y", target="y", by="g")
    pq.write_table(pa.concat_tables([data.slice(0, 1), data]), tmp_path / "holes.parquet", row_group_size=3)
    with pytest.raises(
        ValueError, match=r"got 2 nulls in column 'yhat', the first in row 2 of .*holes\.parquet \(row group 0\)"
    ):
        pl.score(tmp_path / "holes.parquet", ["mse"], pred="yhat", target="y")
    with pytest.raises(ValueError, match="pred: got 1 null in column 'yhat', the first in row 1 of the frame"):
        pl.score(pd.DataFrame({"yhat": [1.0, np.nan], "y": [1.0, 1.0]}), ["mse"], pred="yhat", target="y")


def test_nulls_may_be_dropped():
    scores = pl.score(pa.table(HOLES), ["mse"], pred="yhat", target="y", weight="w", by="g", nulls="drop")
    assert (scores["mse"], scores.count, scores.dropped, list(scores.groups)) == (0.0, 1, 3, ["a"])
    lists = pa.array([[1.0, 2.0], [None, 1.0], None], pa.list_(pa.float64(), 2))
    scores = pl.score(pa.table({"pred": lists, "target": [0, 0, 1]}), ["cross_entropy"], nulls="drop")
    assert (scores.count, scores.dropped) == (1, 2)
    assert scores["cross_entropy"] == pytest.approx(math.log1p(math.exp(1)))
    nothing = pa.table({"pred": pa.nulls(3, pa.float64()), "target": [1.0, 2.0, 3.0]})
    assert pl.score(nothing, ["mse"], nulls="drop").dropped == 3


def test_nan_is_no_null():
    assert math.isnan(pl.score(pa.table({"pred": [1.0, math.nan], "target": [1.0, 1.0]}), ["mse"])["mse"])


def damaged(path, folder, at=0.5, cut=False):
    data = bytearray(path.read_bytes())
    place = int(len(data) * at)
    if cut:
        del data[place:]
    else:
        data[place : place + 64] = b"\xff" * 64
    (folder / path.name).write_bytes(data)
    return folder / path.name


@pytest.mark.parametrize("make", [as_parquet, as_ipc, as_stream_file, as_npz, as_npy])
def test_damaged_files(make, tmp_path):
    path = make(table(), tmp_path)
    path = tmp_path / os.path.basename(path if not isinstance(path, list) else path[0])
    (tmp_path / "bad").mkdir()
    bad = damaged(path, tmp_path / "bad", cut=True)
    asked = ASKED if make is not as_npy else {"pred": "yhat", "target": "yhat"}
    with pytest.raises(ValueError, match=rf"source: .*{path.name} cannot be read: "):
        pl.score(bad, LOSSES, **asked)


def test_a_damaged_column_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path, row_group_size=1000, compression="zstd", use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(2).column(1)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + 60 : chunk.data_page_offset + 160] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"source: column 'y' in row group 2 of .*a\.parquet cannot be read: "):
        pl.score(path, LOSSES, **ASKED)


BAD = {
    "missing file": (lambda folder: folder / "no.csv", {}, FileNotFoundError, "got '.*no.csv', which does not exist"),
    "no match": (lambda folder: str(folder / "no-*.parquet"), {}, FileNotFoundError, "which no file fits"),
    "unknown kind": (lambda folder: _touch(folder / "a.xls", b"x"), {}, ValueError, "wanted a file of .parquet"),
    "empty file": (lambda folder: _touch(folder / "a.parquet"), {}, ValueError, "a.parquet is empty, 0 bytes"),
    "empty directory": (lambda folder: folder, {}, ValueError, "wanted one with files of .parquet"),
    "not parquet": (lambda folder: _touch(folder / "a.parquet", b"text"), {}, ValueError, "a.parquet cannot be read"),
    "no rows": (lambda folder: as_parquet(table().slice(0, 0), folder), {}, ValueError, "a.parquet has no rows"),
    "no rows at hand": (lambda folder: table().slice(0, 0), {}, ValueError, "source: the table has no rows"),
    "missing column": (
        lambda folder: as_parquet(table(), folder), {"pred": "p"}, ValueError,
        "pred: got 'p', wanted one of the columns of .*a.parquet: yhat, y, w",
    ),
    "missing pattern": (lambda folder: table(), {"pred": "p_*"}, ValueError, r"pred: got 'p_\*', wanted one of"),
    "missing names": (lambda folder: table(), {"pred": ["yhat", "no"]}, ValueError, "pred: got 'no', wanted some of"),
    "missing weight": (lambda folder: table(), {"weight": "no"}, ValueError, "weight: got 'no'"),
    "text": (
        lambda folder: as_parquet(table(), folder), {"pred": "text"}, TypeError,
        "pred: got column 'text' of type string in .*a.parquet, wanted numbers",
    ),
    "text in csv": (
        lambda folder: as_csv(table(), folder), {"pred": "text"}, ValueError,
        "a.csv, from row 0 on, cannot be read: .*'x'",
    ),
    "several columns": (
        lambda folder: table(), {"pred": ["yhat", "y"]}, ValueError, "pred: got several columns, wanted one",
    ),
    "negative weight": (
        lambda folder: table(w=np.where(np.arange(SIZE) == 4321, -1.0, 1.0)), {}, ValueError,
        r"weight: got -1.0 at index \(4321,\).*in the table",
    ),
    "weight of lists": (lambda folder: table(), {"weight": ["w"]}, TypeError, "weight: got .*, wanted the name of"),
    "nulls": (lambda folder: table(), {"nulls": "skip"}, ValueError, "nulls: got 'skip'"),
    "a list": (lambda folder: [1.0, 2.0], {}, TypeError, "source: got builtins.list, wanted a path"),
    "lengths": (
        lambda folder: {"yhat": [1.0], "y": [1.0, 2.0]}, {}, ValueError,
        "source: got 'y' with 2 rows, wanted 1, as 'yhat' has",
    ),
    "one number": (lambda folder: {"yhat": [1.0], "y": 2.0}, {}, ValueError, "source: got 'y' with a single number"),
    "no arrays": (lambda folder: {}, {}, ValueError, "has no arrays"),
    "objects": (
        lambda folder: {"yhat": np.array([1, "a"], object), "y": [1.0, 2.0]}, {"weight": None, "by": None}, TypeError,
        "yhat",
    ),
}  # fmt: skip


def _touch(path, content=b""):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "changed", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_sources(make, changed, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        pl.score(make(tmp_path), LOSSES, **(ASKED | changed))


def test_a_later_file_lacks_a_column(tmp_path):
    as_parts(table(), tmp_path)
    pq.write_table(table().drop_columns(["y"]), tmp_path / "part-3.parquet")
    with pytest.raises(
        ValueError, match=r"target: got 'y', which .*part-3\.parquet does not have; its columns are yhat, w"
    ):
        pl.score(str(tmp_path / "part-*.parquet"), LOSSES, **ASKED)


def test_empty_parts_are_none(tmp_path):
    as_parts(table(), tmp_path)
    pq.write_table(table().slice(0, 0), tmp_path / "part-9.parquet")
    assert pl.score(str(tmp_path / "part-*.parquet"), LOSSES, **ASKED).means == pl.score(table(), LOSSES, **ASKED).means


def test_compressed_npz_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", yhat=np.zeros(3), y=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"a\.npz is compressed and cannot be read piece by piece; wanted numpy\.savez"
    ):
        pl.score(tmp_path / "a.npz", ["mse"], pred="yhat", target="y")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a.npy", b"nothing of the kind")
    with pytest.raises(ValueError, match="cannot be read"):
        pl.score(tmp_path / "b.npz", ["mse"], pred="yhat", target="y")


def test_rows_can_be_written(tmp_path):
    path = as_parquet(table(), tmp_path)
    pl.score(path, ["mse", pl.Huber(delta=0.5)], pred="yhat", target="y", rows=tmp_path / "rows.parquet", id="id")
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows.column_names == ["id", "mse", "huber"]
    data = columns()
    np.testing.assert_array_equal(rows["id"], data["id"])
    np.testing.assert_array_equal(rows["huber"], pl.Huber(delta=0.5)(data["yhat"], data["y"], reduction="none"))
    pl.score(path, ["rmse"], pred="yhat", target="y", rows=tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")
    np.testing.assert_array_equal(rows["row"], np.arange(SIZE))
    np.testing.assert_array_equal(rows["rmse"], abs(data["yhat"] - data["y"]))


def test_rows_that_are_left_out_are_counted(tmp_path):
    given = pa.table({"pred": [1.0, None, 3.0, 4.0], "target": [0.0] * 4})
    pl.score(given, ["mse"], nulls="drop", rows=tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pydict() == {"row": [0, 2, 3], "mse": [1.0, 9.0, 16.0]}
    with pytest.raises(ValueError, match="id: got 'mse', which is the name of a loss"):
        pl.score(given.append_column("mse", given["target"]), ["mse"], rows=tmp_path / "rows.parquet", id="mse")


def test_rows_are_complete_or_absent(tmp_path):
    bad = np.ones(SIZE)
    bad[-1] = -1
    path = as_parquet(table(w=bad), tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="weight: got"):
        pl.score(path, LOSSES, rows=tmp_path / "rows.parquet", **ASKED)
    assert set(tmp_path.iterdir()) == before


def test_rows_go_to_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "no" / "rows.parquet"):
        with pytest.raises(ValueError, match="rows: got .*, wanted a file in a folder that exists"):
            pl.score(table(), LOSSES, rows=path, **ASKED)


def test_names_of_a_frame_may_be_numbers():
    frame = pd.DataFrame({0: [1.0, 2.0], 1: [2.0, 4.0]})
    assert pl.score(frame, ["mse"], pred="0", target="1")["mse"] == 2.5
    with pytest.raises(ValueError, match="target: got 1 null in column '1'"):
        pl.score(pd.DataFrame({0: [1.0, 2.0], 1: [2.0, None]}), ["mse"], pred="0", target="1")


def test_progress_is_told(tmp_path):
    told = []
    pl.score(as_parts(table(), tmp_path), LOSSES, progress=lambda *each: told.append(each), **ASKED)
    assert [rows for rows, _, _ in told] == [1000, 2000, 3000, 4000, 5000]
    assert {total for _, total, _ in told} == {SIZE}
    assert told[-1][2] >= SIZE * 16


def test_few_batches_are_at_hand():
    """A stream is read no further ahead than the threads need."""
    taken, done = [], []

    def batches():
        for i in range(200):
            taken.append(i)
            assert len(taken) - len(done) < 12
            yield table(1000).combine_chunks().to_batches()[0]

    reader = pa.RecordBatchReader.from_batches(table(1).schema, batches())
    with pl.num_threads(2):
        scores = pl.score(reader, LOSSES, progress=lambda *each: done.append(each), **ASKED)
    assert len(done) == 200
    assert scores.count == 200 * np.count_nonzero(columns(1000)["w"])


# Not getrusage: its maximum includes the process that this one was forked from.
PEAK = """
import sys, pyloss as pl
rows = sys.argv[2] if len(sys.argv) > 2 else None
pl.score(sys.argv[1], ["mse", "mae"], pred="yhat", target="y", rows=rows)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize(
    ("kind", "rows"),
    [(kind, False) for kind in ("parquet", "one row group", "arrow", "npz", "csv")] + [("one row group", True)],
)
def test_memory_does_not_grow_with_the_file(kind, rows, tmp_path):
    def peak(millions):
        rng = np.random.default_rng(0)
        path = tmp_path / f"{millions}.{kind if kind != 'one row group' else 'parquet'}"
        data = pa.table({name: rng.random(millions << 20, np.float32) for name in ("yhat", "y")})
        if kind == "parquet":
            pq.write_table(data, path, row_group_size=1 << 20)
        elif kind == "one row group":
            pq.write_table(data, path, row_group_size=1 << 30)
        elif kind == "arrow":
            ipc(data, path, rows=1 << 18)
        elif kind == "npz":
            np.savez(path, yhat=data["yhat"].to_numpy(), y=data["y"].to_numpy())
        else:
            pyarrow.csv.write_csv(data, path)
        command = [sys.executable, "-c", PEAK, str(path), *([str(tmp_path / "rows")] * rows)]
        # The least of three: what allocators keep differs by tens of megabytes between processes, what grows does not.
        runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3))
        return min(int(run.stdout) for run in runs)

    # The numbers grow by 96 MB, the process may by what allocators keep.
    assert peak(16) < peak(4) + 40_000


def test_ctrl_c_ends_it(tmp_path, seconds_to_interrupt):
    path = tmp_path / "a.parquet"
    pq.write_table(table(2_000_000), path)
    call = f"[pl.score({str(path)!r}, ['poisson_nll', 'log_cosh'], pred='yhat', target='y') for _ in range(1000)]"
    assert seconds_to_interrupt(call) < 0.5


def test_needs_pyarrow(monkeypatch, tmp_path):
    as_parquet(table(), tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "pyloss\[score\]"'):
        pl.score(str(tmp_path), ["mse"])


def test_work_is_done_in_order():
    assert list(_score.in_order(lambda item, stop: item * item, range(100), 3)) == [i * i for i in range(100)]

    def fails(item, stop):
        if item == 5:
            raise ValueError("five")
        return item

    each = _score.in_order(fails, iter(range(100)), 2)
    with pytest.raises(ValueError, match="five"):
        list(each)
