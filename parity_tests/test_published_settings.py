# SPDX-License-Identifier: Apache-2.0
"""Settings that were published with weights hold where the caller chose none."""

import dataclasses
import json

import h5py
import numpy as np
import pytest
from fake_network import FakeNetwork
from PIL import Image as PillowImage

from delf_common.cli.extract import parser
from delf_common.cli.main import main
from delf_common.config import ExtractConfig
from delf_common.errors import UsageError
from delf_common.extraction.extractor import Extractor, extract
from delf_common.extraction.published import with_published

PUBLISHED = {"image_scales": [0.5, 1.0], "max_image_size": 64, "max_feature_num": 7}


@pytest.fixture
def network():
    network = FakeNetwork()
    network.info = dataclasses.replace(network.info, extraction=PUBLISHED)
    return network


def test_published_settings_replace_defaults_and_nothing_that_was_chosen():
    config = with_published(ExtractConfig(), PUBLISHED, ())
    assert config.image_scales == (0.5, 1.0) and config.max_image_size == 64
    chosen = ExtractConfig(max_image_size=None)
    config = with_published(chosen, PUBLISHED, ["max_image_size"])
    assert config.max_image_size is None and config.max_feature_num == 7
    assert with_published(chosen, {}, ()) == chosen
    assert with_published(chosen, {"of_a_later_version": 1}, ()) == chosen


def test_the_extractor_takes_them_where_it_was_given_no_settings(network):
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    (found,) = extract([image], network)
    assert len(found) == 7 and set(found.scales) <= {1.0, 2.0}
    assert Extractor(network).settings()["max_image_size"] == 64
    (found,) = extract([image], network, ExtractConfig(max_feature_num=9))
    assert len(found) == 9


def test_a_published_setting_out_of_range_is_refused(network):
    bad = dataclasses.replace(network.info, extraction={"max_feature_num": -1})
    network.info = bad
    with pytest.raises(UsageError, match="max_feature_num"):
        Extractor(network)


def test_the_parser_knows_what_was_given(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("max_image_size: 500\n")
    call = ["p", "--output", "f.h5", "--max_feature_num", "1000", "--config", str(path)]
    given = parser().parse(call).given
    assert {"max_feature_num", "max_image_size"} <= given  # also at its default
    assert "image_scales" not in given


def test_the_command_takes_them_and_a_flag_overrules(network, tmp_path, monkeypatch):
    monkeypatch.setattr("delf_common.extraction.job.load_backend", lambda name: Backend)
    Backend.network = network
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "a.png")
    for flags, sizes in (([], (64, 7)), (["--max_feature_num", "1000"], (64, 1000))):
        output = tmp_path / "f.h5"
        call = ["extract", str(tmp_path / "a.png"), "--output", str(output)]
        assert main([*call, "--device", "cpu", "--overwrite", *flags]) == 0
        with h5py.File(output) as file:
            made_with = json.loads(file.attrs["info"])["config"]
        assert (made_with["max_image_size"], made_with["max_feature_num"]) == sizes
        assert made_with["image_scales"] == [0.5, 1.0]


class Backend:
    @classmethod
    def load_network(cls, weights, device):
        return cls.network
