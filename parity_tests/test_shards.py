# SPDX-License-Identifier: Apache-2.0
"""Built shards as a training set: what is read, and what is noticed when."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from training_set import write_training_set

from delf_common.cli.main import main
from delf_common.dataset.build import build_dataset
from delf_common.dataset.config import BuildConfig, BuildJob
from delf_common.errors import DelfError
from delf_common.training.folder_source import open_folder
from delf_common.training.open_records import open_records
from delf_common.training.pipeline import BatchConfig, Batches
from delf_common.training.shards import open_shards


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_training_set(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def shards(pictures, tmp_path):
    return build(pictures, tmp_path / "shards")


def build(pictures: Path, output: Path, **settings) -> Path:
    usual = {"num_shards": 3, "output_directory": str(output)}
    config = BuildConfig(dataset_path=str(pictures), **{**usual, **settings})
    build_dataset(config, BuildJob(workers=1))
    return output


def first_shard(folder: Path) -> Path:
    return folder / "train.array_record-00000-of-00003"


def test_shards_give_every_record_as_its_file_was(pictures, shards):
    files = {record.name: record for record in open_folder(pictures)}
    train, validation = open_records(shards), open_records(shards / "validation")
    read = [source[i] for source in (train, validation) for i in range(len(source))]
    assert len(train) == 12
    assert len(validation) == 3
    assert {record.name: record for record in read} == files
    assert [train[i].label for i in range(12)] == list(train.labels)
    assert train.num_classes == validation.num_classes == 3
    assert train.provenance["source_path"] == str(pictures)


def test_a_shard_of_a_split_opens_that_split(shards):
    name = "validation.array_record-00000-of-00003"
    assert len(open_records(shards / name)) == 3
    assert len(open_records(first_shard(shards))) == 12


def test_a_wider_classifier_is_allowed_and_a_narrower_one_is_not(shards):
    assert open_records(shards, num_classes=5).num_classes == 5
    with pytest.raises(DelfError, match=r"label 2 is outside 0\.\.1"):
        open_records(shards, num_classes=2)


def test_batches_from_shards_are_the_same_for_any_number_of_workers(shards):
    def run(workers):
        config = BatchConfig(batch_size=4, image_size=32, seed=3)
        with closing(Batches(open_records(shards), config, workers=workers)) as stream:
            return [next(stream) for _ in range(6)]

    for alone, together in zip(run(0), run(4), strict=True):
        assert alone.names == together.names
        np.testing.assert_array_equal(alone.images, together.images)
        np.testing.assert_array_equal(alone.labels, together.labels)


def test_a_number_past_the_records_is_an_index_error(shards):
    source = open_shards(shards)
    for index in (-1, 12):
        with pytest.raises(IndexError):
            source[index]


def test_a_missing_shard_is_named_when_the_set_is_opened(shards):
    first_shard(shards).unlink()
    with pytest.raises(DelfError, match=r"train\.array_record-00000.* is missing"):
        open_records(shards)


def test_a_shard_cut_off_is_named_when_the_set_is_opened(shards):
    path = first_shard(shards)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        DelfError, match=r"has 131071 bytes, manifest\.json says 131072"
    ):
        open_records(shards)


def test_a_changed_byte_is_noticed_when_its_record_is_read(shards):
    path = first_shard(shards)
    content = bytearray(path.read_bytes())
    content[content.index(b'{"file_id"') + 300] ^= 1
    path.write_bytes(content)
    source = open_records(shards)
    with pytest.raises(DelfError, match=rf"{path.name} is damaged at record 0"):
        source[0]
    assert source[5].label == source.labels[5]


def test_a_shard_with_another_count_is_noticed_when_it_is_first_read(shards):
    """All zeros of the right length open as an empty ArrayRecord, without an error."""
    path = first_shard(shards)
    path.write_bytes(bytes(path.stat().st_size))
    source = open_records(shards)
    with pytest.raises(DelfError, match=rf"{path.name} (holds 0 records|is damaged)"):
        source[0]


@pytest.mark.parametrize(
    ("first", "message"), [(0, "holds 4 records"), (1, r"has label \d, the set's")]
)
def test_shards_under_each_other_s_names_are_noticed(
    pictures, tmp_path, first, message
):
    """They are of one length, and hold three and four records, or four and four."""
    folder = build(pictures, tmp_path / "out", num_shards=4, validation_split_size=0.0)
    one, other = sorted(folder.glob("train.array_record*"))[first : first + 2]
    one.rename(folder / "moved")
    other.rename(one)
    (folder / "moved").rename(other)
    source = open_records(folder)
    with pytest.raises(DelfError, match=message):
        [source[index] for index in range(15)]


def test_changed_labels_are_noticed_when_the_set_is_opened(shards):
    path = shards / "train.labels.npy"
    labels = np.load(path)
    np.save(path, labels[::-1])
    with pytest.raises(DelfError, match=r"train\.labels\.npy: its sha256 is not"):
        open_records(shards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(kind="other"), "no manifest of built shards"),
        (lambda m: m.update(version=9), "version 9, this program reads 1"),
        (lambda m: m.pop("splits"), "damaged"),
        (lambda m: m["splits"]["train"].update(records=7), "7 records, the shards"),
        (lambda m: m.update(num_classes=2), r"labels 0 to 2 are not all in 0\.\.1"),
    ],
)
def test_a_manifest_that_does_not_fit_is_an_error(shards, change, message):
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(DelfError, match=message):
        open_records(shards)


def test_a_folder_whose_building_was_cut_off_is_not_trained_on(shards):
    (shards / "manifest.json").unlink()
    (shards / ".building").mkdir()
    with pytest.raises(DelfError, match="building was cut off; finish it with"):
        open_records(shards)


def test_a_split_that_was_not_built_is_named(pictures, tmp_path):
    folder = build(pictures, tmp_path / "whole", validation_split_size=0.0)
    assert len(open_records(folder)) == 15
    with pytest.raises(DelfError, match="has no validation split, only train"):
        open_records(folder / "validation")


def test_training_reads_shards_and_validates_on_their_other_split(shards, tmp_path):
    pytest.importorskip("torch")
    command = ["train", "--train_state", "tuning", "--traindata_path", str(shards)]
    command += ["--validation_path", str(shards / "validation"), "--batch_size", "4"]
    command += ["--image_size", "64", "--max_iters", "2", "--save_ckpt", str(tmp_path)]
    command += ["--train_from", "block4", "--validation_step", "2", "--workers", "2"]
    assert main([*command, "--device", "cpu", "--progress", "false"]) == 0
    assert list(tmp_path.glob("*.safetensors"))


def test_the_bench_builds_and_reads_every_format_and_says_so(pictures, monkeypatch):
    from delf_common.bench import dataset

    monkeypatch.setattr(dataset, "PROCESSES", [1])
    monkeypatch.setattr(dataset, "formats", lambda: ["array_record"])
    result = dataset.run_dataset_bench(pictures, repeats=1)
    assert result["photographs"] == 15
    assert set(result["built_per_second"]) == {
        "plain loop",
        "plain loop, decoding",
        "array_record, check none, workers 1",
        "array_record, check decode, workers 1",
    }
    assert len(result["read_per_second"]) == 2 * 4
    assert min(result["read_per_second"].values()) > 0
    assert dataset.format_table(result).count("\n") == 4 + 8
