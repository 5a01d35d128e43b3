# SPDX-License-Identifier: Apache-2.0
"""Training sets: what is opened as what, dense labels, the split, and every error."""

import pytest

from delf_common.errors import DelfError
from delf_common.training.csv_source import open_csv
from delf_common.training.folder_source import open_folder
from delf_common.training.gldv2_source import open_gldv2
from delf_common.training.open_records import open_records
from delf_common.training.split import split_records


def put(root, *names):
    """Files that hold their own name; no source looks inside a picture."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def table(root, text, name="set.csv"):
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


# --- folder of folders


def test_a_folder_of_folders_gives_dense_labels_by_sorted_name(tmp_path):
    put(tmp_path, "tower/b.jpg", "arch/z.png", "tower/a.JPG", "arch/.hidden.jpg")
    put(tmp_path, "arch/notes.txt")
    source = open_records(tmp_path)
    assert [r.name for r in source] == ["arch/z.png", "tower/a.JPG", "tower/b.jpg"]
    assert list(source.labels) == [0, 1, 1]
    assert source.num_classes == 2
    assert source[1] == (b"tower/a.JPG", 1, "tower/a.JPG")
    assert source.provenance["records"] == "folder"


def test_pictures_deeper_in_a_class_folder_belong_to_it(tmp_path):
    put(tmp_path, "a/x/1.jpg", "b/1.jpg")
    assert list(open_folder(tmp_path).labels) == [0, 1]


def test_an_empty_class_folder_is_named(tmp_path):
    put(tmp_path, "a/1.jpg", "b/readme.txt")
    with pytest.raises(DelfError, match=r"b: the class folder has no pictures"):
        open_records(tmp_path)


def test_a_picture_outside_the_class_folders_is_named(tmp_path):
    put(tmp_path, "a/1.jpg", "loose.jpg")
    with pytest.raises(DelfError, match=r"loose\.jpg lies in no class folder"):
        open_records(tmp_path)


def test_a_folder_without_class_folders_says_what_a_set_is(tmp_path):
    put(tmp_path, "1.jpg")
    with pytest.raises(DelfError, match="has no class folders"):
        open_records(tmp_path)


def test_more_class_folders_than_classes_names_the_record_and_the_limit(tmp_path):
    put(tmp_path, "a/1.jpg", "b/1.jpg", "c/1.jpg")
    with pytest.raises(DelfError, match=r"c/1\.jpg: label 2 is outside 0\.\.1"):
        open_records(tmp_path, num_classes=2)


# --- csv


@pytest.mark.parametrize("header", ["", "path,label\n"])
def test_a_csv_reads_the_same_with_and_without_a_header(tmp_path, header):
    put(tmp_path, "p/1.jpg", "p/2.jpg")
    source = open_records(table(tmp_path, header + "p/2.jpg,1\np/1.jpg,0\n\n"))
    assert [r.name for r in source] == ["p/2.jpg", "p/1.jpg"]
    assert list(source.labels) == [1, 0]
    assert source[0].image == b"p/2.jpg"


def test_columns_of_a_csv_are_found_by_their_names(tmp_path):
    put(tmp_path, "1.jpg")
    source = open_csv(table(tmp_path, "Label,author,Path\n0,me,1.jpg\n"))
    assert source[0] == (b"1.jpg", 0, "1.jpg")


def test_a_csv_may_hold_absolute_paths_commas_and_a_byte_order_mark(tmp_path):
    put(tmp_path, "far/a,b.jpg")
    folder = tmp_path / "near"
    folder.mkdir()
    text = f'\ufeffpath,label\n"{tmp_path / "far" / "a,b.jpg"}",0\n'
    assert open_csv(table(folder, text))[0].image == b"far/a,b.jpg"


def test_labels_that_are_names_are_numbered_in_sorted_order(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    source = open_csv(table(tmp_path, "1.jpg,tower\n2.jpg,1984\n3.jpg,arch\n"))
    assert list(source.labels) == [2, 0, 1]
    assert source.class_names == ("1984", "arch", "tower")
    assert source.provenance["labels"] == "names"


@pytest.mark.parametrize("label", [-1, 3, 4])
def test_a_label_outside_the_classes_names_file_line_label_and_limit(tmp_path, label):
    put(tmp_path, "1.jpg", "2.jpg")
    path = table(tmp_path, f"path,label\n1.jpg,0\n2.jpg,{label}\n")
    message = rf"set\.csv line 3 \(2\.jpg\): label {label} is outside 0\.\.2"
    with pytest.raises(DelfError, match=message):
        open_records(path, num_classes=3)


def test_the_last_class_is_inside_the_classes(tmp_path):
    put(tmp_path, "1.jpg")
    assert list(open_csv(table(tmp_path, "1.jpg,2\n"), 3).labels) == [2]


def test_a_negative_label_is_an_error_without_a_class_count_too(tmp_path):
    put(tmp_path, "1.jpg")
    with pytest.raises(DelfError, match=r"line 1 .*label -1"):
        open_csv(table(tmp_path, "1.jpg,-1\n"))


def test_a_class_without_images_is_named_unless_the_classes_are_given(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    path = table(tmp_path, "1.jpg,0\n2.jpg,3\n")
    with pytest.raises(DelfError, match=r"class 1 has no image \(2 of the 4 classes"):
        open_csv(path)
    assert open_csv(path, 5).num_classes == 5


def test_missing_pictures_are_counted_and_the_first_is_named(tmp_path):
    put(tmp_path, "1.jpg")
    path = table(tmp_path, "1.jpg,0\ngone/2.jpg,0\n3.jpg,0\n")
    with pytest.raises(DelfError, match=r"2 of 3 pictures are missing.*line 2 \(gone"):
        open_csv(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("path,label\n", "no rows"),
        ("1.jpg\n", r"line 1: 1 cells, needs 2"),
        ("1.jpg,0\n\n1.jpg,\n", r"line 3: cell 2 is blank"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(tmp_path, text, message):
    put(tmp_path, "1.jpg")
    with pytest.raises(DelfError, match=message):
        open_records(table(tmp_path, text))


def test_a_csv_that_is_not_utf8_is_an_error(tmp_path):
    (tmp_path / "set.csv").write_bytes(b"caf\xe9.jpg,0\n")
    with pytest.raises(DelfError, match="not UTF-8"):
        open_records(tmp_path / "set.csv")


def test_a_file_that_vanishes_after_opening_stops_with_its_name(tmp_path):
    put(tmp_path, "1.jpg")
    source = open_csv(table(tmp_path, "1.jpg,0\n"))
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(DelfError, match=r"1\.jpg: No such file"):
        source[0]


# --- GLDv2

IDS = ("00aa000000000000", "01b0000000000000", "fe70000000000000")


def gldv2(root, images="train"):
    put(root / images, *(f"{i[0]}/{i[1]}/{i[2]}/{i}.jpg" for i in IDS))
    rows = zip(IDS, ("", "http://u", "u"), (900, 7, 900), strict=True)
    text = "".join(f"{i},{url},{mark}\n" for i, url, mark in rows)
    table(root, "id,url,landmark_id\n" + text, "train.csv")


@pytest.mark.parametrize("images", ["train", "."])
def test_gldv2_labels_are_dense_by_ascending_landmark(tmp_path, images):
    gldv2(tmp_path, images)
    source = open_records(tmp_path)
    assert [r.name for r in source] == list(IDS)
    assert list(source.labels) == [1, 0, 1]  # 7 before 900: by number, not by text
    assert source[0].image == b"0/0/a/00aa000000000000.jpg"
    assert source.class_names == ["7", "900"]
    assert source.provenance["csv"] == "train.csv"


def test_the_clean_list_of_gldv2_goes_before_the_whole(tmp_path):
    gldv2(tmp_path)
    text = f"landmark_id,images\n900,{IDS[2]}\n7,{IDS[1]}\n"
    table(tmp_path, text, "train_clean.csv")
    assert [r.name for r in open_records(tmp_path)] == [IDS[2], IDS[1]]
    assert len(open_records(tmp_path / "train.csv")) == 3
    assert len(open_records(tmp_path / "train_clean.csv")) == 2


def test_a_row_of_the_clean_list_has_many_images(tmp_path):
    gldv2(tmp_path)
    rows = f"landmark_id,images\n5,{IDS[2]} {IDS[0]}\n4,{IDS[1]}\n"
    table(tmp_path, rows, "train_clean.csv")
    assert list(open_gldv2(tmp_path).labels) == [1, 1, 0]


def test_a_missing_gldv2_image_is_named_with_its_line(tmp_path):
    gldv2(tmp_path)
    (tmp_path / "train/0/1/b/01b0000000000000.jpg").unlink()
    with pytest.raises(DelfError, match=r"1 of 3 .*train\.csv line 3 \(image 01b0"):
        open_records(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{IDS[0]},u,x", r"line 2: landmark_id 'x' is no number"),
        ("../../etc,u,1", r"line 2: image id '\.\./\.\./etc'"),
        (f"{IDS[0]},u,1\n{IDS[0]},u,2", r"line 3: image 00aa0+ is listed twice"),
        ("", "no rows below the header"),
    ],
)
def test_a_damaged_gldv2_row_is_named(tmp_path, row, message):
    gldv2(tmp_path)
    table(tmp_path, f"id,url,landmark_id\n{row}\n", "train.csv")
    with pytest.raises(DelfError, match=message):
        open_records(tmp_path)


def test_a_gldv2_csv_without_its_columns_says_which(tmp_path):
    table(tmp_path, "id,url\n", "train.csv")
    with pytest.raises(DelfError, match="no column 'landmark_id'"):
        open_records(tmp_path)


def test_gldv2_labels_past_the_classes_are_an_error(tmp_path):
    gldv2(tmp_path)
    with pytest.raises(DelfError, match=r"line 2 .*landmark 900\): label 1 is outside"):
        open_records(tmp_path, num_classes=1)


# --- what a path is


def write_mindrecords(folder, labels, shards=3):
    """Write shards as the originals' builder does, all by one writer."""
    writer_of = pytest.importorskip("mindspore.mindrecord").FileWriter
    first = folder / "train.mindrecord"
    folder.mkdir(exist_ok=True)
    writer = writer_of(str(first), shards)
    schema = {"file_id": "string", "label": "int64", "data": "bytes"}
    writer.add_schema({k: {"type": v} for k, v in schema.items()}, "GLDv2")
    writer.add_index(["file_id", "label"])
    rows = [
        {"file_id": f"id{i}", "label": label, "data": bytes([i]) * (100 + i)}
        for i, label in enumerate(labels)
    ]
    writer.write_raw_data(rows[:4])
    writer.write_raw_data(rows[4:])
    writer.commit()
    return folder / "train.mindrecord0", rows


