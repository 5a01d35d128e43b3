# SPDX-License-Identifier: Apache-2.0
"""Batches: the same bytes whoever makes them and wherever they begin."""

import contextlib
import io
import logging
import math
from itertools import islice
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from PIL import Image

from delf_common.errors import DelfError, ImageError, UsageError
from delf_common.io.images import read_image
from delf_common.training.cropping import (
    draw_box,
    jitter_colors,
    random_crop,
    whole_photograph,
)
from delf_common.training.decoding import decode_record
from delf_common.training.order import Share, crop_generator, order_of_epoch
from delf_common.training.pipeline import BatchConfig, Batches
from delf_common.training.records import Record


def encode(pixels, kind="JPEG", **options):
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(file, kind, **options)
    return file.getvalue()


def photo(seed, height=60, width=80):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


class Memory:
    """A source of records in memory; record i is called r<i> and has label i."""

    provenance = MappingProxyType({})

    def __init__(self, count, bad=()):
        data = [b"no picture" if i in bad else encode(photo(i)) for i in range(count)]
        self.records = [Record(d, i, f"r{i}") for i, d in enumerate(data)]
        self.num_classes = count
        self.labels = list(range(count))
        self.reads = []

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.records[index]


SMALL = {"batch_size": 4, "image_size": 24}


def take(source, count=None, config=None, **options):
    config = config or BatchConfig(**SMALL)
    with contextlib.closing(Batches(source, config, **options)) as batches:
        return list(islice(batches, count))


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a.names == b.names
        assert a.images.tobytes() == b.images.tobytes()
        assert a.labels.tobytes() == b.labels.tobytes()


@pytest.fixture(scope="module")
def source():
    return Memory(11)


EVERYTHING = BatchConfig(**SMALL, flip=True, color_jitter=0.4, seed=5)


# --- the stream


