# SPDX-License-Identifier: Apache-2.0
"""The older formats: the MindSpore DELF's npz files, TF's protobufs, the PCA trio."""

import struct
import zipfile

import numpy as np
import pytest

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io import delf_proto
from delf_common.io.legacy_npz import npz_path, read_legacy, write_legacy
from delf_common.io.pca_files import FILES, read_pca, write_pca
from delf_common.weights.metadata import Pca


def some_features(count=3, dimension=4, size=(640, 480)):
    rng = np.random.default_rng(0)
    return Features(
        rng.normal(size=(count, 2)).astype(np.float32) * 100,
        rng.normal(size=(count, dimension)).astype(np.float32),
        np.sort(rng.random(count).astype(np.float32))[::-1],
        rng.random(count).astype(np.float32),
        size,
    )


def assert_same(one, two):
    assert one.image_size == two.image_size
    for name in ("keypoints", "descriptors", "scores", "scales"):
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_array_equal(a, b)


# One keypoint at x = 1, y = 2, scale 4, strength 8, descriptor (0.5, -1), written out
# by hand from the wire format: tag = number * 8 + type, then the value.
DESCRIPTOR = (
    b"\x0a\x03" b"\x0a\x01\x02"  # shape: packed dim 2
    b"\x12\x0a" b"\x0a\x08" + struct.pack("<2f", 0.5, -1)  # float_list: packed
)  # fmt: skip
FEATURE = (
    b"\x0a\x11" + DESCRIPTOR
    + b"\x15" + struct.pack("<f", 1) + b"\x1d" + struct.pack("<f", 2)
    + b"\x25" + struct.pack("<f", 4) + b"\x2d" + struct.pack("<f", 0)
    + b"\x35" + struct.pack("<f", 8)
)  # fmt: skip
BY_HAND = b"\x0a" + bytes([len(FEATURE)]) + FEATURE


def one_feature():
    row = np.array([[0.5, -1]], np.float32)
    x_y = np.array([[1, 2]], np.float32)
    return Features(x_y, row, np.float32([8]), np.float32([4]), (0, 0))


def test_delf_bytes_are_those_worked_by_hand():
    assert delf_proto.encode_delf(one_feature()) == BY_HAND
    assert_same(delf_proto.decode_delf(BY_HAND), one_feature())


def test_delf_files_come_back_as_they_were(tmp_path):
    delf_proto.write_delf(tmp_path / "a.delf", some_features(300, 40))
    back = delf_proto.read_delf(tmp_path / "a.delf", (640, 480))
    assert_same(back, some_features(300, 40))


def test_an_empty_delf_file_is_zero_keypoints(tmp_path):
    delf_proto.write_delf(tmp_path / "a.delf", Features.empty(40, (8, 8)))
    assert (tmp_path / "a.delf").read_bytes() == b""
    assert_same(
        delf_proto.read_delf(tmp_path / "a.delf", (8, 8)), Features.empty(0, (8, 8))
    )


def test_unpacked_floats_split_messages_and_unknown_fields_are_read():
    unpacked = b"".join(b"\x0d" + struct.pack("<f", v) for v in (0.5, -1))
    datum = (
        b"\x0a\x02\x08\x02"  # shape, dim 2 not packed
        b"\x12\x05" + unpacked[:5]  # float_list in two parts, which merge
        + b"\x12\x05" + unpacked[5:]
        + b"\x78\x96\x01"  # unknown field 15: varint 150
        + b"\x81\x01" + bytes(8)  # unknown field 16: 64 bits
    )  # fmt: skip
    np.testing.assert_array_equal(delf_proto.decode_datum(datum), np.float32([0.5, -1]))
    feature = b"\x0a" + bytes([len(datum)]) + datum + b"\x7a\x03abc"  # unknown bytes
    back = delf_proto.decode_delf(b"\x0a" + bytes([len(feature)]) + feature)
    np.testing.assert_array_equal(back.descriptors, [[0.5, -1]])
    np.testing.assert_array_equal(back.keypoints, [[0, 0]])  # missing: 0


