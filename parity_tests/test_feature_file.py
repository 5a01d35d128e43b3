# SPDX-License-Identifier: Apache-2.0
"""Journals that survive a kill at any byte, and the HDF5 file they become."""

import itertools
import json
import time
import zlib

import h5py
import numpy as np
import pytest

from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.feature_file import DATASETS, FeatureReader, refuse_names
from delf_common.io.journal import PREFIX, Journal, locate
from delf_common.io.merging import write_feature_file

HEADER = {
    "weights": "fake",
    "weights_sha256": "f" * 64,
    "backend": "torch",
    "config": {"max_feature_num": 1000, "image_scales": (0.5, 1.0)},
    "dimension": 4,
    "version": "0",
}


def some_features(seed=0, count=5):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 4)).astype(np.float32)
    return Features(
        rng.random((count, 2), np.float32) * 100,
        rows / np.linalg.norm(rows, axis=1, keepdims=True),
        np.sort(rng.random(count, np.float32))[::-1],
        rng.random(count, np.float32),
        (640 + seed, 480),
    )


ENTRIES = {
    "b.jpg": some_features(1),
    "a/é 大.jpg": some_features(2, 0),
    "a/broken.jpg": "a/broken.jpg: damaged picture (so)",
    "a/1.jpg": some_features(3, 7),
}


def assert_same(one, two):
    assert one.image_size == two.image_size
    for name in ("keypoints", "descriptors", "scores", "scales"):
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_array_equal(a, b)


def write_journal(path, entries, header=HEADER):
    with Journal(path, header) as journal:
        for name, entry in entries.items():
            journal.append(name, entry)
    return path


def merge(folder, entries, dtype="float32", order=None):
    journal = write_journal(folder / "journal", entries)
    output = folder / "features.h5"
    write_feature_file(output, order or list(entries), [journal], dtype)
    return output


# The feature file


def test_features_come_back_as_they_were(tmp_path):
    with FeatureReader(merge(tmp_path, ENTRIES)) as reader:
        assert reader.names() == ["a/1.jpg", "a/é 大.jpg", "b.jpg"]
        for name in reader.names():
            assert_same(reader.read(name), ENTRIES[name])
        assert reader.errors() == {"a/broken.jpg": ENTRIES["a/broken.jpg"]}
        assert reader.info["weights_sha256"] == "f" * 64
        assert reader.info["config"] == {
            "max_feature_num": 1000,
            "image_scales": [0.5, 1.0],
        }
        assert (reader.dimension, reader.descriptor_dtype) == (4, "float32")


def test_half_precision_changes_descriptors_only_and_only_a_little(tmp_path):
    with FeatureReader(merge(tmp_path, ENTRIES, "float16")) as reader:
        back = reader.read("b.jpg")
    half = ENTRIES["b.jpg"].descriptors.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(back.descriptors, half)
    np.testing.assert_array_equal(back.keypoints, ENTRIES["b.jpg"].keypoints)
    np.testing.assert_array_equal(back.scores, ENTRIES["b.jpg"].scores)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_rule_by_which_hloc_reads_finds_images_and_their_arrays(tmp_path, dtype):
    names = set()

    def collect(_, item):
        if isinstance(item, h5py.Dataset):
            names.add(item.parent.name.strip("/"))

    with h5py.File(merge(tmp_path, ENTRIES, dtype), "r") as file:
        file.visititems(collect)
        assert names == {"a/1.jpg", "a/é 大.jpg", "b.jpg"}
        group = file["a/1.jpg"]
        assert sorted(group) == sorted(DATASETS)
        keypoints, descriptors = group["keypoints"][()], group["descriptors"][()]
        assert (keypoints.shape, keypoints.dtype) == ((7, 2), np.float32)
        assert (descriptors.shape, descriptors.dtype) == ((4, 7), dtype)
        np.testing.assert_array_equal(keypoints, ENTRIES["a/1.jpg"].keypoints)
        wanted = ENTRIES["a/1.jpg"].descriptors.T.astype(dtype)
        np.testing.assert_array_equal(descriptors, wanted)
        assert group["scores"].dtype == group["scales"].dtype == np.float32
        assert group["image_size"].dtype == np.int32
        assert group["image_size"][()].tolist() == [643, 480]
        assert file["a/é 大.jpg"]["descriptors"].shape == (4, 0)


def test_a_file_of_no_images_is_a_file(tmp_path):
    with FeatureReader(merge(tmp_path, {})) as reader:
        assert reader.names() == []
        assert reader.errors() == {}


def test_an_image_that_is_not_there_or_has_an_error_is_named(tmp_path):
    with FeatureReader(merge(tmp_path, ENTRIES)) as reader:
        for name in ("c.jpg", "a", "b.jpg/scores", "", "caf\udce9"):
            with pytest.raises(DelfError, match=r"features\.h5 has no features"):
                reader.read(name)
        with pytest.raises(DelfError, match="damaged picture"):
            reader.read("a/broken.jpg")