def test_a_batch_is_bytes_labels_and_names(source):
    (batch,) = take(source, 1)
    assert (batch.images.shape, batch.images.dtype) == ((4, 24, 24, 3), np.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((4,), np.int64)
    assert batch.names == tuple(f"r{label}" for label in batch.labels)


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_the_same_bytes_for_any_number_of_workers(source, workers):
    alone = take(source, 7, EVERYTHING, workers=0)
    assert_same(alone, take(source, 7, EVERYTHING, workers=workers))


@pytest.mark.parametrize("start", [1, 2, 5])  # 11 records: all within an epoch
def test_a_stream_goes_on_from_any_batch(source, start):
    whole = take(source, 8, EVERYTHING)
    assert_same(whole[start:], take(source, 8 - start, EVERYTHING, start=start))


def test_beginning_late_reads_none_of_the_batches_before():
    records = Memory(11)
    batches = Batches(records, BatchConfig(**SMALL), workers=0, start=1_000_000)
    next(batches)
    assert len(records.reads) == 4
    assert batches.position == 1_000_001


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_see_what_one_process_sees(source, world, repeat):
    options = {"image_size": 24, "repeat": repeat}
    whole = BatchConfig(batch_size=2 * world, **options)
    part = BatchConfig(batch_size=2, **options)
    ranks = [take(source, 5, part, rank=r, world=world) for r in range(world)]
    for k, one in enumerate(take(source, 5, whole)):
        parts = [rank[k] for rank in ranks if k < len(rank)]
        assert one.names == sum((p.names for p in parts), ())
        assert np.array_equal(one.images, np.concatenate([p.images for p in parts]))
        assert np.array_equal(one.labels, np.concatenate([p.labels for p in parts]))


def test_an_epoch_shows_every_record_once_in_an_order_of_its_own(source):
    names = [n for b in take(source, 11, BatchConfig(**SMALL)) for n in b.names]
    epochs = [names[i * 11 : (i + 1) * 11] for i in range(4)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len(set(epochs[0])) == 11
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = take(source, 1, BatchConfig(**SMALL, seed=1))[0].names
    assert other != tuple(names[:4])


def test_the_order_is_the_one_of_every_platform():
    assert order_of_epoch(8, 0, 0).tolist() == [2, 4, 7, 5, 0, 6, 3, 1]
    assert order_of_epoch(8, 0, 1).tolist() == [3, 1, 7, 4, 5, 0, 2, 6]


def test_the_order_favours_no_record_and_no_place():
    places = np.array([np.argsort(order_of_epoch(20, 7, e)) for e in range(2000)])
    assert abs(places.mean(axis=0) - 9.5).max() < 5 * math.sqrt(33.25 / 2000)
    follows = np.mean(np.diff(np.argsort(places, axis=1), axis=1) == 1)
    assert abs(follows - 1 / 20) < 5 * math.sqrt(0.05 / 2000 / 19)


def test_a_record_is_cropped_anew_in_every_epoch(source):
    config = BatchConfig(batch_size=11, image_size=24)
    first, second = take(source, 2, config)
    pictures = [dict(zip(b.names, b.images, strict=True)) for b in (first, second)]
    assert all(not np.array_equal(pictures[0][n], pictures[1][n]) for n in first.names)


def test_fixed_crops_are_the_whole_photograph_in_every_epoch(source):
    config = BatchConfig(batch_size=11, image_size=24, crop="fixed", shuffle=False)
    first, second = take(source, 2, config)
    assert_same([first], [second])
    assert first.names == tuple(f"r{i}" for i in range(11))
    pixels = decode_record(source[3])
    assert np.array_equal(first.images[3], whole_photograph(pixels, 24))


def test_one_pass_ends_with_a_short_batch(source):
    config = BatchConfig(**SMALL, repeat=False, shuffle=False)
    assert [len(b.labels) for b in take(source, None, config)] == [4, 4, 3]
    assert take(source, None, config, start=3) == []
    with pytest.raises(UsageError, match="start 4: must be 0 to 3"):
        Batches(source, config, start=4)


def test_the_position_counts_the_delivered_batches(source):
    with contextlib.closing(Batches(source, BatchConfig(**SMALL), start=2)) as batches:
        assert batches.position == 2
        list(islice(batches, 3))
        assert batches.position == 5


def test_the_records_of_a_batch_are_known_without_reading_it():
    records = Memory(11)
    batches = Batches(records, BatchConfig(**SMALL), rank=1, world=2, workers=0)
    indices = [batches.records_of(k) for k in range(4)]
    assert records.reads == []
    assert indices == [list(batch.labels) for batch in islice(batches, 4)]


@pytest.mark.parametrize("samples", [0, 1, 7, 8, 23, 24, 25])
def test_every_sample_is_one_process_s(samples):
    shares = [Share(4, rank, 3) for rank in range(3)]
    taken = [s.sample(p) for s in shares for p in range(s.count(samples))]
    assert sorted(taken) == list(range(samples))


# --- crops


def test_boxes_lie_inside_and_follow_the_specification():
    rng = np.random.default_rng(0)
    boxes = np.array([draw_box(600, 600, rng) for _ in range(4000)])
    top, left, tall, wide = boxes.T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + tall <= 600).all() and (left + wide <= 600).all()
    area, aspect = tall * wide / 600**2, wide / tall
    assert 0.079 < area.min() < 0.085 and area.max() > 0.95
    assert 0.74 < aspect.min() < 0.76 and 1.32 < aspect.max() < 1.35
    # Of the boxes up to half the photograph none is refused: there, uniform.
    small = area < 0.5
    assert abs(area[small].mean() - 0.29) < 0.01
    assert abs(np.log(aspect[small]).mean()) < 0.02
    assert abs(np.log(aspect[small]).std() - 2 * math.log(4 / 3) / 12**0.5) < 0.01
    place = (top / np.maximum(600 - tall, 1))[small]
    assert abs(place.mean() - 0.5) < 0.03 and abs(place.std() - 12**-0.5) < 0.02


def test_a_photograph_that_no_box_fits_is_taken_whole():
    assert draw_box(10, 1000, np.random.default_rng(0)) == (0, 0, 10, 1000)
    assert draw_box(1, 1, np.random.default_rng(0)) == (0, 0, 1, 1)


@pytest.mark.parametrize("resize", ["area", "bilinear"])
def test_a_crop_is_its_box_resized(resize):
    image = photo(0, 200, 300)
    top, left, tall, wide = draw_box(200, 300, crop_generator(1, 2, 3))
    box = np.ascontiguousarray(image[top : top + tall, left : left + wide])
    method = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR}[resize]
    expected = cv2.resize(box, (32, 32), interpolation=method)
    crop = random_crop(image, 32, resize, crop_generator(1, 2, 3))
    assert np.array_equal(crop, expected)