@pytest.mark.parametrize("end", range(1, len(BY_HAND)))
def test_a_truncated_delf_file_is_an_error_at_every_length(tmp_path, end):
    path = tmp_path / "cut.delf"
    path.write_bytes(BY_HAND[:end])
    with pytest.raises(DelfError, match=r"cut\.delf"):
        delf_proto.read_delf(path)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 20,  # a number without an end
        b"\x0b\x0c",  # a group
        b"\x00\x00",  # field number 0
        b"\x08\x01",  # a number in a message's place
        b"JFIF, not protobuf",
        b"\x0a\x00",  # a feature without descriptor: shape () and no value
        BY_HAND.replace(b"\x0a\x01\x02", b"\x0a\x01\x03"),  # shape does not fit
        BY_HAND + b"\x0a\x0b\x0a\x09\x0a\x03\x0a\x01\x00\x12\x02\x0a\x00",  # length 0
    ],
)
def test_what_is_no_delf_file_is_an_error(tmp_path, data):
    path = tmp_path / "bad.delf"
    path.write_bytes(data)
    with pytest.raises(DelfError, match=r"bad\.delf"):
        delf_proto.read_delf(path)


def test_damaged_bytes_never_raise_anything_but_our_error():
    rng = np.random.default_rng(0)
    good = delf_proto.encode_delf(some_features(2, 3))
    refused = 0
    for _ in range(3000):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 2):
            data[place] = rng.integers(0, 256)
        try:
            delf_proto.decode_delf(bytes(data))
        except DelfError:
            refused += 1
    assert 0 < refused < 3000


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 40), (5,), (2, 3, 4)])
def test_floats_of_any_shape_survive_a_datum_file(tmp_path, dtype, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    delf_proto.write_datum(tmp_path / "a.datum", np.asarray(array))
    back = delf_proto.read_datum(tmp_path / "a.datum")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_unsigned_integers_survive_a_datum_file(tmp_path, dtype):
    top = min(np.iinfo(dtype).max, 2**32 - 1)
    array = np.array([[0, 1, 127], [128, 200, top]], dtype)
    delf_proto.write_datum(tmp_path / "a.datum", array)
    back = delf_proto.read_datum(tmp_path / "a.datum")
    assert back.dtype == np.uint32
    np.testing.assert_array_equal(back, array)


def test_integers_are_field_three_of_a_datum():
    packed = b"\x0a\x04\x0a\x02\x01\x02\x1a\x05\x0a\x03\x01\xac\x02"  # 1, 300
    array = np.array([[1, 300]], np.uint16)
    assert delf_proto.encode_datum(array) == packed


@pytest.mark.parametrize(
    "array", [np.int32([1]), np.array(["a"]), np.array([True]), np.uint64([2**32])]
)
def test_a_datum_refuses_what_it_cannot_hold(array):
    with pytest.raises(DelfError, match="datum"):
        delf_proto.encode_datum(array)


def test_a_datum_of_a_huge_shape_is_refused_without_making_it():
    huge = b"\x0a\x0d\x0a\x0b" + b"\xff" * 9 + b"\x01\x00" + b"\x12\x00"  # 2**64-1, 0
    with pytest.raises(DelfError, match="shape"):
        delf_proto.decode_datum(huge)


def test_a_pair_of_arrays_survives_one_file(tmp_path):
    first, second = np.float32([[1, 2]]), np.uint32([3])
    delf_proto.write_datum_pair(tmp_path / "a.datum", first, second)
    back = delf_proto.read_datum_pair(tmp_path / "a.datum")
    np.testing.assert_array_equal(back[0], first)
    np.testing.assert_array_equal(back[1], second)


def test_a_missing_file_is_named(tmp_path):
    for read in (delf_proto.read_delf, delf_proto.read_datum, read_legacy, read_pca):
        with pytest.raises(DelfError, match="nowhere"):
            read(tmp_path / "nowhere")


# The four npz files


@pytest.mark.parametrize("count", [0, 1, 20])
def test_the_four_npz_files_come_back_as_they_were(tmp_path, count):
    stem = tmp_path / "all_souls.000013"
    write_legacy(stem, some_features(count))
    assert_same(read_legacy(stem, (640, 480)), some_features(count))


def test_the_npz_files_are_what_the_original_reads(tmp_path):
    write_legacy(tmp_path / "a", some_features())
    parts = ("feature", "location", "scale", "score")
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == [f"a.{part}.npz" for part in parts]
    arrays = {part: np.load(tmp_path / f"a.{part}.npz")["arr_0"] for part in parts}
    expected = some_features()
    np.testing.assert_array_equal(arrays["location"][:, 0], expected.keypoints[:, 1])
    np.testing.assert_array_equal(arrays["location"][:, 1], expected.keypoints[:, 0])
    np.testing.assert_array_equal(arrays["feature"], expected.descriptors)
    shapes = arrays["scale"].shape, arrays["score"].shape
    assert shapes == ((3,), (3,))


def test_the_npz_files_carry_no_time(tmp_path):
    write_legacy(tmp_path / "a", some_features())
    with zipfile.ZipFile(npz_path(tmp_path / "a", "scale")) as archive:
        assert [i.date_time[0] for i in archive.infolist()] == [1980]


def test_npz_columns_and_bare_empty_arrays_are_understood(tmp_path):
    np.savez(tmp_path / "a.location.npz", [[2.0, 1.0]])
    np.savez(tmp_path / "a.feature.npz", [[0.5, -1.0]])
    np.savez(tmp_path / "a.score.npz", [[8.0]])  # (N, 1)
    np.savez(tmp_path / "a.scale.npz", [4.0])
    assert_same(read_legacy(tmp_path / "a"), one_feature())
    for part in ("location", "feature", "score", "scale"):
        np.savez(npz_path(tmp_path / "none", part), [])
    assert len(read_legacy(tmp_path / "none")) == 0


def test_npz_files_that_do_not_fit_are_refused(tmp_path):
    write_legacy(tmp_path / "a", some_features())
    np.savez(npz_path(tmp_path / "a", "score"), [1.0, 2.0])
    with pytest.raises(DelfError, match="do not fit"):
        read_legacy(tmp_path / "a")
    np.savez(npz_path(tmp_path / "a", "score"), other=[1.0, 2.0, 3.0])
    with pytest.raises(DelfError, match="arr_0"):
        read_legacy(tmp_path / "a")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 torn"])
def test_a_damaged_npz_file_is_named(tmp_path, data):
    write_legacy(tmp_path / "a", some_features())
    npz_path(tmp_path / "a", "scale").write_bytes(data)
    with pytest.raises(DelfError, match=r"a\.scale\.npz"):
        read_legacy(tmp_path / "a")


def test_pickled_npz_files_and_pca_arrays_are_never_unpickled(tmp_path):
    write_legacy(tmp_path / "a", some_features())
    trap = np.array([{"a": 1}], object)
    np.savez(npz_path(tmp_path / "a", "scale"), trap)
    with pytest.raises(DelfError, match="pickle"):
        read_legacy(tmp_path / "a")
    write_pca(tmp_path, some_pca())
    np.save(tmp_path / "mean.npy", trap, allow_pickle=True)
    with pytest.raises(DelfError, match="pickle"):
        read_pca(tmp_path)


# The PCA trio


def some_pca(channels=6, kept=4):
    rng = np.random.default_rng(0)
    return Pca(
        rng.normal(size=channels).astype(np.float32),
        rng.normal(size=(kept, channels)).astype(np.float32),
        np.sort(rng.random(kept).astype(np.float32))[::-1].copy(),
    )


def test_a_pca_comes_back_as_it_was(tmp_path):
    write_pca(tmp_path / "new", some_pca())
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(FILES)
    back = read_pca(tmp_path / "new")
    for name in ("mean", "components", "variances"):
        np.testing.assert_array_equal(getattr(back, name), getattr(some_pca(), name))


def test_variances_beyond_the_components_are_cut(tmp_path):
    write_pca(tmp_path, some_pca())
    np.save(tmp_path / "pca_variances.npy", np.arange(6.0))
    np.testing.assert_array_equal(read_pca(tmp_path).variances, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("mean.npy", np.zeros(5)),
        ("mean.npy", np.zeros((1, 6))),
        ("pca_proj_mat.npy", np.zeros(6)),
        ("pca_proj_mat.npy", np.zeros((0, 6))),
        ("pca_proj_mat.npy", np.zeros((7, 6))),
        ("pca_variances.npy", np.zeros(3)),
        ("pca_variances.npy", np.float32([1, 1, 1, np.nan])),
        ("pca_variances.npy", np.float32([1, 1, 1, -1])),
        ("mean.npy", np.full(6, np.inf)),
        ("mean.npy", np.array(["a"] * 6)),
    ],
)
def test_arrays_that_are_no_pca_are_refused(tmp_path, name, array):
    write_pca(tmp_path, some_pca())
    np.save(tmp_path / name, array)
    with pytest.raises(DelfError, match=r"mean\.npy"):
        read_pca(tmp_path)


def test_a_missing_or_damaged_pca_file_is_named(tmp_path):
    write_pca(tmp_path, some_pca())
    whole = (tmp_path / "pca_variances.npy").read_bytes()
    for data in (b"", whole[:-1], b"PK\x03\x04 torn"):
        (tmp_path / "pca_variances.npy").write_bytes(data)
        with pytest.raises(DelfError, match=r"pca_variances\.npy"):
            read_pca(tmp_path)
    (tmp_path / "pca_variances.npy").unlink()
    with pytest.raises(DelfError, match=r"pca_variances\.npy is missing"):
        read_pca(tmp_path)
