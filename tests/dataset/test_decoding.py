"""What people have: every format, mode and defect, made here: the right picture or a sentence."""

import io
import os
import struct
import subprocess
import sys
import zlib
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image, ImageCms

from sdnb.dataset import decoding
from sdnb.dataset.decoding import SUFFIXES, changes, open_picture, picture_size
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


def exif(kind: int, count: int, value: bytes) -> bytes:
    """EXIF whose only tag is how the camera was held, of any type."""
    tag = struct.pack("<HHHI4s", 1, 0x0112, kind, count, value)
    return b"II*\0" + struct.pack("<I", 8) + tag + bytes(4)


SIX = b"\6\0\0\0"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "heic"])
@pytest.mark.parametrize(
    ("content", "turned"),
    [
        (exif(3, 1, SIX), True),
        (b"\xff" * 30, False),
        (b"no EXIF at all, but words", False),
        (exif(3, 1, SIX)[:15], False),
        (exif(2, 2, b"6\0\0\0"), False),  # a text
        (exif(3, 0, SIX), False),
        (exif(3, 2**31, SIX), False),
        (exif(5, 1, b"\xff\xff\0\0"), False),  # a fraction outside the file
        (exif(7, 1, SIX), False),
        (exif(99, 1, SIX), False),
        (exif(3, 1, b"\0\0\0\0"), False),
        (exif(3, 1, b"\x09\0\0\0"), False),
        (exif(4, 1, b"\xff\xff\xff\xff"), False),
    ],
)
def test_exif_that_cannot_be_read_counts_as_upright(tmp_path, suffix, content, turned):
    path = tmp_path / f"a.{suffix}"
    head = b"Exif\0\0" if suffix in ("jpg", "heic") else b""
    half_red().save(path, exif=head + content)
    picture = open_picture(path)
    assert picture.size == picture_size(path)
    if suffix != "heic":  # whose own format says how it is held
        assert picture.size == ((32, 48) if turned else (48, 32))
        assert ("turned upright" in changes(path)) == turned
    if not turned and suffix != "heic":
        assert_half_red(picture)


def test_exif_that_is_none_is_told(tmp_path):
    half_red().save(tmp_path / "a.png", exif=b"\xff" * 30)
    half_red().save(tmp_path / "b.png", exif=exif(3, 1, b"\1\0\0\0"))
    assert changes(tmp_path / "a.png") == ["taken as upright, for its EXIF cannot be read"]
    assert changes(tmp_path / "b.png") == []


def ramp(most: float, kind: type, least: float = 0) -> np.ndarray:
    """(64, 256) from dark at the left to light at the right."""
    return np.tile(np.linspace(least, most, 256), (64, 1)).astype(kind)


def spoilt(values: np.ndarray, hot: float) -> np.ndarray:
    values[5, 5] = hot
    return values


@pytest.mark.parametrize(
    ("values", "remark"),
    [
        (ramp(65535, np.uint16), None),
        (ramp(4095, np.uint16), "0 to 4095"),
        (ramp(1023, np.uint16), "0 to 1023"),
        (ramp(16383, np.uint16), "0 to 16383"),
        (spoilt(ramp(4095, np.uint16), 65535), "0 to 4095"),
        (ramp(255, np.uint16), None),
        (ramp(255, np.int32), None),
        (spoilt(ramp(255, np.int32), 2**31 - 1), None),
        (spoilt(ramp(255, np.int32), -(2**31)), None),
        (ramp(65535, np.int32), None),
        (ramp(2e9, np.int32), "0 to 2e+09"),
        (ramp(3000, np.int32, -1000), "-1000 to 3000"),
        (ramp(1, np.int32), "0 to 1"),
        (ramp(1, np.float32), "0 to 1"),
        (spoilt(ramp(1, np.float32), 1e30), "0 to 1"),
        (spoilt(ramp(1, np.float32), -1e30), "0 to 1"),
        (spoilt(ramp(1, np.float32), np.nan), "0 to 1"),
        (spoilt(ramp(1, np.float32), np.inf), "0 to 1"),
        (spoilt(ramp(255, np.float32).round(), np.nan), "0 to 255"),
        (ramp(255, np.float32).round(), None),
        (ramp(1e-6, np.float32), "0 to 1e-06"),
        (ramp(1, np.float32, -1), "-1 to 1"),
    ],
)
def test_grey_is_scaled_by_what_is_there(tmp_path, values, remark):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    picture = open_picture(tmp_path / "a.tiff")
    row = np.asarray(picture)[9, :, 0].astype(int)
    if (remark or "").endswith(" 1") and values.dtype == np.int32:
        assert row[0] == 0 and row[-1] == 255
    else:
        assert np.abs(row - np.arange(256)).max() <= 2
    said = {"scaled": f"grey values from {remark} shown as 0 to 255"} if remark else {}
    assert picture.info == said


