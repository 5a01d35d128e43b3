# SPDX-License-Identifier: Apache-2.0
"""Exported files: the same numbers as PyTorch, and nothing but onnxruntime to run."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="ONNX files are written by PyTorch")
pytest.importorskip("onnx", reason="pip install '.[export]'")
pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")

import onnx

import delf_onnx
import delf_torch
from delf_common.cli.main import main
from delf_common.config import ExportConfig, ExtractConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.extractor import Extractor
from delf_common.extraction.receptive_field import ReceptiveField
from delf_common.io.feature_file import FeatureReader
from delf_common.weights.architectures import RESNET_WIDTHS, feature_channels
from delf_common.weights.checkpoint import load_checkpoint, save_checkpoint
from delf_common.weights.comparing import all_rows
from delf_common.weights.exported import (
    ExportedInfo,
    from_properties,
    to_properties,
)
from delf_common.weights.metadata import Pca, WeightsInfo
from delf_common.weights.names import parameter_shapes
from delf_onnx.keypoints import KeypointModel
from delf_onnx.session import count_threads
from delf_torch import exporting

MAPS = 1e-4  # of the largest value: both resize with positions rounded to float32
OWN_SIZE = 1e-5  # without resizing, as for the frameworks among themselves
KERAS = WeightsInfo("test", "", "resnet50", "keras", True, "trained")
NETWORKS = {
    "keras": KERAS,
    "torchvision": WeightsInfo("test", "", "resnet50", "torchvision"),
    "slim": dataclasses.replace(KERAS, variant="slim", block4=False),
    "dense-slim": dataclasses.replace(KERAS, variant="slim", block3_strides=False),
    "delg": dataclasses.replace(KERAS, autoencoder=7),
}


@pytest.fixture(scope="module")
def lite0():
    return delf_torch.load_network("delf-lite0", "cpu")


@pytest.fixture(scope="module")
def lite0_file(tmp_path_factory):
    """The embedded weights, exported as maps."""
    path = tmp_path_factory.mktemp("onnx") / "lite0.onnx"
    delf_torch.export("delf-lite0", path, ExportConfig())
    return path


@pytest.fixture
def narrow(monkeypatch):
    """ResNet-50 with few channels: the same geometry, quick to run."""
    for block, width in zip(RESNET_WIDTHS, (2, 3, 4, 5), strict=True):
        monkeypatch.setitem(RESNET_WIDTHS, block, width)


def write_weights(path, info):
    """A checkpoint with random parameters, attention of order 1."""
    rng = np.random.default_rng(0)
    params = {}
    for name, shape in parameter_shapes(info).items():
        values = rng.normal(0, 0.3, shape)
        if len(shape) > 1:
            values = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)
        if name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            values = rng.uniform(0.5, 1.5, shape)
        params[name] = values.astype(np.float32)
        if name.startswith("attention.") and len(shape) > 1:
            params[name] /= 20
    save_checkpoint(path, params, info)
    return path


def random_pca(channels, count):
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(channels, channels)))[0][:count]
    mean = rng.normal(0, 0.1, channels)
    variances = np.linspace(2, 1, count)
    return Pca(*(array.astype(np.float32) for array in (mean, rotation, variances)))


def noise(count, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


def assert_near(actual, wanted, relative):
    assert np.shape(actual) == np.shape(wanted)
    assert np.isfinite(actual).all()
    difference = np.abs(np.asarray(actual, np.float64) - wanted).max()
    assert difference <= relative * np.abs(wanted).max()


def assert_same_maps(network, other, images, size, relative):
    a, b = network.dense(images, [size])[0], other.dense(images, [size])[0]
    assert b.attention.dtype == np.float32
    assert_near(b.attention, a.attention, relative)
    assert_near(all_rows(b), all_rows(a), relative)


# --- the form "maps" ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "height", "width", "size", "relative"),
    [
        (1, 64, 64, (64, 64), OWN_SIZE),
        (3, 65, 98, (65, 98), OWN_SIZE),
        (2, 202, 155, (202, 155), OWN_SIZE),
        (1, 100, 75, (141, 106), MAPS),
        (2, 99, 131, (35, 46), MAPS),
        (1, 17, 300, (17, 300), OWN_SIZE),
    ],
)
def test_maps_are_torchs_for_any_batch_and_size(
    lite0, lite0_file, count, height, width, size, relative
):
    other = delf_onnx.load_network(lite0_file, "cpu")
    images = noise(count, height, width)
    assert_same_maps(lite0, other, images, size, relative)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_resnet_gives_torchs_maps_and_keypoints(narrow, tmp_path, name):
    info = dataclasses.replace(NETWORKS[name], border_cells=1)
    info = dataclasses.replace(info, pca=random_pca(feature_channels(info), 5))
    weights = write_weights(tmp_path / "weights.safetensors", info)
    network = delf_torch.load_network(weights, "cpu")
    path = tmp_path / "maps.onnx"
    checks = delf_torch.export(weights, path, ExportConfig())
    assert {check.output for check in checks} == {"attention", "features"}
    other = delf_onnx.load_network(path, "cpu")
    for size in ((90, 121), (121, 90), (83, 83)):  # none of those it was checked at
        assert_same_maps(network, other, noise(2, *size), size, OWN_SIZE)
    path = tmp_path / "keypoints.onnx"
    delf_torch.export(weights, path, ExportConfig("keypoints", max_feature_num=9))
    assert_same_keypoints(network, path, noise(2, 178, 209), 0.8, 9)


def test_neither_batch_nor_threads_change_a_bit(lite0_file, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = delf_onnx.load_network(lite0_file, "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    second = delf_onnx.load_network(lite0_file, "cpu")
    images, sizes = noise(3, 80, 97), [(80, 97), (57, 69)]
    together = first.dense(images, sizes)
    for image in range(3):
        alone = second.dense(images[image : image + 1], sizes)
        for one, all_three in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.attention[0], all_three.attention[image])
            np.testing.assert_array_equal(
                all_rows(one)[0], all_rows(all_three)[image], strict=True
            )


def test_gather_takes_row_major_cells_in_the_order_asked(lite0_file):
    network = delf_onnx.load_network(lite0_file, "cpu")
    maps = network.dense(noise(1, 64, 96), [(64, 96)])[0]
    every = all_rows(maps)[0]
    cells = np.array([7, 0, 7, 23])
    np.testing.assert_array_equal(maps.gather(0, cells), every[cells])
    assert maps.gather(0, np.zeros(0, np.intp)).shape == (0, network.channels)
    assert network.dense(noise(1, 64, 96), []) == []


# --- the form "keypoints" -------------------------------------------------------------


def assert_same_keypoints(network, path, images, scale, most):
    """Compare with what the extractor chooses of one level, row by row."""
    config = ExtractConfig((scale,), most, "none")
    wanted = Extractor(network, config).extract_batch(list(images))
    model = KeypointModel(path.read_bytes(), "cpu", str(path))
    size = tuple(round(side * scale) for side in images.shape[1:3])
    keypoints, scores, descriptors = model.run(images, size)
    for i, features in enumerate(wanted):
        assert len(features) > 0
        assert_near(keypoints[i], features.keypoints, 1e-6)
        assert_near(scores[i], features.scores, MAPS)
        assert_near(descriptors[i], features.descriptors, MAPS)


def test_keypoints_of_a_photograph_are_the_extractors(lite0, tmp_path):
    from skimage import data

    path = tmp_path / "keypoints.onnx"
    delf_torch.export("delf-lite0", path, ExportConfig("keypoints", max_feature_num=40))
    photograph = np.asarray(data.coffee())[None]
    for scale in (1.0, 0.5, 0.7071):
        assert_same_keypoints(lite0, path, photograph, scale, 40)
    model = KeypointModel(path.read_bytes(), "cpu", str(path))
    few = model.run(photograph, (64, 80))  # 4 x 5 cells, without the border 2 x 3
    assert [array.shape for array in few] == [(1, 6, 2), (1, 6), (1, 6, 96)]
    assert (np.diff(few[1]) <= 0).all()
    none = model.run(noise(2, 40, 40), (30, 30))  # 2 x 2 cells, all of them border
    assert [array.shape for array in none] == [(2, 0, 2), (2, 0), (2, 0, 96)]


def test_equal_scores_are_ordered_by_row_then_column(tmp_path):
    path = tmp_path / "keypoints.onnx"
    delf_torch.export("delf-lite0", path, ExportConfig("keypoints", max_feature_num=50))
    model = KeypointModel(path.read_bytes(), "cpu", str(path))
    flat = np.full((1, 640, 640, 3), 90, np.uint8)  # one score wherever no edge is seen
    keypoints, scores, _ = model.run(flat, (640, 640))
    for score in np.unique(scores):
        x, y = keypoints[0, scores[0] == score].T
        assert (np.lexsort((x, y)) == np.arange(len(x))).all()
    assert len(np.unique(scores)) < scores.size


# --- stored in half the bytes ---------------------------------------------------------


def test_float16_halves_the_file_and_only_rounds_the_kernels(lite0_file, tmp_path):
    path = tmp_path / "half.onnx"
    delf_torch.export("delf-lite0", path, ExportConfig(dtype="float16"))
    assert path.stat().st_size < 0.55 * lite0_file.stat().st_size
    half = delf_onnx.load_network(path, "cpu")
    rounded = delf_torch.load_network("delf-lite0", "cpu")
    for parameter in rounded.delf.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.half().float()
    assert_same_maps(rounded, half, noise(1, 90, 75), (90, 75), OWN_SIZE)
    exact = delf_onnx.load_network(lite0_file, "cpu")
    assert_same_maps(exact, half, noise(1, 90, 75), (90, 75), 0.01)
    assert exact.info.sha256 == load_checkpoint("delf-lite0").info.sha256
    assert half.info.sha256 != exact.info.sha256


def test_a_kernel_too_large_for_float16_is_refused(narrow, tmp_path):
    weights = write_weights(tmp_path / "weights.safetensors", KERAS)
    checkpoint = load_checkpoint(weights)
    checkpoint.params["block1.0.conv1.weight"] *= 1e6
    save_checkpoint(weights, checkpoint.params, KERAS)
    with pytest.raises(DelfError, match=r"block1.*does not fit float16"):
        delf_torch.export(weights, tmp_path / "x.onnx", ExportConfig(dtype="float16"))


# --- what is refused ------------------------------------------------------------------


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    whole = exporting.trace

    def damaged(network, config):
        model = whole(network, config)
        kernel = next(t for t in model.graph.initializer if len(t.dims) == 4)
        values = onnx.numpy_helper.to_array(kernel) * np.float32(1.01)
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
        return model

    monkeypatch.setattr(exporting, "trace", damaged)
    path = tmp_path / "x.onnx"
    for form in ("maps", "keypoints"):
        assert main(["export", str(path), "--form", form]) == 1
        error = capsys.readouterr().err
        assert "differs in" in error and "--tolerance is 0.0001" in error
        assert list(tmp_path.iterdir()) == []
    assert main(["export", str(path), "--tolerance", "0.5"]) == 0
    path.write_bytes(b"kept")
    assert main(["export", str(path), "--overwrite"]) == 1
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["x.pt"], 2, "ends in .onnx"),
        (["x.onnx", "--opset", "9"], 2, "must be 13 to 20"),
        (["x.onnx", "--max_feature_num", "0"], 2, "above 0"),
        (["x.onnx", "--tolerance", "0"], 2, "above 0"),
        (["x.onnx", "--form", "boxes"], 2, "boxes"),
        (["x.onnx", "--weights", "nothing"], 1, "embedded weights"),
    ],
)
def test_a_wrong_export_is_one_clear_line(
    tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == code
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_kept_without_overwrite(lite0_file, capsys):
    assert main(["export", str(lite0_file)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    found = exporting.importlib.util.find_spec
    monkeypatch.setattr(
        exporting.importlib.util,
        "find_spec",
        lambda name: None if name == "onnx" else found(name),
    )
    with pytest.raises(DelfError, match="needs the package onnx"):
        delf_torch.export("delf-lite0", tmp_path / "x.onnx", ExportConfig())


def test_what_is_no_exported_map_file_is_refused_with_a_way_out(tmp_path, lite0_file):
    keypoints = tmp_path / "keypoints.onnx"
    delf_torch.export("delf-lite0", keypoints, ExportConfig("keypoints"))
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(lite0_file.read_bytes()[:5000])
    foreign = tmp_path / "foreign.onnx"
    model = onnx.load(lite0_file)
    del model.metadata_props[:]
    onnx.save(model, foreign)
    for weights, message in (
        ("delf-lite0", "delf export model.onnx --weights delf-lite0"),
        (tmp_path / "none.onnx", "no such file"),
        (damaged, "damaged.onnx cannot be loaded by onnxruntime"),
        (foreign, "was not written by delf export"),
        (keypoints, "--form maps"),
    ):
        with pytest.raises(DelfError, match=message):
            delf_onnx.load_network(weights, "cpu")
    with pytest.raises(DelfError, match="form 'maps'"):
        KeypointModel(lite0_file.read_bytes(), "cpu", str(lite0_file))


def test_what_takes_a_framework_is_refused(lite0_file, tmp_path):
    network = delf_onnx.load_network(lite0_file, "auto")
    with pytest.raises(DelfError, match="block4"):
        network.global_maps(noise(1, 64, 64), (64, 64))
    with pytest.raises(DelfError, match="cannot export"):
        delf_onnx.export("delf-lite0", tmp_path / "x.onnx", ExportConfig())
    with pytest.raises(DelfError, match="cannot train"):
        delf_onnx.train(None)


@pytest.mark.parametrize("device", ["gpu", "ascend:0", "cuda:x", "cpu:1"])
def test_unknown_devices_are_refused(lite0_file, device):
    with pytest.raises(UsageError, match="auto, cpu and cuda:N"):
        delf_onnx.load_network(lite0_file, device)


def test_a_cuda_device_needs_onnxruntimes_cuda(lite0_file, monkeypatch):
    import onnxruntime

    only_cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: only_cpu)
    with pytest.raises(UsageError, match="onnxruntime-gpu"):
        delf_onnx.load_network(lite0_file, "cuda:0")


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("2,1", 2)])
def test_threads_follow_the_setting_that_torch_follows(monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert count_threads() == threads
    for nothing in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert count_threads() >= 1


# --- what a file says of itself -------------------------------------------------------


def test_a_file_carries_all_that_its_weights_say(narrow, tmp_path):
    info = dataclasses.replace(
        KERAS,
        pca=random_pca(feature_channels(KERAS), 3),
        score_threshold=0.25,
        extraction={"image_scales": [0.5, 1.0]},
        provenance={"licence": "Apache-2.0", "source": "Zürich"},
    )
    weights = write_weights(tmp_path / "weights.safetensors", info)
    path = tmp_path / "x.onnx"
    delf_torch.export(weights, path, ExportConfig(opset=15))
    network = delf_onnx.load_network(path, "cpu")
    wanted = delf_torch.load_network(weights, "cpu")
    plain = dataclasses.replace(network.info, pca=None)
    assert plain == dataclasses.replace(wanted.info, pca=None)
    for field in dataclasses.fields(Pca):
        array = getattr(info.pca, field.name)
        np.testing.assert_array_equal(getattr(network.info.pca, field.name), array)
    assert network.receptive_field == wanted.receptive_field
    assert network.channels == wanted.channels
    model = onnx.load(path)
    assert [opset.version for opset in model.opset_import] == [15]
    checks = json.loads({p.key: p.value for p in model.metadata_props}["delf"])
    assert len(checks["checks"]) >= 8 and checks["form"] == "maps"


def test_the_same_weights_give_the_same_bytes(lite0_file, tmp_path):
    again = tmp_path / "again.onnx"
    delf_torch.export("delf-lite0", again, ExportConfig())
    assert again.read_bytes() == lite0_file.read_bytes()


def test_damaged_or_newer_properties_are_refused():
    exported = ExportedInfo(KERAS, ReceptiveField(8, 8, 0), 4, "maps", "float32")
    properties = to_properties(exported)
    assert from_properties(properties, "x") == exported
    newer = json.dumps(json.loads(properties["delf"]) | {"format_version": 2})
    with pytest.raises(DelfError, match="format version 2"):
        from_properties({"delf": newer}, "x")
    strange = json.dumps(json.loads(properties["delf"]) | {"surprise": 1})
    for text in ("{", "[]", "{}", strange):
        with pytest.raises(DelfError, match="x has damaged metadata"):
            from_properties({"delf": text}, "x")
    for pca in ("%%%", "AAAA"):
        with pytest.raises(DelfError, match="x has damaged metadata"):
            from_properties(properties | {"delf.pca": pca}, "x")


# --- the commands ---------------------------------------------------------------------

FAST = ["--image_scales", "0.5,0.7071,1", "--max_feature_num", "300"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two views of one place from scikit-image's photograph, and another place."""
    import cv2
    from skimage import data

    from delf_common.matching.drawing import save_picture

    folder = tmp_path_factory.mktemp("photographs")
    turn = cv2.getRotationMatrix2D((300, 200), 8, 0.9)
    coffee = np.asarray(data.coffee())
    save_picture(folder / "cup.png", coffee)
    save_picture(folder / "turned.png", cv2.warpAffine(coffee, turn, (600, 400)))
    save_picture(folder / "cat.png", np.asarray(data.chelsea()))
    return folder


