"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import runpy
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pyloss as pl
from pyloss import cli
from pyloss.losses import registered
from test_score import ASKED, SIZE, as_csv, as_mixed_directory, as_parquet, as_parts, classes, columns, table

OPTIONS = ["--pred", "yhat", "--target", "y", "--weight", "w"]
LOSSES = ["mse", "huber:delta=2", "quantile:q=0.9"]
ASK = [f"--loss={loss}" for loss in LOSSES]


@pytest.fixture
def path(tmp_path):
    return str(as_parquet(table(), tmp_path))


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit code, and what it wrote to both outputs."""

    def command(*arguments):
        try:
            code = cli.main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return command


def output(run, *arguments):
    """What a command prints that goes well."""
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    return out


def environment(**more):
    """That of a command whose output is buffered, as it usually is."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | more


def start(*arguments, **options):
    """The command in a process of its own, where Ctrl-C works even if the tests run in the background."""
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from pyloss.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    return subprocess.Popen(command, text=True, **(usual | options))


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_table(path, run):
    for by in ([], ["--by", "region"]):
        want = pl.score(path, LOSSES, **(ASKED | {"by": by[1] if by else None}))
        assert output(run, "score", path, *OPTIONS, *ASK, *by) == f"{want}\n"
        assert output(run, "score", path, *OPTIONS, *ASK, *by, "--format=table") == f"{want}\n"


def test_json(path, run):
    for by in ([], ["--by", "region"]):
        want = pl.score(path, LOSSES, **(ASKED | {"by": by[1] if by else None}))
        got = strictly(output(run, "score", path, *OPTIONS, *ASK, *by, "--format=json"))
        assert got == want.to_dict()
        assert list(got["losses"]) == ["mse", "huber", "quantile"]


def test_json_is_strict(tmp_path, run):
    data = {"pred": [np.inf, 1.0, np.nan, 3.0], "target": [0.0, 2.0, 1.0, 1.0], "g": [0.5, 0.5, np.nan, 2.0]}
    pq.write_table(pa.table(data | {"day": pa.array([1, 2, 3, None], pa.date32())}), tmp_path / "a.parquet")
    got = strictly(output(run, "score", tmp_path / "a.parquet", "--loss=mse", "--by=g", "--format=json"))
    assert got["losses"] == {"mse": "nan"}
    assert {str(each["group"]): each["losses"]["mse"] for each in got["groups"]} == {
        "0.5": "inf",
        "2.0": 4.0,
        "nan": "nan",
    }
    asked = ["--by=day", "--nulls=drop", "--format=json"]
    got = strictly(output(run, "score", tmp_path / "a.parquet", "--loss=mse", *asked))
    assert [each["group"] for each in got["groups"]] == ["1970-01-02", "1970-01-03", "1970-01-04"]
    assert got["dropped"] == 1


def test_csv(path, run):
    want = pl.score(path, LOSSES, pred="yhat", target="y", weight="w")
    rows = list(csv.reader(io.StringIO(output(run, "score", path, *OPTIONS, *ASK, "--format=csv"))))
    assert rows == [["loss", "mean"], *([name, repr(mean)] for name, mean in want.items())]
    assert [float(mean) for _, mean in rows[1:]] == list(want.means)


def test_csv_of_groups(path, run):
    want = pl.score(path, LOSSES, **ASKED)
    rows = list(csv.reader(io.StringIO(output(run, "score", path, *OPTIONS, *ASK, "--by=region", "--format=csv"))))
    assert rows[0] == ["region", "mse", "huber", "quantile", "rows", "weight"]
    assert [row[0] for row in rows[1:]] == ["east", "north", "south"]
    for label, *means, count, weight in rows[1:]:
        of = want.groups[label]
        assert tuple(map(float, means)) == of.means
        assert means == [repr(mean) for mean in of.means]
        assert (int(count), float(weight)) == (of.count, of.weight)


