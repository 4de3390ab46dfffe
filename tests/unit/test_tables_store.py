"""tables and store: what is written comes back, whole or not at all, and finished units are found again."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tli.errors import TableError
from tli.io import atomic, store, table_files, tables
from tli.io.table_files import compacted, stacked

AWKWARD = [
    "",
    " ",
    " a",
    "a ",
    '"',
    '"quoted"',
    "'",
    '""',
    "NA",
    "NaN",
    "nan",
    "null",
    "None",
    "1e5",
    "007",
    "1.0",
    "True",
    "inf",
    "#",
    "\\",
    "\\N",
    "ŋoma",
    "é",
    "e\u0301",
    "ngʼombe",
    "🦓",
    "\u2028",
    "\x0b",
    "\x85",
    "\ufeff",
    "a|b",
    "=1+1",
    "a,b",
    "-",
]
words = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n\x00"), max_size=12))
numbers = st.floats(allow_infinity=True, allow_nan=True)


def listing(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def table_of(rows, columns=("source", "target", "provenance")) -> pd.DataFrame:
    return pd.DataFrame([row[:3] for row in rows], columns=list(columns), dtype=str).assign(value=[row[3] for row in rows])


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(words, words, words, numbers), min_size=1, max_size=6))
@example(rows=[("", "", "", float("nan"))])
@example(rows=[(" ", "", "", 0.1 + 0.2), ("", "", "", 5e-324), ("NA", '"', "1e5", 1e-308), ("a", "b", "c", 2 / 3)])
def test_round_trip(tmp_path_factory, ending, rows):
    path = tmp_path_factory.getbasetemp() / f"round.{ending}"
    made = table_of(rows)
    table_files.write(made, path, list(made.columns))
    back = table_files.read(path, list(made.columns))
    assert back[["source", "target", "provenance"]].to_numpy().tolist() == made[["source", "target", "provenance"]].to_numpy().tolist()
    np.testing.assert_array_equal(back["value"].to_numpy(float), made["value"].to_numpy(float))  # to the last bit


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
@example(text="a\tb\r\nc")
@example(text="\n")
@example(text="\x00")
def test_what_would_break_a_line_becomes_a_space_and_the_rows_stay(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "line.tsv"
    made = pd.DataFrame({"source": [text, "next"], "target": ["x", "y"]})
    table_files.write(made, path)
    back = table_files.read(path)
    assert back["target"].tolist() == ["x", "y"] and back["source"].iloc[1] == "next"
    for character in "\t\r\n\x00":
        text = text.replace(character, " ")
    assert " ".join(back["source"].iloc[0].split(" ")).split() == text.split()


def test_empty_table_keeps_its_columns(tmp_path):
    for ending in ("tsv", "parquet"):
        table_files.write(pd.DataFrame(columns=tables.RUNS), tmp_path / f"t.{ending}", tables.RUNS)
        back = table_files.read(tmp_path / f"t.{ending}", tables.RUNS)
        assert len(back) == 0 and list(back.columns) == tables.RUNS


def test_flags_and_whole_numbers_keep_their_kind(tmp_path):
    made = pd.DataFrame({"control": [True, False], "seed": [-1, 2**60], "rank": ["16", "full"], "layer": ["2", "output"]})
    table_files.write(made, tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(table_files.read(tmp_path / "t.tsv"), made.astype({"rank": object, "layer": object}), check_dtype=False)
    assert table_files.read(tmp_path / "t.tsv")["control"].dtype == bool


def test_a_column_asked_for_as_text_stays_text(tmp_path):
    (tmp_path / "t.tsv").write_text("code\n007\n", encoding="utf-8")
    assert table_files.read(tmp_path / "t.tsv", text=["code"])["code"].tolist() == ["007"]


def test_missing_and_unknown_columns_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TableError, match=r"t.tsv: columns missing \['b'\], columns unknown \['c'\]"):
        table_files.write(pd.DataFrame({"a": [1], "c": [2]}), tmp_path / "t.tsv", ["a", "b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.tsv", b"", "cannot be read"),
        ("t.tsv", b"a\tb\n\xff\t1\n", "cannot be read"),
        ("t.parquet", b"PAR1", "cannot be read"),
        ("t.tsv", b"a\tc\n1\t2\n", "lacks the columns b; it has a, c"),
        ("t.tsv", b"a\tb\n1\t2\n1\t2\t3\n", "cannot be read"),
        ("t.tsv", b"a\tb\n1\t2\t3\n", "more cells than the header"),
    ],
)
def test_a_file_that_is_no_such_table_is_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=reason) as error:
        table_files.read(tmp_path / name, ["a", "b"])
    assert str(tmp_path / name) in str(error.value)


def test_absent_table_is_named(tmp_path):
    with pytest.raises(TableError, match="none.tsv"):
        table_files.read(tmp_path / "none.tsv")


# --- whole or not at all --------------------------------------------------------------------------------------------


def test_columns_of_the_contract_are_named_once():
    lists = [getattr(tables, name) for name in dir(tables) if name.isupper() and isinstance(getattr(tables, name), list)]
    assert len(lists) >= 12
    for columns in lists:
        assert len(set(columns)) == len(columns)


def test_an_error_in_the_middle_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic.whole(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and listing(tmp_path) == ["t.txt"]


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, signal):
    path = tmp_path / "t.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\nfrom tli.io import atomic\nwith atomic.whole(sys.argv[1]) as beside:\n"
        f"    beside.write_text('half'); os.kill(os.getpid(), signal.{signal})\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(tables.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, capture_output=True, timeout=60)
    assert done.returncode < 0, done.stderr
    assert path.read_text() == "old"
    atomic.whole(path)  # a second try is not hindered by what the first left
    with atomic.whole(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["file", "folder", "new file", "new folder"])
def test_a_signal_before_any_line_leaves_the_old_or_the_new_and_no_rest(tmp_path, kind, fault):
    """Struck before each line of `whole` that is run, in turn, up to its tidying."""
    outcomes, strike = set(), 0
    for strike in range(1000):
        place = tmp_path / str(strike)
        place.mkdir()
        if not kind.startswith("new"):
            put(place / "thing", kind, "old")
        try:
            with struck(atomic.whole, strike, fault), atomic.whole(place / "thing") as beside:
                put(beside, kind.split()[-1], "new")
        except fault:
            outcomes.add(content(place / "thing"))
            assert listing(place) in ([], ["thing"])
            continue
        assert content(place / "thing") == "new" and listing(place) == ["thing"]
        break
    assert strike > 8 and outcomes == {"" if kind.startswith("new") else "old"}


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("name", ["mkdir", "rename", "replace"])
def test_a_signal_right_after_a_step_on_the_disk_leaves_no_rest(tmp_path, monkeypatch, name, fault):
    """The folder beside is made, or the old one is out of the way, and the call has not come back yet."""
    put(tmp_path / "thing", "folder", "old")
    real = getattr(Path, name)

    def step(self, *given, **named):
        real(self, *given, **named)
        if name != "mkdir" or self.name.startswith("."):
            monkeypatch.undo()
            raise fault

    monkeypatch.setattr(Path, name, step)

    with pytest.raises(fault), atomic.whole(tmp_path / "thing") as beside:
        put(beside, "folder", "new")
    assert Path.__dict__[name] is real
    assert listing(tmp_path) == ["thing"] and content(tmp_path / "thing") in ("old", "new")


@contextmanager
def struck(function: Any, strike: int, fault: type[BaseException]) -> Iterator[None]:
    """`fault` is raised before the line of that number, counted as they are run, of a generator that has one `finally`, the last."""
    lines, first = inspect.getsourcelines(function)
    code, limit = inspect.unwrap(function).__code__, first + [line.strip() for line in lines].index("finally:")
    left = strike

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code is not code:
            return None
        if event == "line" and frame.f_lineno < limit:
            left -= 1
            if left < 0:
                sys.settrace(before)
                raise fault
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def put(path: Path, kind: str, text: str) -> None:
    """A file, or a folder with one file, of that text."""
    if kind == "folder":
        path.mkdir()
        path = path / "part"
    path.write_text(text)


def content(path: Path) -> str:
    """The text that `put` put there; "" where there is nothing."""
    return (path / "part" if path.is_dir() else path).read_text() if path.exists() else ""


def test_a_folder_is_replaced_as_one(tmp_path):
    path = tmp_path / "folder"
    for names in (["a", "b"], ["c"]):
        with atomic.whole(path) as beside:
            beside.mkdir()
            for name in names:
                (beside / name).write_text(name)
    assert listing(path) == ["c"] and listing(tmp_path) == ["folder"]


@pytest.mark.parametrize("before", ["file", "folder"])
def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old(tmp_path, before):
    path = tmp_path / "thing"
    if before == "file":
        path.write_text("old")
    else:
        path.mkdir()
        (path / "old").write_text("old")
    with pytest.raises(OSError), atomic.whole(path):
        pass
    assert (path if before == "file" else path / "old").read_text() == "old"
    assert listing(tmp_path) == ["thing"]


def test_a_reader_never_sees_half_a_table(tmp_path):
    path, lengths, stop = tmp_path / "t.tsv", set(), threading.Event()
    sizes = [400, 800]
    made = {size: pd.DataFrame({"source": ["kitabu"] * size, "cosine": np.linspace(0, 1, size)}) for size in sizes}
    table_files.write(made[400], path)

    def read():
        while not stop.is_set():
            lengths.add(len(table_files.read(path)))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        table_files.write(made[sizes[turn % 2]], path)
    stop.set()
    reader.join()
    assert lengths and lengths <= set(sizes)


# --- store ----------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(
    key=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), st.integers(), min_size=1, max_size=6),
    data=st.data(),
)
def test_digest_does_not_depend_on_the_order_of_keys_but_on_every_value(key, data):
    order = data.draw(st.permutations(list(key)))
    assert store.digest(key) == store.digest({name: key[name] for name in order})
    name = data.draw(st.sampled_from(list(key)))
    assert store.digest(key) != store.digest(key | {name: key[name] + 1})
    assert store.digest(key) != store.digest({k: v for k, v in key.items() if k != name})


def test_digest_refuses_what_is_no_plain_value():
    for value in (float("nan"), {1, 2}, np.float32(1)):
        with pytest.raises((TypeError, ValueError)):
            store.digest({"a": value})


def test_a_unit_is_built_once(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "x.txt").write_text("x")

    first, made = store.get(tmp_path, "train", {"seed": 1}, build)
    again, made_again = store.get(tmp_path, "train", {"seed": 1}, build)
    other, _ = store.get(tmp_path, "train", {"seed": 2}, build)
    assert (made, made_again, len(built)) == (True, False, 2) and first == again != other
    assert listing(first) == ["unit.json", "x.txt"]
    assert store.find(tmp_path, "evaluate", {"seed": 1}) is None


def test_a_unit_that_fails_is_not_there_and_is_built_again(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        store.get(tmp_path, "train", {"seed": 1}, fail)
    assert store.find(tmp_path, "train", {"seed": 1}) is None
    unit, made = store.get(tmp_path, "train", {"seed": 1}, lambda folder: (folder / "x").write_text("x"))
    assert made and listing(unit) == ["unit.json", "x"]


def test_copy_of_a_folder_replaces_the_old_one(tmp_path):
    unit, output = tmp_path / "unit", tmp_path / "out" / "adapter"
    (unit / "inner").mkdir(parents=True)
    (unit / "inner" / "a").write_text("a")
    output.mkdir(parents=True)
    (output / "old").write_text("old")
    store.copy(unit, output)
    assert sorted(p.relative_to(output).as_posix() for p in output.rglob("*")) == ["inner", "inner/a"]
    (output / "inner" / "a").write_text("changed")
    assert (unit / "inner" / "a").read_text() == "a"  # a copy, no link


def test_digest_of_a_table_depends_on_cells_and_columns_and_not_on_the_index():
    one = pd.DataFrame({"source": ["a,b", "c"], "target": ["d", "e"]})
    assert store.digest_table(one) == store.digest_table(one.set_axis([5, 9]))
    for other in (
        one.rename(columns={"source": "form"}),
        one.iloc[::-1],
        one.assign(target=["d", "f"]),
        pd.DataFrame({"source": ["a", "c"], "target": ["b,d", "e"]}),
    ):
        assert store.digest_table(one) != store.digest_table(other)


def test_only_what_nobody_works_on_is_swept(tmp_path):
    import os
    import time

    for name, age in ((".dead", 90_000), (".alive", 10), ("unit", 90_000)):
        folder = tmp_path / "train" / name / "adapter"
        folder.mkdir(parents=True)
        (folder / "half").write_text("")
        for path in (folder / "half", folder, folder.parent):
            os.utime(path, (time.time() - age, time.time() - age))
    assert store.sweep(tmp_path) == 1
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == [".alive", "unit"]
    assert store.sweep(tmp_path / "nowhere") == 0


def test_parts_without_rows_join_the_others():
    """A part whose runs are not drawn has a table of projections without rows, whose text has no type."""
    rows = pd.DataFrame({"run": ["a", "b"], "x": [1.0, 2.0]})
    parts = [compacted(part) for part in (pd.DataFrame(columns=["run", "x"]), rows, rows.assign(run="c"))]
    joined = stacked(parts)
    assert joined["run"].tolist() == ["a", "b", "c", "c"] and joined["x"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert list(stacked([compacted(pd.DataFrame(columns=["run", "x"]))]).columns) == ["run", "x"]
