# SPDX-License-Identifier: Apache-2.0
"""MindIR files: the numbers of MindSpore, whoever runs them."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_lite import fake_lite
from small_networks import DELG, SLIM, calm_params

pytest.importorskip("mindspore", reason="MindIR files are written by MindSpore")

import delf_mindir
import delf_ms
from delf_common.cli.main import main
from delf_common.config import ExportConfig
from delf_common.errors import DelfError, UsageError
from delf_common.extraction.canvas import place
from delf_common.extraction.levels import draw_level
from delf_common.retrieval.index import Index
from delf_common.weights.checkpoint import load_checkpoint, save_checkpoint
from delf_common.weights.comparing import all_rows
from delf_common.weights.exported import from_properties
from delf_common.weights.metadata import Pca
from delf_common.weights.mindir import add_properties, read_properties
from delf_ms import export_forms, exporting
from delf_ms.graph import Graph

ms = sys.modules["mindspore"]
HERE = Path(__file__).parent
MAPS = 1e-4  # of the largest value: OpenCV and MindSpore round positions differently
CANVASES = ("112x144", "144x112")


@pytest.fixture(scope="module")
def lite0():
    return delf_ms.load_network("delf-lite0", "cpu")


@pytest.fixture(scope="module")
def lite0_file(tmp_path_factory):
    """The embedded weights, for any size; made once: it takes seconds."""
    path = tmp_path_factory.mktemp("mindir") / "lite0.mindir"
    checks = delf_ms.export("delf-lite0", path, ExportConfig())
    assert {check.output for check in checks} == {"attention", "features"}
    assert len(checks) == 12
    return path


@pytest.fixture(scope="module")
def on_canvases(tmp_path_factory):
    """The same, for two canvases."""
    path = tmp_path_factory.mktemp("mindir") / "canvases.mindir"
    delf_ms.export("delf-lite0", path, ExportConfig(canvases=CANVASES))
    return path


def noise(count, height, width):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


def assert_near(actual, wanted, relative):
    assert actual.shape == wanted.shape and actual.dtype == np.float32
    assert np.isfinite(actual).all()
    difference = np.abs(actual.astype(np.float64) - wanted).max()
    assert difference <= relative * np.abs(wanted).max()


# --- any size -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "height", "width", "size", "relative"),
    [
        (1, 64, 96, (64, 96), 0),
        (3, 65, 98, (65, 98), 0),
        (2, 99, 131, (35, 46), MAPS),
        (1, 100, 75, (141, 106), MAPS),
    ],
)
def test_maps_are_mindspores_for_any_batch_and_size(
    lite0, lite0_file, count, height, width, size, relative
):
    other = delf_mindir.load_network(lite0_file, "cpu")
    images = noise(count, height, width)
    a, b = lite0.dense(images, [size])[0], other.dense(images, [size])[0]
    assert_near(b.attention, a.attention, relative)
    assert_near(all_rows(b), all_rows(a), relative)
    assert b.gather(0, np.zeros(0, np.intp)).shape == (0, other.channels)


def test_levels_are_drawn_as_the_device_draws_them(lite0):
    from delf_ms.layers import normalise, resize

    images = noise(2, 90, 121)
    for size in ((90, 121), (45, 60), (127, 171), (33, 200)):
        wanted = resize(normalise(ms.Tensor(images)), size).asnumpy()
        assert_near(draw_level(images, size), wanted, 5e-5)
    assert draw_level(images[:0], (45, 60)).shape == (0, 3, 45, 60)


def test_a_file_carries_all_that_its_weights_say(narrow, tmp_path):
    rng = np.random.default_rng(1)
    components = np.linalg.qr(rng.normal(size=(7, 7)))[0][:3]
    pca = Pca(
        *(a.astype(np.float32) for a in (rng.normal(size=7), components, np.ones(3)))
    )
    info = dataclasses.replace(
        DELG, pca=pca, score_threshold=0.25, provenance={"source": "Zürich"}
    )
    weights, path = tmp_path / "w.safetensors", tmp_path / "x.mindir"
    save_checkpoint(weights, calm_params(info), info)
    delf_ms.export(weights, path, ExportConfig())
    network = delf_mindir.load_network(path, "cpu")
    wanted = load_checkpoint(weights).info
    assert network.info.sha256 == wanted.sha256 and len(wanted.sha256) == 64
    plain = [dataclasses.replace(one, pca=None) for one in (network.info, wanted)]
    assert plain[0] == plain[1]
    for field in dataclasses.fields(Pca):
        np.testing.assert_array_equal(
            getattr(network.info.pca, field.name), getattr(pca, field.name)
        )
    reference = delf_ms.load_network(weights, "cpu")
    assert network.receptive_field == reference.receptive_field
    assert network.channels == reference.channels == 7
    a = reference.dense(noise(1, 90, 121), [(90, 121)])[0]
    b = network.dense(noise(1, 90, 121), [(90, 121)])[0]
    np.testing.assert_array_equal(all_rows(a), all_rows(b))


def test_the_same_weights_give_the_same_bytes_and_leave_nothing_behind(
    lite0_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    delf_ms.export("delf-lite0", tmp_path / "again.mindir", ExportConfig())
    assert (tmp_path / "again.mindir").read_bytes() == lite0_file.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.mindir"]


# --- canvases -------------------------------------------------------------------------


def test_on_a_canvas_inner_cells_are_those_without_one(lite0, on_canvases):
    other = delf_mindir.load_network(on_canvases, "cpu")
    images, size = noise(2, 97, 130), (97, 130)
    a, b = lite0.dense(images, [size])[0], other.dense(images, [size])[0]
    assert b.attention.shape == a.attention.shape == (2, 7, 9)
    field = lite0.receptive_field
    placement = place(size, other.canvases, field)
    canvas = np.zeros((2, 3, *placement.canvas), np.float32)
    canvas[:, :, placement.pixels[0], placement.pixels[1]] = draw_level(images, size)
    features, _ = lite0.maps(ms.Tensor(canvas))
    rows = features.asnumpy().transpose(0, 2, 3, 1)
    rows = rows[:, placement.cells[0], placement.cells[1]].reshape(2, 63, -1)
    np.testing.assert_array_equal(all_rows(b), rows)
    with pytest.raises(DelfError, match=r"112x144, 144x112\. .*--max_image_size"):
        other.dense(images, [(145, 100)])


def test_one_canvas_gives_a_static_graph(narrow, tmp_path):
    weights, path = tmp_path / "w.safetensors", tmp_path / "x.mindir"
    save_checkpoint(weights, calm_params(SLIM), SLIM)
    delf_ms.export(weights, path, ExportConfig(canvases=("128x160",)))
    graph = Graph(path, "cpu", dynamic=False)
    attention, features = graph(np.ones((1, 3, 128, 160), np.float32))
    assert attention.shape == (1, 4, 5) and features.shape == (1, 4, 5, 16)
    network = delf_mindir.load_network(path, "cpu")
    maps = network.dense(noise(2, 100, 140), [(100, 140), (50, 70)])
    assert [one.attention.shape for one in maps] == [(2, 4, 5), (2, 2, 3)]


def test_the_originals_form_takes_seven_levels(narrow, tmp_path, monkeypatch):
    assert export_forms.ORIGINAL == (7, 3, 2048, 2048)
    monkeypatch.setattr(export_forms, "ORIGINAL", (7, 3, 64, 96))
    weights, path = tmp_path / "w.safetensors", tmp_path / "DELF_MindIR.mindir"
    save_checkpoint(weights, calm_params(SLIM), SLIM)
    assert (
        main(["export", str(path), "--form", "original", "--weights", str(weights)])
        == 0
    )
    levels = np.random.default_rng(0).normal(size=(7, 3, 64, 96)).astype(np.float32)
    prob, block3 = Graph(path, "cpu", dynamic=False)(levels)
    assert prob.shape == (7, 1, 2, 3) and block3.shape == (7, 16, 2, 3)
    features, attention = delf_ms.load_network(weights, "cpu").maps(ms.Tensor(levels))
    np.testing.assert_array_equal(prob[:, 0], attention.asnumpy())
    np.testing.assert_array_equal(block3, features.asnumpy())
    with pytest.raises(DelfError, match=r"form 'original'.*--form maps"):
        delf_mindir.load_network(path, "cpu")


# --- what is refused ------------------------------------------------------------------


def test_a_file_that_differs_is_not_written(narrow, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "w.safetensors"
    save_checkpoint(weights, calm_params(SLIM), SLIM)

    def damaged(network, config):
        kernel = network.delf.attention.conv2.weight
        kept = kernel.asnumpy()
        kernel.set_data(kernel * 1.01)
        model = whole(network, config)
        kernel.set_data(type(kernel)(kept))
        return model

    whole = exporting.trace
    monkeypatch.setattr(exporting, "trace", damaged)
    path = tmp_path / "x.mindir"
    path.write_bytes(b"kept")
    assert main(["export", str(path), "--overwrite", "--weights", str(weights)]) == 1
    error = capsys.readouterr().err
    assert "differs in attention" in error and "--tolerance is 0.0001" in error
    assert path.read_bytes() == b"kept"
    path.unlink()
    assert [one.name for one in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.onnx", "--format", "mindir"], "ends in .mindir"),
        (["x.mindir", "--form", "keypoints"], "take --form maps"),
        (["x.mindir", "--dtype", "float16"], "is for --format onnx"),
        (["x.mindir", "--tolerance", "0"], "above 0"),
        (["x.mindir", "--canvases", "64x64,big"], "--canvases big: a canvas is height"),
        (["x.mindir", "--canvases", "64x"], "such as 768x1024"),
        (["x.mindir", "--form", "original", "--canvases", "64x64"], "drop --canvases"),
    ],
)
def test_a_wrong_export_is_one_clear_line(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exported_map_file_is_refused_with_a_way_out(tmp_path, lite0_file):
    whole = lite0_file.read_bytes()
    at = len(whole) // 2
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for name, data, message in (
        ("flipped", flipped, "its graph is not the one that was written"),
        ("short", whole[:5000], "is no MindIR file, or damaged: truncated"),
        ("empty", b"", "holds no graph"),
        ("text", b"hello", "is no MindIR file"),
        ("foreign", foreign(whole), "was not written by delf export"),
    ):
        path = tmp_path / f"{name}.mindir"
        path.write_bytes(data)
        with pytest.raises(DelfError, match=message):
            delf_mindir.load_network(path, "cpu")
    for weights, message in (
        ("delf-lite0", "delf export model.mindir --format mindir --weights delf-lite0"),
        (tmp_path / "none.mindir", "no such file"),
    ):
        with pytest.raises(DelfError, match=message):
            delf_mindir.load_network(weights, "cpu")


def parse(model):
    return ms.train.mind_ir_pb2.ModelProto.FromString(model)


def foreign(model):
    """The file as another program would have written it: the graph alone."""
    parsed = parse(model)
    parsed.user_info.clear()
    return parsed.SerializeToString()


def test_a_graph_that_mindspore_cannot_load_is_an_error_of_ours(tmp_path):
    path = tmp_path / "x.mindir"
    path.write_bytes(add_properties(b"\x3a\x03abc", {}))
    with pytest.raises(DelfError, match=r"x\.mindir cannot be loaded by MindSpore"):
        Graph(path, "cpu")


def test_properties_survive_and_need_no_mindspore():
    graph = b"\x0a\x03one\x3a\x05graph"
    given = {"delf": "ä" * 300, "delf.pca": ""}
    assert read_properties(add_properties(graph, given), "x") == given
    assert read_properties(graph, "x") == {}
    with pytest.raises(DelfError, match="was not written by delf export"):
        from_properties(read_properties(graph, "x"), "x")


def test_what_takes_a_framework_is_refused(lite0_file, tmp_path):
    network = delf_mindir.load_network(lite0_file)
    with pytest.raises(DelfError, match="block4"):
        network.global_maps(noise(1, 64, 64), (64, 64))
    with pytest.raises(DelfError, match="cannot export"):
        delf_mindir.export("delf-lite0", tmp_path / "x.mindir", ExportConfig())
    with pytest.raises(DelfError, match="cannot train"):
        delf_mindir.train(None)
    with pytest.raises(UsageError, match="has no Ascend"):
        delf_mindir.load_network(lite0_file, "ascend:0")


# --- MindSpore Lite, by a stand-in ----------------------------------------------------


@pytest.fixture
def lite(monkeypatch):
    """Install the stand-in; gives a function that says which graph it runs."""
    built = []

    def install(path):
        monkeypatch.setitem(
            sys.modules, "mindspore_lite", fake_lite(Graph(path, "cpu"), built)
        )
        sys.modules.pop("delf_mindir.lite", None)
        return built

    yield install
    sys.modules.pop("delf_mindir.lite", None)


def test_lite_on_an_ascend_gives_the_same_maps(lite, lite0_file):
    built = lite(lite0_file)
    network = delf_mindir.load_network(lite0_file, "ascend:3")
    context = built[0].context
    assert context.target == ["ascend"] and context.ascend.device_id == 3
    assert context.ascend.precision_mode == "preferred_fp32"
    assert built[0].config is None
    images, sizes = noise(2, 70, 91), [(70, 91), (49, 64), (70, 91)]
    given = network.dense(images, sizes)
    wanted = delf_mindir.load_network(lite0_file, "cpu").dense(images, sizes)
    for a, b in zip(given, wanted, strict=True):
        assert_near(a.attention, b.attention, 1e-5)  # two images run together
        assert_near(all_rows(a), all_rows(b), 1e-5)
    assert built[0].resized == [(2, 3, 70, 91), (2, 3, 49, 64), (2, 3, 70, 91)]
    assert len(built) == 1  # the cpu ran MindSpore's own


def test_lite_is_told_the_canvases_and_only_gets_those(lite, on_canvases):
    built = lite(on_canvases)
    network = delf_mindir.load_network(on_canvases)  # auto: the first Ascend
    assert built[0].config == {
        "ascend_context": {
            "input_format": "NCHW",
            "input_shape": "level:[1,3,-1,-1]",
            "dynamic_dims": "[112,144],[144,112]",
        }
    }
    images = noise(2, 97, 130)
    network.dense(images, [(97, 130), (130, 97)])
    assert built[0].resized == [(1, 3, 112, 144), (1, 3, 144, 112)]


def test_the_input_has_the_name_that_lite_is_told(on_canvases):
    model = parse(on_canvases.read_bytes())
    assert [one.name for one in model.graph.input] == ["level"]
    assert json.loads(model.user_info["delf"])["canvases"] == [[112, 144], [144, 112]]


def test_lites_failures_name_the_file_and_the_way_out(lite, lite0_file, tmp_path):
    lite(lite0_file)
    from delf_mindir.lite import LiteModel

    small = tmp_path / "small.mindir"
    small.write_bytes(b"x")
    with pytest.raises(DelfError, match=r"Build model failed\.; .*--canvases"):
        LiteModel(small, "ascend:0")
    model = LiteModel(lite0_file, "ascend", ((64, 64), (64, 96)))
    with pytest.raises(DelfError, match=r"failed on a level of 32x64: resize to"):
        model(np.zeros((1, 3, 32, 64), np.float32))
    for device in ("gpu", "ascend:x", "cpu:0"):
        with pytest.raises(UsageError, match="auto, cpu and ascend:N"):
            LiteModel(lite0_file, device)


LITE_IN_NAME = """
import sys
from types import SimpleNamespace
class Model:
    def build_from_file(self, path, *rest, **more):
        print("built", path)