def extract(photographs, output, *network):
    assert (
        main(["extract", *map(str, photographs), "--output", str(output), *network])
        == 0
    )
    with FeatureReader(output) as reader:
        return {name: reader.read(name) for name in reader.names()}, reader.info


def assert_same_features(given, wanted, most):
    """The same keypoints, but where scores nearly equal the last one that was kept."""
    assert len(given) == len(wanted) == most
    rows = [
        {
            (scale, x, y): row
            for row, (scale, (x, y)) in enumerate(
                zip(one.scales, one.keypoints.round(1), strict=True)
            )
        }
        for one in (given, wanted)
    ]
    shared = sorted(rows[0].keys() & rows[1].keys())
    for one, own in zip((given, wanted), rows, strict=True):
        others = [own[place] for place in own.keys() - set(shared)]
        assert (one.scores[others] <= one.scores.min() * (1 + 2 * MAPS)).all()
    assert len(shared) >= most - 2
    first, second = ([own[place] for place in shared] for own in rows)
    assert_near(given.scores[first], wanted.scores[second], MAPS)
    # Stored as float16, whose steps are 2e-4 of a component near 0.4.
    assert_near(given.descriptors[first], wanted.descriptors[second], 1e-3)


def test_extract_gives_the_features_of_torch(photographs, lite0_file, tmp_path):
    check_extraction(sorted(photographs.iterdir())[:2], lite0_file, tmp_path)


