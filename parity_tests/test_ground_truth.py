# SPDX-License-Identifier: Apache-2.0
"""Ground truth is read right, what is malformed is named, no pickle runs."""

import io
import json
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from delf_common.errors import DelfError, UsageError
from delf_common.retrieval.ground_truth import read_ground_truth
from delf_common.retrieval.protocols import PROTOCOLS, find_protocol
from delf_common.retrieval.safe_pickle import load_plain

DATA = Path(__file__).parents[1] / "../shared/data"


def write_classic(folder: Path, name: str = "place_1", **files: str) -> Path:
    texts = {
        "query": "oxc1_place_000001 1.5 2 30 40.25\n",
        "good": "place_000001\nplace_000002\n",
        "ok": "place_000003\n",
        "junk": "",
    }
    for label, text in {**texts, **files}.items():
        (folder / f"{name}_{label}.txt").write_text(text)
    return folder


def test_classic_files_give_the_query_without_prefix_its_box_and_lists(tmp_path):
    truth = read_ground_truth(write_classic(tmp_path))
    assert (truth.kind, truth.names) == ("classic", ())
    (query,) = truth.queries
    assert (query.name, query.image) == ("place_1", "place_000001")
    assert query.region == (1.5, 2.0, 30.0, 40.25)
    assert query.lists == {
        "good": ("place_000001", "place_000002"),
        "ok": ("place_000003",),
        "junk": (),
    }


def test_classic_queries_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("b_1", "a_10", "a_2"):
        write_classic(tmp_path, name)
    names = [query.name for query in read_ground_truth(tmp_path).queries]
    assert names == ["a_2", "a_10", "b_1"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"query": "\nplace 1 2 3\n"}, "place_1_query.txt, line 2"),
        ({"query": "place 1 2 x 4\n"}, "place_1_query.txt, line 1"),
        ({"query": "place 5 2 3 4\n"}, "x1 < x2"),
        ({"query": "place 1 2 nan 4\n"}, "x1 < x2"),
        ({"query": "a 1 2 3 4\nb 1 2 3 4\n"}, "2 lines"),
        ({"query": ""}, "0 lines"),
        ({"ok": "one\ntwo words\n"}, "place_1_ok.txt, line 2"),
    ],
)
def test_malformed_classic_line_is_named_by_file_and_line(tmp_path, files, message):
    with pytest.raises(DelfError, match=message):
        read_ground_truth(write_classic(tmp_path, **files))


def test_missing_classic_list_file_is_named(tmp_path):
    (write_classic(tmp_path) / "place_1_junk.txt").unlink()
    with pytest.raises(DelfError, match=r"place_1_junk\.txt is missing"):
        read_ground_truth(tmp_path)


def test_what_is_no_ground_truth_is_refused_with_the_known_forms(tmp_path):
    with pytest.raises(DelfError, match="no \\*_query"):
        read_ground_truth(tmp_path)
    with pytest.raises(DelfError, match="there is no ground truth"):
        read_ground_truth(tmp_path / "missing.pkl")
    (tmp_path / "gnd.mat").write_bytes(b"")
    with pytest.raises(DelfError, match="no known ground truth"):
        read_ground_truth(tmp_path / "gnd.mat")


# Revisited


def revisited(**changes):
    entry = {"bbx": [1, 2, 3, 4], "easy": [0], "hard": [2], "junk": [1]}
    entry.update(changes)
    return {"imlist": ["a", "b", "c"], "qimlist": ["q"], "gnd": [entry]}


def dump(path: Path, content, protocol=None) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize(
    ("name", "images", "easy"), [("roxford5k", 4993, 68), ("rparis6k", 6322, 70)]
)
def test_the_real_revisited_files_have_their_published_counts(name, images, easy):
    path = DATA / "revisited" / f"gnd_{name}.pkl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    truth = read_ground_truth(path)
    assert (len(truth.names), len(truth.queries)) == (images, 70)
    assert sum(bool(query.lists["easy"]) for query in truth.queries) == easy
    assert all(query.region is not None for query in truth.queries)
    known = set(truth.names)
    with path.open("rb") as file:
        original = pickle.load(file)  # our own shared copy, to check the mapping with
    for query, entry in zip(truth.queries, original["gnd"], strict=True):
        for label, members in query.lists.items():
            assert known.issuperset(members)
            assert list(members) == [original["imlist"][i] for i in entry[label]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"easy": [3]}, r"gnd\[0\]\['easy'\]: index 3 is outside the 3 images"),
        ({"junk": [-1]}, "index -1"),
        ({"hard": [1.0]}, "a float is not an index"),
        ({"hard": [True]}, "a bool is not an index"),
        ({"hard": "ab"}, "expected a list"),
        ({"hard": [0]}, "two lists"),
        ({"bbx": [1, 2, 3]}, "x1, y1, x2, y2"),
        ({"bbx": [3, 2, 1, 4]}, "x1 < x2"),
    ],
)
def test_malformed_revisited_entry_is_named(tmp_path, changes, message):
    path = dump(tmp_path / "gnd.pkl", revisited(**changes))
    with pytest.raises(DelfError, match=message):
        read_ground_truth(path)