ModelType = SimpleNamespace(MINDIR=0)
Context = SimpleNamespace
"""


def test_lite_alone_needs_no_framework(lite0_file, tmp_path):
    """Neither framework is there; Lite is, in name."""
    (tmp_path / "mindspore_lite.py").write_text(LITE_IN_NAME)
    folders = [str(tmp_path), str(HERE.parent), str(HERE / "blocking")]
    program = (
        "import sys\n"
        "from delf_common.backends import load_backend\n"
        "network = load_backend('mindir').load_network(sys.argv[1], 'cpu')\n"
        "print(network.channels, {'torch', 'mindspore'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(lite0_file)],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(folders),
            "DELF_TESTS_BLOCK": "torch,mindspore,onnxruntime",
        },
        check=False,
    )
    assert done.stdout == f"built {lite0_file}\n112 set()\n", done.stderr


# --- delf infer -----------------------------------------------------------------------

FAST = ["--image_scales", "0.5,0.7071", "--max_feature_num", "300"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two places with two views each, and their ground truth beside them."""
    from delf_common.demo import write_demo

    whole = tmp_path_factory.mktemp("demo")
    write_demo(whole)
    folder = tmp_path_factory.mktemp("places") / "photographs"
    folder.mkdir()
    kept = {"coffee": ["coffee.jpg", "coffee_1.jpg"], "cat": ["chelsea.jpg"]}
    kept["cat"].append("chelsea_2.jpg")
    for name in [name for names in kept.values() for name in names]:
        (whole / name).rename(folder / name)
    from delf_common.demo import ground_truth

    (folder.parent / "gnd.json").write_text(json.dumps(ground_truth(kept)))
    return folder