def test_area_averages_what_bilinear_skips():
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::4] = 255
    flat = random_crop(lines, 4, "area", np.random.default_rng(0))
    sparse = random_crop(lines, 4, "bilinear", np.random.default_rng(0))
    assert abs(flat.mean() - 255 / 4) < 10
    assert abs(sparse.mean() - 255 / 4) > 30


def test_half_of_the_photographs_are_mirrored(source):
    sizes = {"batch_size": 11, "image_size": 24}
    plain = take(source, 20, BatchConfig(**sizes))
    mirrored = take(source, 20, BatchConfig(**sizes, flip=True))
    pairs = [
        (a, b)
        for x, y in zip(plain, mirrored, strict=True)
        for a, b in zip(x.images, y.images, strict=True)
    ]
    turned = [np.array_equal(a[:, ::-1], b) for a, b in pairs]
    assert all(
        t or np.array_equal(a, b) for t, (a, b) in zip(turned, pairs, strict=True)
    )
    assert 80 < sum(turned) < 140


def test_jitter_moves_colours_within_its_strength():
    grey = np.full((8, 8, 3), 100, np.uint8)
    values = [
        int(jitter_colors(grey, 0.2, np.random.default_rng(seed))[0, 0, 0])
        for seed in range(200)
    ]
    assert 80 <= min(values) < 84 and 116 < max(values) <= 120
    assert np.array_equal(
        jitter_colors(photo(1), 0.0, np.random.default_rng(0)), photo(1)
    )


def test_jitter_of_contrast_and_saturation_keeps_the_mean_grey():
    image = photo(2) // 4 + 96
    luma = np.array([0.299, 0.587, 0.114])
    rng = np.random.default_rng(4)
    brightness = 0.9 + 0.2 * np.random.default_rng(4).random()
    jittered = jitter_colors(image, 0.1, rng)
    assert abs((jittered @ luma).mean() - brightness * (image @ luma).mean()) < 0.5
    assert not np.array_equal(jittered, image)


# --- decoding


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(photo(3), exif=exif)


PICTURES = {
    "rgb": encode(photo(1)),
    "4:4:4": encode(photo(1), subsampling=0),
    "progressive": encode(photo(1), progressive=True),
    "grey": encode(photo(1)[..., 0]),
    "cmyk": encode(Image.fromarray(photo(1)).convert("CMYK")),
    "png alpha": encode(np.dstack([photo(1), photo(2)[..., :1]]), "PNG"),
    "png 16": encode(photo(1)[..., 0].astype(np.uint16) * 257, "PNG"),
    **{f"exif {turn}": turned(turn) for turn in range(1, 9)},
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_record_decodes_to_the_bytes_of_the_picture_reader(kind):
    pixels = decode_record(Record(PICTURES[kind], 0, "r"))
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert np.array_equal(pixels, read_image(PICTURES[kind], max_pixels=10**6))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"text", "not a picture"),
        (PICTURES["rgb"][:600], "damaged picture"),
        (PICTURES["rgb"][:-2], "damaged picture"),
    ],
)
def test_a_record_that_does_not_decode_is_named(data, reason):
    with pytest.raises(ImageError, match=rf"^GLD17: .*{reason}"):
        decode_record(Record(data, 0, "GLD17"))


@pytest.mark.parametrize("kind", ["rgb", "cmyk", "png 16"])
def test_a_picture_over_the_pixel_limit_is_refused_before_decoding(kind):
    with pytest.raises(ImageError, match=r"^r: 80x60 .* over the limit of 4799"):
        decode_record(Record(PICTURES[kind], 0, "r"), max_pixels=4799)


# --- bad records