def test_mindrecords_of_the_originals_builder_are_read_from_their_first_shard(tmp_path):
    shard, rows = write_mindrecords(tmp_path / "set", [0, 1, 2, 0, 1, 2, 2])
    for path in (shard, tmp_path / "set"):
        source = open_records(path)
        assert (len(source), source.num_classes) == (7, 3)
        found = {r.name: r for r in (source[i] for i in range(7))}
        for row in rows:
            record = found[row["file_id"]]
            assert (record.image, record.label) == (row["data"], row["label"])
        assert list(source.labels) == [source[i].label for i in range(7)]
        with pytest.raises(IndexError):
            source[7]


def test_mindrecords_count_their_classes_by_relabeling_or_by_the_classifier(tmp_path):
    shard, _ = write_mindrecords(tmp_path, [0, 3, 3, 0, 0])
    with pytest.raises(DelfError, match="class 1 has no image"):
        open_records(shard)
    assert open_records(shard, num_classes=9).num_classes == 9
    with pytest.raises(DelfError, match=r"mindrecord\d record \d: label 3 is outside"):
        open_records(shard, num_classes=3)
    (tmp_path / "relabeling.csv").write_text(
        "new_label,old_label\n0,7\n1,8\n2,9\n3,10\n"
    )
    assert open_records(shard).num_classes == 4
    (tmp_path / "train.mindrecord1").unlink()
    with pytest.raises(DelfError, match=r"train\.mindrecord1"):
        open_records(shard)