def test_what_is_no_feature_file_is_named(tmp_path):
    path = tmp_path / "x.h5"
    with pytest.raises(DelfError, match=r"x\.h5: there is no such"):
        FeatureReader(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(DelfError, match=r"x\.h5 is not HDF5"):
        FeatureReader(path)
    for attributes in (
        {},
        {"format": "other"},
        {"format": "delf-features 1"},
        {"format": "delf-features 1", "info": "{torn"},
        {"format": "delf-features 1", "info": "3"},
    ):
        with h5py.File(path, "w") as file:
            file.attrs.update(attributes)
        with pytest.raises(DelfError, match=r"x\.h5"):
            FeatureReader(path)


def test_a_truncated_feature_file_is_an_error(tmp_path):
    path = merge(tmp_path, ENTRIES)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DelfError, match="damaged"):
        FeatureReader(path)


def test_a_damaged_image_is_named(tmp_path):
    path = merge(tmp_path, ENTRIES)
    with h5py.File(path, "r+") as file:
        del file["b.jpg/scores"]
    with FeatureReader(path) as reader, pytest.raises(DelfError, match="damaged"):
        reader.read("b.jpg")


# Names


@pytest.mark.parametrize("names", list(itertools.permutations(["a", "a/b", "a/b/c"])))
def test_an_image_may_also_be_a_folder_of_images(tmp_path, names):
    entries = {name: some_features(i) for i, name in enumerate(names)}
    refuse_names(names)
    with FeatureReader(merge(tmp_path, entries)) as reader:
        assert reader.names() == ["a", "a/b", "a/b/c"]
        for name in names:
            assert_same(reader.read(name), entries[name])


@pytest.mark.parametrize(
    "names",
    [["keypoints"], ["a/scores"], ["a", "a/keypoints/b"], ["a/keypoints/b", "a"]],
)
def test_names_that_clash_with_datasets_are_refused(tmp_path, names):
    with pytest.raises(DelfError, match="rename"):
        refuse_names(names)
    with pytest.raises(DelfError, match="cannot be stored"):
        merge(tmp_path, {name: some_features() for name in names})
    assert not (tmp_path / "features.h5").exists()


def test_folders_named_as_datasets_are_no_clash(tmp_path):
    names = ["keypoints/a.jpg", "scores/keypoints/b.jpg", "error"]
    refuse_names(names)
    with FeatureReader(merge(tmp_path, dict.fromkeys(names, some_features()))) as file:
        assert file.names() == sorted(names)


def test_error_texts_of_any_kind_are_stored(tmp_path):
    texts = {"a": "caf\udce9", "b": "zero \0 byte", "c": "x" * 100_000, "d": "大"}
    with FeatureReader(merge(tmp_path, texts)) as reader:
        errors = reader.errors()
    assert errors["a"] == "caf\\udce9"
    assert errors["b"] == "zero \\0 byte"
    assert errors["c"] == "x" * 1000
    assert errors["d"] == "大"


# The same bytes


def test_bytes_do_not_depend_on_journals_order_or_time(tmp_path):
    whole = merge(tmp_path, ENTRIES).read_bytes()
    names = list(ENTRIES)
    for turn, shuffled in enumerate(list(itertools.permutations(names))[5::6]):
        folder = tmp_path / str(turn)
        folder.mkdir()
        parts = (shuffled[:turn], shuffled[turn:])
        journals = [
            write_journal(folder / f"j{i}", {name: ENTRIES[name] for name in part})
            for i, part in enumerate(parts)
        ]
        write_feature_file(folder / "o.h5", names, journals[::-1], "float32")
        assert (folder / "o.h5").read_bytes() == whole


def test_no_time_is_written(tmp_path):
    merge(tmp_path, ENTRIES)
    before = (tmp_path / "features.h5").read_bytes()
    time.sleep(1.1)  # HDF5 counts in seconds
    again = merge(tmp_path, {}, order=list(ENTRIES))  # from the same journal
    assert again.read_bytes() == before


def test_a_failed_merge_leaves_no_file_and_keeps_the_old_one(tmp_path):
    journal = write_journal(tmp_path / "journal", ENTRIES)
    output = tmp_path / "features.h5"
    output.write_bytes(b"old")
    with pytest.raises(DelfError, match=r"nowhere\.jpg"):
        write_feature_file(output, [*ENTRIES, "nowhere.jpg"], [journal], "float32")
    assert output.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["features.h5", "journal"]


def test_images_are_added_to_a_finished_file(tmp_path):
    earlier = merge(tmp_path, {name: ENTRIES[name] for name in list(ENTRIES)[:3]})
    journal = write_journal(tmp_path / "more", {"a/1.jpg": ENTRIES["a/1.jpg"]})
    errors = write_feature_file(earlier, ["a/1.jpg"], [journal], "float32", earlier)
    assert list(errors) == ["a/broken.jpg"]
    with FeatureReader(earlier) as reader:
        assert reader.names() == ["a/1.jpg", "a/é 大.jpg", "b.jpg"]
        for name in reader.names():
            assert_same(reader.read(name), ENTRIES[name])
        assert list(reader.errors()) == ["a/broken.jpg"]


