# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run; imports nothing heavy.

The first and the last group bear the names of the MindSpore DELF's
``delf_config.yaml`` (delf_spec.md section C.3), whose file loads unchanged.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from delf_common.errors import UsageError

Precision = Literal["auto", "float32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Args:
        train_state: stage: "tuning" trains backbone and classifier, "attn" the
            attention and its classifier on the frozen backbone.
        seed: of the initial parameters, the order of the records and their crops.
        batch_size: photographs in a step, on each device.
        start_iter: number of the first step.
        max_iters: number of the last step; the learning rate decays over it.
        image_size: side of the square crops, in pixels.
        initial_lr: learning rate before it decays.
        attention_loss_weight: weight of the attention's loss.
        traindata_path: folder of a folder for each class; CSV file of path and label;
            folder with the csv files of GLDv2; folder of built shards; a shard of
            the MindSpore DELF ("train.mindrecord000").
        keep_checkpoint_max: newest checkpoints that are kept.
        imagenet_checkpoint: weights of the backbone to start from: canonical, Keras
            .h5, .pth, or the name of embedded weights; "" starts from random numbers.
        checkpoint_path: checkpoint of an earlier stage to start from; goes before
            imagenet_checkpoint.
        save_ckpt: folder of the checkpoints.
        save_ckpt_step: steps between checkpoints.
        need_summary: write event files for TensorBoard.
        save_summary: folder of the event files and of the profile.
        need_profile: write a profiler's trace of ten early steps.
        enable_modelarts: take the paths from ModelArts: data_url is copied to
            data_path, checkpoint_url to load_path, and output_path to train_url.
        data_url: where the training data lie in the cloud.
        train_url: where the results go to in the cloud.
        checkpoint_url: where the starting checkpoint lies in the cloud.
        data_path: local folder of the training data, in ModelArts.
        output_path: local folder of the results, in ModelArts.
        load_path: local folder or file of the starting checkpoint, in ModelArts.
        device: "auto", "cpu", "cuda:N", "ascend:N".
        resume: continue from the newest checkpoint of save_ckpt, if there is one.
        overwrite: delete this stage's checkpoints in save_ckpt and start anew.
        joint: train both at once, the attention on features without gradients, as
            TensorFlow's DELF does; needs train_state "tuning".
        architecture: of a network that starts from random numbers.
        variant: of its resnet50.
        block3_strides: whether resnet50 subsamples block3; none keeps what the
            starting weights say.
        train_from: first part of the backbone that "tuning" trains; those before it
            stay frozen.
        freeze_batch_norm: keep the running statistics of the backbone in "tuning".
        num_classes: classes of the classifiers; none counts those of the data.
        validation_path: data to validate on, as in traindata_path.
        validation_split: share of the training data to validate on, where
            validation_path is "".
        validation_step: steps between validations.
        validation_batches: most batches of one validation.
        optimizer: "sgd" with momentum 0.9, or "adamw".
        momentum: of sgd.
        weight_decay: of kernels and matrices; biases and batch norm have none.
        clip_norm: largest global norm of the gradients, 0 for no limit.
        schedule: "linear" decays to 0 at max_iters, as TensorFlow's DELF; "mindspore"
            is the model zoo's, for comparison; "cosine"; "constant".
        warmup_steps: first steps, over which the rate rises from 0.
        precision: "auto" is bf16 on CUDA devices that have it, else float32.
        accumulate_steps: parts that a batch is cut into, to save memory.
        channels_last: memory layout of the convolutions.
        compile: compile the step by torch.compile; MindSpore always compiles it,
            unless MS_JIT=0 is in the environment.
        crop: "random" resized crops, or "fixed": the whole photograph.
        resize: "area" as TensorFlow's DELF, "bilinear" as MindSpore's.
        flip: mirror half of the photographs.
        color_jitter: largest change of brightness, contrast and saturation, 0 to 1.
        cache_features: in "attn" with fixed crops, compute the frozen features once.
        pipeline: "shared" is the same batches on every backend, and resumes exactly;
            "minddataset" reads MindRecord shards by MindSpore's own, with --backend ms.
        workers: threads that decode and crop.
        bad_record_limit: undecodable records after which the run stops.
        log_step: steps between lines of the log.
        progress: show a bar, on a terminal.
    """

    train_state: Literal["tuning", "attn"] = "attn"
    seed: int = 0
    batch_size: int = 32
    start_iter: int = 1
    max_iters: int = 500000
    image_size: int = 321
    initial_lr: float = 0.01
    attention_loss_weight: float = 1.0
    traindata_path: str = ""
    keep_checkpoint_max: int = 1
    imagenet_checkpoint: str = "delf-lite0"
    checkpoint_path: str = ""
    save_ckpt: str = "./ckpt/"
    save_ckpt_step: int = 2000
    need_summary: bool = False
    save_summary: str = "./summary"
    need_profile: bool = False
    enable_modelarts: bool = False
    data_url: str = ""
    train_url: str = ""
    checkpoint_url: str = ""
    data_path: str = "/cache/data"
    output_path: str = "/cache/train"
    load_path: str = "/cache/checkpoint_path"
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    joint: bool = False
    architecture: Literal["resnet50", "efficientnet_lite0"] = "resnet50"
    variant: str = "keras"
    block3_strides: bool | None = None
    train_from: Literal["conv1", "block1", "block2", "block3", "block4"] = "conv1"
    freeze_batch_norm: bool = False
    num_classes: int | None = None
    validation_path: str = ""
    validation_split: float = 0.0
    validation_step: int = 1000
    validation_batches: int = 1000
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 10.0
    schedule: Literal["linear", "mindspore", "cosine", "constant"] = "linear"
    warmup_steps: int = 0
    precision: Precision = "auto"
    accumulate_steps: int = 1
    channels_last: bool = True
    compile: bool = False
    crop: Literal["random", "fixed"] = "random"
    resize: Literal["area", "bilinear"] = "area"
    flip: bool = False
    color_jitter: float = 0.0
    cache_features: bool = False
    pipeline: Literal["shared", "minddataset"] = "shared"
    workers: int = 2
    bad_record_limit: int = 100
    log_step: int = 100
    progress: bool = True

    @property
    def attention_trains(self) -> bool:
        """Whether this run trains the attention."""
        return self.train_state == "attn" or self.joint

    @property
    def backbone_trains(self) -> bool:
        """Whether this run trains the backbone."""
        return self.train_state == "tuning"


AT_LEAST_ONE = (
    "batch_size",
    "start_iter",
    "max_iters",
    "image_size",
    "keep_checkpoint_max",
    "save_ckpt_step",
    "validation_step",
    "validation_batches",
    "accumulate_steps",
    "log_step",
)
NOT_NEGATIVE = (
    "initial_lr",
    "attention_loss_weight",
    "weight_decay",
    "clip_norm",
    "warmup_steps",
    "color_jitter",
    "workers",
    "bad_record_limit",
)


def check_config(config: TrainConfig) -> None:
    """Refuse settings that are out of range or contradict each other.

    Raises:
        UsageError: names the setting, its value, the limit and the way out.
    """
    for limit, names in ((1, AT_LEAST_ONE), (0, NOT_NEGATIVE)):
        for name in names:
            value = getattr(config, name)
            if not value >= limit:
                raise UsageError(f"--{name} {value}: must be {limit} or more")
    if not config.traindata_path:
        raise UsageError(
            "--traindata_path is missing: a folder of a folder for each class, a CSV "
            "file of path and label, or a folder of built shards"
        )
    _check_contradictions(config)


def _check_contradictions(config: TrainConfig) -> None:
    if config.joint and config.train_state != "tuning":
        raise UsageError("--joint trains backbone and attention: --train_state tuning")
    if config.resume and config.overwrite:
        raise UsageError("--resume continues and --overwrite starts anew: choose one")
    if config.start_iter > config.max_iters:
        raise UsageError(
            f"--start_iter {config.start_iter} lies past --max_iters {config.max_iters}"
        )
    if config.batch_size % config.accumulate_steps:
        raise UsageError(
            f"--accumulate_steps {config.accumulate_steps} does not divide "
            f"--batch_size {config.batch_size}"
        )
    if not 0 <= config.validation_split < 1:
        raise UsageError(
            f"--validation_split {config.validation_split}: must be 0 or more, below 1"
        )
    if config.cache_features and (config.crop != "fixed" or config.backbone_trains):
        raise UsageError(
            "--cache_features needs features that stay the same: "
            "--train_state attn --crop fixed"
        )
    _check_pipeline(config)


def _check_pipeline(config: TrainConfig) -> None:
    """MindDataset knows nothing of what only the shared pipeline does."""
    if config.pipeline == "shared":
        return
    for name in ("cache_features", "flip", "color_jitter", "validation_split"):
        if getattr(config, name):
            raise UsageError(f"--{name} needs --pipeline shared")


def settings_text(config: TrainConfig) -> str:
    """Return the whole configuration as YAML that ``delf train --config`` reads."""
    fields = dataclasses.asdict(config)
    return "".join(f"{name}: {json.dumps(fields[name])}\n" for name in fields)
