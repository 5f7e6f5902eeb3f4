"""Histories as Arrow: nothing is lost on the way there and back, and nothing foreign is taken for one."""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import ipc

from gradclinic.errors import InvalidHistory
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable, concatenate
from gradclinic.history.arrow import load_history, save_parts
from gradclinic.history.rows import slices

ODD = [float("nan"), float("inf"), float("-inf"), 1e-40, 1e300, -0.0, 1e-45, 0.1, float(np.float32(0.1))]
NAMES = st.sampled_from([WHOLE_STEP, "layers.0", "layers.2[7].layers.0.weight", "a/b", 'q"x', "step", "ü"])


@st.composite
def tables(draw):
    every, rows = draw(st.integers(1, 7)), draw(st.integers(0, 30))
    steps = draw(st.integers(0, 20)) + np.arange(rows) * every
    subjects = tuple(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)))
    elements = st.one_of(st.sampled_from(ODD), st.floats(), st.floats(width=32))
    return SignalTable(steps, subjects, draw(hnp.arrays(np.float64, (rows, len(subjects)), elements=elements)))


HISTORIES = st.builds(
    History,
    st.dictionaries(st.sampled_from(["loss", "grad_norm", "dead_fraction", "val/loss"]), tables(), max_size=3),
    st.sampled_from([RunFacts(), RunFacts(optimizer="SGD", layers=[LayerFacts(name="layers.0", type="Linear")])]),
)


def assert_same(left: History, right: History) -> None:
    assert set(left.tables) == set(right.tables)
    assert left.facts == right.facts
    for signal, table in left.tables.items():
        other = right[signal]
        assert other.subjects == table.subjects
        assert other.steps.dtype == np.int64
        assert other.steps.tolist() == table.steps.tolist()
        assert other.values.dtype == np.float64
        assert np.array_equal(other.values, table.values, equal_nan=True)
        finite = ~np.isnan(table.values)
        assert np.array_equal(np.signbit(other.values[finite]), np.signbit(table.values[finite]))


def small(**tables):
    return History(dict(tables), RunFacts(optimizer="Adam", metric="accuracy"))


def one(values, steps=None, subjects=(WHOLE_STEP,)):
    values = np.asarray(values, np.float64)
    return SignalTable(np.arange(len(values)) if steps is None else np.asarray(steps), subjects, values)


class TestThereAndBack:
    @settings(deadline=None)  # the first one imports PyArrow
    @given(HISTORIES)
    @example(History({"x": one([[value] for value in ODD])}))
    def test_a_table_gives_the_same_history_back(self, history):
        assert_same(history, History.from_arrow(history.to_arrow()))

    @given(HISTORIES)
    @settings(max_examples=30, deadline=None)
    def test_a_file_gives_the_same_history_back(self, tmp_path_factory, history):
        path = tmp_path_factory.mktemp("saved") / "history.arrow"
        history.save(path)
        assert_same(history, History.load(path))

    def test_a_long_one_comes_back_from_many_batches(self, tmp_path):
        steps = np.arange(3000)
        history = small(
            loss=one(np.sqrt(steps)[:, None]),
            grad_norm=one(np.outer(steps[::7], [1.0, 1e-300]), steps[::7], ("a", "b")),
        )
        history.save(tmp_path / "h.arrow")
        with ipc.open_file(tmp_path / "h.arrow") as file:
            assert file.num_record_batches > 2
        assert_same(history, History.load(tmp_path / "h.arrow"))

    def test_parts_make_the_same_file_as_the_whole(self, tmp_path):
        steps = np.arange(500)
        history = small(loss=one(np.sqrt(steps)[:, None]), val_loss=one(np.ones((5, 1)), steps[::100]))
        save_parts(lambda: slices(history, 128), tmp_path / "h.arrow", history.facts)
        assert_same(history, load_history(tmp_path / "h.arrow"))

    def test_parts_out_of_order_are_refused(self, tmp_path):
        parts = [small(loss=one([[1.0]], [5])), small(loss=one([[1.0]], [5]))]
        with pytest.raises(InvalidHistory, match="step 5 came after 5"):
            save_parts(lambda: parts, tmp_path / "h.arrow", RunFacts())

    def test_a_saved_stream_is_read_too(self, tmp_path):
        history = small(loss=one([[1.0], [2.0]]))
        table = history.to_arrow()
        with ipc.new_stream(tmp_path / "h.arrows", table.schema) as writer:
            writer.write_table(table)
        assert_same(history, History.load(tmp_path / "h.arrows"))