def test_a_bad_record_is_replaced_by_the_next_with_its_own_label(caplog):
    records = Memory(6, bad=(2, 3, 5))
    config = BatchConfig(batch_size=6, image_size=24, crop="fixed", shuffle=False)
    with caplog.at_level(logging.WARNING):
        with contextlib.closing(Batches(records, config)) as batches:
            first, second = islice(batches, 2)
            bad = batches.bad_records
    assert first.names == second.names == ("r0", "r1", "r4", "r4", "r4", "r0")
    assert list(first.labels) == [0, 1, 4, 4, 4, 0]
    assert bad == ["r2", "r3", "r5"]
    logged = [r.getMessage() for r in caplog.records]
    assert [text.split(":")[0] for text in logged] == bad  # each once, in two epochs
    assert "not a picture" in logged[0]


@pytest.mark.parametrize("workers", [1, 4])
def test_replacements_do_not_depend_on_the_workers(workers):
    records = Memory(11, bad=(0, 4, 5, 10))
    runs = []
    for count in (0, workers):
        with contextlib.closing(Batches(records, EVERYTHING, workers=count)) as batches:
            runs.append((list(islice(batches, 6)), batches.bad_records))
    assert_same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert sorted(runs[0][1]) == ["r0", "r10", "r4", "r5"]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("limit", [0, 1])
def test_bad_records_past_the_limit_stop_the_run_and_are_listed(workers, limit):
    options = {"image_size": 24, "shuffle": False, "bad_record_limit": limit}
    records = Memory(8, bad=(1, 5))
    batches = Batches(records, BatchConfig(batch_size=1, **options), workers=workers)
    good = 5 if limit else 1
    assert len(list(islice(batches, good))) == good
    with pytest.raises(DelfError, match=rf"limit of {limit}.*\n  r1") as caught:
        next(batches)
    assert ("r5" in str(caught.value)) == (limit == 1)


def test_a_set_without_a_single_good_record_is_an_error():
    with pytest.raises(DelfError, match="no record of the training set decodes: r"):
        take(Memory(3, bad=range(3)), 1)


class Broken(Memory):
    def __getitem__(self, index):
        if index == 6:
            raise DelfError("shard 2 is cut short")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 3])
def test_an_error_in_a_worker_surfaces_in_its_place_and_ends_the_stream(workers):
    config = BatchConfig(**SMALL, shuffle=False)
    batches = Batches(Broken(11), config, workers=workers)
    next(batches)
    with pytest.raises(DelfError, match="shard 2 is cut short"):
        next(batches)
    with pytest.raises(ValueError, match="closed"):
        next(batches)


# --- wrong calls


def test_an_empty_source_is_an_error():
    with pytest.raises(DelfError, match="empty"):
        Batches(Memory(0), BatchConfig())


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 2, "world": 2}, {"rank": -1}, {"workers": -1}, {"start": -1}],
)
def test_a_stream_out_of_range_is_a_wrong_call(source, wrong):
    with pytest.raises(UsageError, match=r"must be"):
        Batches(source, BatchConfig(), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"image_size": 0},
        {"seed": -1},
        {"bad_record_limit": -1},
        {"color_jitter": 1.5},
        {"color_jitter": float("nan")},
        {"crop": "centre"},
        {"resize": "cubic"},
    ],
)
def test_a_setting_out_of_range_is_a_wrong_call(wrong):
    with pytest.raises(UsageError, match=r"must be"):
        BatchConfig(**wrong)


def test_grain_leaves_the_log_s_handlers_as_they_are():
    import subprocess
    import sys

    code = (
        "import logging, delf_common.training.pipeline as p;"
        "p._import_grain(); print(logging.root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_bench_of_the_pipeline_gives_a_rate_for_every_way(tmp_path):
    from delf_common.bench.pipeline import format_table, run_pipeline_bench

    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(encode(photo(number)))
    result = run_pipeline_bench(tmp_path, repeats=1)
    rates = result["images_per_second"]
    assert next(iter(rates)) == "plain loop" and len(rates) == 5
    assert all(rate > 0 for rate in rates.values())
    assert result["photographs"] == 3
    assert format_table(result).count("images/s") == 5
