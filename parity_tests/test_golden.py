# SPDX-License-Identifier: Apache-2.0
"""Each framework, alone in its process or not, comes to the golden files' numbers."""

import numpy as np
import pytest
from conftest import is_installed
from golden_cases import (
    FOLDER,
    MAPS,
    PHOTOGRAPH,
    PLACES,
    SEED,
    STAGES,
    TRAINING,
    attention_of,
    features_of,
    features_of_views,
    golden_features,
    inputs_of,
    is_steady,
    lite0_network,
    maps_of,
    read_golden,
    search_places,
    train_steps,
)
from small_networks import EVERY
from tolerances import MARGIN, TOLERANCES, assert_near, assert_same_features

MOST_BYTES = 200_000
RUNGS = {
    "attention": "dense attention",
    "features": "dense features",
    "block4": "block4",
}


@pytest.fixture(scope="module", params=["torch", "ms"])
def backend(request):
    if not is_installed({"torch": "torch", "ms": "mindspore"}[request.param]):
        pytest.skip(f"{request.param} is not there")
    return request.param


@pytest.fixture(scope="module")
def lite0(backend):
    return lite0_network(backend)


@pytest.mark.parametrize("file", [MAPS, PHOTOGRAPH, PLACES, TRAINING])
def test_a_golden_file_is_small_and_says_where_it_is_from(file):
    assert (FOLDER / f"{file}.safetensors").stat().st_size <= MOST_BYTES
    _, provenance = read_golden(file)
    assert provenance["made_by"] == "tools/record_golden.py"
    assert provenance["backend"].startswith("torch ")
    # Other weights or pictures than recorded: no difference below would mean anything.
    assert provenance["inputs"] == inputs_of(file, provenance.get("seed", SEED))


def test_every_golden_file_is_known():
    known = [MAPS, PHOTOGRAPH, PLACES, TRAINING]
    assert sorted(path.stem for path in FOLDER.iterdir()) == known


@pytest.mark.parametrize("name", EVERY)
def test_every_network_gives_the_golden_maps(backend, name):
    arrays, _ = read_golden(MAPS)
    wanted = {key: a for key, a in arrays.items() if key.split(".")[0] == name}
    found = maps_of(backend, name)
    assert set(found) == set(wanted) and len(wanted) >= 4
    for key, array in wanted.items():
        rung = RUNGS[key.rpartition(".")[2]]
        assert_near(rung, found[key], array, f"{backend} - golden")


def test_no_golden_score_is_near_the_threshold_or_the_cut():
    arrays, provenance = read_golden(PHOTOGRAPH)
    levels = [arrays[name].ravel() for name in arrays if name.startswith("attention")]
    scores = -np.sort(-np.concatenate(levels))
    margin = MARGIN * scores[0] / 2
    assert (np.abs(scores - provenance["threshold"]) > margin).all()
    kept = np.count_nonzero(scores >= provenance["threshold"])
    assert kept == len(arrays["threshold.scores"]) > 20
    count = provenance["count"]
    assert scores[count - 1] - scores[count] > 2 * margin
    assert len(arrays["count.scores"]) == count > 20


def test_a_photograph_gives_the_golden_features(backend, lite0):
    arrays, provenance = read_golden(PHOTOGRAPH)
    column = f"{backend} - golden"
    for name, array in attention_of(lite0).items():
        assert_near("dense attention", array, arrays[name], column)
    found = features_of(lite0, provenance["threshold"], provenance["count"])
    for name in ("threshold", "count"):
        wanted = golden_features(arrays, name)
        actual = golden_features(found, name)
        assert len(actual) == len(wanted)  # nothing is near the cut
        assert_same_features(actual, wanted, column=column)


def test_views_of_places_give_the_golden_inliers_and_map(backend):
    _, provenance = read_golden(PLACES)
    wanted = provenance["found"]
    features = features_of_views(lite0_network(backend, provenance["seed"]))
    found = search_places(features)
    pairs = sorted(wanted["inliers"])
    assert sorted(found["inliers"]) == pairs
    column = f"{backend} - golden"
    inliers = [np.float32([f["inliers"][p] for p in pairs]) for f in (found, wanted)]
    assert_near("inliers of a pair", *inliers, column)
    precisions = np.float32(found["mAP"]), np.float32(wanted["mAP"])
    assert_near("mAP of a small set", *precisions, column)
    assert 0.4 < wanted["mAP"] < 0.9  # neither all right nor by chance
    noise = TOLERANCES["descriptors of a photograph"][0]
    assert is_steady(features, wanted, noise, shakes=2)


@pytest.mark.parametrize("stage", STAGES)
def test_first_steps_of_training_give_the_golden_losses(backend, stage, monkeypatch):
    monkeypatch.setenv("MS_JIT", "0")  # compiling takes longer than the steps
    arrays, _ = read_golden(TRAINING)
    found, column = train_steps(backend, stage), f"{backend} - golden"
    assert_near("loss of a first step", found[0], arrays[stage][0], column)
    assert_near("gradient of a first step", found[1], arrays[stage][1], column)


def test_a_wrong_value_in_a_golden_file_is_seen(monkeypatch):
    monkeypatch.setattr("tolerances.observed", {})  # the table shows none of this
    arrays, _ = read_golden(MAPS)
    wanted = arrays["keras.131x180.features"]
    for wrong in (wanted + np.float32(1e-4) * wanted.max(), wanted[:, ::-1]):
        with pytest.raises(AssertionError):
            assert_near("dense features", wrong, wanted)
    with pytest.raises(AssertionError):
        assert_near("dense features", wanted * np.float32(np.nan), wanted)
