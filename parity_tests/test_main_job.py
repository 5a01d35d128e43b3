# SPDX-License-Identifier: Apache-2.0
"""The main job, as a user types it, on photographs with a known ground truth."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the main job runs on the torch backend here")

from delf_common.bench.homography import transform
from delf_common.cli.main import main
from delf_common.demo import PLACES, VIEWS, write_demo
from delf_common.io.images import read_image
from delf_common.retrieval.index import Index

FAST = ["--image_scales", "0.5,0.7071,1", "--max_feature_num", "400"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demonstration photographs."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder / "photographs")
    return folder / "photographs"


@pytest.fixture(scope="module")
def places(demo):
    """An index of them."""
    path = demo.parent / "places.h5"
    assert main(["index", str(demo), "--output", str(path), *FAST]) == 0
    return path


def run_json(capsys, *arguments):
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_the_demonstration_pictures_are_the_same_bytes_every_time(demo, tmp_path):
    assert write_demo(tmp_path) == sorted(p.name for p in demo.glob("*.jpg"))
    for path in demo.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_inliers_of_a_match_agree_with_the_true_homography(demo, capsys):
    found = run_json(capsys, "match", demo / "coffee.jpg", demo / "coffee_1.jpg", *FAST)
    truth = np.array(
        json.loads((demo / "homographies.json").read_text())["coffee_1.jpg"]
    )
    inliers = [m for m in found["matches"] if m["inlier"]]
    assert found["inliers"] == len(inliers) > 60
    there = transform(truth, np.array([m["keypoint0"] for m in inliers]))
    errors = np.linalg.norm(there - [m["keypoint1"] for m in inliers], axis=1)
    # The grid of half-scale cells is 32 pixels wide, and affine is not projective.
    assert np.mean(errors < 20) > 0.9 and np.median(errors) < 10
    model = transform(np.array(found["model"]), np.array([[300.0, 200.0]]))
    assert np.linalg.norm(model - transform(truth, np.array([[300.0, 200.0]]))) < 12


def test_different_places_hardly_match(demo, capsys):
    same = run_json(capsys, "match", demo / "coffee.jpg", demo / "coffee_2.jpg", *FAST)
    other = run_json(capsys, "match", demo / "coffee.jpg", demo / "rocket.jpg", *FAST)
    assert other["inliers"] < same["inliers"] / 4


def test_the_match_picture_shows_both_photographs(demo, tmp_path, capsys):
    picture = tmp_path / "match.png"
    pair = [str(demo / "coffee.jpg"), str(demo / "coffee_1.jpg")]
    assert main(["match", *pair, "--output", str(picture), *FAST]) == 0
    assert "inliers" in capsys.readouterr().out
    drawn = read_image(picture, max_pixels=10**8)
    assert drawn.shape[1] > drawn.shape[0] and drawn.std() > 20
    assert main(["match", *pair, "--output", str(picture), *FAST]) == 1
    assert "already exists" in capsys.readouterr().err


def test_the_original_list_file_names_a_pair_without_suffixes(demo, tmp_path, capsys):
    listed = tmp_path / "list_images.txt"
    listed.write_text("coffee\ncoffee_1\n")
    found = run_json(capsys, "match", listed, "--image_root", demo, *FAST)
    pair = ["match", demo / "coffee.jpg", demo / "coffee_1.jpg"]
    assert found["inliers"] == run_json(capsys, *pair, *FAST)["inliers"]


@pytest.mark.parametrize("place", ["astronaut", "coffee"])
def test_a_search_ranks_the_views_of_the_place_first(demo, places, place, capsys):
    found = run_json(capsys, "search", places, demo / f"{place}_2.jpg")
    names = [row["name"] for row in found["results"]]
    assert names[0] == f"{place}_2.jpg"
    assert {name[: len(place)] for name in names[: VIEWS + 1]} == {place}
    inliers = [row["inliers"] for row in found["results"]]
    assert (
        inliers == sorted(inliers, reverse=True) and inliers[VIEWS] > inliers[VIEWS + 1]
    )


def test_a_region_of_the_query_is_searched_for(demo, places, tmp_path, capsys):
    picture = tmp_path / "results.png"
    region = ["--region", "200", "50", "450", "350", "--picture", picture]
    found = run_json(capsys, "search", places, demo / "coffee.jpg", *region)
    whole = run_json(capsys, "search", places, demo / "coffee.jpg")
    assert found["results"] != whole["results"]
    assert {row["name"][:6] for row in found["results"][:4]} == {"coffee"}
    assert read_image(picture, max_pixels=10**8).std() > 20


def test_an_empty_region_is_a_wrong_call(demo, places, capsys):
    outside = ["--region", "5000", "0", "6000", "10"]
    assert main(["search", str(places), str(demo / "coffee.jpg"), *outside]) == 2
    assert "5000" in capsys.readouterr().err


def test_evaluation_of_the_index_is_nearly_perfect(demo, places, tmp_path, capsys):
    truth = ["evaluate", "--ground_truth", demo / "gnd.json", "--index", places]
    saved = tmp_path / "rankings.json"
    found = run_json(capsys, *truth, "--save_rankings", saved, "--output", tmp_path)
    assert 0.95 < found["setups"]["all"]["mAP"] <= 1
    again = run_json(
        capsys, "evaluate", "--ground_truth", demo / "gnd.json", "--rankings", saved
    )
    assert again["setups"] == found["setups"]
    assert (tmp_path / "mAP.txt").read_text().startswith("minibench\n  mAP=")


def test_an_index_grows_by_what_is_new(demo, tmp_path, capsys, monkeypatch):
    part, rest, path = tmp_path / "part", tmp_path / "rest", tmp_path / "grown.h5"
    for folder, places in ((part, PLACES[:2]), (rest, PLACES[2:4])):
        folder.mkdir()
        for place in places:
            (folder / f"{place}.jpg").write_bytes((demo / f"{place}.jpg").read_bytes())
    assert main(["index", str(part), "--output", str(path), *FAST]) == 0
    assert main(["index", str(rest), "--output", str(path), *FAST]) == 1  # exists
    assert main(["index", str(rest), "--output", str(path), "--add", *FAST]) == 0
    assert "4 images, 2 of them new" in capsys.readouterr().out
    whole = tmp_path / "whole.h5"
    for place in PLACES[2:4]:
        (part / f"{place}.jpg").write_bytes((rest / f"{place}.jpg").read_bytes())
    assert main(["index", str(part), "--output", str(whole), *FAST]) == 0
    with Index(path) as grown, Index(whole) as made_at_once:
        assert sorted(grown.names) == made_at_once.names
        for name in grown.names:
            np.testing.assert_array_equal(
                grown.features(name).descriptors,
                made_at_once.features(name).descriptors,
            )
    capsys.readouterr()
    other = ["--add", "--max_feature_num", "99"]
    (part / "new.jpg").write_bytes((demo / "rocket.jpg").read_bytes())
    monkeypatch.setattr("delf_common.retrieval.building.run_job", None)  # refused first
    assert main(["index", str(part), "--output", str(path), *other]) == 1
    assert "max_feature_num" in capsys.readouterr().err


def test_pca_is_learned_saved_and_used(demo, tmp_path, capsys):
    raw, pca = tmp_path / "raw.h5", tmp_path / "pca"
    some = [str(demo / f"{place}.jpg") for place in PLACES]
    plainly = ["--use_pca", "false", *FAST]
    assert main(["extract", *some, "--output", str(raw), *plainly]) == 0
    weights = ["--checkpoint", "delf-lite0", "--checkpoint_output"]
    made = tmp_path / "with-pca.safetensors"
    learn = ["pca", "--features", str(raw), "--output", str(pca), "--pca_dim", "40"]
    assert main([*learn, *weights, str(made)]) == 0
    assert "40 components explain 0." in capsys.readouterr().out
    assert sorted(p.name for p in pca.iterdir()) == [
        "mean.npy",
        "pca_proj_mat.npy",
        "pca_variances.npy",
    ]
    pair = ["match", demo / "coffee.jpg", demo / "coffee_1.jpg", *FAST]
    inside = run_json(capsys, *pair, "--weights", made)
    beside = run_json(capsys, *pair, "--pca", pca)
    plain = run_json(capsys, *pair)
    assert inside["matches"] == beside["matches"] != plain["matches"]


def test_the_embedded_weights_say_how_they_score():
    from delf_common.weights.checkpoint import load_checkpoint

    info = load_checkpoint("delf-lite0").info
    assert info.attention == "feature_norm" and info.stage == "imagenet"
    assert "length of the feature row" in info.provenance["attention"]


@pytest.fixture
def classic(tmp_path):
    """Oxford5k's text files for two of the places, with a query box each."""
    folder = tmp_path / "gt"
    folder.mkdir()
    for place in ("coffee", "astronaut"):
        lists = {
            "query": f"oxc1_{place}_1 60.5 40.2 420.7 380.1",
            "good": f"{place}_1\n{place}",
            "ok": f"{place}_2",
            "junk": f"{place}_3",
        }
        for name, text in lists.items():
            (folder / f"{place}_1_{name}.txt").write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("protocol", "setups", "cropped"),
    [("classic", ["all"], True), ("mindspore-zoo", ["easy", "medium", "hard"], False)],
)
def test_oxford_text_files_are_evaluated_by_both_protocols(
    demo, places, classic, protocol, setups, cropped, capsys
):
    truth = ["evaluate", "--ground_truth", classic, "--index", places]
    found = run_json(capsys, *truth, "--protocol", protocol, "--images", demo)
    assert list(found["setups"]) == setups and found["query_cropped"] is cropped
    for setup in found["setups"].values():
        assert setup["queries_with_positives"] == 2 and setup["mAP"] > 0.9


def test_a_cropped_query_needs_its_picture(places, classic, capsys):
    call = ["evaluate", "--ground_truth", str(classic), "--index", str(places)]
    assert main(call) == 2
    assert "--images" in capsys.readouterr().err


def test_the_root_of_a_linked_picture_is_the_folder_of_the_link(demo, tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "cup.jpg").symlink_to(demo / "coffee.jpg")
    path = tmp_path / "album.h5"
    assert main(["index", str(folder), "--output", str(path), *FAST]) == 0
    with Index(path) as index:
        assert index.info["image_root"] == str(folder.resolve())
