# SPDX-License-Identifier: Apache-2.0
"""Downloads from a server on loopback that fails in every way that servers fail."""

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from download_layout import GOOGLE, jpeg_name, tar_of, tgz_of
from failing_server import serving, wait_until

from delf_common.cli.main import main
from delf_common.data.record import NAME as RECORD

TAR = f"{GOOGLE}/train/images_000.tar"
MD5 = f"{GOOGLE}/md5sum/train/md5.images_000.txt"
VGG = "/www.robots.ox.ac.uk/~vgg/data"
PARIS = f"{VGG}/parisbuildings"
DELF = "/storage.googleapis.com/delf"
QUICK = ["--tries", "3", "--first_wait", "0", "--timeout", "0.4", "--jobs", "2"]
ONE = ["gldv2", "--only", "train/images_000.tar"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def images():
    """Images of one archive, by name."""
    return {jpeg_name(i): os.urandom(3000 + i) for i in range(20)}


@pytest.fixture
def gldv2(server, images):
    """A server with one archive of train, and its md5."""
    server.files[TAR] = tar_of(images)
    publish_md5(server)
    return server


def publish_md5(server, path=TAR, md5=MD5):
    digest = hashlib.md5(server.files[path]).hexdigest()
    server.files[md5] = f"{digest}  images_000.tar\n".encode()


def download(server, folder, *arguments):
    return main(
        [
            "download",
            *QUICK,
            *arguments,
            "--output_directory",
            str(folder),
            "--mirror",
            server.address,
        ]
    )


def tar_in(folder):
    return (folder / "train/images_000.tar").read_bytes()


def nothing_is_left_over(folder):
    hidden = [p.name for p in folder.rglob(".*") if p.name != ".delf_download.lock"]
    return hidden == []


def test_a_file_arrives_whole_and_is_never_fetched_again(gldv2, tmp_path):
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]
    assert nothing_is_left_over(tmp_path)
    before = len(gldv2.requests)
    assert download(gldv2, tmp_path, *ONE) == 0
    assert len(gldv2.requests) == before


def test_all_parts_of_a_range_and_the_four_tables_arrive(server, tmp_path):
    for number in range(3):
        path = f"{GOOGLE}/train/images_{number:03d}.tar"
        server.files[path] = tar_of({jpeg_name(number): b"x" * number})
        publish_md5(server, path, f"{GOOGLE}/md5sum/train/md5.images_{number:03d}.txt")
    for name, header in {
        "train.csv": "id,url,landmark_id",
        "train_clean.csv": "landmark_id,images",
        "train_attribution.csv": "id,url,author,license,title",
        "train_label_to_category.csv": "landmark_id,category",
    }.items():
        server.files[f"{GOOGLE}/metadata/{name}"] = f"{header}\n1,2\n".encode()
    wanted = ["gldv2", "--first", "0", "--last", "2", "--extract", "--remove_archives"]
    assert download(server, tmp_path, *wanted) == 0
    assert sorted(p.name for p in (tmp_path / "train").glob("*.csv")) == [
        "train.csv",
        "train_attribution.csv",
        "train_clean.csv",
        "train_label_to_category.csv",
    ]
    assert len(list(tmp_path.glob("train/*/*/*/*.jpg"))) == 3
    assert not list(tmp_path.glob("train/*.tar"))
    before = len(server.requests)
    assert download(server, tmp_path, *wanted) == 0
    assert download(server, tmp_path, *wanted[:-2]) == 0
    assert len(server.requests) == before


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_lasting_refusal_is_asked_once_and_named_with_its_command(
    gldv2, tmp_path, capsys, status
):
    gldv2.script[TAR] = [{"status": status}]
    assert download(gldv2, tmp_path, *ONE) == 1
    assert len(gldv2.asked(TAR)) == 1
    message = capsys.readouterr().err
    assert str(status) in message
    command = next(line for line in message.splitlines() if line.startswith("    delf"))
    assert main(command.split()[1:]) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_one_failure_does_not_keep_the_others_from_arriving(gldv2, tmp_path, capsys):
    other = "/storage.googleapis.com/delf/delf_gld_20190411.tar.gz"
    gldv2.files[other] = tgz_of({"model/saved_model.pb": b"x"})
    wanted = "delf_v1_20171026.tar.gz,delf_gld_20190411.tar.gz"
    assert download(gldv2, tmp_path, "pretrained", "--only", wanted) == 1
    assert (tmp_path / "delf_gld_20190411/model/saved_model.pb").read_bytes() == b"x"
    message = capsys.readouterr().err
    assert "1 of 2 files failed" in message
    assert "--only delf_v1_20171026.tar.gz" in message


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 502},
        {"status": 429},
        {"status": 503, "headers": {"Retry-After": "0"}},
    ],
)
def test_a_passing_refusal_is_tried_again(gldv2, tmp_path, failure):
    gldv2.script[TAR] = [dict(failure), dict(failure)]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert len(gldv2.asked(TAR)) == 3


