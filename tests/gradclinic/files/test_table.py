import contextlib
import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from gradclinic.errors import InvalidSpec
from gradclinic.files import Files, facts_of
from gradclinic.files.csv_table import read_csv
from gradclinic.files.source import Source
from tests.gradclinic.files.making import data_of, fault_of, rows_of, write_csv, write_parquet

TABLE = {"type": "table", "path": "t", "target": "y"}

PEOPLE = "age,y,weight\n30,ill,70.5\n41,well,62\n-1e1,ill,+8.25\n"


def test_a_csv_file_is_read_as_it_was_written(tmp_path):
    write_csv(tmp_path / "t", PEOPLE)
    rows = rows_of(tmp_path, **TABLE)
    assert rows.inputs.tolist() == [[30.0, 70.5], [41.0, 62.0], [-10.0, 8.25]]
    assert (rows.targets.tolist(), rows.classes, rows.class_names) == ([0, 1, 0], 2, ["ill", "well"])
    assert (rows.is_image, rows.is_sequence, rows.integers) == (False, False, False)


@pytest.mark.parametrize(
    "text",
    [
        PEOPLE.replace(",", ";"),
        PEOPLE.replace(",", "\t"),
        PEOPLE.replace("\n", "\r\n"),
        "\ufeff" + PEOPLE,
        PEOPLE.replace("\n", "\n\n"),
        "\n" + PEOPLE,
        PEOPLE.replace("ill", '"ill"').replace("30", '" 30"').replace("age", ' "age"'),
        PEOPLE.removesuffix("\n"),
    ],
)
def test_ways_to_write_the_same_table(tmp_path, text):
    write_csv(tmp_path / "t", text)
    rows = rows_of(tmp_path, **TABLE)
    assert rows.inputs[:, 1].tolist() == [70.5, 62.0, 8.25]
    assert rows.class_names == ["ill", "well"]


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False, width=64), st.text("abc,\"\n' é", min_size=1)),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_a_csv_writer_wrote_comes_back(rows):
    names = {name.strip() for _, name in rows}
    if "" in names or len(names) < 2:
        return
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["x", "y"], *rows])
    source = Source(None, "path", "a file", 0)  # type: ignore[arg-type]  # nothing is opened
    read = read_csv(source, io.BytesIO(buffer.getvalue().encode()), "y", 1000)
    assert read.inputs[:, 0].tolist() == [number for number, _ in rows]
    assert [read.class_names[index] for index in read.targets] == [name.strip() for _, name in rows]


def test_many_rows_are_read_in_several_goes(tmp_path):
    numbers = np.random.default_rng(0).normal(size=(40_000, 3)).round(6)
    lines = "\n".join(f"{a},{b},{index % 4}" for index, (a, b, _) in enumerate(numbers))
    write_csv(tmp_path / "t", f"a,b,y\n{lines}\n")
    rows = rows_of(tmp_path, **TABLE)
    assert (rows.inputs == numbers[:, :2]).all()
    assert (rows.targets == np.arange(40_000) % 4).all()


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (["0", "1", "2", "1"], 3),
        (["1", "0", "1", "1"], 2),
        (["True", "False", "True", "True"], 2),
        (["1", "2", "3", "1"], None),
        (["0", "2", "5", "9"], None),
        (["0.0", "1.0", "1.0", "0.0"], None),
        (["250000", "-3", "17", "1e3"], None),
        (["0", "0", "0", "0"], None),
    ],
)
def test_what_makes_classes(tmp_path, targets, classes):
    write_csv(tmp_path / "t", "x,y\n" + "".join(f"1.5,{target}\n" for target in targets))
    rows = rows_of(tmp_path, **TABLE)
    assert rows.classes == classes
    assert rows.targets.shape == ((4, 1) if classes is None else (4,))