class TestTheTable:
    def test_it_is_one_row_a_step_and_the_whole_step_stands_first(self):
        history = small(
            dead_fraction=one([[0.5]], [1], ("layers.1",)),
            grad_norm=one(np.arange(6.0).reshape(3, 2), None, (WHOLE_STEP, "layers.0.weight")),
            loss=one([[3.0], [float("nan")], [1.0]]),
        )
        table = history.to_arrow()
        assert table.schema.names == [
            "step", "grad_norm", "loss", "layers.1/dead_fraction", "layers.0.weight/grad_norm",
        ]  # fmt: skip
        assert table.column("step").to_pylist() == [0, 1, 2]
        assert table.column("layers.1/dead_fraction").to_pylist() == [None, 0.5, None]
        assert str(table.column("loss").to_pylist()) == "[3.0, nan, 1.0]"
        assert table.column("loss").null_count == 0

    def test_a_column_is_float32_where_that_loses_nothing(self):
        kept = {name: one([[value]], None, (name,)) for name, value in (("a", 0.5), ("b", 1e-50), ("c", 0.1))}
        types = [str(field.type) for field in small(**kept).to_arrow().schema]
        assert types == ["int64", "float", "double", "double"]

    def test_pandas_sees_the_columns(self):
        frame = small(loss=one([[1.0], [2.0]]), val_loss=one([[5.0]], [1])).to_pandas()
        assert frame["loss"].tolist() == [1.0, 2.0]
        assert frame["val_loss"].isna().tolist() == [True, False]

    def test_columns_can_be_left_out(self):
        table = small(loss=one([[1.0]]), grad_norm=one([[1.0, 2.0]], None, ("a", "b"))).to_arrow()
        left = History.from_arrow(table.drop_columns(["a/grad_norm", "loss"]))
        assert (list(left.tables), left["grad_norm"].subjects) == (["grad_norm"], ("b",))


class TestForeign:
    def test_a_table_of_anyone_with_steps_and_numbers_is_a_history(self):
        table = pa.table({"step": pa.array([0, 10], pa.int32()), "loss": [1, None], "net.fc/grad_norm": [0.5, 0.25]})
        history = History.from_arrow(table)
        assert history["loss"].steps.tolist() == [0]
        assert history["grad_norm"].series("net.fc").tolist() == [0.5, 0.25]
        assert history.facts == RunFacts()

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"loss": [1.0]}, "no column 'step'"),
            ({"step": [1.0, 2.0]}, "'step' holds double"),
            ({"step": [1, None]}, "1 nulls"),
            ({"step": [1, 1]}, "does not ascend"),
            ({"step": [2, 1]}, "does not ascend"),
            ({"step": [-1, 1]}, "does not ascend"),
            ({"step": pa.array([2**64 - 1], pa.uint64())}, "cannot be read"),
            ({"step": [1], "loss": ["high"]}, "holds string"),
            ({"step": [1, 2], "a/x": [1.0, None], "b/x": [1.0, 2.0]}, "At step 2 the signal 'x'"),
        ],
    )
    def test_what_is_none_is_refused_in_words(self, columns, said):
        with pytest.raises(InvalidHistory, match=said):
            History.from_arrow(pa.table(columns))

    def test_a_column_that_comes_twice_is_refused(self):
        table = pa.Table.from_arrays([pa.array([0]), pa.array([1.0]), pa.array([2.0])], ["step", "loss", "loss"])
        with pytest.raises(InvalidHistory, match="two columns 'loss'"):
            History.from_arrow(table)

    def test_facts_that_are_none_are_refused(self):
        table = small(loss=one([[1.0]])).to_arrow()
        with pytest.raises(InvalidHistory, match=r"gradclinic\.facts cannot be read"):
            History.from_arrow(table.replace_schema_metadata({"gradclinic.facts": '{"layers": 3}'}))

    def test_facts_of_a_newer_version_are_read_as_far_as_they_are_known(self):
        table = small(loss=one([[1.0]])).to_arrow()
        newer = table.replace_schema_metadata({"gradclinic.facts": '{"optimizer": "SGD", "weather": "fine"}'})
        assert History.from_arrow(newer).facts == RunFacts(optimizer="SGD")

    @pytest.mark.parametrize("content", [b"", b"ARROW1", b"step,loss\n0,1\n", bytes(4096), b"PAR1" + bytes(100)])
    def test_other_files_are_refused(self, tmp_path, content):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(InvalidHistory, match=r"/x"):
            History.load(tmp_path / "x")

    @pytest.mark.parametrize("form", ["file", "stream"])
    def test_a_file_that_was_cut_anywhere_is_refused(self, tmp_path, form):
        history = small(loss=one(np.arange(50.0)[:, None]), grad_norm=one(np.ones((50, 3)), None, ("a", "b", "c")))
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        if form == "file":
            history.save(whole)
        else:
            with ipc.new_stream(whole, history.to_arrow().schema) as writer:
                writer.write_table(history.to_arrow(), max_chunksize=10)
        content = whole.read_bytes()
        for length in range(0, len(content), 7):
            cut.write_bytes(content[:length])
            with pytest.raises(InvalidHistory):
                History.load(cut)

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_a_damaged_file_gives_a_history_or_is_refused(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "damaged.arrow"
        small(loss=one(np.arange(50.0)[:, None])).save(path)
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with suppress(InvalidHistory):
            assert isinstance(History.load(path), History)

    def test_a_file_that_is_not_there_is_said_to_be_so(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            History.load(tmp_path / "nothing")


def test_without_pyarrow_the_error_names_what_to_install():
    script = (
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "from gradclinic.history import History\n"
        "from gradclinic.errors import GradclinicError\n"
        "try:\n    History().to_arrow()\n"
        "except GradclinicError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "pip install 'gradclinic[arrow]'" in said


def test_slices_join_to_the_whole():
    history = small(loss=one(np.arange(300.0)[:, None]), val_loss=one(np.ones((3, 1)), [0, 130, 299]))
    assert_same(history, concatenate(slices(history, 128)))