def test_patience_ends_when_no_byte_comes(gldv2, tmp_path, capsys):
    gldv2.script[TAR] = [{"status": 500}] * 9
    assert download(gldv2, tmp_path, *ONE) == 1
    assert len(gldv2.asked(TAR)) == 3
    assert "tried 3 times" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["cut", "stall"])
def test_a_cut_or_a_stall_loses_no_byte(gldv2, tmp_path, how):
    size = len(gldv2.files[TAR])
    # Seven failures are more than three tries: each brings bytes, so each counts anew.
    gldv2.script[TAR] = [{how: 8000} for _ in range(2 if how == "stall" else 7)]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]
    assert sum(sent for _, sent in gldv2.asked(TAR)) == size


def test_a_second_run_goes_on_where_the_first_gave_up(gldv2, tmp_path):
    gldv2.script[TAR] = [{"cut": 10_000}, *[{"status": 500}] * 3]
    assert download(gldv2, tmp_path, *ONE) == 1
    assert download(gldv2, tmp_path, *ONE) == 0
    assert gldv2.asked(TAR)[-1][0] == "bytes=10000-"
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_a_length_larger_than_the_body_counts_as_cut(gldv2, tmp_path):
    gldv2.script[TAR] = [{"extra_length": 100}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_a_server_that_ignores_ranges_starts_the_file_anew(gldv2, tmp_path):
    gldv2.script[TAR] = [{"cut": 10_000}, {"ignore_range": True}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]


@pytest.mark.parametrize("blind", [False, True])
def test_bytes_of_a_changed_file_are_not_joined(server, tmp_path, blind):
    # blind: the server answers 206 in spite of If-Range; the ETag tells.
    path = f"{GOOGLE}/metadata/train.csv"  # no checksum; both of one length
    old = b"id,url,landmark_id\n" + b"old,of,1\n" * 3000
    new = b"id,url,landmark_id\n" + b"new,at,2\n" * 3000

    def change():
        server.files[path] = new

    server.files[path] = old
    server.script[path] = [{"cut": 10_000}, {"before": change, "blind": blind}]
    assert download(server, tmp_path, "gldv2", "--only", "train.csv") == 0
    assert (tmp_path / "train/train.csv").read_bytes() == new
    # If-Range makes an honest server send the new file at once.
    assert len(server.asked(path)) == (3 if blind else 2)


def test_without_etag_date_or_checksum_a_rest_is_not_joined(server, tmp_path):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    server.files[path] = tgz_of({"model/a": os.urandom(30_000)})
    server.etags[path] = ""
    server.script[path] = [{"cut": 10_000}]
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz"]
    assert download(server, tmp_path, *wanted) == 0
    assert [asked for asked, _ in server.asked(path)] == ["", ""]
    assert (tmp_path / "delf_gld_20190411.tar.gz").read_bytes() == server.files[path]


def test_a_range_past_the_end_starts_the_file_anew(gldv2, tmp_path):
    def shrink():
        gldv2.files[TAR] = tar_of({jpeg_name(1): b"short"})
        publish_md5(gldv2)

    gldv2.script[TAR] = [
        {"cut": 30_000},
        {"before": shrink, "status": 416, "headers": {"Content-Range": "bytes */1"}},
    ]
    gldv2.script[MD5] = [{"before": shrink}]
    big = tar_of({jpeg_name(2): os.urandom(60_000)})
    gldv2.files[TAR] = big
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]


@pytest.mark.parametrize(
    "where", ["bytes 9000-{end}/{size}", "bytes 10000-{end}/1{size}", "10000", ""]
)
def test_a_range_other_than_was_asked_is_not_joined(gldv2, tmp_path, where):
    size = len(gldv2.files[TAR])
    where = where.format(end=size - 1, size=size)
    gldv2.script[TAR] = [{"cut": 10_000}, {"range": where}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]
    assert [asked for asked, _ in gldv2.asked(TAR)] == ["", "bytes=10000-", ""]


