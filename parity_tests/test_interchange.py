# SPDX-License-Identifier: Apache-2.0
"""Features and matches to other programs' formats and back, read by those programs."""

import dataclasses
import json
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image as PillowImage

from delf_common.cli.main import main
from delf_common.errors import DelfError
from delf_common.features import Features
from delf_common.io.colmap_reading import open_colmap
from delf_common.io.colmap_tables import TABLES, image_ids, pair_id
from delf_common.io.delf_proto import read_datum, read_delf, write_delf
from delf_common.io.feature_file import FORMAT, FeatureReader, add_error, add_features
from delf_common.io.images import read_size
from delf_common.io.interchange import interchange, recognise
from delf_common.io.legacy_npz import read_legacy
from delf_common.io.matches_file import list_pairs, read_matches, turn, write_matches
from delf_common.matching.matcher import ImageMatch
from delf_common.matching.nearest import Matches
from delf_common.matching.verification import Verification

SIZES = {"db/a.jpg": (640, 480), "db/b.jpg": (320, 240), "empty.png": (64, 48)}
COUNTS = {"db/a.jpg": 5, "db/b.jpg": 4, "empty.png": 0}
MODEL = np.array([[2.0, 0.5, 5], [0, 4, 7], [0, 0, 1]])
PAIRS = np.array([[0, 3], [1, 2], [4, 0]], np.intp)
INLIERS = np.array([True, False, True])
FOUND = ImageMatch(
    Matches(PAIRS, np.array([0.1, 0.2, 0.3], np.float32)), Verification(MODEL, INLIERS)
)
NOTHING = ImageMatch(
    Matches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32)),
    Verification(None, np.zeros(0, bool)),
)


def features_of(name, dimension=4):
    rng = np.random.default_rng(len(name))
    count = COUNTS[name]
    rows = rng.normal(size=(count, dimension)).astype(np.float32)
    return Features(
        rng.uniform(0, 60, (count, 2)).astype(np.float32),
        rows / np.linalg.norm(rows, axis=1, keepdims=True),
        np.sort(rng.random(count).astype(np.float32))[::-1].copy(),
        rng.uniform(0.5, 4, count).astype(np.float32),
        SIZES[name],
    )


@pytest.fixture
def native(tmp_path):
    """Features of three images and a broken one; matches stored as b before a."""
    features, matches = tmp_path / "features.h5", tmp_path / "matches.h5"
    with h5py.File(features, "w") as file:
        file.attrs["format"] = FORMAT
        info = {"dimension": 4, "descriptor_dtype": "float32", "config": {}}
        file.attrs["info"] = json.dumps(info)
        for name in SIZES:
            add_features(file, name, features_of(name), "float32")
        add_error(file, "broken.jpg", "damaged picture")
    entries = [(("db/a.jpg", "db/b.jpg"), 5, FOUND), (("empty.png", "db/b.jpg"), 0)]
    write_matches(matches, [entries[0], (*entries[1], NOTHING)], verified=False)
    return features, matches


def assert_same(one, two, but=()):
    """All arrays equal, bit by bit, except those named."""
    for name in {"keypoints", "descriptors", "scores", "scales"} - set(but):
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype == b.dtype == np.float32, name
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert one.image_size == two.image_size


def assert_close(one, two, but=()):
    """As `assert_same`, with keypoints that went half a pixel forth and back."""
    np.testing.assert_allclose(one.keypoints, two.keypoints, rtol=0, atol=4e-6)
    assert_same(one, two, {*but, "keypoints"})


def read_all(path):
    with FeatureReader(path) as reader:
        return {name: reader.read(name) for name in reader.names()}


def delf(*arguments):
    return main(["interchange", *map(str, arguments)])


# --- COLMAP ---------------------------------------------------------------------------


@pytest.fixture
def database(native, tmp_path, capsys):
    path = tmp_path / "scene.db"
    assert delf(*native, "--to", "colmap", "--output", path) == 0
    printed = capsys.readouterr().out
    assert "features of 3 images, 2 pairs" in printed
    assert "not carried over: descriptors and scores" in printed
    return path


