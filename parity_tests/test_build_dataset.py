# SPDX-License-Identifier: Apache-2.0
"""Building shards: what goes where, what is left out, and what a kill leaves."""

import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_set import write_training_set

from delf_common.cli.main import main
from delf_common.dataset.build import build_dataset
from delf_common.dataset.checking import check_record
from delf_common.dataset.config import BuildConfig, BuildJob
from delf_common.dataset.manifest import read_manifest
from delf_common.dataset.plan import split_as_original
from delf_common.errors import DelfError, ImageError
from delf_common.io.lock import Lock
from delf_common.training.decoding import decode_record
from delf_common.training.open_records import open_records
from delf_common.training.records import Record


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_training_set(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def copied(pictures, tmp_path):
    """Pictures that a test may damage."""
    return shutil.copytree(pictures, tmp_path / "pictures")


def build(pictures: Path, output: Path, job: BuildJob | None = None, **settings):
    usual = {"num_shards": 3, "output_directory": str(output)}
    config = BuildConfig(dataset_path=str(pictures), **{**usual, **settings})
    return build_dataset(config, job or BuildJob(workers=1))


def content(folder: Path) -> dict[str, str]:
    """Sha256 of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
    }


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def records(path: Path) -> list[Record]:
    source = open_records(path)
    return [source[index] for index in range(len(source))]


def names(path: Path) -> list[str]:
    return [record.name for record in records(path)]


# --- what goes where


def test_any_number_of_workers_writes_the_same_bytes(pictures, tmp_path):
    build(pictures, tmp_path / "one")
    build(pictures, tmp_path / "three", BuildJob(workers=3))
    assert content(tmp_path / "one") == content(tmp_path / "three")
    assert len(content(tmp_path / "one")) == 3 + 3 + 2 + 4  # shards, labels, the rest


def test_the_seed_shuffles_everything_and_names_one_order(pictures, tmp_path):
    for output, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(pictures, tmp_path / output, seed=seed, validation_split_size=0.0)
    first, again, other = (names(tmp_path / output) for output in "abc")
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    assert first != sorted(first)
    labels = [record.label for record in records(tmp_path / "a")]
    assert len(set(labels[:5])) > 1  # classes are mixed


def test_shards_share_the_records_evenly_and_are_no_more_than_those(pictures, tmp_path):
    split = build(pictures, tmp_path / "a", num_shards=4).splits["train"]
    assert [shard.records for shard in split.shards] == [3, 3, 3, 3]
    split = build(pictures, tmp_path / "b", num_shards=128).splits["train"]
    assert [shard.records for shard in split.shards] == [1] * 12


def test_the_manifest_has_the_sha256_of_every_file(pictures, tmp_path):
    manifest = build(pictures, tmp_path / "out")
    sums = content(tmp_path / "out")
    entries = [
        entry
        for split in manifest.splits.values()
        for entry in (split.labels, *(f for s in split.shards for f in s.files))
    ]
    assert len(entries) == 8
    for entry in entries:
        assert entry.sha256 == sums[entry.name]
        assert entry.bytes == (tmp_path / "out" / entry.name).stat().st_size
    assert read_manifest(tmp_path / "out") == manifest
    assert manifest.source == {"records": "folder", "path": str(pictures)}
    assert manifest.arguments["validation_split_size"] == 0.2
    assert (manifest.num_classes, manifest.skipped) == (3, 0)


def test_a_csv_is_built_with_its_own_labels(pictures, tmp_path):
    table = tmp_path / "set.csv"
    table.write_text(f"{pictures}/class0/0.jpg,1\n{pictures}/class1/0.jpg,0\n")
    build(table, tmp_path / "out", validation_split_size=0.0)
    labels = {Path(r.name).parent.name: r.label for r in records(tmp_path / "out")}
    assert labels == {"class0": 1, "class1": 0}
    assert not (tmp_path / "out" / "relabeling.csv").exists()


# --- Google Landmarks v2


@pytest.fixture
def gldv2(pictures, tmp_path):
    """Two landmarks of three in the clean subset; 10 is above 9, not below."""
    ids = {"0a1f": 10, "0a1e": 10, "bc07": 9, "bc08": 9, "fff0": 777}
    for number, name in enumerate(ids):
        path = tmp_path / "gldv2/train" / name[0] / name[1] / name[2] / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / f"class{number % 3}/{number}.jpg", path)
    lines = [f"{name},,{landmark}" for name, landmark in ids.items()]
    text = "\n".join(["id,url,landmark_id", *lines, ""])
    (tmp_path / "gldv2/train.csv").write_text(text)
    clean = "landmark_id,images\n10,0a1f 0a1e\n9,bc07\n"
    (tmp_path / "gldv2/train_clean.csv").write_text(clean)
    return tmp_path / "gldv2"


def run(*arguments) -> int:
    return main(["build-dataset", "--workers", "1", *map(str, arguments)])


def test_the_clean_subset_gets_dense_labels_by_ascending_landmark(gldv2, tmp_path):
    clean = ["--train_csv_path", gldv2 / "train.csv"]
    clean += ["--train_clean_csv_path", gldv2 / "train_clean.csv"]
    clean += ["--train_directory", f"{gldv2}/train/*/*/*/"]
    clean += ["--output_directory", tmp_path / "out", "--validation_split_size", 0]
    assert run(*clean) == 0
    found = {record.name: record.label for record in records(tmp_path / "out")}
    assert found == {"bc07": 0, "0a1f": 1, "0a1e": 1}
    relabeling = rows(tmp_path / "out/relabeling.csv")
    assert relabeling == [["new_label", "old_label"], ["0", "9"], ["1", "10"]]
    original = (gldv2 / "train/b/c/0/bc07.jpg").read_bytes()
    assert next(r.image for r in records(tmp_path / "out") if r.label == 0) == original


def test_the_whole_of_gldv2_is_built_from_train_csv(gldv2, tmp_path, capsys):
    command = ["--train_csv_path", gldv2 / "train.csv", "--num_shards", 2]
    assert run(*command, "--output_directory", tmp_path / "out") == 0
    assert capsys.readouterr().out == (
        "train: 3 records of 3 classes in 2 shards\n"
        "validation: 2 records of 2 classes in 2 shards\n"
    )


def test_the_layout_of_delf_download_needs_no_train_directory(gldv2, tmp_path):
    table = (gldv2 / "train_clean.csv").rename(gldv2 / "train/train_clean.csv")
    command = ["--output_directory", tmp_path / "out", "--validation_split_size", 0]
    assert run("--train_clean_csv_path", table, *command) == 0
    assert len(names(tmp_path / "out")) == 3
    again = ["--output_directory", tmp_path / "again", "--validation_split_size", 0]
    assert run("--dataset_path", gldv2 / "train", *again) == 0
    assert names(tmp_path / "again") == names(tmp_path / "out")


def test_the_original_split_gives_a_lone_image_to_validation(gldv2, tmp_path):
    command = ["--dataset_path", gldv2, "--split_rule", "original"]
    assert run(*command, "--output_directory", tmp_path / "out") == 0
    assert len(names(tmp_path / "out")) == 1
    assert "bc07" in names(tmp_path / "out/validation")
    assert run("--dataset_path", gldv2, "--output_directory", tmp_path / "spare") == 0
    assert "bc07" in names(tmp_path / "spare")


def test_the_original_split_draws_as_its_description_says():
    labels = [1, 0, 1, 1, 0, 2, 1, 1, 1, 1, 1, 1]
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(5)))
    training, validation = [], []
    for label in (0, 1, 2):
        mine = [index for index, other in enumerate(labels) if other == label]
        rng.shuffle(mine)
        count = max(1, int(0.25 * len(mine)))
        validation += mine[:count]
        training += mine[count:]
    rng.shuffle(validation)
    rng.shuffle(training)
    found = split_as_original(labels, 0.25, 5)
    assert [part.tolist() for part in found] == [training, validation]
    assert len(validation) == 1 + 2 + 1


# --- pictures that are left out


def damage(pictures: Path) -> dict[str, str]:
    """Break five pictures; the reason of each."""
    cut = pictures / "class0/1.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    (pictures / "class1/2.jpg").write_bytes(b"")
    (pictures / "class2/3.jpg").write_bytes(b"<html>not found</html>")
    return {
        "class0/1.jpg": "truncated",
        "class1/2.jpg": "the file is empty",
        "class2/3.jpg": "not a picture",
    }


def test_broken_pictures_are_reported_and_left_out(copied, tmp_path, capsys):
    expected = damage(copied)
    command = ["--dataset_path", copied, "--output_directory", tmp_path / "out"]
    assert run(*command, "--validation_split_size", 0) == 0
    assert "3 pictures are missing or do not decode" in capsys.readouterr().err
    head, *report = rows(tmp_path / "out/skipped.csv")
    assert head == ["name", "path", "reason"]
    assert {name for name, _, _ in report} == set(expected)
    for name, path, reason in report:
        assert expected[name] in reason
        assert path == str(copied / name)
    assert len(names(tmp_path / "out")) == 12
    assert not set(names(tmp_path / "out")) & set(expected)


def test_missing_pictures_of_gldv2_are_reported_and_left_out(gldv2, tmp_path):
    (gldv2 / "train/0/a/1/0a1f.jpg").unlink()
    shutil.rmtree(gldv2 / "train/b/c/0")
    command = ["--train_clean_csv_path", gldv2 / "train_clean.csv", "--num_shards", 1]
    command += ["--output_directory", tmp_path / "out", "--validation_split_size", 0]
    assert run(*command) == 0
    report = sorted(rows(tmp_path / "out/skipped.csv")[1:])
    assert [row[0] for row in report] == ["0a1f", "bc07"]
    assert {row[2] for row in report} == {"No such file or directory"}
    assert names(tmp_path / "out") == ["0a1e"]
    manifest = read_manifest(tmp_path / "out")
    assert manifest.splits["train"].classes == 1
    assert open_records(tmp_path / "out").num_classes == manifest.num_classes == 2


def test_strict_stops_at_a_broken_picture_and_can_be_continued(
    copied, tmp_path, capsys
):
    damage(copied)
    command = ["--dataset_path", copied, "--output_directory", tmp_path / "out"]
    assert run(*command, "--strict") == 1
    assert "leave out --strict to skip" in capsys.readouterr().err
    assert not (tmp_path / "out/manifest.json").exists()
    assert run(*command, "--resume") == 0
    build(copied, tmp_path / "new", num_shards=128)
    assert content(tmp_path / "out") == content(tmp_path / "new")


def test_nothing_that_decodes_is_an_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(DelfError, match="no picture of the train split"):
        build(tmp_path / "set", tmp_path / "out", validation_split_size=0.0)


def test_without_the_check_everything_is_stored(copied, tmp_path):
    damage(copied)
    build(copied, tmp_path / "out", check="none", validation_split_size=0.0)
    assert len(names(tmp_path / "out")) == 14  # an empty file is never stored


def test_a_disk_in_trouble_stops_the_build(pictures, tmp_path, monkeypatch):
    """To leave its pictures out would be a hole that nobody sees."""

    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DelfError, match=r"Input/output error; continue with --resume"):
        build(pictures, tmp_path / "out")


def test_the_fast_check_refuses_what_decoding_refuses(pictures):
    whole = (pictures / "class1/0.jpg").read_bytes()
    rng = np.random.default_rng(0)
    cases = [whole[: len(whole) * part // 40] for part in range(41)]
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] = int(rng.integers(256))
        cases.append(bytes(damaged))

    def refuses(function, data):
        try:
            function(Record(data, 0, "x"))
        except ImageError:
            return True
        return False

    verdicts = [refuses(check_record, data) for data in cases]
    assert verdicts == [refuses(decode_record, data) for data in cases]
    assert {True, False} == set(verdicts)


# --- kills, and what is there already

KILLED = """
import os, signal, sys
from delf_common.dataset import pictures
from delf_common.dataset.build import build_dataset
from delf_common.dataset.config import BuildConfig, BuildJob
seen = 0
def check(record):
    global seen
    seen += 1
    if seen == 8:
        os.kill(os.getpid(), signal.SIGKILL)
pictures.check_record = check
config = BuildConfig(dataset_path=sys.argv[1], output_directory=sys.argv[2],
                     num_shards=5)
build_dataset(config, BuildJob(workers=1))
"""


def python(program: str, *arguments: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_build_resumes_with_the_shards_that_were_done(pictures, tmp_path):
    out = tmp_path / "out"
    assert python(KILLED, pictures, out).returncode == -9
    done = {path: path.stat().st_mtime_ns for path in out.glob("train.*")}
    assert len(done) == 3  # of 2, 2 and 3 pictures; the eighth was in the fourth
    assert list((out / ".building").glob("*.writing"))
    with pytest.raises(DelfError, match="holds a build cut off; continue it with"):
        build(pictures, out, num_shards=5)
    build(pictures, out, BuildJob(workers=1, resume=True), num_shards=5)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    build(pictures, tmp_path / "new", num_shards=5)
    assert content(out) == content(tmp_path / "new")


def test_shards_half_replaced_have_no_manifest(pictures, tmp_path):
    out = tmp_path / "out"
    build(pictures, out, seed=1, num_shards=5)
    overwriting = KILLED.replace("workers=1", "workers=1, overwrite=True")
    assert python(overwriting, pictures, out).returncode == -9
    with pytest.raises(DelfError, match="building was cut off"):
        open_records(out)
    build(pictures, out, BuildJob(workers=1, resume=True), num_shards=5)
    build(pictures, tmp_path / "new", num_shards=5)
    assert content(out) == content(tmp_path / "new")


WORKER_KILLED = """
import os, signal, sys
from delf_common.cli.main import main
from delf_common.dataset import pictures
def check(record):  # workers import this file too, and so have it
    if record.name == "class2/0.jpg":
        os.kill(os.getpid(), signal.SIGKILL)
pictures.check_record = check
if __name__ == "__main__":
    sys.exit(main(["build-dataset", *sys.argv[1:]]))
"""


def test_a_killed_worker_ends_the_build_which_can_be_resumed(pictures, tmp_path):
    program, out = tmp_path / "program.py", tmp_path / "out"
    program.write_text(WORKER_KILLED)
    command = ["--dataset_path", str(pictures), "--output_directory", str(out)]
    done = subprocess.run(
        [sys.executable, str(program), *command, "--workers", "2", "--num_shards", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a worker process died" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "manifest.json").exists()
    build(pictures, out, BuildJob(workers=1, resume=True))
    build(pictures, tmp_path / "new")
    assert content(out) == content(tmp_path / "new")


ORPHANED = """
import os, signal, sys, time
from pathlib import Path
from delf_common.dataset.workers import run_in_order
def kill_parent(path):
    Path(path).write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
if __name__ == "__main__":
    list(run_in_order(kill_parent, [sys.argv[1]], 2))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(ORPHANED)
    note = tmp_path / "pid"
    done = subprocess.run([sys.executable, str(program), str(note)], check=False)
    assert done.returncode == -9
    status = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(600):
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the worker still runs after a minute")


def test_a_full_disk_ends_in_a_line_and_the_rest_can_be_resumed(pictures, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, -1))\n"
    program = "import sys; from delf_common.cli.main import main; "
    program += "sys.exit(main(sys.argv[1:]))"
    out = tmp_path / "out"
    command = ["build-dataset", "--dataset_path", pictures, "--output_directory", out]
    done = python(limit + program, *command, "--workers", "1", "--num_shards", "3")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "continue with --resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((out / ".building").glob("*.writing"))
    build(pictures, out, BuildJob(workers=1, resume=True))
    assert len(names(out)) == 12