def test_csv_quotes(tmp_path, run):
    labels = ["a,b", 'c"d', "e\nf", " g "]
    pq.write_table(pa.table({"pred": [1.0] * 4, "target": [0.0] * 4, "g": labels}), tmp_path / "a.parquet")
    got = output(
        run, "score", tmp_path / "a.parquet", "--loss=huber:delta=0.1", "--loss=huber", "--by=g", "--format=csv"
    )
    rows = list(csv.reader(io.StringIO(got)))
    assert rows[0] == ["g", "Huber(delta=0.1)", "Huber(delta=1.0)", "rows", "weight"]
    assert sorted(row[0] for row in rows[1:]) == sorted(labels)


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_output_to_a_file(form, path, tmp_path, run):
    command = ["score", path, *OPTIONS, *ASK, "--by=region", f"--format={form}"]
    want = output(run, *command)
    assert output(run, *command, "--output", tmp_path / "scores") == ""
    assert (tmp_path / "scores").read_text(encoding="utf-8") == want


def test_every_source(tmp_path, run):
    want = strictly(output(run, "score", as_parquet(table(), tmp_path), *OPTIONS, *ASK, "--format=json"))
    as_parts(table(), tmp_path)
    parts = [tmp_path / f"part-{i}.parquet" for i in range(5)]
    for source in ([tmp_path / "part-*.parquet"], parts, [as_mixed_directory(table(), tmp_path)]):
        assert strictly(output(run, "score", *source, *OPTIONS, *ASK, "--format=json")) == want
    assert strictly(output(run, "score", *OPTIONS, *ASK, "--format=json", *parts)) == want
    got = strictly(output(run, "score", as_csv(table(), tmp_path), *OPTIONS, *ASK, "--format=json"))
    assert got["count"] == want["count"]


def test_class_scores(tmp_path, run):
    scores, labels = classes()
    names = {f"p_{i}": scores[:, i] for i in range(scores.shape[1])}
    pq.write_table(pa.table(names | {"label": labels}), tmp_path / "a.parquet")
    command = ["score", tmp_path / "a.parquet", "--pred=p_*", "--target=label", "--loss=cross_entropy", "--format=json"]
    want = pl.score({"pred": scores, "target": labels}, ["cross_entropy"])
    assert strictly(output(run, *command))["losses"] == {"cross_entropy": want["cross_entropy"]}


def test_further_inputs(tmp_path, run):
    data = table(v=np.full(SIZE, 0.25))
    pq.write_table(data, tmp_path / "a.parquet")
    command = ["score", tmp_path / "a.parquet", *OPTIONS, "--loss=gaussian_nll", "--loss=mse", "--format=json"]
    want = pl.score(data, ["gaussian_nll", "mse"], pred="yhat", target="y", weight="w", var="v")
    assert strictly(output(run, *command, "--input=var=v"))["losses"] == dict(want)
    for more, message in ([], "var: got nothing"), (["--input=var=v", "--input=x=v"], "x: got a column unexpectedly"):
        code, out, err = run(*command, *more)
        assert (code, out) == (1, "")
        assert err.startswith(f"pyloss score: {message}, wanted ")


def test_nulls(tmp_path, run):
    pq.write_table(pa.table({"pred": [1.0, None, 3.0], "target": [1.0, 1.0, 1.0]}), tmp_path / "a.parquet")
    code, out, err = run("score", tmp_path / "a.parquet", "--loss=mse")
    assert (code, out) == (1, "")
    assert err.startswith("pyloss score: pred: got 1 null in column 'pred', the first in row 1 of ")
    assert output(run, "score", tmp_path / "a.parquet", "--loss=mse", "--nulls=drop").splitlines() == [
        "loss  mean",
        "mse      2",
        "2 rows, 1 with nulls dropped",
    ]