def test_extract_gives_the_features_of_torch_on_a_photograph(
    shared_data, lite0_file, tmp_path
):
    photograph = shared_data / "minibench" / "images" / "castle_00.jpg"
    check_extraction([photograph], lite0_file, tmp_path)


def check_extraction(paths, lite0_file, tmp_path):
    network = ["--backend", "onnx", "--weights", str(lite0_file)]
    given, made = extract(paths, tmp_path / "onnx.h5", *network, *FAST)
    wanted, made_by_torch = extract(paths, tmp_path / "torch.h5", *FAST)
    assert list(given) == list(wanted) == [path.name for path in paths]
    for name in wanted:
        assert_same_features(given[name], wanted[name], 300)
    differing = {key for key in made if made[key] != made_by_torch[key]}
    assert differing == {"backend"}


def test_torchs_index_is_searched_with_onnxruntime(
    photographs, lite0_file, tmp_path, capsys
):
    index, query = tmp_path / "places.h5", str(photographs / "turned.png")
    assert main(["index", str(photographs), "--output", str(index), *FAST]) == 0
    capsys.readouterr()
    search = ["search", str(index), query, "--json"]
    assert main(search) == 0
    wanted = json.loads(capsys.readouterr().out)["results"]
    assert main([*search, "--backend", "onnx", "--weights", str(lite0_file)]) == 0
    given = json.loads(capsys.readouterr().out)["results"]
    assert [row["name"] for row in given] == [row["name"] for row in wanted]
    assert given[0]["name"] == "turned.png" and given[1]["name"] == "cup.png"
    for one, other in zip(given, wanted, strict=True):
        assert one["inliers"] == pytest.approx(other["inliers"], rel=0.03, abs=2)
    half = tmp_path / "half.onnx"
    delf_torch.export("delf-lite0", half, ExportConfig(dtype="float16"))
    assert main([*search, "--backend", "onnx", "--weights", str(half)]) == 2
    assert "was made with the weights" in capsys.readouterr().err