FAULTS = [
    ("", "path", "empty"),
    ("a,y\n", "path", "no rows"),
    ("a,b\n1,2\n", "target", "no column 'y'"),
    ("a,Y\n1,2\n", "target", "no column 'y'"),
    ("y\n1\n2\n", "path", "alone"),
    ("a,y,y\n1,2,3\n", "target", "2 columns 'y'"),
    (",a,y\n0,1,2\n", "path", "no name for its column 1"),
    ("1,2,3\n4,5,6\n", "path", "no header"),
    ("a,b,y\n1,2,0\n1,,1\n", "path", "no value in row 2 of column 'b'"),
    ("a,b,y\n1,2,0\n1,NA,1\n", "path", "no value ('NA') in row 2 of column 'b'"),
    ("a,b,y\n1,2,0\n1,nan,1\n", "path", "no value ('nan') in row 2 of column 'b'"),
    ("a,b,y\n1,2,0\n1,inf,1\n", "path", "'inf' in row 2 of column 'b'"),
    ("a,b,y\n1,2,0\n1,1e999,1\n", "path", "'1e999' in row 2"),
    ("a,b,y\n1,2,0\n1,Berlin,1\n", "path", "the text 'Berlin' in row 2 of column 'b'"),
    ("a,b,y\n1,2,0\n1,2\n", "path", "2 values in row 2 and 3 names"),
    ("a,b,y\n1,2,0\n1,2,3,4\n", "path", "4 values in row 2"),
    ("a,y\n1,ill\n2,\n", "target", "no value in row 2 of column 'y'"),
    ("a,y\n1,ill\n2,NaN\n", "target", "no value ('NaN') in row 2 of column 'y'"),
    ("a,y\n1,0.5\n2,NA\n", "target", "numbers in column 'y', such as '0.5', and texts, such as 'NA'"),
    ("a,y\n1,0\n2,?\n", "target", "texts, such as '?'"),
    ("a,y\n1,0.5\n2,0.25x\n", "target", "texts, such as '0.25x'"),
    ("a,y\n1,0.5\n2,inf\n", "target", "inf in row 2"),
    ("a,y\n1,ill\n2,ill\n", "target", "a single class in column 'y': 'ill'"),
    ('a,y\n1,"ill\n2,well\n', "path", "cut off"),
    ("a,y\n1,i\x00ll\n2,well\n", "path", None),
    ("x" * (4 << 20), "path", "line of"),
    ("PK\x03\x04....", "path", "zip archive"),
    ("PAR1....", "path", "damaged, or cut off"),
]


@pytest.mark.parametrize(("text", "key", "words"), FAULTS, ids=[words or "NUL" for *_, words in FAULTS])
def test_what_is_wrong_is_told_at_its_place(tmp_path, text, key, words):
    write_csv(tmp_path / "t", text)
    if words is None:
        assert rows_of(tmp_path, **TABLE).class_names == ["i\x00ll", "well"]
        return
    fault = fault_of(tmp_path, **TABLE)
    assert fault.pointer == f"/data/{key}"
    assert words in fault.detail
    assert str(tmp_path) not in fault.detail


def test_a_name_nearly_right_gets_a_hint(tmp_path):
    write_csv(tmp_path / "t", "age,weight,hight\n1,2,3\n")
    fault = fault_of(tmp_path, **TABLE | {"target": "height"})
    assert "Did you mean 'hight'?" in fault.detail
    assert fault.expected == "one of 'age', 'weight', 'hight'"


def test_text_that_is_no_utf8_is_told(tmp_path):
    (tmp_path / "t").write_bytes("größe,y\n1,2\n".encode("latin-1"))
    assert "UTF-8" in fault_of(tmp_path, **TABLE).detail


def test_too_many_texts_are_no_classes(tmp_path):
    write_csv(tmp_path / "t", "a,y\n" + "".join(f"1,name{index}\n" for index in range(10_001)))
    assert "more than 10,000 different texts" in fault_of(tmp_path, **TABLE).detail


def test_many_different_numbers_are_a_regression(tmp_path):
    write_csv(tmp_path / "t", "a,y\n" + "".join(f"1,{index}\n" for index in range(10_500)))
    assert rows_of(tmp_path, **TABLE).classes is None