def test_rows(path, tmp_path, run):
    data = columns()
    output(run, "score", path, "--pred=yhat", "--target=y", "--loss=mae", "--rows", tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows.column_names == ["row", "mae"]
    np.testing.assert_array_equal(rows["mae"], abs(data["yhat"] - data["y"]))
    output(run, "score", path, *OPTIONS, *ASK, "--rows", tmp_path / "rows.parquet", "--id=id")
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows.column_names == ["id", "mse", "huber", "quantile"]
    np.testing.assert_array_equal(rows["id"], data["id"])


def test_what_is_passed_on(path, run, monkeypatch):
    told = {}

    def score(source, losses, **arguments):
        told.update(arguments, source=source, losses=losses, threads=pl.get_num_threads())
        return pl.score(path, losses, pred="yhat", target="y")

    usual = pl.get_num_threads()
    monkeypatch.setattr(cli, "score", score)
    output(run, "score", "a", "b", "--loss=mse", "--threads=7", "--scheduler=tcp://there:8786")
    assert (told["source"], told["losses"]) == (["a", "b"], (pl.MSE(),))
    assert (told["threads"], told["scheduler"], told["pred"], told["target"]) == (
        7,
        "tcp://there:8786",
        "pred",
        "target",
    )
    output(run, "score", "a", "--loss=mse")
    assert (told["source"], told["threads"], told["scheduler"]) == ("a", usual, None)


FAILURES = {
    "missing file": ([], "no.parquet", "source: got 'no.parquet', which does not exist"),
    "no match": ([], "no-*.parquet", "source: got 'no-*.parquet', which no file fits"),
    "not parquet": ([], "text.parquet", "source: text.parquet cannot be read: "),
    "unknown kind": ([], "a.xls", "source: got 'a.xls', wanted a file of .parquet"),
    "missing column": (["--pred=p"], "a.parquet", "pred: got 'p', wanted one of the columns of a.parquet: yhat, y"),
    "missing weight": (["--weight=p"], "a.parquet", "weight: got 'p', wanted"),
    "missing groups": (["--by=p"], "a.parquet", "by: got 'p', wanted"),
    "missing id": (["--rows=rows.parquet", "--id=p"], "a.parquet", "id: got 'p', wanted"),
    "text": (["--pred=text"], "a.parquet", "pred: got column 'text' of type string in a.parquet, wanted numbers"),
}


@pytest.mark.parametrize(("options", "source", "message"), FAILURES.values(), ids=FAILURES)
def test_data_that_cannot_be_scored(options, source, message, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    as_parquet(table(), tmp_path)
    (tmp_path / "text.parquet").write_text("hello, this is text")
    (tmp_path / "a.xls").write_text("x")
    before = set(tmp_path.iterdir())
    code, out, err = run("score", source, *OPTIONS, *ASK, *options)
    assert (code, out) == (1, "")
    assert err.startswith(f"pyloss score: {message}")
    assert err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_no_words_are_no_message(path, run, monkeypatch):
    def score(*_, **__):
        raise MemoryError

    monkeypatch.setattr(cli, "score", score)
    assert run("score", path, *ASK) == (1, "", "pyloss score: MemoryError\n")


WRONG = {
    "score --loss=mse": "the following arguments are required: source",
    "score a": "the following arguments are required: --loss",
    "score a --loss=nonsense": "--loss: name: got 'nonsense', wanted one of ",
    "score a --loss=huber:delta=-1": "--loss: delta: got -1",
    "score a --loss=huber:d=1": "--loss: parameters: got 'd', which Huber does not have; it has delta",
    "score a --loss=huber:delta": "--loss: loss: got 'huber:delta', wanted name or name:parameter=value",
    "score a --loss=l2": "--loss: losses[0]: got L2(",
    "score a --loss=mse --loss=nll": "--loss: losses[1]: got NLL(",
    "score a --loss=mse --input=var": "--input: got 'var', wanted NAME=COLUMN",
    "score a --loss=mse --input==v": "--input: got '=v', wanted NAME=COLUMN",
    "score a --loss=mse --input=v=1 --input=v=2": "--input: got 'v=2', wanted an input of the losses that no other ",
    "score a --loss=mse --input=weight=w": "--input: got 'weight=w', wanted an input of the losses that no other ",
    "score a --loss=mse --threads=0": "argument --threads: got '0', wanted a positive integer",
    "score a --loss=mse --threads=two": "argument --threads: got 'two', wanted a positive integer",
    "score a --loss=mse --format=xml": "argument --format: invalid choice: 'xml'",
    "score a --loss=mse --nulls=skip": "argument --nulls: invalid choice: 'skip'",
    "score a --loss=mse --output=no/a.csv": "--output: got 'no/a.csv', wanted a file in a directory that exists",
    "score a --loss=mse --output=.": "--output: got '.', wanted a file in a directory that exists",
    "score a --loss=mse --rows=no/a.parquet": "--rows: got 'no/a.parquet', wanted a file in a directory that exists",
    "score a --loss=mse --rows=r --scheduler=s": "--rows: got 'r' with --scheduler, wanted one of them",
    "score a --loss=mse --id=id": "--id: got 'id' without --rows, wanted both",
    "losses nonsense": "task: got 'nonsense', wanted (part of) one of ",
    "show nonsense": "name: got 'nonsense', wanted one of ",
    "show": "the following arguments are required: loss",
    "bench --rounds=0": "argument --rounds: got '0', wanted a positive integer",
}


@pytest.mark.parametrize(("command", "message"), WRONG.items(), ids=WRONG)
def test_wrong_commands(command, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*command.split())
    assert (code, out) == (2, "")
    usage, *_, last = err.splitlines()
    name = command.split()[0]
    assert usage.startswith(f"usage: pyloss {name} ")
    assert last.startswith(f"pyloss {name}: error: {message}")


def test_a_command_that_does_not_exist(run):
    code, out, err = run("nonsense")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("pyloss: error: argument command: invalid choice: 'nonsense'")


@pytest.mark.parametrize("command", ["score", "losses", "show", "bench", "config"])
def test_help(command, run):
    assert f"    {command} " in output(run, "--help")
    assert output(run, command, "--help").startswith(f"usage: pyloss {command}")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(path, run, monkeypatch):
    def written(*more):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", Terminal())
            assert run("score", path, *OPTIONS, *ASK, *more)[0] == 0
            return sys.stderr.getvalue()

    assert " rows [" in written()
    assert written("--no-progress") == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert written() == ""


def test_a_bar_on_a_real_terminal(tmp_path):
    source = as_parts(table(), tmp_path)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = start("score", source, *OPTIONS, *ASK, stderr=theirs, env=environment(TQDM_MININTERVAL="0"))
    os.close(theirs)
    shown = b""
    while more := _read(ours):
        shown += more
    os.close(ours)
    assert command.communicate()[0] == f"{pl.score(source, LOSSES, **(ASKED | {'by': None}))}\n"
    assert command.returncode == 0
    for text in (b"5.00k/5.00k [", b" rows/s, ", b" GB/s]"):
        assert text in shown
    assert shown.endswith(b"\r")
    assert not shown.rsplit(b"\r", 2)[1].strip()  # the bar is gone


def _read(file):
    """Read what is there; nothing at the end, which Linux tells by an error."""
    try:
        return os.read(file, 1 << 16)
    except OSError:
        return b""


def test_no_bar_in_a_pipe(path):
    command = start("score", path, *OPTIONS, *ASK)
    out, err = command.communicate()
    assert (command.returncode, err) == (0, "")
    assert out.endswith("rows\n")


def test_ctrl_c(tmp_path):
    """Pressed as soon as there is a file of rows: nothing is left of it, and no traceback told."""
    pq.write_table(table(200_000), tmp_path / "part-00.parquet")
    for i in range(1, 100):
        os.link(tmp_path / "part-00.parquet", tmp_path / f"part-{i:02}.parquet")
    written = tmp_path / "rows.parquet.part"
    command = start("score", tmp_path / "part-*.parquet", *OPTIONS, *ASK, "--rows", tmp_path / "rows.parquet")
    while not written.exists():
        assert command.poll() is None
        time.sleep(0.005)
    command.send_signal(signal.SIGINT)
    assert command.communicate() == ("", "")
    assert command.returncode == 130
    assert not list(tmp_path.glob("rows*"))


@pytest.mark.parametrize("command", [["losses"], ["losses", "count"]], ids=["much", "little"])
def test_a_closed_pipe(command):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*command, stdout=writing)
    os.close(writing)
    assert process.communicate() == (None, "")
    assert process.returncode == 0


def test_the_head_of_a_list():
    done = subprocess.run(
        f"{sys.executable} -m pyloss losses | head -1",
        env=environment(),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(pl.list_losses()[0])
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_no_output_at_all():
    command = f"{sys.executable} -m pyloss losses >&-"
    done = subprocess.run(command, env=environment(), shell=True, stderr=subprocess.PIPE, check=True)
    assert done.stderr == b""


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from pyloss.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("command", [["losses"], ["losses", "count"]], ids=["much", "little"])
def test_a_full_disk(command, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run(
            [sys.executable, "-B", "-c", FULL, *command],
            env=environment(),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "pyloss: [Errno 27] File too large\n")


def test_losses(run):
    lines = output(run, "losses").splitlines()
    width = 2 + max(map(len, pl.list_losses()))
    for name, line in zip(pl.list_losses(), lines, strict=True):
        info = registered()[name].info
        assert line[:width].rstrip() == name
        assert line[width:].startswith(f"{info.task}  ")
        assert line.endswith(f"  {info.formula}")
    lines = output(run, "losses", "count").splitlines()
    assert [line.split()[0] for line in lines] == ["negative_binomial_nll", "poisson_nll"]


@pytest.mark.parametrize("name", pl.list_losses())
def test_show(name, run):
    told = output(run, "show", name).splitlines()
    cls, info = registered()[name], registered()[name].info
    assert told[0].startswith(f"{cls.__name__}(")
    assert ":" not in told[0]  # types are told below
    said = dict(line.split(maxsplit=1) for line in told[2:5])
    assert said == {"name": name, "task": info.task, "source": info.source}
    assert cls.__doc__.splitlines()[0] in told


def test_show_mse(run):
    told = output(run, "show", "mse")
    assert told.startswith("MSE()\n\nname           mse\ntask           regression\n")
    for line in ("convex         yes", "differentiable yes", "outliers pull  high", "a likelihood   yes"):
        assert f"\n{line}\n" in told


def test_bench(run, monkeypatch):
    told = []

    def run_path(path, run_name):
        told.append((os.path.basename(path), run_name, sys.argv, sys.path[0] == os.path.dirname(path)))

    monkeypatch.setattr(runpy, "run_path", run_path)
    before = sys.argv, sys.path[:]
    output(run, "bench", "--quick")
    output(run, "bench", "--rounds=3")
    assert told == [
        ("run.py", "__main__", ["pyloss bench", "--rounds", "9", "--quick"], True),
        ("run.py", "__main__", ["pyloss bench", "--rounds", "3"], True),
    ]

    def without_peers(path, run_name):
        raise ImportError("No module named 'sklearn'")

    monkeypatch.setattr(runpy, "run_path", without_peers)
    assert run("bench") == (1, "", "pyloss bench: No module named 'sklearn'; pip install \"pyloss[bench]\"\n")
    assert (sys.argv, sys.path) == before

    def interrupted(path, run_name):
        raise KeyboardInterrupt

    monkeypatch.setattr(runpy, "run_path", interrupted)
    assert run("bench") == (130, "", "")
    assert (sys.argv, sys.path) == before


def test_bench_may_be_missing(run, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "src" / "pyloss" / "cli.py"))
    assert run("bench", "--quick") == (1, "", "pyloss bench: the benchmark is not installed\n")


def test_config(run):
    want = pl.show_config()
    told = output(run).splitlines()
    assert output(run, "config").splitlines() == told
    assert [line[:13].rstrip() for line in told] == list(want)
    assert [line[14:] for line in told] == [
        ", ".join(each) if isinstance(each, list) else str(each) for each in want.values()
    ]
    done = subprocess.run([sys.executable, "-m", "pyloss"], capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == (told, "")
