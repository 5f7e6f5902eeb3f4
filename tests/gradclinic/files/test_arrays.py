import io
import struct
import zipfile

import numpy as np
import pytest

from gradclinic.files import Files
from tests.gradclinic.files.making import fault_of, rows_of

ARRAYS = {"type": "arrays", "path": "a.npz"}
X = np.random.default_rng(0).normal(size=(6, 4))


def save(root, **arrays):
    np.savez(root / "a.npz", **arrays)


@pytest.mark.parametrize("save_with", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_written(tmp_path, save_with):
    save_with(tmp_path / "a.npz", inputs=X, labels=np.array([0, 1, 2, 0, 1, 2]))
    rows = rows_of(tmp_path, **ARRAYS, x="inputs", y="labels")
    assert (rows.inputs == X).all()
    assert (rows.targets.tolist(), rows.classes, rows.integers) == ([0, 1, 2, 0, 1, 2], 3, False)


@pytest.mark.parametrize(
    ("x", "y", "classes", "shape"),
    [
        (X, np.array([0, 1, 0, 1, 1, 0], np.uint8), 2, ()),
        (X, np.array([0, 1, 0, 1, 1, 0], bool), 2, ()),
        (X, np.array([0, 7, 0, 1, 1, 0], ">i2"), 8, ()),
        (X, X[:, 0], None, (1,)),
        (X, X[:, :2], None, (2,)),
        (X, np.ones((6, 4), int), None, (4,)),
        (X, X.reshape(6, 2, 2), None, (4,)),
        (np.ones((6, 5), int), np.arange(30).reshape(6, 5), 30, (5,)),
        (np.ones((6, 5, 2)), np.arange(30).reshape(6, 5), 30, (5,)),
        (np.ones((6, 5, 2)), np.ones((6, 3), int), None, (3,)),
    ],
)
def test_what_makes_classes(tmp_path, x, y, classes, shape):
    save(tmp_path, x=x, y=y)
    rows = rows_of(tmp_path, **ARRAYS)
    assert (rows.classes, rows.targets.shape[1:]) == (classes, shape)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((6,), "table"), ((6, 4), "table"), ((6, 3, 2), "sequence"), ((6, 1, 3, 3), "image"), ((6, 1, 2, 3, 3), "image")],
)
def test_the_rank_says_what_kind_of_data_it_is(tmp_path, shape, kind):
    save(tmp_path, x=np.ones(shape), y=np.arange(6) / 2)
    rows = rows_of(tmp_path, **ARRAYS)
    assert rows.inputs.ndim == max(2, len(shape))
    assert (rows.is_image, rows.is_sequence) == (kind == "image", kind == "sequence")


def test_whole_numbers_are_tokens_where_none_is_negative(tmp_path):
    save(tmp_path, x=np.array([[3, 0], [1, 9]]), y=np.array([0, 1]))
    assert rows_of(tmp_path, **ARRAYS).facts().tokens == 10
    save(tmp_path, x=np.array([[3, 0], [1, -9]]), y=np.array([0, 1]))
    assert (rows_of(tmp_path, **ARRAYS).facts().tokens, rows_of(tmp_path, **ARRAYS).integers) == (None, True)