def test_a_table_over_the_limit_is_refused_before_it_is_whole_in_memory(tmp_path):
    write_csv(tmp_path / "t", "a,y\n" + "1,2\n" * 3000)
    assert "limit" in fault_of(Files(tmp_path, max_numbers=2000), **TABLE).detail
    write_csv(tmp_path / "t", "a,y\n" + "1,2\n" * 30_000)
    assert "bytes; the limit here is 64,000" in fault_of(Files(tmp_path, max_numbers=2000), **TABLE).detail


def test_facts_follow_the_table(tmp_path):
    write_csv(tmp_path / "t", PEOPLE)
    facts = facts_of(data_of(**TABLE, validation_split=0.4, one_hot=True), Files(tmp_path))
    assert (facts.input_shape, facts.classes, facts.target_shape) == ((2,), 2, (2,))
    assert (facts.train, facts.validation, facts.task) == (2, 1, "classification")


def test_what_the_rows_cannot_give_is_told(tmp_path):
    write_csv(tmp_path / "t", "a,y\n1,2.5\n2,3.5\n")
    with pytest.raises(Exception, match=r"/data/one_hot: The targets are numbers.*/data/imbalance"):
        facts_of(data_of(**TABLE, one_hot=True, imbalance=2.0), Files(tmp_path))