def test_files_of_other_settings_are_not_mixed(tmp_path):
    earlier = merge(tmp_path, ENTRIES)
    other = {**HEADER, "weights_sha256": "0" * 64}
    journal = write_journal(tmp_path / "more", {"c.jpg": some_features()}, other)
    with pytest.raises(DelfError, match="weights_sha256"):
        write_feature_file(earlier, ["c.jpg"], [journal], "float32", earlier)
    with pytest.raises(DelfError, match="weights_sha256"):
        write_feature_file(
            tmp_path / "new.h5", [], [tmp_path / "journal", journal], "float32"
        )


# Journals


def done(path):
    return {name for name, _ in locate(path)}


def test_a_journal_knows_what_is_done_and_broken_pictures_are_not(tmp_path):
    path = write_journal(tmp_path / "j", ENTRIES)
    assert done(path) == set(ENTRIES)
    assert set(Journal.recover(path)) == set(ENTRIES) - {"a/broken.jpg"}
    assert Journal.recover(write_journal(tmp_path / "k", {})) == set()
    assert done(write_journal(tmp_path / "k", {})) == set()
    (tmp_path / "empty").write_bytes(b"")
    assert done(tmp_path / "empty") == set()


def test_every_record_is_on_disk_before_the_next_picture(tmp_path):
    with Journal(tmp_path / "j", HEADER) as journal:
        for number, (name, entry) in enumerate(ENTRIES.items(), start=1):
            journal.append(name, entry)
            assert len(done(tmp_path / "j")) == number


def test_a_journal_torn_at_any_byte_keeps_its_whole_records_and_goes_on(tmp_path):
    entries = {"a": some_features(1, 1), "b": "broken", "c": some_features(2, 0)}
    sizes, path = {}, tmp_path / "j"
    with Journal(path, HEADER) as journal:
        for name, entry in entries.items():
            journal.append(name, entry)
            sizes[name] = path.stat().st_size
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        kept = {name for name, size in sizes.items() if size <= end}
        assert done(path) == kept
        rest = {name: entry for name, entry in entries.items() if name not in kept}
        assert write_journal(path, rest).read_bytes() == whole


@pytest.mark.parametrize(
    "tail", [b"\0" * 100, b"\xff" * 100, b"\xff" * 4], ids=["zeros", "ones", "few"]
)
def test_rubbish_after_the_last_record_is_cut_off(tmp_path, tail):
    path = write_journal(tmp_path / "j", ENTRIES)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert done(path) == set(ENTRIES)
    assert write_journal(path, {}).read_bytes() == whole


def test_a_changed_byte_ends_the_journal_before_its_record(tmp_path):
    path = write_journal(tmp_path / "j", {"a": some_features(1)})
    place = path.stat().st_size
    write_journal(path, {"b": some_features(2), "c": some_features(3)})
    data = bytearray(path.read_bytes())
    data[place + 60] ^= 1
    path.write_bytes(data)
    assert done(path) == {"a"}


def test_a_record_is_length_checksum_and_payload(tmp_path):
    data = write_journal(tmp_path / "j", {}).read_bytes()
    length, checksum = PREFIX.unpack(data[:8])
    assert (length, checksum) == (len(data) - 8, zlib.crc32(data[8:]))
    assert json.loads(data[8:])["weights"] == "fake"


def test_the_later_of_two_records_counts(tmp_path):
    journal = write_journal(tmp_path / "j", {"a": "broken"})
    write_journal(journal, {"a": some_features(4)})
    write_feature_file(tmp_path / "o.h5", ["a"], [journal], "float32")
    with FeatureReader(tmp_path / "o.h5") as reader:
        assert_same(reader.read("a"), some_features(4))
        assert reader.errors() == {}


def test_sizes_may_be_numpy_integers(tmp_path):
    features = some_features()
    sized = Features(
        features.keypoints,
        features.descriptors,
        features.scores,
        features.scales,
        (np.int64(640), np.int32(480)),
    )
    with FeatureReader(merge(tmp_path, {"a": sized})) as reader:
        assert_same(reader.read("a"), features)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights_sha256": "0" * 64}, "weights_sha256"),
        ({"config": {"max_feature_num": 7, "image_scales": (0.5, 1.0)}}, "1000, is 7"),
        ({"config": {"max_feature_num": 1000, "image_scales": (1.0,)}}, "image_scales"),
        ({"backend": "ms"}, "'torch', is 'ms'"),
    ],
)
def test_a_journal_of_other_settings_is_refused_and_kept(tmp_path, change, named):
    path = write_journal(tmp_path / "j", ENTRIES)
    before = path.read_bytes()
    with pytest.raises(DelfError, match=named):
        Journal(path, {**HEADER, **change})
    assert path.read_bytes() == before