def test_a_redirect_is_followed_and_resumed(gldv2, tmp_path):
    there = "/elsewhere/file.tar"
    gldv2.files[there] = gldv2.files[TAR]
    gldv2.script[TAR] = [{"redirect": gldv2.address + there}] * 2
    gldv2.script[there] = [{"cut": 10_000}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert [asked for asked, _ in gldv2.asked(there)] == ["", "bytes=10000-"]
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_a_redirect_away_from_https_is_refused():
    from delf_common.data.failures import refuse_downgrade
    from delf_common.errors import DelfError

    refuse_downgrade("https://a/b", "https://c/d")
    with pytest.raises(DelfError, match="not https"):
        refuse_downgrade("https://a/b", "http://a/b")


def test_redirects_in_a_circle_end(gldv2, tmp_path, capsys):
    gldv2.script[TAR] = [{"redirect": gldv2.address + TAR}] * 99
    assert download(gldv2, tmp_path, *ONE) == 1
    assert "redirects" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dataset", "name", "path"),
    [
        ("gldv2", "train/images_000.tar", TAR),
        ("gldv2", "train.csv", f"{GOOGLE}/metadata/train.csv"),
        ("oxford5k", "gt_files_170407.tgz", f"{VGG}/oxbuildings/gt_files_170407.tgz"),
        (
            "revisited",
            "gnd_roxford5k.pkl",
            "/cmp.felk.cvut.cz/revisitop/data/datasets/roxford5k/gnd_roxford5k.pkl",
        ),
    ],
)
def test_a_web_page_in_place_of_a_file_is_refused_and_not_kept(
    gldv2, tmp_path, capsys, dataset, name, path
):
    page = b"<!doctype html><title>Log in</title>" + b" " * 1000
    gldv2.script[path] = [{"body": page}]
    assert download(gldv2, tmp_path, dataset, "--only", name) == 1
    assert "a web page" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size]


def test_a_wrong_md5_is_fetched_once_more_and_then_refused(gldv2, tmp_path, capsys):
    gldv2.files[MD5] = b"0" * 32 + b"  images_000.tar\n"
    assert download(gldv2, tmp_path, *ONE) == 1
    assert len(gldv2.asked(TAR)) == 2
    assert "md5:" + "0" * 32 in capsys.readouterr().err
    assert not (tmp_path / "train/images_000.tar").exists()