def test_a_shard_that_was_removed_or_cut_off_is_built_again(pictures, tmp_path):
    out = tmp_path / "out"
    assert python(KILLED, pictures, out).returncode == -9
    first, second, _ = sorted(out.glob("train.array_record*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    build(pictures, out, BuildJob(workers=1, resume=True), num_shards=5)
    build(pictures, tmp_path / "new", num_shards=5)
    assert content(out) == content(tmp_path / "new")


@pytest.mark.parametrize("finished", [True, False])
def test_a_build_is_not_resumed_with_other_settings(copied, tmp_path, finished):
    out = tmp_path / "out"
    if finished:
        build(copied, out, num_shards=5)
    else:
        assert python(KILLED, copied, out).returncode == -9
    again = BuildJob(workers=1, resume=True)
    with pytest.raises(DelfError, match=r"other settings: seed was 0, is 1\. Resume"):
        build(copied, out, again, num_shards=5, seed=1)
    shutil.copy(copied / "class0/0.jpg", copied / "class0/9.jpg")
    with pytest.raises(DelfError, match="labels are not those it was begun with"):
        build(copied, out, again, num_shards=5)


def test_resuming_a_finished_build_does_nothing(pictures, tmp_path):
    manifest = build(pictures, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.*")}
    assert build(pictures, tmp_path / "out", BuildJob(resume=True)) == manifest
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_finished_build_is_replaced_only_on_demand(pictures, tmp_path):
    out = tmp_path / "out"
    build(pictures, out, num_shards=5)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DelfError, match="holds built shards; continue it with"):
        build(pictures, out)
    build(pictures, out, BuildJob(workers=1, overwrite=True))
    build(pictures, tmp_path / "new")
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    assert content(out) == content(tmp_path / "new")


def test_two_builds_in_one_folder_are_told(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    lock = Lock(tmp_path / "out/.building.lock", "delf build-dataset")
    try:
        with pytest.raises(DelfError, match="another delf build-dataset works in"):
            build(pictures, tmp_path / "out")
    finally:
        lock.close()


# --- wrong calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output_directory is missing"),
        (["--output_directory", "o"], "--dataset_path is missing"),
        (
            ["--output_directory", "o", "--dataset_path", "x", "--train_csv_path", "y"],
            "exclude each other",
        ),
        (["--num_shards", "0"], "--num_shards 0: choose 1 to 1000"),
        (["--validation_split_size", "1"], "must be 0 or more, below 1"),
        (["--seed=-1"], "--seed -1: must be 0 or more"),
        (["--workers", "0"], "--workers 0: must be 1 or more"),
        (["--resume", "--overwrite"], "choose one"),
    ],
)
def test_a_wrong_call_exits_with_2_and_says_what_is_allowed(arguments, message, capsys):
    given = [] if arguments[:1] in ([], ["--output_directory"]) else ["--dataset_path"]
    given += ["x", "--output_directory", "o"] if given else []
    assert main(["build-dataset", *given, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_output_among_the_pictures_is_refused(copied, capsys):
    assert run("--dataset_path", copied, "--output_directory", copied / "out") == 2
    assert "would be one more class" in capsys.readouterr().err
    assert not (copied / "out").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone", "there is no such training set"),
        (lambda folder: folder / "readme.txt", "neither a folder nor a .csv"),
        (lambda folder: folder / "built", "holds built shards already"),
    ],
)
def test_a_source_that_is_none_is_named(tmp_path, make, message):
    (tmp_path / "readme.txt").touch()
    (tmp_path / "built").mkdir()
    (tmp_path / "built/manifest.json").write_text(json.dumps({}))
    with pytest.raises(DelfError, match=message):
        build(make(tmp_path), tmp_path / "out")


# --- MindRecord


def test_mindrecord_is_what_minddataset_reads(copied, tmp_path):
    dataset = pytest.importorskip("mindspore.dataset")
    damage(copied)
    out = tmp_path / "out"
    build(copied, out, format="mindrecord")
    expected = {record.name: record for record in records(out)}
    assert len(expected) == 9
    for record in expected.values():
        assert record.image == (copied / record.name).read_bytes()
    columns = ["file_id", "label", "data"]
    shard = str(out / "train.mindrecord000")  # one name stands for all shards
    reader = dataset.MindDataset(shard, columns_list=columns, shuffle=False)
    read = {}
    for row in reader.create_dict_iterator(num_epochs=1, output_numpy=True):
        name = str(row["file_id"])
        read[name] = Record(row["data"].tobytes(), int(row["label"]), name)
    assert read == expected
    assert open_records(shard).labels == open_records(out).labels
    files = sorted(path.name for path in out.glob("validation.mindrecord*"))
    assert files[:2] == ["validation.mindrecord000", "validation.mindrecord000.db"]


def test_mindrecord_is_the_same_bytes_for_any_number_of_workers(pictures, tmp_path):
    pytest.importorskip("mindspore")
    for workers in (1, 2):
        job = BuildJob(workers=workers)
        build(pictures, tmp_path / str(workers), job, format="mindrecord", num_shards=2)
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_damaged_mindrecords_are_named(pictures, tmp_path):
    pytest.importorskip("mindspore")
    out = tmp_path / "out"
    build(pictures, out, format="mindrecord", num_shards=2)
    shard = out / "train.mindrecord000"
    whole = shard.read_bytes()
    begin = whole.index(b"\xff\xd8\xff") - 8
    shard.write_bytes(whole[:begin] + bytes(8) + whole[begin + 8 :])
    with pytest.raises(DelfError, match="mindrecord000 is damaged at record 0"):
        records(out)
    index = out / "train.mindrecord000.db"
    index.write_bytes(bytes(index.stat().st_size))
    with pytest.raises(DelfError, match=r"mindrecord000 or its \.db is damaged"):
        records(out)
    index.unlink()
    with pytest.raises(DelfError, match=r"mindrecord000\.db is missing"):
        records(out)


def test_mindrecord_without_mindspore_says_what_to_install(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "mindspore.mindrecord", None)
    with pytest.raises(DelfError, match=r"needs MindSpore.*delf-retrieval\[ms\]"):
        build(pictures, tmp_path / "out", format="mindrecord")


def test_nothing_of_a_build_needs_the_folder_to_be_named_as_before(pictures, tmp_path):
    build(pictures, tmp_path / "out")
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    assert len(names(moved)) == 12
    assert os.fspath(tmp_path / "out") not in (moved / "manifest.json").read_text()
