import numpy as np
import pytest
from PIL import Image

from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files, facts_of, images, read_rows
from tests.gradclinic.files.making import data_of, fault_of, rows_of, write_images

FOLDER = {"type": "image_folder", "path": "pets", "size": 4}


def test_classes_are_the_folders_in_the_order_of_the_alphabet(tmp_path):
    write_images(tmp_path / "pets", {"dog": 2, "cat": 3})
    rows = rows_of(tmp_path, **FOLDER)
    assert rows.class_names == ["cat", "dog"]
    assert rows.targets.tolist() == [0, 0, 0, 1, 1]
    assert (rows.inputs.shape, rows.inputs.dtype, rows.is_image) == ((5, 3, 4, 4), np.uint8, True)
    assert rows.inputs[0, :, 0, 0].tolist() == [40, 100, 0], "of the cats, written second"
    assert rows.inputs[:, 2, 0, 0].tolist() == [0, 1, 2, 0, 1], "files of a class are read by their names"


def test_facts_are_those_of_the_rows(tmp_path):
    write_images(tmp_path / "pets", {"dog": 2, "cat": 3})
    for more in ({}, {"grayscale": True}):
        facts = facts_of(data_of(**FOLDER, **more), Files(tmp_path))
        rows = rows_of(tmp_path, **FOLDER, **more)
        assert (facts.input_shape, facts.classes) == (rows.inputs.shape[1:], rows.classes)
        assert facts.train + facts.validation == len(rows.inputs)
    assert facts.input_shape == (1, 4, 4)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "JPG", "bmp", "gif", "webp"])
def test_every_format_is_read(tmp_path, suffix):
    write_images(tmp_path / "pets", {"a": 1, "b": 1}, suffix=suffix)
    assert rows_of(tmp_path, **FOLDER).inputs.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_becomes_colours_or_grays(tmp_path, mode):
    write_images(tmp_path / "pets", {"a": 1, "b": 1})
    transparent = {"transparency": bytes([0] * 256)} if mode == "P" else {}
    Image.new(mode, (6, 6)).save(tmp_path / "pets" / "a" / "more.png", **transparent)
    assert rows_of(tmp_path, **FOLDER).inputs.shape == (3, 3, 4, 4)
    assert rows_of(tmp_path, **FOLDER, grayscale=True).inputs.shape == (3, 1, 4, 4)


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    write_images(tmp_path / "pets", {"a": 1, "b": 1})
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(tmp_path / "pets" / "a" / "000.png")
    assert rows_of(tmp_path, **FOLDER).inputs[0, 0, 0, 0] == 128


def test_hidden_files_and_files_that_are_no_images_are_passed_over(tmp_path):
    write_images(tmp_path / "pets", {"a": 1, "b": 1, ".git": 1})
    for name in ("a/.hidden.png", "a/notes.txt", "README.md", "a/Thumbs.db"):
        (tmp_path / "pets" / name).write_text("text")
    rows = rows_of(tmp_path, **FOLDER)
    assert (rows.class_names, len(rows.inputs)) == (["a", "b"], 2)


@pytest.mark.parametrize(
    ("classes", "words"),
    [({}, "0 folders"), ({"a": 2}, "one folder"), ({"a": 2, "b": 0}, "no image in its class folder 'b'")],
)
def test_a_folder_without_two_classes_of_images_is_refused(tmp_path, classes, words):
    (tmp_path / "pets").mkdir()
    write_images(tmp_path / "pets", classes)
    fault = fault_of(tmp_path, **FOLDER)
    assert fault.pointer == "/data/path"
    assert words in fault.detail


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "pets").write_text("meow")
    assert "Not a directory" in fault_of(tmp_path, **FOLDER).detail


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_an_image_cut_in_the_middle_is_named(tmp_path, suffix):
    write_images(tmp_path / "pets", {"a": 2, "b": 2}, size=(64, 64), suffix=suffix)
    victim = tmp_path / "pets" / "b" / f"001.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(victim)
    whole = victim.read_bytes()
    for length in (0, 1, 5, 30, len(whole) // 2, len(whole) * 9 // 10):
        victim.write_bytes(whole[:length])
        fault = fault_of(tmp_path, **FOLDER)
        assert fault.pointer == "/data/path"
        assert f"pets/b/001.{suffix}" in fault.detail, length


def test_a_large_folder_is_decoded_only_when_it_is_trained_on(tmp_path, monkeypatch):
    write_images(tmp_path / "pets", {"a": 1, "b": 1}, size=(64, 64))
    victim = tmp_path / "pets" / "b" / "000.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(victim)
    victim.write_bytes(victim.read_bytes()[:5000])
    monkeypatch.setattr(images, "DECODED_AT_POST", 100)
    assert facts_of(data_of(**FOLDER), Files(tmp_path)).classes == 2
    with pytest.raises(InvalidSpec, match=r"pets/b/000\.png' is damaged, or cut off"):
        read_rows(data_of(**FOLDER), Files(tmp_path))
    victim.write_text("not an image")
    assert "000.png" in fault_of(tmp_path, **FOLDER).detail


def test_a_decompression_bomb_is_refused_by_its_head(tmp_path):
    write_images(tmp_path / "pets", {"a": 1, "b": 1})
    Image.new("1", (20_000, 20_000)).save(tmp_path / "pets" / "a" / "bomb.png")
    assert (tmp_path / "pets" / "a" / "bomb.png").stat().st_size < 100_000
    fault = fault_of(tmp_path, **FOLDER)
    assert "bomb.png" in fault.detail
    assert "pixels" in fault.detail


def test_another_format_under_the_name_of_an_image_is_refused(tmp_path):
    write_images(tmp_path / "pets", {"a": 1, "b": 1})
    Image.new("RGB", (4, 4)).save(tmp_path / "pets" / "a" / "disguised.png", format="PPM")
    assert "disguised.png" in fault_of(tmp_path, **FOLDER).detail


def test_an_error_never_tells_where_the_data_root_lies(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "x.png").write_bytes(b"no image at all")
    assert str(tmp_path) not in fault_of(tmp_path, **FOLDER).detail


def test_more_pixels_than_allowed_are_refused_before_any_is_read(tmp_path):
    write_images(tmp_path / "pets", {"a": 2, "b": 2})
    fault = fault_of(Files(tmp_path, max_numbers=3 * 16 * 3), **FOLDER)
    assert "more images" in fault.detail
    assert facts_of(data_of(**FOLDER), Files(tmp_path, max_numbers=3 * 16 * 4)).classes == 2
    assert DEFAULT_LIMITS.max_data > 0