def test_a_file_that_was_damaged_on_the_way_is_fetched_again(gldv2, tmp_path):
    right = gldv2.files[TAR]
    damaged = bytearray(right)
    damaged[9000] ^= 1

    def repair():
        gldv2.files[TAR] = right

    gldv2.files[TAR] = bytes(damaged)
    gldv2.script[TAR] = [{}, {"before": repair}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == right


@pytest.mark.parametrize(
    "content", [None, b"", b"<html>", b"d41d8cd98f00b204e9800998ecf8427", b"\xff\xfe"]
)
def test_a_missing_or_malformed_md5_fails_before_the_archive_is_fetched(
    gldv2, tmp_path, capsys, content
):
    if content is None:
        del gldv2.files[MD5]
    else:
        gldv2.files[MD5] = content
    assert download(gldv2, tmp_path, *ONE) == 1
    assert gldv2.asked(TAR) == []
    assert "--allow_unverified" in capsys.readouterr().err
    assert download(gldv2, tmp_path, *ONE, "--allow_unverified") == 0
    entry = json.loads((tmp_path / RECORD).read_text())["files"]["train/images_000.tar"]
    digest = hashlib.sha256(gldv2.files[TAR]).hexdigest()
    assert entry["checksum"] == f"sha256:{digest}"
    assert entry["published"] is False


def test_an_unknown_checksum_is_recorded_and_checked_the_next_time(
    server, tmp_path, capsys
):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    server.files[path] = tgz_of({"model/a": b"first"})
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz", "--verify"]
    assert download(server, tmp_path, *wanted) == 0
    digest = hashlib.sha256(server.files[path]).hexdigest()
    assert f"recorded sha256:{digest}" in capsys.readouterr().err
    record = json.loads((tmp_path / RECORD).read_text())
    record["files"]["delf_gld_20190411.tar.gz"]["unpacked"] = None
    (tmp_path / RECORD).write_text(json.dumps(record))
    (tmp_path / "delf_gld_20190411.tar.gz").unlink()
    server.files[path] = tgz_of({"model/a": b"other"})
    assert download(server, tmp_path, *wanted) == 1
    assert digest in capsys.readouterr().err


def test_a_known_checksum_is_checked(server, tmp_path, capsys):
    from delf_common.data.sources import KERAS, KERAS_H5, KERAS_MD5

    path = f"/{KERAS.removeprefix('https://')}/{KERAS_H5}"
    server.files[path] = b"\x89HDF\r\n\x1a\n" + bytes(1000)
    assert download(server, tmp_path, "pretrained", "--only", KERAS_H5) == 1
    assert KERAS_MD5 in capsys.readouterr().err


def test_a_length_that_nobody_states_is_no_end_without_a_checksum(
    gldv2, tmp_path, capsys
):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    gldv2.files[path] = tgz_of({"model/a": b"x" * 5000})
    gldv2.script[path] = [{"no_length": True}]
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz"]
    assert download(gldv2, tmp_path, *wanted) == 1
    assert "no length" in capsys.readouterr().err
    gldv2.script[TAR] = [{"no_length": True}]
    assert download(gldv2, tmp_path, *ONE) == 0
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_a_chunked_answer_marks_its_own_end_and_a_cut_one_is_noticed(server, tmp_path):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    server.files[path] = tgz_of({"model/a": os.urandom(30_000)})
    server.script[path] = [{"chunked": True, "cut": 10_000}, {"chunked": True}]
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz"]
    assert download(server, tmp_path, *wanted) == 0
    assert (tmp_path / "delf_gld_20190411.tar.gz").read_bytes() == server.files[path]
    assert len(server.asked(path)) == 2


def test_a_file_that_was_touched_is_read_and_one_that_was_changed_refused(
    gldv2, tmp_path, capsys
):
    assert download(gldv2, tmp_path, *ONE) == 0
    path, before = tmp_path / "train/images_000.tar", len(gldv2.requests)
    path.touch()
    assert download(gldv2, tmp_path, *ONE) == 0
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert download(gldv2, tmp_path, *ONE) == 1
    assert "move it away" in capsys.readouterr().err
    assert path.read_bytes() == content
    assert len(gldv2.requests) == before


def test_verify_finds_a_change_that_kept_length_and_time(gldv2, tmp_path):
    assert download(gldv2, tmp_path, *ONE) == 0
    path = tmp_path / "train/images_000.tar"
    state, content = path.stat(), bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert download(gldv2, tmp_path, *ONE) == 0
    assert download(gldv2, tmp_path, *ONE, "--verify") == 1


def test_a_right_file_from_elsewhere_is_adopted_and_a_foreign_one_left_alone(
    gldv2, tmp_path
):
    path = tmp_path / "train/images_000.tar"
    path.parent.mkdir()
    path.write_bytes(b"somebody's")
    assert download(gldv2, tmp_path, *ONE) == 1
    assert path.read_bytes() == b"somebody's"
    path.write_bytes(gldv2.files[TAR])
    assert download(gldv2, tmp_path, *ONE) == 0
    assert gldv2.asked(TAR) == []


def test_a_damaged_record_is_named_and_rebuilt_without_fetching(
    gldv2, tmp_path, capsys
):
    assert download(gldv2, tmp_path, *ONE) == 0
    (tmp_path / RECORD).write_text("{")
    assert download(gldv2, tmp_path, *ONE) == 1
    assert RECORD in capsys.readouterr().err
    (tmp_path / RECORD).unlink()
    assert download(gldv2, tmp_path, *ONE) == 0
    assert len(gldv2.asked(TAR)) == 1


def test_too_small_a_disk_is_told_before_the_first_byte(
    gldv2, tmp_path, capsys, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=600 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    wanted = ["gldv2", "--splits", "train", "--extract"]
    assert download(gldv2, tmp_path, *wanted) == 1
    message = capsys.readouterr().err
    assert "600 GB free" in message
    assert "--remove_archives" in message
    assert gldv2.requests == []


def test_a_file_longer_than_the_free_space_is_not_begun(
    server, tmp_path, capsys, monkeypatch
):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    server.files[path] = tgz_of({"model/a": os.urandom(9000)})
    usage = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz"]
    assert download(server, tmp_path, *wanted) == 1
    assert "no space" in capsys.readouterr().err
    assert not (tmp_path / "delf_gld_20190411.tar.gz").exists()


def test_a_disk_that_fills_up_keeps_what_has_arrived(
    gldv2, tmp_path, capsys, monkeypatch
):
    from delf_common.data.partial import PartialFile

    append = PartialFile.append

    def full(self, data):
        append(self, data[:7000])  # a full disk takes a part of the last write
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "append", full)
        assert download(gldv2, tmp_path, *ONE) == 1
    assert "no space left" in capsys.readouterr().err
    assert download(gldv2, tmp_path, *ONE) == 0
    assert gldv2.asked(TAR)[-1][0] == "bytes=7000-"
    assert tar_in(tmp_path) == gldv2.files[TAR]


def start_process(server, folder, *arguments):
    command = [sys.executable, "-m", "delf_common.cli.main", "download", *arguments]
    place = ["--output_directory", str(folder), "--mirror", server.address]
    return subprocess.Popen(
        [*command, *place, "--timeout", "30"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def test_a_kill_loses_nothing_and_two_processes_do_not_mix(gldv2, tmp_path, capsys):
    gldv2.script[TAR] = [{"hang": 10_000}]
    process = start_process(gldv2, tmp_path, *ONE)
    part = tmp_path / "train/.images_000.tar.part"
    wait_until(lambda: part.exists() and part.stat().st_size == 10_000)
    assert download(gldv2, tmp_path, *ONE) == 1
    assert "another delf download" in capsys.readouterr().err
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert download(gldv2, tmp_path, *ONE) == 0
    assert gldv2.asked(TAR)[-1][0] == "bytes=10000-"
    assert tar_in(tmp_path) == gldv2.files[TAR]
    assert nothing_is_left_over(tmp_path)


def test_a_kill_between_record_and_rename_needs_no_network(
    gldv2, tmp_path, monkeypatch
):
    from delf_common.data.partial import PartialFile

    def kill(_):
        raise OSError(errno.EIO, "killed here")

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "finish", kill)
        assert download(gldv2, tmp_path, *ONE) == 1
    before = len(gldv2.requests)
    assert download(gldv2, tmp_path, *ONE) == 0
    assert len(gldv2.requests) == before
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_partial_bytes_without_their_note_are_not_used(gldv2, tmp_path):
    part = tmp_path / "train/.images_000.tar.part"
    part.parent.mkdir()
    part.write_bytes(b"whose are these?")
    assert download(gldv2, tmp_path, *ONE) == 0
    assert gldv2.asked(TAR)[0][0] == ""
    assert tar_in(tmp_path) == gldv2.files[TAR]


def test_waits_grow_to_a_limit_and_the_server_may_ask_for_more():
    from email.utils import formatdate

    from delf_common.data.retrying import Patience

    patience = Patience(first_wait=1, longest_wait=60)
    waits = [patience.wait_before(attempt) for attempt in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert patience.wait_before(10**9) == 60
    assert patience.wait_before(1, "90") == 90
    assert patience.wait_before(3, "0") == 4
    assert patience.wait_before(1, formatdate(usegmt=True)) == 1
    assert patience.wait_before(1, formatdate(2**33, usegmt=True)) > 10**6
    assert patience.wait_before(1, "soon") == 1


def test_a_server_that_asks_to_come_back_tomorrow_counts_as_failed(
    gldv2, tmp_path, capsys
):
    gldv2.script[TAR] = [{"status": 503, "headers": {"Retry-After": "86400"}}]
    assert download(gldv2, tmp_path, *ONE) == 1
    assert "86400 seconds" in capsys.readouterr().err


def test_no_server_at_all_is_a_failure_with_a_reason(tmp_path, capsys):
    with serving() as gone:
        pass
    assert download(gone, tmp_path, *ONE) == 1
    assert "no connection" in capsys.readouterr().err


def test_paris_is_flattened_without_its_corrupt_files(server, tmp_path, capsys):
    corrupt = "paris/louvre/paris_louvre_000136.jpg"
    good = "paris/louvre/paris_louvre_000001.jpg"
    server.files[f"{PARIS}/paris_1.tgz"] = tgz_of({corrupt: b"x", good: b"y"})
    server.files[f"{PARIS}/paris_2.tgz"] = tgz_of({"paris/b/paris_b_1.jpg": b"z"})
    server.files[f"{PARIS}/paris_120310.tgz"] = tgz_of({"eiffel_1_query.txt": b"q"})
    assert download(server, tmp_path, "paris6k") == 0
    assert "paris6k_images: 2 images, 6392 are published" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "paris6k_images").iterdir()) == [
        "paris_b_1.jpg",
        "paris_louvre_000001.jpg",
    ]
    assert (tmp_path / "paris6k_ground_truth/eiffel_1_query.txt").read_bytes() == b"q"


def test_a_cut_off_archive_is_set_aside_and_fetched_again_by_the_command_shown(
    server, tmp_path, capsys
):
    path = f"{DELF}/delf_gld_20190411.tar.gz"
    whole = tgz_of({"model/a": os.urandom(9000)})
    server.files[path] = whole[:5000]
    wanted = ["pretrained", "--only", "delf_gld_20190411.tar.gz"]
    assert download(server, tmp_path, *wanted) == 1
    message = capsys.readouterr().err
    assert "cut off or damaged" in message
    assert not (tmp_path / "delf_gld_20190411/model").exists()
    server.files[path] = whole
    command = next(li for li in message.splitlines() if li.startswith("    delf"))
    assert main(command.split()[1:]) == 0
    assert (tmp_path / "delf_gld_20190411/model/a").exists()
    assert (tmp_path / "delf_gld_20190411.tar.gz.damaged").read_bytes() == whole[:5000]


def test_a_verified_archive_that_would_escape_is_refused_each_time_and_kept(
    gldv2, tmp_path, capsys
):
    gldv2.files[TAR] = tar_of({"a/b/c/good.jpg": b"x", "../../escaped": b"x"})
    publish_md5(gldv2)
    for _ in range(2):
        assert download(gldv2, tmp_path / "out", *ONE, "--extract") == 1
        message = capsys.readouterr().err
        assert "refused to unpack '../../escaped'" in message
        assert "--extract" in message.splitlines()[-1]
    assert len(gldv2.asked(TAR)) == 1
    assert tar_in(tmp_path / "out") == gldv2.files[TAR]
    assert not list(tmp_path.rglob("*escaped*")) + list(tmp_path.rglob("*.jpg"))


def test_parts_arrive_at_once_and_not_one_after_another(server, tmp_path):
    """Each archive is sent only when both have been asked for."""
    both = threading.Barrier(2, timeout=20)
    for number in (0, 1):
        path = f"{GOOGLE}/train/images_{number:03d}.tar"
        server.files[path] = tar_of({jpeg_name(number): b"x"})
        publish_md5(server, path, f"{GOOGLE}/md5sum/train/md5.images_{number:03d}.txt")
        server.script[path] = [{"before": both.wait}]
    names = "train/images_000.tar,train/images_001.tar"
    assert download(server, tmp_path, "gldv2", "--only", names, "--timeout=20") == 0
    assert len(list(tmp_path.glob("train/*.tar"))) == 2


class Impatient(threading.Event):
    """Notes how long it would wait, and waits no second."""

    waits: ClassVar[list[float]] = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return False


def test_the_waits_between_tries_grow(gldv2, tmp_path, monkeypatch, capsys):
    from delf_common.data import getting, retrying

    def persist(attempt, patience, _, *rest):
        return retrying.persist(attempt, patience, Impatient(), *rest)

    monkeypatch.setattr(getting, "persist", persist)
    gldv2.script[TAR] = [{"status": 500}] * 4
    assert download(gldv2, tmp_path, *ONE, "--tries=5", "--first_wait=3") == 0
    assert Impatient.waits == [3, 6, 12, 24]
    assert "again in 24 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (b"407 Proxy Authentication Required", "wants http://NAME:PASSWORD@HOST"),
        (b"503 Busy", "the proxy (HTTPS_PROXY) says: Tunnel connection failed: 503"),
    ],
)
def test_https_goes_through_the_proxy_of_the_environment(
    tmp_path, monkeypatch, capsys, status, said
):
    asked = []

    def refuse():
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(4096).split(b" HTTP")[0])
            connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        place = ["--output_directory", str(tmp_path), *QUICK, "--tries=1"]
        assert main(["download", "gldv2", "--only", "train.csv", *place]) == 1
        thread.join(10)
    assert asked == [b"CONNECT s3.amazonaws.com:443"]
    assert said in capsys.readouterr().err


