"""Reading a folder with a folder of images for each class, through Pillow, which is imported only here.

What can be known without decoding every image is looked at when a spec is posted; what shows only then, a small folder
shows there too, and a large one when it is trained on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradclinic.contract.dataset import RawFacts
from gradclinic.contract.file_data import ImageFolder
from gradclinic.files.files import Files
from gradclinic.files.raw import RawData
from gradclinic.files.source import Source, Stamp, shown
from gradclinic.files.targets import MAX_CLASSES

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
"""Other files in a class folder, such as notes or thumbnails of a file manager, are passed over."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What Pillow may take a file for, whatever it is called: it knows formats that run other programs."""

MAX_PIXELS = 50_000_000
"""Of one image, as its head tells them. A file of some kilobytes can unpack to gigabytes."""

MAX_IMAGE_BYTES = 64 << 20

BILINEAR = 2
"""Pillow's number for it; it weighs all pixels that fall into a smaller one's place."""

DECODED_AT_POST = 32 << 20
"""Bytes of image files that are decoded when a spec is posted: about two seconds of JPEG."""


@dataclass(frozen=True)
class Image:
    """One image file: where it is, how to name it, its class, and which state of the file this is."""

    source: Source
    label: int
    stamp: Stamp


@dataclass(frozen=True)
class Listing:
    """All images of a folder, class by class and by name, and the classes' names."""

    source: Source
    images: list[Image]
    class_names: list[str]

    @property
    def stamp(self) -> tuple[Stamp, ...]:
        """Which state of the folder this is."""
        return tuple(image.stamp for image in self.images)


def list_images(data: ImageFolder, files: Files) -> Listing:
    """List the images of a folder, in the order of the alphabet.

    Raises:
        InvalidSpec: It is not a folder of class folders, one of which is empty, or it holds too many.
    """
    folder = files.find(data.path)
    most = files.max_numbers // (_channels(data) * data.size**2)
    names = sorted(entry.name for entry in _entries(folder) if _is_folder(entry))
    if not 2 <= len(names) <= MAX_CLASSES:
        found = "one folder" if len(names) == 1 else f"{len(names):,} folders"
        expected = f"a folder of images for each class, from 2 to {MAX_CLASSES:,} of them"
        raise folder.refusal(f"has {found} in it.", expected)
    images: list[Image] = []
    for label, name in enumerate(names):
        known = len(images)
        images += _images_of_class(data, files, name, label, most - known)
        if len(images) == known:
            raise folder.refusal(f"has no image in its class folder {shown(name)}.", f"files of {', '.join(FORMATS)}")
    return Listing(folder, images, names)


def look_at_images(data: ImageFolder, listing: Listing) -> RawFacts:
    """Say what reading the images will give, after a look at the head of each, and at all of few.

    Raises:
        InvalidSpec: One of them is no image, too large, or (of few) damaged.
    """
    decode = sum(image.stamp[1] for image in listing.images) <= DECODED_AT_POST
    for image in listing.images:
        if decode:
            _decode(data, image.source)
            continue
        with _opened(image.source):
            pass
    shape = (_channels(data), data.size, data.size)
    return RawFacts(len(listing.images), shape, len(listing.class_names), integers=True, tokens=256)


def read_images(data: ImageFolder, files: Files) -> RawData:
    """Read images (rows, channels, size, size), 0 to 255, and the class folders that they are in.

    Raises:
        InvalidSpec: See `list_images`; or an image is damaged.
    """
    listing = list_images(data, files)
    pixels = np.empty((len(listing.images), _channels(data), data.size, data.size), np.uint8)
    for row, image in enumerate(listing.images):
        pixels[row] = _decode(data, image.source)
    labels = np.array([image.label for image in listing.images], np.int64)
    names = listing.class_names
    return RawData(pixels, labels, is_image=True, integers=True, classes=len(names), class_names=names)


def _images_of_class(data: ImageFolder, files: Files, name: str, label: int, most: int) -> Iterator[Image]:
    folder = files.find(f"{data.path}/{name}")  # a class folder may be a link, which must not lead out either
    found = [entry for entry in _entries(folder) if Path(entry.name).suffix.lower() in SUFFIXES]
    if len(found) > most:
        words = f"has more images in {shown(name)} and before than {files.max_numbers:,} numbers allow."
        raise folder.refusal(words, "fewer images, or a smaller size")
    for entry in sorted(found, key=lambda entry: entry.name):
        posted = f"{data.path}/{name}/{entry.name}"
        # Resolving every path would take seconds for a large folder; only a link can lead out of one that was checked.
        place = files.find(posted).path if entry.is_symlink() else folder.path / entry.name
        source = Source(place, "path", shown(posted), MAX_IMAGE_BYTES)
        yield Image(source, label, source.stamp())


def _entries(folder: Source) -> list[os.DirEntry[str]]:
    """List what is in a folder, but for what is hidden."""
    with folder.readable(), os.scandir(folder.path) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir()


def _channels(data: ImageFolder) -> int:
    return 1 if data.grayscale else 3


def _decode(data: ImageFolder, source: Source) -> npt.NDArray[np.uint8]:
    """Return the first frame of an image as (channels, size, size)."""
    with _opened(source) as image:
        plain = _eight_bits(image) if image.mode.startswith("I") else image
        plain = plain.convert("RGBA") if plain.mode == "P" else plain  # a palette may hold transparent colours
        plain = plain.convert("L" if data.grayscale else "RGB")
        pixels = np.asarray(plain.resize((data.size, data.size), BILINEAR), np.uint8)
    return pixels[None] if data.grayscale else pixels.transpose(2, 0, 1)


def _eight_bits(image: Any) -> Any:
    """Scale an image of 16 bits: Pillow would cut it off at 255."""
    from PIL import Image as Pillow  # noqa: PLC0415 - an extra

    return Pillow.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """Open an image, whose head is read and found to be of one that can be decoded.

    Raises:
        InvalidSpec: It is not, or what is done with it inside shows that it is damaged.
    """
    try:
        from PIL import Image as Pillow  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = "is an image, which needs Pillow, and that is not installed."
        raise source.refusal(message, "Pillow beside gradclinic: pip install 'gradclinic[torch]'") from error
    with (
        source.open() as file,
        source.decoded(f"a whole image: {', '.join(FORMATS)}"),
        Pillow.open(file, formats=FORMATS) as image,
    ):
        if image.width * image.height > MAX_PIXELS:
            words = f"has {image.width:,} x {image.height:,} pixels; the limit here is {MAX_PIXELS:,}."
            raise source.refusal(words, "a smaller image")
        yield image
