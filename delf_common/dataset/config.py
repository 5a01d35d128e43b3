# SPDX-License-Identifier: Apache-2.0
"""Every setting of building shards; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from delf_common.errors import UsageError

MOST_SHARDS = 1000  # MindRecord's limit; kept for both, so that a plan fits either


@dataclass(frozen=True)
class BuildConfig:
    """What is built; every setting but the paths changes the shards' bytes.

    The first group bears the names of the originals' builder.

    Args:
        train_csv_path: train.csv of Google Landmarks v2.
        train_clean_csv_path: train_clean.csv; builds the clean subset, and then
            train_csv_path is not needed.
        train_directory: folder of GLDv2's training images, "" for the csv file's own
            (where delf download puts it) or its sub-folder train; a pattern that ends
            in /*/*/*/ is understood.
        output_directory: where the shards go.
        num_shards: files of each split, at most one for each record.
        validation_split_size: share of every class for validation, 0 for none.
        seed: of the split and of the order.
        dataset_path: in place of the csv files: a folder with a folder for each class,
            a CSV of path and label, or GLDv2's folder.
        split_rule: "spare" leaves every class an image to train on; "original" gives
            the only image of a class to validation, as TensorFlow's and MindSpore's
            builders do.
        format: "array_record", read by both backends, or "mindrecord" for MindDataset.
        check: "decode" every picture before it is stored, or "none" to find out what
            does not decode in training.
    """

    train_csv_path: str = ""
    train_clean_csv_path: str = ""
    train_directory: str = ""
    output_directory: str = ""
    num_shards: int = 128
    validation_split_size: float = 0.2
    seed: int = 0
    dataset_path: str = ""
    split_rule: Literal["spare", "original"] = "spare"
    format: Literal["array_record", "mindrecord"] = "array_record"
    check: Literal["decode", "none"] = "decode"


@dataclass(frozen=True)
class BuildJob:
    """How the build runs; changes no byte of its result.

    Args:
        workers: processes, each of which writes a shard at a time.
        resume: keep the finished shards of an interrupted build, write the others.
        overwrite: remove the shards in the output directory, and begin again.
        strict: stop at the first picture that is missing or does not decode.
    """

    workers: int = 2
    resume: bool = False
    overwrite: bool = False
    strict: bool = False


def check_config(config: BuildConfig, job: BuildJob) -> None:
    """Refuse settings that are out of range or contradict each other.

    Raises:
        UsageError: names the setting, its value, the limit and the way out.
    """
    if not config.output_directory:
        raise UsageError("--output_directory is missing: where the shards go")
    tables = config.train_csv_path or config.train_clean_csv_path
    if not tables and not config.dataset_path:
        raise UsageError(
            "--dataset_path is missing: a folder with a folder for each class, a CSV "
            "of path and label; or --train_csv_path or --train_clean_csv_path of GLDv2"
        )
    if config.dataset_path and (tables or config.train_directory):
        raise UsageError(
            "--dataset_path and GLDv2's --train_csv_path, --train_clean_csv_path, "
            "--train_directory exclude each other"
        )
    if not 1 <= config.num_shards <= MOST_SHARDS:
        raise UsageError(f"--num_shards {config.num_shards}: choose 1 to {MOST_SHARDS}")
    if not 0 <= config.validation_split_size < 1:
        raise UsageError(
            f"--validation_split_size {config.validation_split_size}: must be 0 or "
            "more, below 1"
        )
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: must be 0 or more")
    if job.workers < 1:
        raise UsageError(f"--workers {job.workers}: must be 1 or more")
    if job.resume and job.overwrite:
        raise UsageError("--resume continues and --overwrite begins again: choose one")
