# SPDX-License-Identifier: Apache-2.0
"""``delf dataset inspect``: counts and pictures of a training set."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_set import write_training_set

from delf_common.cli.main import main
from delf_common.dataset.build import build_dataset
from delf_common.dataset.config import BuildConfig, BuildJob
from delf_common.dataset.drawing import BROKEN, ROW, draw_contact_sheet
from delf_common.dataset.inspecting import class_names, count_images
from delf_common.matching.drawing import GAP, TILE
from delf_common.training.open_records import open_records


@pytest.fixture
def pictures(tmp_path):
    folder = write_training_set(tmp_path / "pictures")
    for name in ("1", "2", "3", "4"):
        (folder / f"class1/{name}.jpg").unlink()
    return folder


@pytest.fixture
def shards(pictures, tmp_path):
    (pictures / "class0/4.jpg").write_bytes(b"no picture")
    output = tmp_path / "shards"
    settings = {"num_shards": 2, "validation_split_size": 0.2}
    config = BuildConfig(
        dataset_path=str(pictures), output_directory=str(output), **settings
    )
    build_dataset(config, BuildJob(workers=1))
    return output


def inspect(path: Path, *arguments: str) -> int:
    return main(["dataset", "inspect", str(path), *arguments])


def test_shards_are_counted(shards, capsys):
    assert inspect(shards, "--output_directory", "none", "--json", "--verify") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["num_classes"]) == (8, 3)
    assert found["images_per_class"] == {
        "least": 1,
        "median": 3.0,
        "mean": pytest.approx(8 / 3),
        "most": 4,
    }
    assert found["classes_with_one_image"] == 1
    assert next(iter(found["largest_classes"].items())) == ("2 (class2)", 4)
    assert found["shards"]["skipped"] == 1
    assert found["shards"]["splits"]["validation"]["records"] == 2
    assert found["verified_files"] == 2 + 2 + 2


def test_a_folder_is_counted_for_people(pictures, capsys):
    assert inspect(pictures, "--output_directory", "none") == 0
    assert capsys.readouterr().out == (
        "11 records, 3 of 3 classes have images\n"
        "images per class: 1 to 5, median 5, mean 3.67; 1 classes have one\n"
        "largest classes: 0 (class0): 5, 2 (class2): 5, 1 (class1): 1\n"
    )


def test_verify_names_every_file_that_is_damaged(shards, capsys):
    for path in shards.glob("train.array_record*"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert inspect(shards, "--output_directory", "none", "--verify") == 1
    error = capsys.readouterr().err
    assert "2 of 6 files" in error
    assert error.count("its sha256 is not the one in manifest.json") == 2


def test_both_pictures_are_drawn_and_not_replaced_unasked(shards, tmp_path, capsys):
    where = tmp_path / "drawn"
    assert inspect(shards, "--output_directory", str(where), "--records", "4") == 0
    with Image.open(where / "images_per_class.png") as picture:
        assert picture.size == (880, 440)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    with Image.open(where / "records.png") as picture:
        assert picture.size == (4 * (TILE + GAP) + GAP, ROW + GAP)
    assert inspect(shards, "--output_directory", str(where)) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert inspect(shards, "--output_directory", str(where), "--overwrite") == 0


def test_the_contact_sheet_shows_records_and_marks_broken_ones(pictures):
    (pictures / "class0/0.jpg").write_bytes(b"no picture")
    source = open_records(pictures)
    sheet = draw_contact_sheet(source, (), count=24, seed=0)
    again = draw_contact_sheet(source, (), count=24, seed=0)
    np.testing.assert_array_equal(sheet, again)
    red = (sheet == BROKEN).all(axis=2).sum()
    assert 0.9 * TILE * TILE < red <= TILE * TILE
    other = draw_contact_sheet(source, (), count=24, seed=1)
    assert sheet.shape == other.shape and (sheet != other).any()


def test_classes_have_the_names_of_their_source(pictures, shards, tmp_path):
    source = open_records(shards)
    assert class_names(source, shards) == ["class0", "class1", "class2"]
    assert list(class_names(open_records(pictures), None)) == [
        "class0",
        "class1",
        "class2",
    ]
    table = tmp_path / "set.csv"
    table.write_text(f"{pictures}/class0/1.jpg,0\n{pictures}/class0/2.jpg,1\n")
    assert not class_names(open_records(table), None)
    assert count_images(open_records(table, num_classes=4)).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--records", "0"], 2, "--records 0: must be 1 or more"),
        (["--seed=-1"], 2, "--seed -1: must be 0 or more"),
        (["--verify"], 2, "is not of built shards"),
    ],
)
def test_wrong_calls_are_told(pictures, arguments, code, message, capsys):
    assert inspect(pictures, *arguments, "--output_directory", "none") == code
    assert message in capsys.readouterr().err


def test_a_path_that_is_none_is_a_failed_run(tmp_path, capsys):
    assert inspect(tmp_path / "gone", "--output_directory", "none") == 1
    assert "there is no such training set" in capsys.readouterr().err