def run_json(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_infer_matches_a_pair_as_mindspore_does(places, lite0_file, tmp_path, capsys):
    pair = [places / "coffee.jpg", places / "coffee_1.jpg"]
    picture = tmp_path / "match.png"
    given = run_json(
        capsys, "infer", "match", lite0_file, *pair, "--output", picture, *FAST
    )
    wanted = run_json(capsys, "match", *pair, "--backend", "ms", *FAST)
    assert given["keypoints"] == wanted["keypoints"] == [300, 300]
    assert given["inliers"] > 100
    assert given["inliers"] == pytest.approx(wanted["inliers"], rel=0.05)
    assert picture.stat().st_size > 10_000


def test_infer_retrieval_writes_features_ranks_and_map(
    places, lite0_file, tmp_path, capsys
):
    truth, results = places.parent / "gnd.json", tmp_path / "results"
    command = ["infer", "retrieval", lite0_file, places, "--ground_truth", truth]
    command += ["--output", results, *FAST]
    given = run_json(capsys, *command)
    made = {path.name for path in results.iterdir()}
    wanted = {"features.h5", "places.h5", "rankings.json", "mAP.txt", "metrics.json"}
    assert made == wanted
    assert "mAP=100.0" in (results / "mAP.txt").read_text()
    with Index(results / "places.h5") as index:
        assert len(index) == 4 and index.info["backend"] == "mindir"
        assert index.info["weights_sha256"] == load_checkpoint("delf-lite0").info.sha256
    ranked = json.loads((results / "rankings.json").read_text())["rankings"]
    assert ranked["coffee.jpg"][1] == "coffee_1.jpg"
    assert main([*map(str, command)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert run_json(capsys, *command, "--resume") == given


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["match", "x.safetensors", "a.jpg", "b.jpg"], "x.safetensors: give a file of"),
        (["match", "x.mindir", "a.jpg"], "got 1 photographs"),
        (["retrieval", "x.mindir", "a"], "needs --ground_truth"),
        (["retrieval", "x.mindir", "a", "--ground_truth", "g"], "needs --output"),
        (["segment", "x.mindir", "a"], "segment"),
        (["match", "x.onnx", "a.jpg", "b.jpg", "--weights", "w"], "--weights"),
    ],
)
def test_a_wrong_infer_is_one_clear_line(capsys, arguments, message):
    assert main(["infer", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