def test_a_dark_photo_stays_dark(tmp_path):
    """8-bit values that reach no white, and 12-bit ones, are no reason to stretch."""
    for dtype, most, white in ((np.int32, 100, 255), (np.uint16, 3000, 4095)):
        Image.fromarray(ramp(most, dtype)).save(tmp_path / "a.tiff")
        brightest = np.asarray(open_picture(tmp_path / "a.tiff")).max()
        assert abs(int(brightest) - 255 * most / white) <= 1


@pytest.mark.parametrize("value", [0, 1, 300, 65535])
def test_grey_of_one_value_and_of_one_pixel(tmp_path, value):
    for size in ((8, 8), (1, 1)):
        Image.fromarray(np.full(size, value, np.uint16)).save(tmp_path / "a.png")
        assert open_picture(tmp_path / "a.png").size == size
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "b.tiff")
    with pytest.raises(Problem, match="cannot be read"):
        open_picture(tmp_path / "b.tiff")


def test_what_is_no_ordinary_file_and_what_may_not_be_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.png"):
        for read in (open_picture, picture_size, changes):
            with pytest.raises(Problem, match="cannot be read: it is no ordinary file"):
                read(tmp_path / name)
    half_red().save(tmp_path / "a.png")
    for error, said in (
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (MemoryError(), "too many pixels"),
    ):
        with monkeypatch.context() as patch, pytest.raises(Problem, match=said):
            patch.setattr(decoding.Image, "open", lambda path, error=error: raising(error))
            open_picture(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "LARGEST", 10)
    with pytest.raises(Problem, match="larger than"):
        open_picture(tmp_path / "a.png")


def raising(error):
    raise error


def test_large_pictures_come_smaller_and_too_large_ones_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 48 * 32 - 1)
    monkeypatch.setattr(decoding, "MOST", 48 * 32)
    tag = Image.Exif()
    tag[0x0112] = 6
    for suffix in ("png", "tiff", "webp", "jpg"):
        half_red().save(tmp_path / f"a.{suffix}", exif=tag)
        assert open_picture(tmp_path / f"a.{suffix}").size == (32, 48)
        small = open_picture(tmp_path / f"a.{suffix}", at_least=10)
        assert small.size == ((16, 24) if suffix == "jpg" else (11, 16))
        assert small.getpixel((5, 2))[1] < 60 and small.getpixel((5, 13))[1] > 200
    monkeypatch.setattr(decoding, "MOST", 48 * 32 - 1)
    for suffix in ("png", "tiff", "webp"):
        for read in (open_picture, picture_size, changes):
            with pytest.raises(Problem, match="too many pixels"):
                read(tmp_path / f"a.{suffix}")
    assert picture_size(tmp_path / "a.jpg") == (32, 48)
    for at_least in (None, 9999, 31):
        assert open_picture(tmp_path / "a.jpg", at_least).size == (16, 24)


def test_memory_is_bounded(tmp_path):
    """27 million pixels of 16 bits, three times at once: it was 1.9 GB."""
    Image.fromarray(np.full((5200, 5200), 3000, np.uint16)).save(tmp_path / "a.png")
    program = f"""if True:
        import resource
        from pathlib import Path
        from sdnb.dataset.decoding import map_photos, open_picture
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = peak()
        path = Path({str(tmp_path / "a.png")!r})
        found = map_photos(lambda path: open_picture(path, 512), [path] * 3, False)
        assert [picture.size for picture in found] == [(520, 520)] * 3
        print(peak() - before)"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 700  # MB