class TestParquet:
    def test_a_table_is_read_as_it_was_written(self, tmp_path):
        columns = {
            "a": pa.array([1, 2, 3], pa.int32()),
            "y": ["b", "a", "b"],
            "c": [0.5, -1.5, 2.5],
            "d": [True, False, True],
            "e": pa.array([1, 2, 3], pa.uint8()),
            "f": pa.array([0.5, 1.5, 2.5], pa.float32()),
        }
        write_parquet(tmp_path / "t", columns)
        rows = rows_of(tmp_path, **TABLE)
        assert rows.inputs.tolist() == [[1, 0.5, 1, 1, 0.5], [2, -1.5, 0, 2, 1.5], [3, 2.5, 1, 3, 2.5]]
        assert (rows.targets.tolist(), rows.class_names) == ([1, 0, 1], ["a", "b"])

    @pytest.mark.parametrize(
        ("target", "classes"),
        [
            (pa.array([0, 1, 2]), 3),
            (pa.array([5, 1, 2]), None),
            (pa.array([0.0, 1.0, 2.0]), None),
            (pa.array([True, False, True]), 2),
            (pa.array(["x", "y", "x"]).dictionary_encode(), 2),
            (pa.array(["x", "y", "x"], pa.large_string()), 2),
            (pa.array([b"x", b"y", b"x"]), 2),
            (pa.DictionaryArray.from_arrays(pa.array([0, 2, 0]), ["x", "unused", "y"]), 2),
            (pa.array([1, 2, 1], pa.date32()), 2),
        ],
    )
    def test_what_makes_classes(self, tmp_path, target, classes):
        write_parquet(tmp_path / "t", {"a": [1.0, 2.0, 3.0], "y": target})
        assert rows_of(tmp_path, **TABLE).classes == classes

    @pytest.mark.parametrize(
        ("columns", "key", "words"),
        [
            ({"a": [1.0, None], "y": [1, 0]}, "path", "no value in row 2 of column 'a'"),
            ({"a": [1.0, float("nan")], "y": [1, 0]}, "path", "no value ('nan') in row 2 of column 'a'"),
            ({"a": [1.0, float("inf")], "y": [1, 0]}, "path", "inf in row 2 of column 'a'"),
            ({"a": ["x", "z"], "y": [1, 0]}, "path", "string in column 'a'"),
            ({"a": [[1.0], [2.0]], "y": [1, 0]}, "path", "in column 'a'"),
            ({"a": [1.0, 2.0], "y": [1, None]}, "target", "no value in row 2 of column 'y'"),
            ({"a": [1.0, 2.0], "y": ["1", None]}, "target", "no value in row 2 of column 'y'"),
            ({"a": [1.0, 2.0], "y": [[1], [2]]}, "target", "in column 'y'"),
            ({"a": [1.0, 2.0], "y": [b"\xff", b"x"]}, "target", "damaged"),
            ({"a": [1.0, 2.0], "z": [1, 0]}, "target", "no column 'y'"),
            ({"a": [1.0, 2.0], "y": ["u", "u"]}, "target", "a single class"),
            ({"a": pa.array([], pa.float64()), "y": pa.array([], pa.int64())}, "path", "no rows"),
        ],
    )
    def test_what_is_wrong_is_told_at_its_place(self, tmp_path, columns, key, words):
        write_parquet(tmp_path / "t", columns)
        fault = fault_of(tmp_path, **TABLE)
        assert fault.pointer == f"/data/{key}"
        assert words in fault.detail

    def test_many_groups_are_read_as_one_table(self, tmp_path):
        columns = {"a": np.arange(10.0), "y": list("cabbacabca"), "b": np.arange(10)}
        parquet.write_table(pa.table(columns), tmp_path / "t", row_group_size=3)
        rows = rows_of(tmp_path, **TABLE)
        assert rows.inputs.tolist() == [[row, row] for row in range(10)]
        assert "".join(rows.class_names[index] for index in rows.targets) == "cabbacabca"
        parquet.write_table(pa.table(columns | {"a": [1.0] * 7 + [None] * 3}), tmp_path / "t", row_group_size=3)
        assert "no value in row 8 of column 'a'" in fault_of(tmp_path, **TABLE).detail

    def test_a_long_text_in_many_rows_is_held_once(self, tmp_path):
        """The file has kilobytes, and its texts written out would be four gigabytes."""
        texts = pa.DictionaryArray.from_arrays(pa.array(np.arange(20_000) % 2), ["a" * 200_000, "b" * 200_000])
        write_parquet(tmp_path / "t", {"a": np.zeros(20_000), "y": texts})
        assert (tmp_path / "t").stat().st_size < 100_000
        before = pa.default_memory_pool().max_memory()
        assert rows_of(tmp_path, **TABLE).classes == 2
        assert pa.default_memory_pool().max_memory() < before + 50_000_000

    @pytest.mark.parametrize("use_dictionary", [True, False])
    def test_texts_too_long_for_names_are_refused(self, tmp_path, use_dictionary):
        texts = [f"{index:200000}" for index in range(100)]
        parquet.write_table(pa.table({"a": np.zeros(100), "y": texts}), tmp_path / "t", use_dictionary=use_dictionary)
        fault = fault_of(tmp_path, **TABLE)
        assert (fault.pointer, "bytes of text in column 'y'" in fault.detail) == ("/data/target", True)

    def test_too_many_texts_are_no_classes(self, tmp_path):
        write_parquet(tmp_path / "t", {"a": np.zeros(10_001), "y": [f"name{index}" for index in range(10_001)]})
        assert "more than 10,000 different texts" in fault_of(tmp_path, **TABLE).detail

    @pytest.mark.slow
    def test_a_damaged_footer_never_ends_the_process(self, tmp_path):
        """PyArrow raises from C++ through some of its footer's methods, which aborts."""
        buffer = io.BytesIO()
        parquet.write_table(pa.table({"a": [1.0, 2.0], "y": ["b", "a"]}), buffer, store_schema=False)
        raw = buffer.getvalue()
        for place in range(len(raw) - 8 - int.from_bytes(raw[-8:-4], "little"), len(raw) - 8):
            for change in (0x01, 0x10):
                (tmp_path / "t").write_bytes(raw[:place] + bytes([raw[place] ^ change]) + raw[place + 1 :])
                with contextlib.suppress(InvalidSpec):
                    rows_of(tmp_path, **TABLE)

    def test_its_size_is_read_from_the_footer(self, tmp_path):
        write_parquet(tmp_path / "t", {"a": np.zeros(100_000), "y": np.zeros(100_000)})  # a kilobyte
        assert "100,000 numbers" in fault_of(Files(tmp_path, max_numbers=5000), **TABLE).detail

    def test_without_pyarrow_it_says_what_to_do(self, tmp_path, monkeypatch):
        write_parquet(tmp_path / "t", {"a": [1.0, 2.0], "y": [0, 1]})
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        assert "gradclinic[arrow]" in fault_of(tmp_path, **TABLE).expected