def test_missing_revisited_keys_are_named(tmp_path):
    content = revisited()
    del content["gnd"][0]["hard"]
    with pytest.raises(DelfError, match="no list 'hard'"):
        read_ground_truth(dump(tmp_path / "gnd.pkl", content))
    for broken in ({"imlist": []}, [1, 2]):
        with pytest.raises(DelfError, match="no key"):
            read_ground_truth(dump(tmp_path / "gnd.pkl", broken))


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numbers_and_strings_are_read_in_every_pickle_protocol(
    tmp_path, protocol
):
    content = {
        "ints": np.arange(6, dtype=">i4").reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "names": np.array(["a", "bcd"]),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 4), np.float32),
        "number": np.float64(2.5),
        "set": {1, 2},
        "plain": [None, 1.5, "x", b"\xff\x00", (1, 2**80)],
    }
    read = load_plain(dump(tmp_path / "x.pkl", content, protocol))
    for key in ("ints", "columns", "names", "flags", "empty"):
        np.testing.assert_array_equal(read[key], content[key], strict=True)
    for key in ("number", "set", "plain"):
        assert read[key] == content[key]


def test_pickles_of_either_numpy_major_are_read(tmp_path):
    written = pickle.dumps({"easy": np.arange(3), "x": np.int64(7)}, 2)
    new = written.replace(b"cnumpy.core.", b"cnumpy._core.")
    old = written.replace(b"cnumpy._core.", b"cnumpy.core.")
    assert old != new
    for content in (old, new):
        (tmp_path / "x.pkl").write_bytes(content)
        read = load_plain(tmp_path / "x.pkl")
        assert read["easy"].tolist() == [0, 1, 2]
        assert read["x"] == 7


def test_revisited_lists_may_be_arrays(tmp_path):
    content = revisited(easy=np.array([0]), junk=np.zeros(0, np.int64))
    content["imlist"] = np.array(content["imlist"])
    (query,) = read_ground_truth(dump(tmp_path / "gnd.pkl", content)).queries
    assert query.lists == {"easy": ("a",), "hard": ("c",), "junk": ()}


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def named(module: str, name: str, *arguments: str) -> bytes:
    """Return a pickle that calls module.name with strings, without importing it."""
    texts = b"".join(b"V%s\n" % text.encode() for text in arguments)
    return b"c%s\n%s\n(%stR." % (module.encode(), name.encode(), texts)