def test_what_is_no_mindrecord_is_named(tmp_path):
    put(tmp_path, "train.mindrecord000", "train.mindrecord000.db")
    for path in (tmp_path, tmp_path / "train.mindrecord000"):
        with pytest.raises(DelfError, match=r"train\.mindrecord000 is no MindRecord"):
            open_records(path)


def test_a_path_that_is_no_training_set_says_what_is(tmp_path):
    put(tmp_path, "set.txt")
    with pytest.raises(DelfError, match=r"set\.txt is no training set"):
        open_records(tmp_path / "set.txt")
    with pytest.raises(DelfError, match="there is no such training set"):
        open_records(tmp_path / "gone")


def test_a_csv_with_gldv2_columns_under_another_name_is_an_error(tmp_path):
    with pytest.raises(DelfError, match="rename it"):
        open_records(table(tmp_path, "id,url,landmark_id\n", "mine.csv"))


# --- split


def labelled(tmp_path, counts):
    names = [f"{label}-{i}.jpg" for label, n in enumerate(counts) for i in range(n)]
    put(tmp_path, *names)
    return open_csv(table(tmp_path, "".join(f"{n},{n[0]}\n" for n in names)))


def test_a_split_takes_its_part_of_every_class(tmp_path):
    source = labelled(tmp_path, (10, 1, 2, 3, 25))
    training, validation = split_records(source, 0.2, seed=3)
    count = [list(validation.labels).count(label) for label in range(5)]
    assert count == [2, 0, 1, 1, 5]
    together = sorted([*training.indices, *validation.indices])
    assert together == list(range(41))
    assert [source[i] for i in validation.indices] == list(validation)
    assert (training.num_classes, validation.num_classes) == (5, 5)
    assert "seed 3" in validation.provenance["split"]


def test_a_split_is_the_same_for_the_same_seed_only(tmp_path):
    source = labelled(tmp_path, (30,))
    parts = [split_records(source, 0.5, seed)[1].indices for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] == [1, 2, 3, 6, 8, 11, 13, 15, 17, 18, 19, 20, 21, 24, 25]


def test_a_class_keeps_an_image_for_training_whatever_the_fraction(tmp_path):
    training, _ = split_records(labelled(tmp_path, (1, 2, 9)), 0.99)
    assert set(training.labels) == {0, 1, 2}


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_validation_fraction_out_of_range_is_an_error(tmp_path, fraction):
    with pytest.raises(DelfError, match="above 0 and below 1"):
        split_records(labelled(tmp_path, (2,)), fraction)


def test_a_set_of_single_images_cannot_be_split(tmp_path):
    with pytest.raises(DelfError, match="no class has two images"):
        split_records(labelled(tmp_path, (1, 1)))
