"""A tiny training set: pictures of coloured stripes, a folder for each class."""

from pathlib import Path

import numpy as np
from PIL import Image

from delf_common.training.config import TrainConfig

CLASSES = 3


def write_training_set(folder: Path, per_class: int = 5, side: int = 72) -> Path:
    """Write JPEGs whose class shows in the direction and colour of their stripes."""
    rng = np.random.default_rng(0)
    down, right = np.mgrid[:side, :side]
    for label in range(CLASSES):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for i in range(per_class):
            wave = np.sin((down * label + right * (CLASSES - label)) / 6 + i)
            picture = rng.integers(0, 90, (side, side, 3)).astype(np.uint8)
            picture[..., label] = (127 + 100 * wave).astype(np.uint8)
            Image.fromarray(picture).save(place / f"{i}.jpg", quality=90)
    return folder


def small_run(data: Path, output: Path, **settings) -> TrainConfig:
    """Settings of a run that takes about a second."""
    usual = {
        "train_state": "tuning",
        "traindata_path": str(data),
        "save_ckpt": str(output),
        "batch_size": 4,
        "image_size": 64,
        "max_iters": 6,
        "save_ckpt_step": 3,
        "log_step": 2,
        "keep_checkpoint_max": 9,
        "device": "cpu",
        "progress": False,
        "train_from": "block4",
    }
    return TrainConfig(**{**usual, **settings})