def test_colmap_reads_images_keypoints_and_matches(database):
    pycolmap = pytest.importorskip("pycolmap", reason="COLMAP's own reader")
    opened = pycolmap.Database.open(str(database))
    images = {image.name: image for image in opened.read_all_images()}
    assert set(images) == set(SIZES)
    for name, image in images.items():
        camera = opened.read_camera(image.camera_id)
        assert (camera.width, camera.height) == SIZES[name]
        assert camera.params[0] == 1.2 * max(SIZES[name])
        keypoints = opened.read_keypoints(image.image_id)
        expected = features_of(name)
        assert len(keypoints) == len(expected)
        if len(expected):
            np.testing.assert_array_equal(keypoints[:, :2], expected.keypoints + 0.5)
            np.testing.assert_array_equal(keypoints[:, 2], expected.scales)
    a, b = images["db/a.jpg"].image_id, images["db/b.jpg"].image_id
    np.testing.assert_array_equal(opened.read_matches(a, b), PAIRS)
    np.testing.assert_array_equal(opened.read_matches(b, a), PAIRS[:, ::-1])
    opened.close()


def test_colmap_reads_the_two_view_geometry_in_its_own_pixels(database):
    pycolmap = pytest.importorskip("pycolmap", reason="COLMAP's own reader")
    opened = pycolmap.Database.open(str(database))
    numbers = {image.name: image.image_id for image in opened.read_all_images()}
    a, b = numbers["db/a.jpg"], numbers["db/b.jpg"]
    geometry = opened.read_two_view_geometry(a, b)
    assert geometry.config == pycolmap.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC
    np.testing.assert_array_equal(geometry.inlier_matches, PAIRS[INLIERS])
    ours = np.array([10.0, 20, 1])
    half = np.array([0.5, 0.5, 0])
    theirs = geometry.H @ (ours + half)
    np.testing.assert_allclose(theirs / theirs[2], MODEL @ ours + half)
    assert not opened.exists_two_view_geometry(numbers["empty.png"], b)
    assert opened.num_verified_image_pairs() == 1
    opened.close()


def test_two_view_geometries_can_be_left_to_colmap(native, tmp_path, capsys):
    path = tmp_path / "plain.db"
    assert delf(*native, "--to", "colmap", "--output", path, "--matches_only") == 0
    assert "note:" not in capsys.readouterr().out
    with sqlite3.connect(path) as opened:
        counts = [
            opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("matches", "two_view_geometries")
        ]
    assert counts == [2, 0]


def test_colmap_database_comes_back_without_descriptors_and_scores(database, tmp_path):
    back, matches = tmp_path / "back.h5", tmp_path / "back-matches.h5"
    assert delf(database, "--to", "hloc", "--output", back, matches) == 0
    for name, features in read_all(back).items():
        assert_close(features, features_of(name), {"descriptors", "scores"})
        assert features.descriptors.shape == (COUNTS[name], 0)
        np.testing.assert_array_equal(features.scores, 1)
    found = read_matches(matches, "db/a.jpg", "db/b.jpg")
    np.testing.assert_array_equal(found.matches.pairs, PAIRS)
    np.testing.assert_array_equal(found.verification.inliers, INLIERS)
    np.testing.assert_allclose(found.verification.model, MODEL, atol=1e-12)
    assert list_pairs(matches, SIZES)[1] == ("db/b.jpg", "empty.png")


def test_a_pair_stored_the_other_way_round_is_turned(native, tmp_path):
    entry = (("db/b.jpg", "db/a.jpg"), 4, turn(FOUND))
    write_matches(native[1], [entry], verified=False)
    assert list_pairs(native[1], SIZES) == [("db/b.jpg", "db/a.jpg")]
    interchange(native, "colmap", [tmp_path / "turned.db"])
    with open_colmap(tmp_path / "turned.db") as opened:
        found = opened.match(("db/a.jpg", "db/b.jpg"))
    np.testing.assert_array_equal(found.matches.pairs, PAIRS)
    np.testing.assert_allclose(found.verification.model, MODEL, atol=1e-12)
    np.testing.assert_array_equal(found.verification.inliers, INLIERS)


