# SPDX-License-Identifier: Apache-2.0
"""torchvision's weights objects become checkpoints; a stand-in replaces the network."""

import enum
import hashlib
import sys
import types

import numpy as np
import pytest

from delf_common.cli.main import main
from delf_common.errors import DelfError
from delf_common.weights.architectures import RESNET_WIDTHS
from delf_common.weights.checkpoint import load_checkpoint
from delf_common.weights.convert import convert
from delf_common.weights.names import parameter_shapes
from delf_common.weights.torchvision import INFO, torchvision_name


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A server's folder with one file, a torchvision that knows it, and its arrays."""
    torch = pytest.importorskip("torch", reason="torchvision's files are torch's")
    for block in RESNET_WIDTHS:
        monkeypatch.setitem(RESNET_WIDTHS, block, 2)
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(INFO)
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    state = {torchvision_name(n): torch.tensor(a) for n, a in arrays.items()}
    torch.save(state, tmp_path / "made.pth")
    digest = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    server = tmp_path / "server" / f"resnet50-{digest[:8]}.pth"
    server.parent.mkdir()
    (tmp_path / "made.pth").rename(server)

    class ResNet50_Weights(enum.Enum):
        IMAGENET1K_V1 = server.as_uri()

        @property
        def url(self):
            return self.value

    def get_weight(name):
        try:
            return ResNet50_Weights[name.removeprefix("ResNet50_Weights.")]
        except KeyError:
            raise ValueError(f"no {name}") from None

    models = types.SimpleNamespace(get_weight=get_weight)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return server, ResNet50_Weights.IMAGENET1K_V1, arrays


NAME = "torchvision:ResNet50_Weights.IMAGENET1K_V1"


def test_the_object_and_its_name_give_the_same_checkpoint(published, tmp_path):
    server, weights, arrays = published
    digest = hashlib.sha256(server.read_bytes()).hexdigest()
    convert(weights, tmp_path / "a.safetensors", name="same")
    server.unlink()  # from now on it is in torch's cache
    convert(NAME, tmp_path / "b.safetensors", name="same")
    assert (tmp_path / "a.safetensors").read_bytes() == (
        tmp_path / "b.safetensors"
    ).read_bytes()
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.info.variant == "torchvision"
    assert loaded.info.provenance == {"source": NAME, "source_sha256": digest}
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.params[name], array)


def test_a_file_that_is_not_what_its_name_says_is_refused(published, tmp_path):
    server, weights, _ = published
    server.write_bytes(server.read_bytes() + b"more")
    with pytest.raises(DelfError, match="cannot be fetched: invalid hash"):
        convert(weights, tmp_path / "a.safetensors")
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_unknown_weights_and_no_torchvision_are_said(
    published, tmp_path, capsys, monkeypatch
):
    target = str(tmp_path / "a.safetensors")
    assert main(["convert", NAME.replace("V1", "V7"), target]) == 1
    assert "torchvision has no weights" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert main(["convert", NAME, target]) == 1
    assert "give the .pth file itself" in capsys.readouterr().err
