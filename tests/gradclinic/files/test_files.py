"""Nothing is read outside the data root, and what was read is not read again while it does not change."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gradclinic.errors import InvalidSpec, NotFound
from gradclinic.files import Files, facts_of, readers
from tests.gradclinic.files.making import data_of, fault_of, mnist_like, rows_of, write_csv, write_images

TABLE = {"type": "table", "path": "t.csv", "target": "y"}
SMALL = "x,y\n1,a\n2,b\n"
ANY = [
    TABLE,
    {"type": "arrays", "path": "t.csv"},
    {"type": "image_folder", "path": "t.csv"},
    {"type": "idx", "images": "t.csv", "labels": "t.csv"},
]


@pytest.mark.parametrize("data", ANY)
def test_without_a_data_root_no_file_is_read(data):
    fault = fault_of(None, **data)
    assert "GRADCLINIC_DATA_ROOT" in fault.expected


@pytest.mark.parametrize("data", ANY)
def test_a_file_that_is_missing_is_called_what_it_was_posted_as(tmp_path, data):
    fault = fault_of(tmp_path, **data)
    assert fault.detail == "There is no 't.csv' under the data root."


def test_a_data_root_that_is_gone_is_told(tmp_path):
    assert "data root" in fault_of(tmp_path / "gone", **TABLE).detail


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../t.csv", "a/../../t.csv", "a/..", "..", "C:/t.csv", "\\\\host\\t.csv", "a\\..\\..\\t.csv"],
)
def test_a_path_that_leads_out_by_its_words_is_refused_when_it_is_parsed(path):
    with pytest.raises(InvalidSpec) as refused:
        data_of(**TABLE | {"path": path})
    assert refused.value.faults[0].pointer == "/data/path"


@pytest.mark.parametrize("path", ["./t.csv", "a//t.csv", "a/./t.csv"])
def test_other_ways_to_write_a_path_lead_to_the_same_file(tmp_path, path):
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        write_csv(place / "t.csv", SMALL)
    assert rows_of(tmp_path, **TABLE | {"path": path}).classes == 2


@pytest.mark.parametrize("path", ["~/t.csv", "%2e%2e/t.csv", "$HOME/t.csv", "x" * 300, "t.csv/", "t.csv/more", "\x07"])
def test_names_are_taken_as_they_are(tmp_path, path):
    write_csv(tmp_path / "u.csv", SMALL)
    assert fault_of(tmp_path, **TABLE | {"path": path}).pointer == "/data/path"


class TestLinks:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "outside").mkdir()
        write_csv(tmp_path / "outside" / "t.csv", SMALL)
        write_images(tmp_path / "outside" / "pets", {"a": 1, "b": 1})
        (tmp_path / "root").mkdir()
        return tmp_path / "root"

    def test_a_link_to_a_file_outside_is_refused(self, root):
        (root / "t.csv").symlink_to("../outside/t.csv")
        assert "leads out" in fault_of(root, **TABLE).detail

    def test_a_link_to_a_folder_outside_is_refused(self, root):
        (root / "in").symlink_to(root.parent / "outside")
        assert "leads out" in fault_of(root, **TABLE | {"path": "in/t.csv"}).detail
        assert "leads out" in fault_of(root, type="image_folder", path="in/pets").detail

    def test_a_folder_whose_name_begins_like_the_root_is_outside(self, root):
        other = root.parent / "root2"
        other.mkdir()
        write_csv(other / "t.csv", SMALL)
        (root / "t.csv").symlink_to(other / "t.csv")
        assert "leads out" in fault_of(root, **TABLE).detail

    def test_a_class_folder_or_an_image_that_is_a_link_outside_is_refused(self, root):
        write_images(root / "pets", {"a": 1, "c": 1})
        (root / "pets" / "b").symlink_to(root.parent / "outside" / "pets" / "b")
        assert "leads out" in fault_of(root, type="image_folder", path="pets").detail
        (root / "pets" / "b").unlink()
        (root / "pets" / "a" / "x.png").symlink_to(root.parent / "outside" / "pets" / "a" / "000.png")
        assert "leads out" in fault_of(root, type="image_folder", path="pets").detail

    def test_a_link_within_is_followed(self, root):
        write_csv(root / "real.csv", SMALL)
        (root / "t.csv").symlink_to("real.csv")
        assert rows_of(root, **TABLE).classes == 2

    def test_a_data_root_may_be_a_link_itself(self, root):
        write_csv(root / "t.csv", SMALL)
        (root.parent / "link").symlink_to(root)
        assert rows_of(root.parent / "link", **TABLE).classes == 2

    def test_a_link_to_itself_is_no_file(self, root):
        (root / "t.csv").symlink_to("t.csv")
        assert fault_of(root, **TABLE).pointer == "/data/path"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    assert "not a file" in fault_of(tmp_path, **TABLE).detail


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "t.csv").mkdir()
    assert "not a file" in fault_of(tmp_path, **TABLE).detail


@pytest.mark.skipif(os.geteuid() == 0, reason="whoever is root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    write_csv(tmp_path / "t.csv", SMALL)
    (tmp_path / "t.csv").chmod(0)
    assert "cannot be read" in fault_of(tmp_path, **TABLE).detail


UPLOAD = {"type": "table", "dataset": "some-id", "target": "y"}


class TestUploads:
    def test_an_upload_is_read_from_where_it_lies(self, tmp_path):
        write_csv(tmp_path / "upload", SMALL)
        assert rows_of(Files(dataset=lambda _: tmp_path / "upload"), **UPLOAD).classes == 2

    def test_one_that_is_not_there_is_told(self):
        def find(wanted: str) -> Path:
            raise NotFound("dataset", wanted)

        fault = fault_of(Files(dataset=find), **UPLOAD)
        assert (fault.pointer, "'some-id'" in fault.detail) == ("/data/dataset", True)

    def test_without_a_service_there_are_none(self):
        assert fault_of(None, **UPLOAD).pointer == "/data/dataset"

    def test_its_place_is_nobody_s_business(self, tmp_path):
        (tmp_path / "upload").write_bytes(b"PK")
        fault = fault_of(Files(dataset=lambda _: tmp_path / "upload"), **UPLOAD)
        assert fault.detail.startswith("The uploaded data set is")


class TestRemembering:
    @pytest.fixture
    def reads(self, monkeypatch) -> list[str]:
        """Count the reads."""
        seen: list[str] = []
        for kind, read in readers.READERS.items():
            counted = lambda data, files, read=read: (seen.append(data.type), read(data, files))[1]  # noqa: E731 - short
            monkeypatch.setitem(readers.READERS, kind, counted)
        return seen

    def test_a_file_is_read_again_only_when_it_changed(self, tmp_path, reads):
        write_csv(tmp_path / "t.csv", SMALL)
        files = Files(tmp_path)
        for more in ({}, {"validation_split": 0.5}, {"seed": 7, "limit": 2}):
            assert facts_of(data_of(**TABLE, **more), files).classes == 2
        assert len(reads) == 1
        write_csv(tmp_path / "t.csv", SMALL + "3,c\n")
        assert facts_of(data_of(**TABLE), files).classes == 3
        assert len(reads) == 2

    def test_another_target_is_another_reading(self, tmp_path, reads):
        write_csv(tmp_path / "t.csv", "x,y\n1,0.5\n2,0.5\n")
        files = Files(tmp_path)
        assert facts_of(data_of(**TABLE), files).classes is None
        facts_of(data_of(**TABLE | {"target": "x"}), files)
        assert len(reads) == 2

    def test_a_wrong_file_is_read_once(self, tmp_path, reads):
        write_csv(tmp_path / "t.csv", "x,y\n1,a\n,b\n")
        files, found = Files(tmp_path), []
        for _ in range(3):
            with pytest.raises(InvalidSpec) as refused:
                facts_of(data_of(**TABLE), files)
            found.append(refused.value.faults)
        assert (len(reads), found[0]) == (1, found[2])
        write_csv(tmp_path / "t.csv", SMALL)
        assert facts_of(data_of(**TABLE), files).classes == 2

    def test_requests_that_come_together_read_it_once(self, tmp_path, reads):
        write_csv(tmp_path / "t.csv", "x,y\n" + "1.5,a\n2.5,b\n" * 20_000)
        files = Files(tmp_path)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: facts_of(data_of(**TABLE), files), range(4)))
        assert len(reads) == 1
        assert found == [found[0]] * 4

    def test_either_file_of_two_counts(self, tmp_path, reads):
        mnist_like(tmp_path)
        files, data = Files(tmp_path), data_of(type="idx", images="images", labels="labels")
        facts_of(data, files)
        facts_of(data, files)
        mnist_like(tmp_path, rows=15)
        assert facts_of(data, files).train == 12
        assert len(reads) == 2

    def test_an_image_added_is_seen(self, tmp_path):
        write_images(tmp_path / "pets", {"a": 2, "b": 2})
        files, data = Files(tmp_path), data_of(type="image_folder", path="pets", validation_split=0.0)
        assert facts_of(data, files).train == 4
        (tmp_path / "pets" / "a" / "new.png").write_bytes((tmp_path / "pets" / "b" / "000.png").read_bytes())
        assert facts_of(data, files).train == 5

    def test_it_is_bounded(self, tmp_path, monkeypatch):
        monkeypatch.setattr("gradclinic.files.files.REMEMBERED", 3)
        files = Files(tmp_path)
        for number in range(5):
            write_csv(tmp_path / f"{number}.csv", SMALL)
            facts_of(data_of(**TABLE | {"path": f"{number}.csv"}), files)
        assert len(files._known) == 3


def test_inline_needs_no_file():
    rows = rows_of(Files(), type="inline", x=[[1, 2], [3, 4]], y=[0, 2])
    assert (rows.inputs.tolist(), rows.inputs.dtype, rows.integers) == ([[1, 2], [3, 4]], np.int64, True)
    assert (rows.targets.tolist(), rows.classes) == ([0, 2], 3)
    assert rows_of(Files(), type="inline", x=[1.5, 2.5], y=[0.5, 1.5]).targets.tolist() == [[0.5], [1.5]]
    assert rows_of(Files(), type="inline", x=[[[1.0]], [[2.0]]], y=[[1, 2], [3, 4]]).targets.shape == (2, 2)
    fault = fault_of(Files(), type="inline", x=[10**30, 1], y=[0, 1])
    assert "too large" in fault.detail
    assert fault_of(Files(), type="inline", x=[1, 2], y=[0, 250_000]).pointer == "/data/y"
    assert facts_of(data_of(type="inline", x=[[7, 2], [3, 4]], y=[0, 2])).tokens == 8
