# SPDX-License-Identifier: Apache-2.0
"""The network that a stage starts from: weights that exist, and what they lack."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from delf_common.data.sources import KERAS_H5
from delf_common.errors import DelfError
from delf_common.training.config import TrainConfig
from delf_common.training.initial import initial_params
from delf_common.weights.architectures import BLOCKS
from delf_common.weights.checkpoint import Checkpoint, find_weights
from delf_common.weights.convert import import_weights
from delf_common.weights.metadata import WeightsInfo
from delf_common.weights.names import Params, parameter_shapes

logger = logging.getLogger(__name__)
BACKBONE = ("conv1", "bn1", *BLOCKS)


def starting_checkpoint(config: TrainConfig, num_classes: int) -> Checkpoint:
    """Make the network that this run trains.

    The backbone comes from ``checkpoint_path``, or ``imagenet_checkpoint``, or is
    random. Classifiers of as many classes come along, others are drawn anew. An
    attention does not survive a stage that changes the features below it.

    Raises:
        DelfError: the weights are missing or of no known kind.
    """
    info, params = _given(config)
    found = _describe(config, info, num_classes)
    wanted = initial_params(found, config.seed)
    kept = {name: params[name] for name in wanted if _fits(params, wanted, name)}
    drawn = sorted({name.split(".")[0] for name in wanted if name not in kept})
    dropped = sorted({name.split(".")[0] for name in params if name not in kept})
    if info.architecture and drawn:
        logger.info("new random parameters for: %s", ", ".join(drawn))
    if dropped:
        logger.info("not used of the starting weights: %s", ", ".join(dropped))
    return Checkpoint(wanted | kept, found)


def _given(config: TrainConfig) -> tuple[WeightsInfo, Params]:
    source = config.checkpoint_path or config.imagenet_checkpoint
    if source:
        if Path(source).name == KERAS_H5 and not Path(source).is_file():
            raise DelfError(
                f"{source} is not there; fetch it: delf download pretrained --only "
                f"{KERAS_H5}, or start from --imagenet_checkpoint delf-lite0"
            )
        path = find_weights(source)
        _, info, imported = import_weights(path)
        name = source if path.stem == source else path.name
        return dataclasses.replace(info, name=name), imported.params
    resnet = config.architecture == "resnet50"
    variant = config.variant if resnet else ""
    return WeightsInfo("random", "", config.architecture, variant), {}


def _describe(config: TrainConfig, given: WeightsInfo, num_classes: int) -> WeightsInfo:
    """What the trained network will say of itself."""
    tuning = config.backbone_trains
    strides = config.block3_strides
    origin = f"{given.name} {given.sha256}".strip()
    info = dataclasses.replace(
        given,
        name=f"{given.architecture}-{stage_name(config)}",
        sha256="",
        block3_strides=given.block3_strides if strides is None else strides,
        attention="trained" if config.attention_trains else "feature_norm",
        stage=stage_name(config),
        num_classes=num_classes,
        descriptor_classifier=tuning or _has_classifier(given, num_classes),
        score_threshold=None,
        pca=None if tuning else given.pca,
        provenance={**given.provenance, "trained_from": origin},
    )
    parameter_shapes(info)  # raises for what there is no network of
    return info


def stage_name(config: TrainConfig) -> str:
    """Return "tuning", "attn" or "joint"."""
    return "joint" if config.joint else config.train_state


def _has_classifier(info: WeightsInfo, num_classes: int) -> bool:
    return info.num_classes == num_classes and info.descriptor_classifier


def _fits(params: Params, wanted: Params, name: str) -> bool:
    """Other shapes are another number of classes; a backbone always fits."""
    return name in params and params[name].shape == wanted[name].shape


def trained_parts(config: TrainConfig) -> tuple[str, ...]:
    """First words of the canonical names of the parameters that a stage trains."""
    parts: tuple[str, ...] = ()
    if config.backbone_trains:
        parts += (*BACKBONE[BACKBONE.index(config.train_from) :], "desc")
    if config.attention_trains:
        parts += ("attention", "attn")
    return parts


def trained(name: str, config: TrainConfig) -> bool:
    """Whether a stage trains the parameter of this canonical name."""
    return name.split(".")[0] in trained_parts(config)