MALICIOUS = {
    f"{os.system.__module__}.system": pickle.dumps(Calls(os.system, "touch OWNED")),
    "builtins.eval": pickle.dumps(Calls(eval, "open('OWNED', 'w')")),
    "builtins.exec": pickle.dumps(Calls(exec, "open('OWNED', 'w')")),
    "builtins.getattr": pickle.dumps(Calls(getattr, [], "append")),
    "builtins.open": named("builtins", "open", "OWNED", "w"),
    "builtins.__import__": pickle.dumps(Calls(__import__, "antigravity")),
    "numpy.load": named("numpy", "load", "evil.npy"),
    "numpy.loadtxt": named("numpy", "loadtxt", "evil.txt"),
    "numpy.memmap": named("numpy", "memmap", "OWNED", "u1", "w+"),
    "numpy.save": named("numpy", "save", "OWNED", "x"),
    "numpy.fromfile": named("numpy", "fromfile", "evil"),
    "numpy.core.multiarray.fromfile": named("numpy.core.multiarray", "fromfile", "x"),
    "numpy.f2py.compile": named("numpy.f2py", "compile", "evil"),
    "numpy.f2py.diagnose.run_command": named("numpy.f2py.diagnose", "run_command", "x"),
    "numpy.testing._private.utils.runstring": named(
        "numpy.testing._private.utils", "runstring", "open('OWNED', 'w')"
    ),
    "numpy.testing.measure": named("numpy.testing", "measure", "open('OWNED', 'w')"),
    "numpy.distutils.exec_command.exec_command": named(
        "numpy.distutils.exec_command", "exec_command", "touch OWNED"
    ),
    "numpy.dtype.__class__": pickle.dumps("x", 4)[:2]
    + pickle.SHORT_BINUNICODE
    + b"\x05numpy"
    + pickle.SHORT_BINUNICODE
    + b"\x0fdtype.__class__"
    + pickle.STACK_GLOBAL
    + b".",
    "copyreg._reconstructor": pickle.dumps(Calls, 0).replace(
        b"c%s\nCalls" % __name__.encode(), b"ccopyreg\n_reconstructor"
    ),
    "safe_pickle.BUILDERS": named("delf_common.retrieval.safe_pickle", "BUILDERS"),
    "pickle.loads": named("pickle", "loads", "x"),
    "os.system": b"(Vtouch OWNED\nios\nsystem\n.",  # the INST instruction
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_pickles_that_would_run_something_are_refused_by_name(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    Path("gnd.pkl").write_bytes(MALICIOUS[name])
    pickletools.dis(MALICIOUS[name], out=io.StringIO())  # it is a real pickle
    with pytest.raises(DelfError, match="refused .*" + name.replace(".", r"\.")):
        read_ground_truth("gnd.pkl")
    assert not list(tmp_path.glob("OWNED*"))


ND, DT = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
F8 = DT + b"(Vf8\ntR"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(np.array([print], dtype=object)), "dtype 'O8'"),
        (pickle.dumps(np.zeros(1, [("a", "f8")])), "dtype 'V8'"),
        (pickle.dumps(np.zeros(1, "M8[s]")), "dtype 'M8'"),
        (RECONSTRUCT + b"(c__builtin__\nset\n(I0\ntVb\ntR.", "class set"),
        (RECONSTRUCT + b"(Vx\n(I0\ntVb\ntR.", "class 'x'"),
        (ND + b"(I3\ntR.", "call of numpy.ndarray"),
        (ND + b".", "class or a dtype as data"),
        (F8 + b".", "class or a dtype as data"),
        (RECONSTRUCT + b"(NN}V__defaults__\nI1\nstb.", "refused to change"),
        (F8 + b"(I3\nV<\nNV(a)\nNI8\nI1\nI0\ntb.", "fields or sub-arrays"),
        (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "rot13"),
        (b"Pid\n.", "outside reference"),
        (RECONSTRUCT + b"(" + ND + b"(I0\ntVb\ntR(I1\n(I9\nt" + F8 + b"I00\nVx\ntb.",
         "1 bytes as an array"),
        (RECONSTRUCT + b"(" + ND + b"(I0\ntVb\ntR(I1\n(I1\nt" + F8 + b"I00\n(lNatb.",
         "not plain bytes"),
        (b"", "not a readable pickle"),
        (b"\x80\x04garbage", "not a readable pickle"),
        (b"(lp0\ng0\na.", "not a readable pickle"),  # a list that holds itself
    ],
)  # fmt: skip
def test_tricks_inside_the_allowed_names_are_refused(tmp_path, content, message):
    path = tmp_path / "gnd.pkl"
    path.write_bytes(content)
    with pytest.raises(DelfError, match=message):
        load_plain(path)


# minibench


def test_the_real_minibench_is_read():
    path = DATA / "minibench/gnd.json"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    truth = read_ground_truth(path)
    assert len(truth.queries) == 48
    assert len(truth.names) == 104 + 109
    assert all(query.lists["positives"] for query in truth.queries)


def test_json_of_ones_own_needs_only_queries_and_positives(tmp_path):
    path = tmp_path / "gnd.json"
    path.write_text('{"queries": [{"query": "a.jpg", "positives": ["b.jpg"]}]}')
    truth = read_ground_truth(path)
    assert truth.names == ()
    assert truth.queries[0].lists == {"positives": ("b.jpg",), "junk": ()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], 'list "queries"'),
        ({"queries": [{"query": "a"}]}, r"queries\[0\]: there is no list"),
        ({"queries": [{"positives": []}]}, r"queries\[0\]: expected an object"),
        ({"queries": [{"query": "a", "positives": [1]}]}, r"\[0\].positives: expected"),
        ({"queries": [{"query": "a", "positives": []}] * 2}, "'a' is there twice"),
        (
            {
                "queries": [{"query": "a", "positives": ["z"]}],
                "places": {"p": {"images": ["a", "b"]}},
            },
            "'z', which is not a database image",
        ),
        (
            {"queries": [], "places": {"p": {"images": ["a", "a"]}}},
            "'a' is there twice",
        ),
        (
            {"queries": [{"query": "a", "positives": ["b"], "junk": ["b"]}]},
            "two lists",
        ),
    ],
)
def test_malformed_json_ground_truth_is_named(tmp_path, content, message):
    path = tmp_path / "gnd.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DelfError, match=message):
        read_ground_truth(path)


def test_text_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "gnd.json").write_text("{")
    with pytest.raises(DelfError, match="is not JSON"):
        read_ground_truth(tmp_path / "gnd.json")


# Protocols


def test_each_protocol_refuses_ground_truth_of_another_kind(tmp_path):
    truth = read_ground_truth(write_classic(tmp_path))
    assert find_protocol(None, truth).name == "classic"
    assert find_protocol("mindspore-zoo", truth) is PROTOCOLS["mindspore-zoo"]
    for name in ("revisited", "minibench"):
        with pytest.raises(UsageError, match="use classic or mindspore-zoo"):
            find_protocol(name, truth)
    with pytest.raises(UsageError, match="there are classic, revisited"):
        find_protocol("oxford", truth)
