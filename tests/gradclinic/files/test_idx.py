import gzip

import numpy as np
import pytest

from gradclinic.files import Files, facts_of
from tests.gradclinic.files.making import data_of, fault_of, mnist_like, rows_of, write_idx

IDX = {"type": "idx", "images": "images", "labels": "labels"}


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read_as_they_were_written(tmp_path, packed):
    images = np.random.default_rng(1).integers(0, 256, (7, 3, 5), np.uint8)
    write_idx(tmp_path / "images", images, packed=packed)
    write_idx(tmp_path / "labels", np.array([0, 1, 2, 1, 0, 2, 1], np.uint8), packed=packed)

    rows = rows_of(tmp_path, **IDX)

    assert (rows.inputs == images[:, None]).all()
    assert rows.targets.tolist() == [0, 1, 2, 1, 0, 2, 1]
    assert (rows.classes, rows.is_image, rows.targets.dtype) == (3, True, np.int64)


def test_facts_are_those_of_the_rows(tmp_path):
    mnist_like(tmp_path)
    facts = facts_of(data_of(**IDX, limit=10), Files(tmp_path))
    assert (facts.input_shape, facts.classes, facts.train, facts.validation) == ((1, 5, 4), 3, 8, 2)
    assert facts_of(data_of(**IDX, flatten=True), Files(tmp_path)).input_shape == (20,)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(0x09, np.int8), (0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)]
)
def test_every_type_of_number_is_read(tmp_path, kind, dtype):
    mnist_like(tmp_path)
    images = np.arange(12 * 4).reshape(12, 2, 2).astype(dtype)
    write_idx(tmp_path / "images", images, kind)
    assert (rows_of(tmp_path, **IDX).inputs[:, 0] == images).all()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_file_cut_anywhere_is_told(tmp_path, name, packed):
    mnist_like(tmp_path, packed=packed)
    whole = (tmp_path / name).read_bytes()
    for length in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        fault = fault_of(tmp_path, **IDX)
        assert fault.pointer == f"/data/{name}"
        assert any(word in fault.detail for word in ("cut off", "empty", "does not end", "not an idx", "damaged")), (
            length
        )


def test_bytes_after_the_end_are_told(tmp_path):
    mnist_like(tmp_path)
    with (tmp_path / "labels").open("ab") as file:
        file.write(b"\0")
    assert "more bytes" in fault_of(tmp_path, **IDX).detail


def test_sizes_are_not_believed(tmp_path):
    """A head that promises gigabytes costs no memory: the limit is checked first, and then what is there."""
    mnist_like(tmp_path)
    (tmp_path / "images").write_bytes(bytes([0, 0, 8, 3]) + b"\xff\xff\xff\xff" * 3)
    assert "limit" in fault_of(tmp_path, **IDX).detail
    (tmp_path / "images").write_bytes(bytes([0, 0, 8, 3]) + b"\0\0\x01\0" * 3)
    assert "does not end" in fault_of(tmp_path, **IDX).detail


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    mnist_like(tmp_path)
    (tmp_path / "labels").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 4]) + bytes(50_000_000)))
    assert "more bytes" in fault_of(tmp_path, **IDX).detail


def test_images_given_as_labels_are_told_apart(tmp_path):
    mnist_like(tmp_path)
    fault = fault_of(tmp_path, type="idx", images="labels", labels="images")
    assert (fault.pointer, fault.expected) == ("/data/images", "an idx file of images, [N, height, width]")


def test_labels_of_other_images_are_refused(tmp_path):
    mnist_like(tmp_path)
    write_idx(tmp_path / "labels", np.array([0, 1], np.uint8))
    fault = fault_of(tmp_path, **IDX)
    assert fault.pointer == "/data/labels"
    assert "2 labels" in fault.detail


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.zeros(12, np.uint8), 0x08),
        (np.full(12, -1, np.int8), 0x09),
        (np.full(12, 10_000, np.int32), 0x0C),
        (np.zeros(12, np.float32), 0x0D),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, kind):
    mnist_like(tmp_path)
    write_idx(tmp_path / "labels", labels, kind)
    assert fault_of(tmp_path, **IDX).pointer == "/data/labels"


def test_a_number_that_is_not_finite_is_told(tmp_path):
    mnist_like(tmp_path)
    write_idx(tmp_path / "images", np.full((12, 2, 2), np.nan, np.float32), 0x0D)
    assert "not finite" in fault_of(tmp_path, **IDX).detail
