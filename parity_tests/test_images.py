# SPDX-License-Identifier: Apache-2.0
"""Pictures of every kind that people have, made here and read back."""

import io
import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image as PillowImage

from delf_common.config import ExtractConfig
from delf_common.errors import DelfError, ImageError, UsageError
from delf_common.io.image_list import list_images
from delf_common.io.images import crop_region, read_image, resize_image

LIMIT = 1_000_000


def scene(height=20, width=30):
    """A smooth (H, W, 3) uint8 picture in which no two corners are alike."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width))
    return np.stack(channels, axis=-1).astype(np.uint8)


def encode(picture, kind="PNG", **options):
    if isinstance(picture, np.ndarray):
        picture = PillowImage.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data, max_pixels=LIMIT):
    image = read_image(data, max_pixels=max_pixels)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    return image


# Kinds of pictures


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_colours_come_back_exactly(kind):
    np.testing.assert_array_equal(read(encode(scene(), kind)), scene())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 98, "subsampling": 0}),
        ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}),
        ("WEBP", {"quality": 100}),
        ("JPEG2000", {}),
    ],
)
def test_lossy_colours_come_back_nearly(kind, options):
    image = read(encode(scene(), kind, **options)).astype(int)
    assert np.abs(image - scene()).max() <= 12


def test_grey_becomes_three_equal_channels():
    grey = scene()[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(read(encode(grey)), expected)
    jpeg = read(encode(grey, "JPEG"))
    assert (jpeg[..., 0] == jpeg[..., 2]).all()


def test_one_bit_pictures_are_black_and_white():
    bits = scene()[..., 0] > 128
    image = read(encode(PillowImage.fromarray(bits)))
    np.testing.assert_array_equal(image[..., 1], bits * 255)


def test_palette_pictures_have_their_colours():
    palette = PillowImage.fromarray(scene()).quantize(256)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read(encode(palette)), expected)


def test_a_transparent_palette_colour_is_white():
    palette = PillowImage.fromarray(np.uint8([[0, 1], [1, 0]]), "P")
    palette.putpalette([200, 0, 0, 0, 0, 200])
    image = read(encode(palette, transparency=1))
    red, white = [200, 0, 0], [255, 255, 255]
    np.testing.assert_array_equal(image, [[red, white], [white, red]])


def test_a_transparent_colour_of_an_rgb_picture_is_white():
    pixels = np.uint8([[[1, 2, 3], [4, 5, 6]]])
    image = read(encode(pixels, transparency=(1, 2, 3)))
    np.testing.assert_array_equal(image, [[[255, 255, 255], [4, 5, 6]]])


def test_alpha_is_laid_over_white():
    rgba = np.uint8([[[100, 0, 50, 255], [100, 0, 50, 0], [100, 0, 50, 128]]])
    image = read(encode(PillowImage.fromarray(rgba)))
    np.testing.assert_array_equal(image[0, :2], [[100, 0, 50], [255, 255, 255]])
    half = 255 + (np.float64([100, 0, 50]) - 255) * 128 / 255
    np.testing.assert_allclose(image[0, 2], half, atol=1)
    grey = read(encode(PillowImage.fromarray(np.uint8([[[9, 255], [9, 0]]]))))
    np.testing.assert_array_equal(grey[0, :, 0], [9, 255])


def test_cmyk_pictures_have_their_colours():
    cmyk = PillowImage.fromarray(scene()).convert("CMYK")
    np.testing.assert_allclose(read(encode(cmyk, "TIFF")), scene(), atol=1)
    jpeg = read(encode(cmyk, "JPEG", quality=98, subsampling=0)).astype(int)
    assert np.abs(jpeg - scene()).max() <= 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind):
    values = np.uint16([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]])
    image = read(encode(values, kind))
    np.testing.assert_array_equal(image[..., 2], values >> 8)


def test_big_endian_sixteen_bit_grey_keeps_its_high_byte():
    header = b"P5 2 1 65535\n"
    image = read(header + np.array([[0x1234, 0xFF00]], ">u2").tobytes())
    np.testing.assert_array_equal(image[0, :, 0], [0x12, 0xFF])


def test_sixteen_bit_colours_keep_their_high_byte():
    cv2 = pytest.importorskip("cv2")
    wide = scene().astype(np.uint16) << 8 | 0x55
    for suffix in (".png", ".tiff"):
        done, data = cv2.imencode(suffix, wide[..., ::-1])
        assert done
        np.testing.assert_array_equal(read(data.tobytes()), scene())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 7, 255], [0, 7, 255]),
        ([-5, 256, 65535], [0, 1, 255]),
        ([0, 1 << 23, (1 << 24) - 1], [0, 128, 255]),
        ([0, 1 << 30, (1 << 31) - 1], [0, 128, 255]),
    ],
)
def test_wide_integers_are_scaled_and_not_clipped(values, expected):
    image = read(encode(np.int32([values]), "TIFF"))
    np.testing.assert_array_equal(image[0, :, 0], expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 127, 255]),
        ([0, 7.9, 255], [0, 7, 255]),
        ([np.nan, -1, 1], [0, 0, 255]),
        ([0, 256, 65535], [0, 1, 255]),
    ],
)
def test_float_pictures_are_scaled_by_their_largest_value(values, expected):
    image = read(encode(np.float32([values]), "TIFF"))
    np.testing.assert_array_equal(image[0, :, 0], expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    frames = [PillowImage.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read(data), np.full((6, 8, 3), [255, 0, 0]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_tiny_pictures_are_read(shape):
    np.testing.assert_array_equal(read(encode(scene(*shape))), scene(*shape))


def test_unicode_names_are_read(tmp_path):
    path = tmp_path / "Köln 大教堂 🏛.png"
    path.write_bytes(encode(scene()))
    np.testing.assert_array_equal(read_image(path, max_pixels=LIMIT), scene())
    np.testing.assert_array_equal(read_image(str(path), max_pixels=LIMIT), scene())


# EXIF orientation: how a camera held so would have stored the upright picture.
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def with_orientation(array, orientation, kind="PNG", **options):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return encode(np.ascontiguousarray(array), kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_turned_upright(orientation, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    stored = STORED[orientation](scene())
    data = with_orientation(stored, orientation, kind, **options)
    np.testing.assert_array_equal(read(data), scene())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_of_a_jpeg_is_turned_upright(orientation):
    stored = STORED[orientation](scene())
    data = with_orientation(stored, orientation, "JPEG", quality=98, subsampling=0)
    assert np.abs(read(data).astype(int) - scene()).max() <= 12


def test_sixteen_bit_grey_is_turned_upright_too():
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) << 8
    data = with_orientation(np.rot90(values, 1), 6)
    np.testing.assert_array_equal(read(data)[..., 0], values >> 8)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(orientation):
    np.testing.assert_array_equal(read(with_orientation(scene(), orientation)), scene())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_picture():
    for junk in (b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"):
        data = encode(scene(), "JPEG", quality=98, subsampling=0, exif=junk)
        assert np.abs(read(data).astype(int) - scene()).max() <= 12


# Pictures that cannot be read


def test_a_missing_picture_a_folder_and_a_zero_byte_in_a_name_are_errors(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path, "a\0b.jpg"):
        with pytest.raises(ImageError):
            read_image(path, max_pixels=LIMIT)
    with pytest.raises(ImageError, match=r"none\.jpg"):
        read_image(tmp_path / "none.jpg", max_pixels=LIMIT)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "zero.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"zero\.jpg.*empty"):
        read_image(tmp_path / "zero.jpg", max_pixels=LIMIT)


@pytest.mark.parametrize(
    "data", [b"no picture", b"\0" * 300, b"%!PS-Adobe-3.0 EPSF-3.0"]
)
def test_what_is_no_picture_is_named(tmp_path, data):
    (tmp_path / "notes.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"notes\.jpg.*not a picture"):
        read_image(tmp_path / "notes.jpg", max_pixels=LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_a_truncated_picture_is_an_error_and_not_half_grey(tmp_path, kind):
    rng = np.random.default_rng(0)
    data = encode(rng.integers(0, 256, (64, 64, 3), np.uint8), kind)
    path = tmp_path / f"torn.{kind.lower()}"
    for share in (0.05, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match="torn"):
            read_image(path, max_pixels=LIMIT)


@pytest.mark.filterwarnings("ignore")  # Pillow's remarks on damaged bytes
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "PPM"])
def test_damaged_bytes_give_a_picture_or_our_error(kind):
    rng = np.random.default_rng(0)
    good = encode(scene(), kind)
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        try:
            read(bytes(data))
        except ImageError:
            continue


@pytest.mark.parametrize("error", [NotImplementedError("BC9"), KeyError(7), EOFError()])
def test_whatever_a_decoder_raises_becomes_our_error(monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(ImageError, match=r"damaged picture \((BC9|7|EOFError)\)"):
        read(encode(scene()))


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(encode(scene(100, 200)))
    assert read_image(path, max_pixels=20_000).shape == (100, 200, 3)

    def refuse(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    with pytest.raises(ImageError) as caught:
        read_image(path, max_pixels=19_999)
    for part in ("large.png", "200x100", "20000", "19999", "--max_image_pixels"):
        assert part in str(caught.value)


def test_the_limit_is_ours_and_not_pillows(monkeypatch):
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(PillowImage.DecompressionBombError):
        PillowImage.open(io.BytesIO(encode(scene())))
    np.testing.assert_array_equal(read(encode(scene())), scene())
    assert PillowImage.MAX_IMAGE_PIXELS == 10


def test_a_bomb_is_refused_by_its_header_alone():
    data = bytearray(encode(scene()))
    data[16:24] = struct.pack(">II", 40_000, 30_000)  # 1.2 billion pixels
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ImageError, match="1200000000"):
        read(bytes(data), max_pixels=200_000_000)


def test_threads_read_the_same_as_one_thread_does():
    pictures = [encode(scene(20 + i, 30), k) for i in range(4) for k in ("PNG", "JPEG")]
    expected = [read(data) for data in pictures]
    results = {}

    def work(number):
        results[number] = [read(data) for data in pictures for _ in range(5)][::5]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 2, 3]
    for images in results.values():
        for image, wanted in zip(images, expected, strict=True):
            np.testing.assert_array_equal(image, wanted)


# TF's resize rule, sides worked by hand


@pytest.mark.parametrize(
    ("settings", "size", "expected"),
    [
        ({}, (30, 40), (30, 40)),
        ({"max_image_size": 40}, (30, 40), (30, 40)),  # not above the limit
        ({"max_image_size": 20}, (30, 40), (15, 20)),
        ({"max_image_size": 20}, (30, 41), (15, 20)),  # 14.63 -> 15
        ({"max_image_size": 2}, (5, 4), (2, 2)),  # 1.6 -> 2
        ({"max_image_size": 10}, (20, 5), (10, 2)),  # 2.5 -> 2, half to even
        ({"max_image_size": 10}, (1, 100), (1, 10)),  # 0.1 -> 0: one row stays
        ({"min_image_size": 80}, (30, 40), (60, 80)),
        ({"min_image_size": 40}, (30, 40), (30, 40)),  # not below the limit
        ({"max_image_size": 20, "min_image_size": 80}, (30, 40), (15, 20)),
        ({"use_square_images": True}, (30, 40), (40, 40)),
        ({"use_square_images": True, "max_image_size": 20}, (30, 40), (20, 20)),
    ],
)
def test_sides_follow_the_resize_rule_of_tensorflow_delf(settings, size, expected):
    image, factors = resize_image(scene(*size), ExtractConfig(**settings))
    assert image.shape == (*expected, 3)
    assert factors == (expected[0] / size[0], expected[1] / size[1])


def test_resizing_is_pillows_bilinear_on_bytes():
    image, _ = resize_image(scene(30, 40), ExtractConfig(max_image_size=13))
    wanted = PillowImage.fromarray(scene(30, 40)).resize(
        (13, 10), PillowImage.Resampling.BILINEAR
    )
    np.testing.assert_array_equal(image, np.asarray(wanted))
    same, _ = resize_image(scene(), ExtractConfig())
    np.testing.assert_array_equal(same, scene())


# Regions


def test_a_region_is_rounded_to_pixels_and_clipped():
    image = scene(20, 30)
    np.testing.assert_array_equal(
        crop_region(image, (2.4, 3.6, 10.5, 11.5)), image[4:12, 2:10]
    )
    np.testing.assert_array_equal(crop_region(image, (-5, -5, 99, 99)), image)


@pytest.mark.parametrize(
    "region",
    [(5, 5, 5, 9), (9, 5, 5, 9), (30, 0, 40, 20), (-9, -9, -1, -1), (0, 0, 0.4, 9)],
)
def test_an_empty_region_is_an_error_with_region_and_size(region):
    with pytest.raises(UsageError, match="30x20"):
        crop_region(scene(20, 30), region)


def test_a_region_with_nan_is_an_error():
    with pytest.raises(UsageError, match="finite"):
        crop_region(scene(), (0, 0, float("nan"), 9))


# Which pictures a command means


def make_files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def keys(*inputs, image_root=None):
    return [entry.key for entry in list_images([str(i) for i in inputs], image_root)]


def test_a_folder_is_walked_in_the_order_of_names(tmp_path):
    make_files(tmp_path, "b.JPG", "a/z.png", "a.jpg", "a/b/c.webp", "é 大.jpeg")
    make_files(tmp_path, "notes.txt", ".hidden.jpg", ".git/x.jpg", "a/b.h5")
    expected = ["a.jpg", "a/b/c.webp", "a/z.png", "b.JPG", "é 大.jpeg"]
    assert keys(tmp_path) == expected
    entries = list_images([str(tmp_path)])
    assert [e.path for e in entries] == [tmp_path / key for key in expected]


def test_files_are_named_from_their_common_folder_in_the_order_given(tmp_path):
    make_files(tmp_path, "x/a/2.jpg", "x/b/1.jpg", "x/b/odd.data")
    assert keys(tmp_path / "x/b/1.jpg") == ["1.jpg"]
    given = [tmp_path / "x" / name for name in ("b/1.jpg", "a/2.jpg", "b/odd.data")]
    assert keys(*given) == ["b/1.jpg", "a/2.jpg", "b/odd.data"]


def test_folders_are_named_from_their_common_folder(tmp_path):
    make_files(tmp_path, "x/a/1.jpg", "x/b/1.jpg")
    assert keys(tmp_path / "x/b", tmp_path / "x/a") == ["b/1.jpg", "a/1.jpg"]
    assert keys(tmp_path / "x/a", image_root=tmp_path) == ["x/a/1.jpg"]


def test_a_picture_meant_twice_is_listed_once(tmp_path):
    make_files(tmp_path, "a/1.jpg", "b/2.jpg")
    twice = (tmp_path / "a", tmp_path / "a/../a/1.jpg", tmp_path)
    assert keys(*twice) == ["a/1.jpg", "b/2.jpg"]


def test_a_list_names_pictures_from_its_own_folder_or_the_root(tmp_path):
    make_files(tmp_path, "a/1.jpg", "a/2.jpg")
    text = "\ufeffa/2.jpg\r\n\n  a/1.jpg \r\na/gone.jpg\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    assert keys(tmp_path / "list.txt") == ["a/2.jpg", "a/1.jpg", "a/gone.jpg"]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/l.txt").write_text("2.jpg\n", encoding="utf-8")
    assert keys(tmp_path / "lists/l.txt", image_root=tmp_path / "a") == ["2.jpg"]


def test_a_list_of_pictures_elsewhere_names_them_from_their_own_folder(tmp_path):
    make_files(tmp_path, "data/a/1.jpg", "data/b/2.jpg")
    (tmp_path / "lists").mkdir()
    lines = [str(tmp_path / "data" / name) for name in ("a/1.jpg", "b/2.jpg")]
    (tmp_path / "lists/l.txt").write_text("\n".join(lines), encoding="utf-8")
    assert keys(tmp_path / "lists/l.txt") == ["a/1.jpg", "b/2.jpg"]


def test_lists_that_name_nothing_are_errors(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.jpg\nb.jpg\n", encoding="utf-8")
    with pytest.raises(DelfError, match=r"none of its 2 pictures.*a\.jpg.*image_root"):
        keys(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(DelfError, match=r"no pictures in .*list\.txt"):
        keys(path)
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(DelfError, match=r"list\.txt.*UTF-8"):
        keys(path)


def test_inputs_that_give_nothing_are_errors(tmp_path):
    with pytest.raises(DelfError, match=r"no pictures.*\.jpg.*\.png"):
        keys(tmp_path)
    with pytest.raises(DelfError, match="gone"):
        keys(tmp_path / "gone")
    make_files(tmp_path, "a/1.jpg", "b/2.jpg")
    with pytest.raises(DelfError, match="not below the image root"):
        keys(tmp_path / "a", image_root=tmp_path / "b")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode on Windows")
def test_a_name_that_is_not_unicode_is_refused_before_the_work_begins(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(DelfError, match="not UTF-8"):
        keys(tmp_path)
