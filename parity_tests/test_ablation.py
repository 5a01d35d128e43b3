# SPDX-License-Identifier: Apache-2.0
"""The ablation: one thing changed at a time, the network run once for each picture."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from delf_common.bench.ablation import choose, format_table, run_ablation
from delf_common.bench.rescored import Remembering, Scored, random_attention
from delf_common.bench.variants import VARIANTS, Variant
from delf_common.config import ExtractConfig, MatchConfig, VerifyConfig
from delf_common.errors import UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.weights.architectures import receptive_field
from delf_common.weights.checkpoint import load_checkpoint
from parity_tests.fake_network import FakeNetwork
from parity_tests.small_networks import EVERY

CONFIG = ExtractConfig(image_scales=(0.5, 1.0), max_feature_num=150)
PICTURES = 6


class CountingNetwork(FakeNetwork):
    """Counts the levels it computes."""

    def __init__(self):
        self.levels = 0

    def dense(self, images, sizes):
        self.levels += len(sizes)
        return super().dense(images, sizes)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Three places, each photographed twice, the second time from a little aside."""
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    places, queries = {}, []
    for place in "abc":
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        whole = cv2.resize(coarse, (176, 144), interpolation=cv2.INTER_CUBIC)
        pair = [f"{place}0.png", f"{place}1.png"]
        cv2.imwrite(str(folder / pair[0]), whole[:120, :160])
        noise = rng.integers(-4, 5, (120, 160, 3))
        aside = np.clip(whole[8:128, 8:168] + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / pair[1]), aside)
        places[place] = {"images": pair}
        queries.append({"query": pair[0], "positives": pair[1:]})
    truth = folder / "gnd.json"
    truth.write_text(json.dumps({"queries": queries, "places": places}))
    return folder


def run(places, tmp_path, variants, network):
    extractor = Extractor(network, CONFIG)
    return run_ablation(
        places / "gnd.json",
        places,
        extractor,
        tmp_path,
        MatchConfig(),
        VerifyConfig(),
        variants,
    )["rows"]


def test_each_row_changes_what_it_names(places, tmp_path):
    variants = [
        Variant("as it is"),
        Variant("the same score", scores="norm"),
        Variant("fewer", {"max_feature_num": 40}),
        Variant("one scale", {"image_scales": (0.5,)}),
        Variant("nothing is near", match={"distance_threshold": 1e-6}),
    ]
    network = CountingNetwork()
    rows = run(places, tmp_path, variants, Remembering(network))
    plain, same, fewer, one, far = rows
    assert [row["name"] for row in rows] == [variant.name for variant in variants]
    assert plain["mAP"] > 90 and plain["dimensions"] == FakeNetwork.channels
    # FakeNetwork scores by length itself.
    assert dict(same, name="") == dict(plain, name="")
    assert fewer["keypoints"] == 40 and plain["keypoints"] == 150
    assert 0 < one["keypoints"] < 150  # a map of 7 x 10 cells
    assert far["mAP"] < plain["mAP"]
    assert network.levels == PICTURES * len(CONFIG.image_scales)


def test_the_row_of_the_settings_is_that_of_the_plain_extractor(places, tmp_path):
    variants = [Variant("as it is")]
    remembered = run(places, tmp_path, variants, Remembering(FakeNetwork()))
    plain = run(places, tmp_path, variants, FakeNetwork())
    assert remembered == plain


def test_a_random_attention_is_that_before_the_first_step():
    torch = pytest.importorskip("torch", reason="beside the torch attention")
    from delf_common.training.initial import initial_params
    from delf_torch.delf import build_delf
    from delf_torch.parameters import put_params

    info = load_checkpoint("delf-lite0").info
    info = dataclasses.replace(info, attention="trained", num_classes=0)
    delf = build_delf(info).eval()
    put_params(delf, initial_params(info, seed=3))
    rows = np.random.default_rng(1).normal(size=(50, 112)).astype(np.float32)
    with torch.no_grad():
        maps = torch.from_numpy(rows.T.copy()).view(1, 112, 5, 10)
        wanted = delf.attention(maps).numpy().ravel()
    network = FakeNetwork()
    network.info = info
    np.testing.assert_allclose(random_attention(network, 3)(rows), wanted, rtol=1e-5)
    other = random_attention(network, 4)(rows)
    assert np.corrcoef(other, wanted)[0, 1] < 0.9


def test_a_score_replaces_the_attention_and_leaves_the_features():
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 48, 3), np.uint8)
    network = FakeNetwork()
    (plain,) = network.dense(images, [(32, 48)])
    (scored,) = Scored(network, lambda rows: rows[:, 5]).dense(images, [(32, 48)])
    cells = np.array([3, 0, 7])
    for image in range(2):
        rows = plain.gather(image, cells)
        np.testing.assert_array_equal(scored.gather(image, cells), rows)
        np.testing.assert_array_equal(
            scored.attention[image].ravel()[cells], rows[:, 5]
        )


@pytest.mark.parametrize("name", ["lite0", "keras", "strided", "slim", "tv"])
def test_the_field_of_block4_is_that_of_its_map(name):
    torch = pytest.importorskip("torch", reason="beside the torch backbone")
    from delf_torch.delf import build_delf

    field = receptive_field(EVERY[name], "block4")
    assert field.stride == 32
    with torch.device("meta"):  # shapes without numbers
        delf = build_delf(EVERY[name])
        for side in (97, 224, 321):
            maps = delf.deepest(torch.zeros(1, 3, side, side))
            assert field.map_side(side) == maps.shape[-1]


def test_rows_are_chosen_by_the_beginnings_of_their_names():
    assert choose([]) == list(VARIANTS)
    chosen = [variant.name for variant in choose(["as it", "PCA to 64"])]
    assert chosen == [
        "as it is",
        "PCA to 64 dimensions",
        "PCA to 64 dimensions, whitened",
    ]
    with pytest.raises(UsageError, match="as it is"):
        choose(["nothing of the kind"])
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)


def test_the_table_has_a_line_for_each_row():
    row = {"name": "as it is", "mAP": 95.984, "dimensions": 112, "keypoints": 999.6}
    text = format_table({"images": 2, "queries": 1, "rows": [row]})
    assert "2 images, 1 queries" in text and " 95.98 " in text and "1000" in text