def test_the_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    import pickle

    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    path = "/revisitop/data/datasets/roxford5k/gnd_roxford5k.pkl"
    truth = {"imlist": ["a"], "qimlist": ["q"], "gnd": [{}]}
    server.files[path] = pickle.dumps(truth)
    place = ["--output_directory", str(tmp_path), *QUICK]
    only = ["--only", "gnd_roxford5k.pkl"]
    assert main(["download", "revisited", *only, *place]) == 0
    assert (tmp_path / "gnd_roxford5k.pkl").read_bytes() == server.files[path]


def test_oxford_arrives_flat_with_its_ground_truth(server, tmp_path):
    base = f"{VGG}/oxbuildings"
    server.files[f"{base}/oxbuild_images.tgz"] = tgz_of({"all_souls_000013.jpg": b"y"})
    server.files[f"{base}/gt_files_170407.tgz"] = tgz_of({"all_souls_1_ok.txt": b"q"})
    assert download(server, tmp_path, "oxford5k") == 0
    assert (tmp_path / "oxford5k_images/all_souls_000013.jpg").exists()
    assert (tmp_path / "oxford5k_ground_truth/all_souls_1_ok.txt").exists()


def test_a_revisited_pickle_is_read_by_the_safe_reader_only(server, tmp_path, capsys):
    import pickle

    base = "/cmp.felk.cvut.cz/revisitop/data/datasets"
    truth = {"imlist": ["a", "b"], "qimlist": ["q"], "gnd": [{}]}
    path = f"{base}/roxford5k/gnd_roxford5k.pkl"
    evil = f"{base}/rparis6k/gnd_rparis6k.pkl"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    server.files[path] = pickle.dumps(truth)
    server.files[evil] = pickle.dumps(Evil())
    assert download(server, tmp_path, "revisited") == 1
    message = capsys.readouterr().err
    assert "gnd_roxford5k.pkl: 1 queries, 2 images" in message
    assert "1 of 2 files failed" in message
    assert (tmp_path / "gnd_roxford5k.pkl").exists()
    assert not (tmp_path / "gnd_rparis6k.pkl").exists()
    assert not (tmp_path / "hacked").exists()


