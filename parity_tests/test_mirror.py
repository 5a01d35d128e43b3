# SPDX-License-Identifier: Apache-2.0
"""delf_torch and delf_ms say the same: files, names, arguments, order, defaults.

Both are read, not imported: this runs where neither framework is installed.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH, MS = ROOT / "delf_torch", ROOT / "delf_ms"

# Words that the frameworks, and so the classes of ours, say differently.
WORDS = {"construct": "forward", "Ms": "Torch"}
# What one side alone has, and why. A line that is no longer true fails the test.
ONE_GRAPH = "MindSpore compiles forward, backward and update as one graph"
ONNX = "PyTorch writes ONNX: bytes in, resizing inside, keypoints if wanted"
MINDIR = "MindSpore writes MindIR: levels in, static shapes if wanted"
FILES = {
    "mind_dataset.py": "MindSpore's own reader of MindRecord shards",
    "step.py": ONE_GRAPH,
    "adamw.py": "MindSpore's own does not correct the bias of the first steps",
    "export_geometry.py": "only PyTorch writes the form with keypoints inside",
    "export_layers.py": "ONNX has a name for padding that depends on the input",
    "export_names.py": "MindSpore's names hold counters of the process",
    "graph.py": "a MindIR file is run by MindSpore, an ONNX file by delf_onnx",
    "state_dict.py": "delf_common/weights/mindspore_ckpt.py reads .ckpt, in NumPy",
    "torchvision_weights.py": "weights that only torchvision downloads",
    "plain_network.py": "what PyTorch is measured beside",
    "rates.py": "the same",
    "chains.py": "MindSpore's operators have no strips, and fuse by themselves",
    "beside.py": "MindSpore shares its threads out by itself",
    "cpu_backbone.py": "the same",
    "fused.py": "the same",
    "graphs.py": "MindSpore compiles and launches whole graphs by itself",
    "transfers.py": "MindSpore has no pinned memory of ours to copy through",
    "environment.py": "MindSpore reads how loud it is when it is imported",
}
NAMES = {
    "distributed.py": {"TABLES": "rank tables are of Ascends"},
    "precision.py": {
        "WITHOUT_BFLOAT16": "PyTorch can ask the device",
    },
    "stages.py": {"STATISTICS": "running statistics are parameters to MindSpore"},
    "device.py": {
        "AVX2": "MindSpore's oneDNN is slow with AVX-512",
        "limit_instructions": "the same",
        "limit_threads": "MindSpore's own threads do not read OMP_NUM_THREADS",
        "count_ascends": "MindSpore has no list of devices",
        "occupy": "MindSpore has one device a process",
    },
    "export_check.py": {
        "CHECK_SCALES": ONNX,
        "THE_FILE": ONNX,
        "check_maps": ONNX,
        "check_keypoints": ONNX,
        "OUTPUTS": MINDIR,
        "check_any_size": MINDIR,
        "check_fixed": MINDIR,
    },
    "export_forms.py": {
        "Axes": ONNX,
        "MapForm": ONNX,
        "MapForm.__init__": ONNX,
        "MapForm.forward": ONNX,
        "KeypointForm": ONNX,
        "KeypointForm.__init__": ONNX,
        "KeypointForm.forward": ONNX,
        "describe": ONNX,
        "normalise_rows": ONNX,
        "Shape": MINDIR,
        "LevelForm": MINDIR,
        "LevelForm.__init__": MINDIR,
        "LevelForm.forward": MINDIR,
        "OriginalForm": MINDIR,
        "OriginalForm.__init__": MINDIR,
        "OriginalForm.forward": MINDIR,
        "input_shape": MINDIR,
        "canvases_of": MINDIR,
        "example": MINDIR,
    },
    "exporting.py": {
        "OPSETS": ONNX,
        "round_kernels": "MindIR files hold float32",
        "put_properties": "delf_common/weights/mindir.py does it, without MindSpore",
    },
    "layers.py": {
        "BatchNorm.train": "set_train asks no layer; freeze_batch_norm tells it",
        "Convolution.forward": "MindSpore's own pads by TensorFlow's rule",
        "pad_same": "MindSpore's own layers pad by TensorFlow's rule",
        "same_padding": "the same",
        "put_channels_last": "MindSpore's maps are always NCHW on a CPU",
        "softplus": "MindSpore's own loses the digits of low scores",
    },
    "network.py": {
        "compile_graph": "PyTorch runs without compiling",
        "join": "PyTorch's cat is cheap",
        "TorchMaps.attention": "PyTorch's copy may still be on its way",
        "run_on": "MindSpore compiles a graph for any device",
        "full_precision": "device.py sets it for the process, MindSpore cannot ask",
    },
    "parameters.py": {
        "WORDS": "MindSpore's words for the parts of a batch norm",
        "canonical_name": "the same",
    },
}


def python_files(folder):
    return {path.name for path in folder.glob("*.py")}


def describe(path):
    """Public name -> arguments with defaults, for functions, classes and methods."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found |= describe_node(node, "")
    if path.name == "__init__.py":  # what is imported there counts too
        found = dict.fromkeys(exported(path), "")
    return {name: text for name, text in found.items() if is_public(name)}


def describe_node(node, prefix):
    if isinstance(node, ast.FunctionDef):
        return {prefix + translate(node.name): signature(node)}
    if isinstance(node, ast.ClassDef):
        name = translate(node.name)
        inside = {name: ""}
        for part in node.body:
            inside |= describe_node(part, f"{name}.")
        return inside
    if isinstance(node, ast.Assign) and not prefix:
        return {target.id: ast.unparse(node.value) for target in node.targets}
    return {}


def signature(node):
    """Names, order and defaults of the arguments; what they are annotated is free."""
    arguments = ast.parse(ast.unparse(node.args).join(("def f(", "): ...")))
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return " ".join([*decorators, ast.unparse(arguments.body[0].args)])


def translate(name):
    for word, other in WORDS.items():
        name = re.sub(rf"^{word}(?![a-z])", other, name)
    return name


def is_public(name):
    last = name.rpartition(".")[2]
    return last == "__init__" or not last.startswith("_")


def exported(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value))
    return []


def test_both_packages_have_the_same_files():
    assert python_files(TORCH) ^ python_files(MS) <= set(FILES)
    assert not python_files(TORCH) & python_files(MS) & set(FILES)


SHARED = sorted(python_files(TORCH) & python_files(MS))


@pytest.mark.parametrize("file", SHARED)
def test_a_file_has_the_same_names_arguments_and_defaults(file):
    one, other = describe(TORCH / file), describe(MS / file)
    exceptions = NAMES.get(file, {})
    assert one.keys() ^ other.keys() == set(exceptions)
    common = [name for name in one if name in other]
    assert common == [name for name in other if name in one]  # the same order
    assert {name: one[name] for name in common} == {n: other[n] for n in common}


def test_every_exception_is_of_a_file_that_both_have():
    assert set(NAMES) <= set(SHARED)
    assert {"layers.py", "network.py", "resnet.py", "__init__.py"} <= set(SHARED)


def test_a_changed_default_name_or_order_is_seen(tmp_path):
    source = (MS / "resnet.py").read_text(encoding="utf-8")
    wanted = describe(TORCH / "resnet.py")
    for change in (
        ("block4: bool = True", "block4: bool = False"),
        ("stride: int,", "step: int,"),
        ("def deepest", "def deeper"),
    ):
        assert change[0] in source
        (tmp_path / "resnet.py").write_text(source.replace(*change), encoding="utf-8")
        assert describe(tmp_path / "resnet.py") != wanted
    assert describe(MS / "resnet.py") == wanted
