# SPDX-License-Identifier: Apache-2.0
"""A training run from its configuration to its last checkpoint, for every backend.

The backend does the steps (`Trainer`); this decides when to measure, validate, save
and stop. Step n trains on batch n of an endless, seeded stream, so that a step's number
is all there is to know about the position in the data.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from delf_common.errors import DelfError
from delf_common.io.atomic import write_text
from delf_common.training.batches import Streams, StreamsFactory, open_streams
from delf_common.training.checkpoints import (
    checkpoint_file,
    checkpoint_to_resume,
    checkpoints,
    keep_newest,
)
from delf_common.training.config import TrainConfig, check_config, settings_text
from delf_common.training.metrics import (
    MetricsFile,
    Row,
    check_finite,
    check_finite_params,
    describe,
    draw_curves,
    mean_of,
    open_bar,
    read_metrics,
)
from delf_common.training.modelarts import local_paths
from delf_common.training.pictures import summary_pictures
from delf_common.training.recipe import describe_run, with_recipe
from delf_common.training.resuming import check_same_run
from delf_common.training.schedule import learning_rate
from delf_common.training.start import stage_name, starting_checkpoint
from delf_common.training.summaries import SummaryWriter, open_summaries
from delf_common.training.trainer import Trainer, TrainerFactory, World
from delf_common.training.validation import validate
from delf_common.weights.checkpoint import (
    load_checkpoint,
    load_training_state,
    save_checkpoint,
)
from delf_common.weights.metadata import TrainingState, WeightsInfo

logger = logging.getLogger(__name__)
LOSSES_KEPT = 10  # steps whose losses stay on the device before they are looked at
PROFILED = (11, 21)  # first step traced and first not: those before it warm up


def run_training(
    config: TrainConfig,
    world: World,
    make: TrainerFactory,
    streams: StreamsFactory = Streams,
) -> Path:
    """Train one stage.

    Args:
        config: the whole configuration.
        world: the processes that train together.
        make: makes the backend's trainer.
        streams: makes the streams of batches.

    Returns:
        Path of the last checkpoint.

    Raises:
        UsageError: a setting is out of range.
        DelfError: data or weights are missing or damaged; the loss is not finite; too
            many records do not decode.
    """
    with local_paths(config, world) as local:
        check_config(local)
        return _run_stage(local, world, make, streams)


def _run_stage(
    config: TrainConfig, world: World, make: TrainerFactory, kind: StreamsFactory
) -> Path:
    resumed = checkpoint_to_resume(config)
    with open_streams(config, world, kind) as streams:
        settings = describe_run(config, streams, world)
        if resumed:
            checkpoint, state = load_checkpoint(resumed), load_training_state(resumed)
            state = check_same_run(resumed, state, settings)
        else:
            checkpoint = starting_checkpoint(config, streams.num_classes)
            state = None
        trainer = make(checkpoint, state, config, world)
        info = with_recipe(checkpoint.info, settings)
        run = Run(config, world, streams, trainer, info, settings)
        return run.go(state.step if state else config.start_iter - 1)


class Run:
    """The steps of one stage, and what happens between them.

    Args:
        config: the whole configuration.
        world: the processes that train together.
        streams: batches to train on and to validate with.
        trainer: does the steps.
        info: of the network that is trained.
        settings: of this run, for the checkpoints.
    """

    def __init__(
        self,
        config: TrainConfig,
        world: World,
        streams: Streams,
        trainer: Trainer,
        info: WeightsInfo,
        settings: dict[str, Any],
    ) -> None:
        self.config = config
        self.streams = streams
        self.trainer = trainer
        self.info = info
        self.settings = settings
        self.writes = world.rank == 0
        self.world = world
        self.images_per_step = config.batch_size * world.size
        self.waiting = 0  # steps whose metrics are still on the device
        self.steps: list[Row] = []  # metrics since the last line of the log
        self.folder = Path(config.save_ckpt)
        self.profiling = contextlib.ExitStack()

    def go(self, done: int) -> Path:
        """Train from after step ``done`` to ``max_iters``, and save.

        Raises:
            DelfError: the loss is not finite, or the last step is behind already.
        """
        last = self.config.max_iters
        if done >= last:
            raise DelfError(
                f"{checkpoint_file(self.config, done)} is at step {done}, and "
                f"--max_iters {last} asks for no more"
            )
        self._begin(done)
        written = self.writes and self.config.need_summary
        folder = Path(self.config.save_summary) if written else None
        with (
            open_summaries(folder) as summaries,
            open_bar(self.config, done, self.writes) as bar,
            self.profiling,
        ):
            for step in range(done + 1, last + 1):
                self._profile(step - done)
                self._train(step)
                bar.update()
                if self._validates(step) or self._logs(step):
                    self._report(step, summaries, bar)
                if step % self.config.save_ckpt_step == 0 or step == last:
                    self._look(step)
                    self._save(step)
        if self.writes:
            stage = stage_name(self.config)
            draw_curves(read_metrics(self._metrics_path), self.folder / f"{stage}.png")
        return checkpoint_file(self.config, last)

    @property
    def _metrics_path(self) -> Path:
        return self.folder / f"metrics_{stage_name(self.config)}.jsonl"

    def _logs(self, step: int) -> bool:
        return step % self.config.log_step == 0 or step == self.config.max_iters

    def _validates(self, step: int) -> bool:
        due = step % self.config.validation_step == 0 or step == self.config.max_iters
        return due and self.streams.validates

    def _begin(self, done: int) -> None:
        if self.writes and self.config.overwrite:
            for path in checkpoints(self.config):
                path.unlink()
        if self.writes:
            name = f"config_{stage_name(self.config)}.yaml"
            write_text(self.folder / name, settings_text(self.config))
        self.metrics = MetricsFile(self._metrics_path if self.writes else None, done)
        self.streams.go_to(done)
        if self.config.cache_features:
            self.streams.cache(self.trainer.features)
        self.clock = time.perf_counter()
        self.clock_step = done

    def _train(self, step: int) -> None:
        inputs, labels = self.streams.next()
        self.trainer.step(inputs, labels, learning_rate(self.config, step))
        self.waiting += 1
        if self.waiting >= LOSSES_KEPT:
            self._look(step)

    def _look(self, step: int) -> None:
        """Fetch the metrics of the steps since the last look, and check them."""
        fetched = self.trainer.take_metrics()
        check_finite(fetched, step - len(fetched) + 1)
        self.steps += fetched
        self.waiting = 0

    def _report(self, step: int, summaries: SummaryWriter | None, bar: Any) -> None:
        self._look(step)
        now = time.perf_counter()
        images = (step - self.clock_step) * self.images_per_step
        row: Row = {"step": step, **mean_of(self.steps)}
        row["learning_rate"] = learning_rate(self.config, step)
        row["images_per_second"] = images / max(now - self.clock, 1e-9)
        self.steps = []
        if self._validates(step):
            row |= validate(self.trainer, self.streams, self.world)
        if self.writes:
            bar.clear()
            logger.info(describe(row, self.config.max_iters))
            self.metrics.add(row)
            bar.set_postfix(loss=f"{row['loss']:.4f}")
        if summaries:
            self._summarise(summaries, row, step)
        self.clock, self.clock_step = time.perf_counter(), step

    def _summarise(self, summaries: SummaryWriter, row: Row, step: int) -> None:
        numbers = {name: row[name] for name in row if name != "step"}
        if self.config.attention_trains:
            statistics, pictures = summary_pictures(self.trainer, self.streams)
            numbers |= statistics
            for tag, picture in pictures.items():
                summaries.add_picture(tag, picture, step)
        summaries.add_scalars(numbers, step)

    def _save(self, step: int) -> None:
        if not self.writes:
            return
        trainer = self.trainer
        state = TrainingState(
            step, trainer.optimizer_state(), self.settings, trainer.loss_scale
        )
        path, params = checkpoint_file(self.config, step), trainer.params()
        check_finite_params(params, step)
        save_checkpoint(path, params, self.info, state=state)
        keep_newest(self.config)
        logger.info("saved %s", path)

    def _profile(self, count: int) -> None:
        """Trace the steps ``PROFILED``, by their count since the start."""
        if self.writes and self.config.need_profile and count == PROFILED[0]:
            folder = Path(self.config.save_summary) / "profile"
            self.profiling.enter_context(self.trainer.profile(folder))
        elif count == PROFILED[1]:
            self.profiling.close()
