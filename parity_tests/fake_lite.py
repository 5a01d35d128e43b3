# SPDX-License-Identifier: Apache-2.0
"""Stands in for MindSpore Lite's Python package: the part of it that we call.

By its documentation (`../shared/mindspore.md` section 6): a model is built from a file
for a context; inputs have a shape and take an array; another shape needs `resize`
first; outputs give arrays whose memory the next call uses again.
"""

import types
from pathlib import Path

import numpy as np


class FakeTensor:
    def __init__(self, shape):
        self.shape, self.array = list(shape), None

    def set_data_from_numpy(self, array):
        if list(array.shape) != self.shape or array.dtype != np.float32:
            raise RuntimeError(f"set_data: {array.shape} into {self.shape}\nand more")
        if not array.flags.c_contiguous:
            raise RuntimeError("set_data: not contiguous")
        self.array = array.copy()

    def get_data_to_numpy(self):
        return self.array


class FakeContext:
    def __init__(self):
        self.target = ["cpu"]
        self.ascend = types.SimpleNamespace(device_id=0, precision_mode="enforce_fp16")


def fake_lite(run, built):
    """The module; ``run`` turns an array into outputs, ``built`` collects models."""

    class FakeModel:
        def build_from_file(self, path, model_type, context=None, config_dict=None):
            if model_type != "MINDIR" or not Path(path).is_file():
                raise RuntimeError("build_from_file failed")
            if Path(path).stat().st_size < 100:
                raise RuntimeError("Build model failed.\nError at line 12")
            self.context, self.config = context, config_dict
            self.inputs = [FakeTensor([1, 3, -1, -1])]
            self.buffers, self.resized = {}, []
            built.append(self)

        def get_inputs(self):
            return self.inputs

        def resize(self, inputs, dims):
            allowed = (self.config or {}).get("ascend_context", {}).get("dynamic_dims")
            if allowed and "[{},{}]".format(*dims[0][2:]) not in allowed:
                raise RuntimeError(f"resize to {dims[0]}: not among {allowed}")
            self.inputs = [FakeTensor(dims[0])]
            self.resized.append(tuple(dims[0]))

        def predict(self, inputs):
            outputs = []
            for number, array in enumerate(run(inputs[0].array)):
                key = number, array.shape
                self.buffers.setdefault(key, FakeTensor(array.shape))
                if self.buffers[key].array is None:
                    self.buffers[key].array = np.empty_like(array)
                self.buffers[key].array[:] = array
                outputs.append(self.buffers[key])
            return outputs

    module = types.ModuleType("mindspore_lite")
    module.Context, module.Model = FakeContext, FakeModel
    module.ModelType = types.SimpleNamespace(MINDIR="MINDIR")
    module.__spec__ = types.SimpleNamespace(name="mindspore_lite")
    return module
