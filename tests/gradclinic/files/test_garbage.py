"""Whatever bytes a file holds, reading it gives rows or an InvalidSpec: cut off, flipped, or made of nothing."""

import contextlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradclinic.errors import InvalidSpec
from gradclinic.files import Files, facts_of, read_rows
from tests.gradclinic.files.making import data_of, mnist_like, write_csv, write_images, write_parquet

FILE = "file"
AS_TABLE = {"type": "table", "path": FILE, "target": "y"}
CASES = {
    "csv": AS_TABLE,
    "parquet": AS_TABLE,
    "npz": {"type": "arrays", "path": FILE},
    "npz_packed": {"type": "arrays", "path": FILE},
    "idx": {"type": "idx", "images": FILE, "labels": "labels"},
    "idx_labels": {"type": "idx", "images": "images", "labels": FILE},
    "idx_packed": {"type": "idx", "images": FILE, "labels": "labels"},
    **{
        f"image_{suffix}": {"type": "image_folder", "path": "pets", "size": 4}
        for suffix in ("png", "jpg", "gif", "bmp", "webp")
    },
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """A data set, the path of a file in it, and what that holds."""
    name, data = request.param, data_of(**CASES[request.param])
    place = tmp_path / FILE
    if name == "csv":
        write_csv(place, "x,y\n1,a\n2.5,b\n")
    elif name == "parquet":
        write_parquet(place, {"x": [1.0, 2.0, 3.0], "y": ["a", "b", "a"], "z": pa.array([1, 2, 3], pa.int32())})
    elif name.startswith("npz"):
        (np.savez if name == "npz" else np.savez_compressed)(
            tmp_path / "a.npz", x=np.ones((3, 2)), y=np.array([0, 1, 1])
        )
        (tmp_path / "a.npz").rename(place)
    elif name.startswith("idx"):
        mnist_like(tmp_path, 6, packed=name.endswith("packed"))
        (tmp_path / ("labels" if name == "idx_labels" else "images")).rename(place)
    else:
        suffix = name.removeprefix("image_")
        write_images(tmp_path / "pets", {"a": 1, "b": 1}, suffix=suffix)
        place = tmp_path / "pets" / "a" / f"000.{suffix}"
    return data, Files(tmp_path), place, place.read_bytes()


def survives(data, files) -> None:
    for read in (facts_of, read_rows):
        with contextlib.suppress(InvalidSpec):
            read(data, files)


MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(changes=st.data())
def test_damaged_files_are_refused_in_words(case, changes):
    data, files, place, whole = case
    raw = bytearray(whole)
    for _ in range(changes.draw(st.integers(1, 4))):
        at = changes.draw(st.integers(0, len(raw) - 1))
        raw[at] = changes.draw(st.integers(0, 255))
    cut = changes.draw(st.integers(0, 2 * len(raw)))
    place.write_bytes(bytes(raw[:cut]) + changes.draw(st.binary(max_size=20)))
    survives(data, files)


@MANY
@given(raw=st.binary(max_size=200))
def test_garbage_is_refused_in_words(case, raw):
    data, files, place, whole = case
    place.write_bytes(raw)
    survives(data, files)
    place.write_bytes(whole[: len(raw)] + raw)
    survives(data, files)