def test_pair_identifiers_are_those_of_colmaps_documentation():
    assert pair_id(1, 2) == 2147483647 + 2
    assert image_ids(pair_id(5, 70000)) == (5, 70000)


@pytest.mark.parametrize(
    ("columns", "scales"),
    [(2, [1, 1]), (4, [2, 3]), (6, [(5 + np.hypot(1, 2)) / 2, 1])],
)
def test_foreign_keypoints_and_sift_descriptors_are_read(tmp_path, columns, scales):
    table = np.array([[1.5, 2.5, 3, 1, 4, 2], [7, 8, 1, 0, 0, 1]], np.float32)
    if columns == 4:
        table[:, 2] = [2, 3]
    table = np.ascontiguousarray(table[:, :columns])
    sift = np.array([[3, 4, 0], [0, 0, 255]], np.uint8)
    with sqlite3.connect(tmp_path / "sift.db") as opened:
        opened.executescript(TABLES)
        opened.execute("INSERT INTO cameras VALUES (1, 0, 20, 10, NULL, 0)")
        opened.execute("INSERT INTO images VALUES (7, 'x.jpg', 1)")
        row = (columns, table.tobytes())
        opened.execute("INSERT INTO keypoints VALUES (7, 2, ?, ?)", row)
        opened.execute("INSERT INTO descriptors VALUES (7, 2, 3, ?)", (sift.tobytes(),))
    interchange([tmp_path / "sift.db"], "hloc", [tmp_path / "sift.h5"])
    back = read_all(tmp_path / "sift.h5")["x.jpg"]
    np.testing.assert_array_equal(back.keypoints, table[:, :2] - 0.5)
    np.testing.assert_allclose(back.scales, scales, rtol=1e-6)
    np.testing.assert_allclose(back.descriptors, [[0.6, 0.8, 0], [0, 0, 1]], rtol=1e-6)
    assert back.image_size == (20, 10)


def test_colmaps_own_float_descriptors_and_epipolar_inliers_are_read(tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="COLMAP's own writer")
    opened = pycolmap.Database.open(str(tmp_path / "own.db"))
    camera = {"camera_id": 1, "model": "SIMPLE_PINHOLE", "width": 64, "height": 48}
    opened.write_camera(pycolmap.Camera({**camera, "params": [99, 32, 24]}), True)
    rows = np.eye(3, 5, dtype=np.float32)
    for number, name in ((1, "b.jpg"), (2, "a.jpg")):
        opened.write_image(pycolmap.Image(name, [], 1, number), True)
        opened.write_keypoints(number, np.full((3, 2), number, np.float32))
        floats = pycolmap.FeatureDescriptorsFloat()
        floats.data, floats.type = rows, pycolmap.FeatureExtractorType.ALIKED_N16ROT
        opened.write_descriptors(number, pycolmap.FeatureDescriptors.from_float(floats))
    opened.write_matches(1, 2, np.array([[0, 1], [1, 0]], np.uint32))
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
    geometry.F = np.eye(3)
    geometry.inlier_matches = np.array([[0, 1], [2, 2]], np.uint32)  # one is new
    opened.write_two_view_geometry(1, 2, geometry)
    opened.close()
    targets = [tmp_path / "own.h5", tmp_path / "own-matches.h5"]
    assert interchange([tmp_path / "own.db"], "hloc", targets).pairs == 1
    np.testing.assert_array_equal(read_all(targets[0])["a.jpg"].descriptors, rows)
    np.testing.assert_array_equal(read_all(targets[0])["a.jpg"].keypoints, 1.5)
    found = read_matches(targets[1], "b.jpg", "a.jpg")
    np.testing.assert_array_equal(found.matches.pairs, [[0, 1], [1, 0], [2, 2]])
    assert found.verification.inliers.tolist() == [True, False, True]
    assert found.verification.model is None