Y = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "key", "words"),
    [
        ({"y": Y}, "x", "no array 'x'"),
        ({"x": X, "Y": Y}, "y", "no array 'y'"),
        ({"x": X[:3], "y": Y}, "y", "6 rows in 'y' and 3 in 'x'"),
        ({"x": np.array([{}, 1], object), "y": Y[:2]}, "x", "Python objects"),
        ({"x": np.array(["a"] * 6), "y": Y}, "x", "no number"),
        ({"x": X.astype(complex), "y": Y}, "x", "no number"),
        ({"x": np.array(X.tolist(), np.longdouble), "y": Y}, "x", "no number"),
        ({"x": X[:0], "y": Y[:0]}, "x", "nothing in 'x'"),
        ({"x": np.float64(1.0), "y": Y}, "x", "nothing in 'x'"),
        ({"x": np.where(np.arange(24).reshape(6, 4) == 9, np.nan, X), "y": Y}, "x", "nan at [2, 1] of 'x'"),
        ({"x": X, "y": np.array([0.5, np.inf, 0, 0, 0, 0])}, "y", "inf at [1] of 'y'"),
        ({"x": X, "y": Y - 1}, "y", "from -1 to 0"),
        ({"x": X, "y": Y * 250_000}, "y", "from 0 to 250000"),
        ({"x": X, "y": Y * 0}, "y", "a single class"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path, arrays, key, words):
    np.savez(tmp_path / "a.npz", **arrays)
    fault = fault_of(tmp_path, **ARRAYS)
    assert fault.pointer == f"/data/{key}"
    assert words in fault.detail


def npy(shape: str, body: bytes, descr: str = "'<f8'") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy("(1000000, 1000000)", b""), "limit"),
        (npy("(10**9,)", b""), "damaged"),
        (npy("(-1, -8)", bytes(64)), "nothing"),
        (npy("(4, 3)", bytes(8)), "does not hold all"),
        (npy("(1,)", bytes(800)), "does not hold all"),
        (npy("(1,)", bytes(8), "'|O'"), "Python objects"),
        (npy("(" * 200 + ")" * 200, b""), "damaged"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "version 3.0"),
        (b"\x80\x04\x95.", "damaged"),
        (b"", "damaged"),
    ],
)
def test_heads_are_not_believed(tmp_path, member, words):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", member)
        archive.writestr("y.npy", npy("(1,)", bytes(8)))
    assert words in fault_of(tmp_path, **ARRAYS).detail


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    """Eighty megabytes of zeros in eighty kilobytes: the head of the array says so, and that is over the limit."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("(10000000,)", bytes(80_000_000)))
        archive.writestr("y.npy", npy("(1,)", bytes(8)))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    assert "limit" in fault_of(Files(tmp_path, max_numbers=1_000_000), **ARRAYS).detail


def list_end(members: int, size: int, comment: bytes = b"") -> bytes:
    return (
        b"PK\x05\x06"
        + struct.pack("<4H2LH", 0, 0, min(members, 0xFFFF), min(members, 0xFFFF), size, 0, len(comment))
        + comment
    )


@pytest.mark.parametrize("comment", [b"", b"names and more" * 2000])
@pytest.mark.parametrize(("members", "size"), [(10_001, 1000), (2, 2 << 20)])
def test_a_long_list_of_arrays_is_refused_before_it_is_read(tmp_path, members, size, comment):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" + bytes(3 << 20) + list_end(members, size, comment))
    assert "more than 10,000 arrays" in fault_of(tmp_path, **ARRAYS).detail


def test_a_wide_list_is_refused_by_what_its_own_end_says(tmp_path):
    wide = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 500_000, 500_000, 40 << 20, 0)
    pointer = b"PK\x06\x07" + struct.pack("<LQL", 0, 4, 1)
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" + wide + pointer + list_end(0, 0))
    assert "more than 10,000 arrays" in fault_of(tmp_path, **ARRAYS).detail
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" + wide + bytes(20) + list_end(2, 2 << 20))
    assert "more than 10,000 arrays" in fault_of(tmp_path, **ARRAYS).detail


def test_many_arrays_take_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for index in range(20_000):
            archive.writestr(f"{index}.npy", b"")
    assert "more than 10,000 arrays" in fault_of(tmp_path, **ARRAYS).detail


def test_an_archive_with_a_comment_is_read(tmp_path):
    save(tmp_path, x=X, y=Y)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.comment = b"where they come from"
    assert rows_of(tmp_path, **ARRAYS).classes == 2


def test_what_is_no_archive_is_told(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, X)
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    assert "not an .npz" in fault_of(tmp_path, **ARRAYS).detail


def test_a_damaged_member_is_told(tmp_path):
    save(tmp_path, x=X, y=Y)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    place = raw.index(X.tobytes()) + 5
    raw[place] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(raw)
    assert "CRC" in fault_of(tmp_path, **ARRAYS).detail