WITHOUT_FRAMEWORKS = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "mindspore", "onnx", "delf_torch"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
from delf_common.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_frameworks(*arguments):
    command = [sys.executable, "-c", WITHOUT_FRAMEWORKS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_match_needs_neither_framework(photographs, lite0_file, tmp_path):
    pair = [photographs / "cup.png", photographs / "turned.png"]
    network = ["--backend", "onnx", "--weights", lite0_file, *FAST]
    picture = tmp_path / "match.png"
    done = run_without_frameworks(
        "match", *pair, "--output", picture, "--json", *network
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inliers"] > 60
    assert picture.stat().st_size > 10_000
    refused = run_without_frameworks("match", *pair, *FAST)
    assert refused.returncode == 1  # so that the block is known to work
    assert "torch" in refused.stderr


def test_the_bench_sets_the_runtimes_side_by_side(photographs, monkeypatch, capsys):
    from delf_common import backends

    monkeypatch.setitem(backends.FRAMEWORKS, "ms", "a_package_that_is_not_there")
    small = ["--images", str(photographs), "--image_scales", "0.3", "--repeats", "1"]
    assert main(["bench", "backends", *small, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["runtimes"]
    assert list(rows) == ["torch", "onnx float32", "onnx float16"]
    assert found["images"] == 3 and min(row["seconds"] for row in rows.values()) > 0
    for output in ("attention", "features"):
        apart = [row[output]["relative"] for row in rows.values()]
        assert apart[0] == 0 < apart[1] < MAPS < apart[2] < 0.05
    assert (
        rows["onnx float16"]["file_bytes"] < 0.55 * rows["onnx float32"]["file_bytes"]
    )
    assert main(["bench", "backends", *small]) == 0
    assert "onnx float16" in capsys.readouterr().out