# --- hloc -----------------------------------------------------------------------------


def hloc_list_names(path):
    """The rule of hloc's list_h5_names: parents of datasets."""
    names = set()
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: (
                names.add(item.parent.name.strip("/"))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return names


def test_hloc_reads_what_came_from_colmap(database, tmp_path):
    back = tmp_path / "back.h5"
    assert delf(database, "--to", "hloc", "--output", back) == 0
    assert hloc_list_names(back) == set(SIZES)
    with h5py.File(back) as file:  # hloc/triangulation.py: += 0.5 for COLMAP
        keypoints = file["db/a.jpg"]["keypoints"].__array__()
    with sqlite3.connect(database) as opened:
        (blob,) = opened.execute(
            "SELECT data FROM keypoints JOIN images USING (image_id) "
            "WHERE name = 'db/a.jpg'"
        ).fetchone()
    stored = np.frombuffer(blob, np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(keypoints + 0.5, stored[:, :2])


def foreign_hloc(tmp_path):
    """Files as hloc writes them for SuperPoint: no scales, no attributes."""
    features, matches = tmp_path / "feats-superpoint.h5", tmp_path / "superglue.h5"
    with h5py.File(features, "w") as file:
        for name in ("db/a.jpg", "db/b.jpg"):
            one = features_of(name)
            group = file.create_group(name)
            group["keypoints"] = one.keypoints
            group["descriptors"] = one.descriptors.T.astype(np.float16)
            group["scores"] = one.scores[::-1]
            if name == "db/a.jpg":
                group["image_size"] = np.array(SIZES[name])
    with h5py.File(matches, "w") as file:
        group = file.create_group("db-a.jpg/db-b.jpg")
        group["matches0"] = np.array([3, -1, 2, -1, 0], np.int16)
        group["matching_scores0"] = np.array([0.5, 0, 1, 0, 1], np.float16)
    return features, matches


def test_hlocs_own_files_become_ours(tmp_path):
    PillowImage.new("RGB", (320, 240)).save(tmp_path / "b.jpg")
    (tmp_path / "photos/db").mkdir(parents=True)
    (tmp_path / "b.jpg").rename(tmp_path / "photos/db/b.jpg")
    ours = tmp_path / "ours.h5", tmp_path / "ours-matches.h5"
    root = ["--image_root", tmp_path / "photos"]
    code = delf(*foreign_hloc(tmp_path), "--to", "hloc", "--output", *ours, *root)
    assert code == 0
    for name, features in read_all(ours[0]).items():
        expected = features_of(name)
        assert_same(features, expected, {"scores", "scales", "descriptors"})
        np.testing.assert_array_equal(features.scores, expected.scores[::-1])
        np.testing.assert_array_equal(features.scales, 1)
        half = expected.descriptors.astype(np.float16)
        np.testing.assert_array_equal(features.descriptors, half)
    found = read_matches(ours[1], "db/a.jpg", "db/b.jpg")
    assert found.matches.pairs.tolist() == [[0, 3], [2, 2], [4, 0]]
    np.testing.assert_allclose(found.matches.distances, [1, 0, 0], atol=1e-6)


def test_names_that_hlocs_matches_cannot_tell_apart_are_refused(native):
    with pytest.raises(DelfError, match="cannot tell 'a/b' from 'a-b'"):
        list_pairs(native[1], ["a/b", "a-b"])
    with pytest.raises(DelfError, match=r"db-a\.jpg, of which there are no features"):
        list_pairs(native[1], ["db/b.jpg", "empty.png"])


# --- kapture --------------------------------------------------------------------------


@pytest.fixture
def kapture_folder(native, tmp_path, capsys):
    folder = tmp_path / "kapture"
    assert delf(*native, "--to", "kapture", "--output", folder) == 0
    assert "which matches are inliers" in capsys.readouterr().out
    return folder


def test_a_kapture_folder_is_what_its_documentation_says(kapture_folder):
    lists = kapture_folder / "reconstruction"
    read = {p.name: p.read_text().splitlines() for p in kapture_folder.rglob("*.txt")}
    assert all(lines[0] == "# kapture format: 1.1" for lines in read.values())
    assert read["keypoints.txt"][1:] == ["delf, float32, 4"]
    assert read["descriptors.txt"][1:] == ["delf, float32, 4, delf, L2"]
    camera = "camera_640x480, , camera, UNKNOWN_CAMERA, 640, 480"
    assert camera in read["sensors.txt"]
    assert "0, camera_640x480, db/a.jpg" in read["records_camera.txt"]
    table = np.fromfile(lists / "keypoints/delf/db/a.jpg.kpt", np.float32)
    expected = features_of("db/a.jpg")
    columns = table.reshape(-1, 4)
    np.testing.assert_array_equal(columns[:, :2], expected.keypoints + 0.5)
    np.testing.assert_array_equal(columns[:, 2], expected.scales)
    rows = np.fromfile(lists / "descriptors/delf/db/a.jpg.desc", np.float32)
    np.testing.assert_array_equal(rows.reshape(-1, 4), expected.descriptors)
    name = "matches/delf/db/a.jpg.overlapping/db/b.jpg.matches"
    matches = np.fromfile(lists / name, np.float64).reshape(-1, 3)
    np.testing.assert_array_equal(matches[:, :2], PAIRS)
    np.testing.assert_allclose(matches[:, 2], 1 - FOUND.matches.distances**2 / 2)
    assert (lists / "matches/delf/db/b.jpg.overlapping/empty.png.matches").is_file()


def test_kapture_itself_reads_the_folder(kapture_folder):
    csv = pytest.importorskip("kapture.io.csv", reason="kapture's own reader")
    data = csv.kapture_from_dir(str(kapture_folder))
    assert data.keypoints["delf"] == set(SIZES)
    assert data.descriptors["delf"].dsize == 4
    assert ("db/a.jpg", "db/b.jpg") in data.matches["delf"]


def test_a_kapture_folder_comes_back(kapture_folder, tmp_path):
    back, matches = tmp_path / "back.h5", tmp_path / "back-matches.h5"
    assert delf(kapture_folder, "--to", "hloc", "--output", back, matches) == 0
    for name, features in read_all(back).items():
        assert_close(features, features_of(name))
    found = read_matches(matches, "db/a.jpg", "db/b.jpg")
    np.testing.assert_array_equal(found.matches.pairs, PAIRS)
    np.testing.assert_allclose(
        found.matches.distances, FOUND.matches.distances, rtol=1e-5
    )


def test_overwriting_a_kapture_removes_old_features_and_nothing_else(
    kapture_folder, native, tmp_path
):
    kept = kapture_folder / "reconstruction/keypoints/sift/keypoints.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("# kapture format: 1.1\nsift, uint8, 2\n")
    stale = kapture_folder / "reconstruction/keypoints/delf/old.jpg.kpt"
    stale.write_bytes(b"")
    out = ("--to", "kapture", "--output", kapture_folder)
    assert delf(native[0], *out) == 1
    assert stale.exists()
    assert delf(native[0], *out, "--overwrite") == 0
    assert kept.exists() and not stale.exists()
    back = ("--to", "hloc", "--output", tmp_path / "back.h5")
    assert delf(kapture_folder, *back) == 2  # two feature types, none chosen
    assert delf(kapture_folder, *back, "--feature_type", "delf") == 0


def test_a_keypoint_with_two_matches_has_no_place_in_hlocs_layout(
    kapture_folder, tmp_path
):
    lists = kapture_folder / "reconstruction/matches/delf"
    rows = np.array([[0, 1, 1], [0, 2, 1]], np.float64)
    rows.tofile(lists / "db/a.jpg.overlapping/db/b.jpg.matches")
    targets = [tmp_path / "x.h5", tmp_path / "y.h5"]
    with pytest.raises(DelfError, match="several matches"):
        interchange([kapture_folder], "hloc", targets)
    assert not targets[1].exists()
    assert interchange([kapture_folder], "colmap", [tmp_path / "z.db"]).pairs == 2


def test_colmaps_keypoints_reach_kapture_without_descriptors(database, tmp_path):
    interchange([database], "kapture", [tmp_path / "k"])
    lists = tmp_path / "k/reconstruction"
    assert (lists / "keypoints/delf/keypoints.txt").is_file()
    assert not (lists / "descriptors").exists()
    interchange([tmp_path / "k"], "hloc", [tmp_path / "back.h5"])
    back = read_all(tmp_path / "back.h5")["db/a.jpg"]
    assert_close(back, features_of("db/a.jpg"), {"descriptors", "scores"})


# --- .delf, .npz, .datum --------------------------------------------------------------


@pytest.mark.parametrize("form", ["delf", "npz"])
def test_a_file_per_image_comes_back_with_sizes_from_the_photographs(
    native, tmp_path, form
):
    folder, photos, back = tmp_path / form, tmp_path / "photos", tmp_path / "back.h5"
    for name, size in SIZES.items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("L", size).save(photos / name)
    assert delf(native[0], "--to", form, "--output", folder) == 0
    read = {"delf": lambda p: read_delf(Path(f"{p}.delf")), "npz": read_legacy}[form]
    expected = dataclasses.replace(features_of("db/a.jpg"), image_size=(0, 0))
    assert_same(read(folder / "db/a"), expected)
    out = ("--to", "hloc", "--output", back)
    assert delf(folder, *out, "--image_root", photos) == 0
    assert set(read_all(back)) == set(SIZES)
    for name, features in read_all(back).items():
        assert_same(features, features_of(name))
    assert delf(folder, *out, "--overwrite") == 0
    assert read_all(back)["db/a"].image_size == (0, 0)
    (photos / "db/a.jpg").unlink()
    assert delf(folder, *out, "--overwrite", "--image_root", photos) == 1


def test_delgs_local_features_are_read(tmp_path):
    write_delf(tmp_path / "in/x.delg_local", features_of("db/a.jpg"))
    interchange([tmp_path / "in"], "hloc", [tmp_path / "x.h5"])
    expected = dataclasses.replace(features_of("db/a.jpg"), image_size=(0, 0))
    assert_same(read_all(tmp_path / "x.h5")["x"], expected)


def test_a_turned_photograph_has_its_upright_size(tmp_path):
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("L", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_size(tmp_path / "turned.jpg") == (30, 40)


def test_arrays_go_between_datum_and_npy(tmp_path, capsys):
    arrays = [np.float32([[1, 2.5]]), np.uint32([7, 300])]
    npy = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, array in zip(npy, arrays, strict=True):
        np.save(path, array)
    datum = [path.with_suffix(".datum") for path in npy]
    assert delf(*npy, "--to", "datum", "--output", *datum) == 0
    np.testing.assert_array_equal(read_datum(datum[0]), arrays[0])
    assert delf(*datum, "--to", "npy", "--output", *npy) == 1
    assert "--overwrite" in capsys.readouterr().err
    back = [tmp_path / "c.npy", tmp_path / "d.npy"]
    assert delf(*datum, "--to", "npy", "--output", *back) == 0
    for path, array in zip(back, arrays, strict=True):
        np.testing.assert_array_equal(np.load(path), array)
        assert np.load(path).dtype == array.dtype
    assert delf(datum[0], "--to", "npy", "--output", tmp_path / "e.txt") == 2
    assert delf(*datum, "--to", "npy", "--output", tmp_path / "e.npy") == 2


# --- what is refused ------------------------------------------------------------------


def test_a_second_run_leaves_the_first_files_alone(native, database, capsys):
    before = database.read_bytes()
    assert delf(native[0], "--to", "colmap", "--output", database) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert database.read_bytes() == before
    assert delf(native[0], "--to", "colmap", "--output", database, "--overwrite") == 0
    assert database.read_bytes() != before


def test_matches_of_other_features_are_refused(native, tmp_path):
    bad = ImageMatch(
        Matches(np.array([[0, 9]]), np.zeros(1, np.float32)),
        Verification(None, np.zeros(1, bool)),
    )
    write_matches(native[1], [(("db/a.jpg", "db/b.jpg"), 5, bad)], verified=False)
    for form in ("colmap", "kapture", "hloc"):
        targets = [tmp_path / form, tmp_path / "y"][: 1 + (form == "hloc")]
        with pytest.raises(DelfError, match="do not belong together"):
            interchange(native, form, targets)
        assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("form", ["delf", "npz", "kapture"])
@pytest.mark.parametrize("name", ["../outside.jpg", "/abs/outside.jpg", "a/../../b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, form, name):
    with sqlite3.connect(tmp_path / "evil.db") as opened:
        opened.executescript(TABLES)
        opened.execute("INSERT INTO cameras VALUES (1, 0, 20, 10, NULL, 0)")
        opened.execute("INSERT INTO images VALUES (1, ?, 1)", (name,))
        opened.execute("INSERT INTO keypoints VALUES (1, 0, 4, NULL)")
    with pytest.raises(DelfError, match="no name of a file"):
        interchange([tmp_path / "evil.db"], form, [tmp_path / "in/out"])
    assert [p.name for p in tmp_path.iterdir()] == ["evil.db"]


@pytest.mark.parametrize("what", ["missing", "text", "sqlite", "hdf5", "folder"])
def test_what_is_no_source_is_named(tmp_path, capsys, what):
    path = tmp_path / what
    if what == "text":
        path.write_text("hello")
    elif what == "sqlite":
        with sqlite3.connect(path) as opened:
            opened.execute("CREATE TABLE other (x)")
    elif what == "hdf5":
        h5py.File(path, "w").close()
    elif what == "folder":
        path.mkdir()
    assert delf(path, "--to", "colmap", "--output", tmp_path / "out.db") == 1
    error = capsys.readouterr().err
    assert what in error and error.count("\n") == 1
    assert not (tmp_path / "out.db").exists()


def test_a_damaged_blob_is_an_error_of_ours(database, tmp_path):
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE keypoints SET data = x'00' WHERE image_id = 1")
    with pytest.raises(DelfError, match="damaged"):
        interchange([database], "hloc", [tmp_path / "out.h5"])
    assert not (tmp_path / "out.h5").exists()


def test_an_unknown_size_is_asked_for(tmp_path):
    features, _ = foreign_hloc(tmp_path)
    with pytest.raises(DelfError, match=r"size of db/b\.jpg .* --image_root"):
        interchange([features], "colmap", [tmp_path / "x.db"])
    assert not (tmp_path / "x.db").exists()


def test_sources_and_outputs_are_counted(native, database, tmp_path, capsys):
    x, y = tmp_path / "x", tmp_path / "y"
    assert delf(*native, "--to", "colmap", "--output", x, y) == 2
    assert delf(database, native[1], "--to", "hloc", "--output", x) == 2
    assert delf(native[0], "--to", "hloc", "--output", x, y) == 2
    assert "no matches" in capsys.readouterr().err
    assert delf(native[0], "--to", "hloc", "--output", native[0], "--overwrite") == 2
    assert not x.exists() and not y.exists()


def test_a_folder_of_two_kinds_is_not_guessed(native, tmp_path):
    for form in ("delf", "npz"):
        interchange(native[:1], form, [tmp_path / "both"], overwrite=True)
    with pytest.raises(DelfError, match="delf and npz"):
        recognise(tmp_path / "both")