def test_help_and_dry_run_open_no_socket(tmp_path):
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "import delf_common.data.job\n"
        "from delf_common.cli.main import main\n"
        "codes = [main(['download', '--help'])]\n"
        "for name in ('gldv2', 'oxford5k', 'paris6k', 'revisited', 'pretrained'):\n"
        "    codes.append(main(['download', name, '--dry_run']))\n"
        "sys.exit(any(codes))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = done.stdout
    assert "https://s3.amazonaws.com/google-landmark/train/images_499.tar" in listed
    assert "500 files, about 510 GB, and 4 files of unknown size" in listed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gldv2", "--splits", "tests"], "choose from train"),
        (["gldv2", "--splits", "test", "--last", "20"], "0 to 19"),
        (["gldv2", "--first", "5", "--last", "4"], "0 to 499"),
        (["gldv2", "--only", "train/images_500.tar"], "did you mean train/images_"),
        (["paris6k", "--first", "1"], "GLDv2"),
        (["gldv2", "--jobs", "0"], "1 to 32"),
        (["gldv2", "--mirror", "file:///etc"], "must begin with https"),
        (["imagenet"], "imagenet"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_what_is_possible(arguments, said, capsys):
    assert main(["download", *arguments, "--dry_run"]) == 2
    assert said in capsys.readouterr().err


def test_the_command_line_knows_the_same_data_sets_as_the_sources():
    from delf_common.cli.download import DATASETS
    from delf_common.data import sources

    assert DATASETS == sources.DATASETS
    parts = {name: sources.parts_of(name) for name in DATASETS}
    assert len([p for p in parts["gldv2"] if p.kind == "tar"]) == 620
    assert len(sources.PARIS6K_CORRUPT) == 20
    for listed in parts.values():
        assert len({part.name for part in listed}) == len(listed)
        assert len({part.path for part in listed}) == len(listed)


def test_progress_lines_without_a_terminal_state_rate_and_estimate(monkeypatch, capsys):
    from delf_common.data import progress

    clock = iter([0.0, 10.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.Progress(4_000_000_000, 4) as shown:
        shown.add(500_000_000)
        shown.add(500_000_000)
    line = "1 GB of 4 GB, 25 MB/s, about 2 min 00 s left"
    assert capsys.readouterr().err.splitlines() == [line]
