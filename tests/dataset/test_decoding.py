"""What people have: every format, mode and defect, made here: the right picture or a sentence."""

import io
import os
import struct
import zlib
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image, ImageCms

from sdnb.dataset.decoding import SUFFIXES, changes, open_picture
from sdnb.dataset.photos import read_photos
from sdnb.errors import Problem

RED = (200, 30, 40)


def half_red(size=(48, 32)) -> Image.Image:
    """Red at the left, white at the right."""
    picture = Image.new("RGB", size, "white")
    picture.paste(RED, (0, 0, size[0] // 2, size[1]))
    return picture


def assert_half_red(picture: Image.Image, tolerance: int = 12) -> None:
    assert picture.mode == "RGB" and picture.size == (48, 32)
    pixels = np.asarray(picture).astype(int)
    assert np.abs(pixels[4:28, 4:20] - RED).max() <= tolerance
    assert np.abs(pixels[4:28, 28:44] - 255).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.JPEG", {"quality": 95, "progressive": True}),
        ("a.png", {}),
        ("a.webp", {"quality": 95}),
        ("a.heic", {"quality": 95}),
        ("a.avif", {"quality": 95}),
        ("a.tiff", {"compression": "tiff_lzw"}),
        ("a.bmp", {}),
        ("a.gif", {}),
    ],
)
def test_every_format(tmp_path, name, options):
    if name.endswith("heic"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    path = tmp_path / name
    half_red().save(path, **options)
    before = sha256(path.read_bytes()).digest()
    assert path.suffix.lower() in SUFFIXES
    assert_half_red(open_picture(path), 40 if name.endswith("gif") else 16)
    assert sha256(path.read_bytes()).digest() == before


def test_a_wrong_suffix_does_not_matter(tmp_path):
    half_red().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert_half_red(open_picture(tmp_path / "a.jpg"))


def test_the_first_frame_of_a_film(tmp_path):
    frames = [half_red().quantize(4), Image.new("P", (48, 32))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert_half_red(open_picture(tmp_path / "a.gif"), 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_keeps_light_and_dark(tmp_path, mode):
    """Half dark, half white, in every way to write that down."""
    grey = Image.new("L", (48, 32), 255)
    grey.paste(0, (0, 0, 24, 32))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    elif mode == "PA":
        picture = grey.convert("P").convert("PA")
    else:
        picture = grey.convert("RGB").convert(mode)
    assert picture.mode == mode
    suffix = {"YCbCr": "jpg", "CMYK": "tiff", "F": "tiff", "I;16": "tiff", "PA": "tiff"}
    path = tmp_path / f"a.{suffix.get(mode, 'png')}"
    picture.save(path)
    pixels = np.asarray(open_picture(path)).astype(int)
    assert pixels[:, :20].max() < 40 and pixels[:, 28:].min() > 240


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_is_white(tmp_path, mode):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode).save(tmp_path / "a.png")
    assert np.asarray(open_picture(tmp_path / "a.png")).min() == 255


def test_sixteen_bits_and_a_turn(tmp_path):
    values = np.zeros((32, 48), np.uint16)
    values[:, 24:] = 65535
    values[:, :12] = 32768
    exif = Image.Exif()
    exif[0x0112] = 6  # turn me 90 degrees clockwise
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    picture = np.asarray(open_picture(tmp_path / "a.png"))[..., 0]
    assert picture.shape == (48, 32)
    assert [picture[0, 0], picture[20, 0], picture[40, 0]] == [128, 0, 255]


def test_colours_by_the_profile(tmp_path):
    """The same numbers in a profile with red and blue exchanged are another colour."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    half_red().save(tmp_path / "same.png", icc_profile=srgb)
    assert_half_red(open_picture(tmp_path / "same.png"), 2)
    lab = bytearray(srgb)
    at = {lab[o : o + 4].decode(): o for o in range(132, 132 + 12 * lab[131], 12)}
    red, blue = at["rXYZ"], at["bXYZ"]
    lab[red : red + 4], lab[blue : blue + 4] = lab[blue : blue + 4], lab[red : red + 4]
    half_red().save(tmp_path / "other.png", icc_profile=bytes(lab))
    pixel = open_picture(tmp_path / "other.png").getpixel((4, 4))
    assert pixel[2] > 150 > pixel[0]
    half_red().convert("RGBA").save(tmp_path / "clear.png", icc_profile=bytes(lab))
    assert open_picture(tmp_path / "clear.png").getpixel((4, 4)) == pixel
    Image.new("P", (8, 8)).save(tmp_path / "few.png", icc_profile=bytes(lab))
    told = [changes(tmp_path / name) for name in ("other.png", "clear.png", "few.png")]
    assert ["colours converted to sRGB" in words for words in told] == [True, True, False]
    half_red().save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    assert_half_red(open_picture(tmp_path / "broken.png"), 0)


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 pixels a side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def cut(format_: str, share: float) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(data, format_)
    return data.getvalue()[: int(share * data.tell())]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="zero bytes"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"PK\x03\x04" + bytes(40), id="a zip"),
        pytest.param(b"%PDF-1.7", id="a pdf"),
        pytest.param(bomb(), id="a bomb"),
        pytest.param(cut("JPEG", 0.5), id="half a JPEG"),
        pytest.param(cut("PNG", 0.5), id="half a PNG"),
        pytest.param(cut("WEBP", 0.5), id="half a WebP"),
        pytest.param(cut("TIFF", 0.5), id="half a TIFF"),
        pytest.param(cut("AVIF", 0.5), id="half an AVIF"),
        pytest.param(cut("GIF", 0.02), id="a piece of a GIF"),
        pytest.param(b"\x00\x00\x00\x18ftypheic" + bytes(60), id="a broken HEIC"),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.heic"])
def test_what_is_no_picture_is_a_sentence(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Problem) as caught:
        open_picture(path)
    assert caught.value.where == path and caught.value.do
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["with blanks", "фото", "😀", "two\nlines", "per%cent", "-dash"])
def test_names_of_all_kinds(tmp_path, name):
    half_red().save(tmp_path / f"{name}.png")
    for other in "bc":
        half_red().save(tmp_path / f"{other}.png")
    photos = read_photos(tmp_path, 32)
    assert f"{name}.png" in {photo.path.name for photo in photos}


def test_a_panorama_and_a_dot(tmp_path):
    Image.new("RGB", (30_000, 400), RED).save(tmp_path / "wide.jpg")
    assert open_picture(tmp_path / "wide.jpg").size == (30_000, 400)
    Image.new("RGB", (1, 1), RED).save(tmp_path / "dot.png")
    assert open_picture(tmp_path / "dot.png").getpixel((0, 0)) == RED


def test_a_folder_and_a_dangling_link_called_photo(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    os.symlink(tmp_path / "nowhere", tmp_path / "b.jpg")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(Problem, match="cannot be read"):
            open_picture(tmp_path / name)
