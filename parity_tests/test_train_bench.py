# SPDX-License-Identifier: Apache-2.0
"""`delf bench train`: what it counts, and that it relates what it measured."""

import dataclasses

import pytest
from small_networks import KERAS, LITE0
from training_set import small_run, write_training_set

from delf_common.bench import train as bench
from delf_common.training.config import TrainConfig

torch = pytest.importorskip("torch")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

from delf_torch.classifiers import TrainableDelf  # noqa: E402
from delf_torch.rates import count_step_flop  # noqa: E402
from delf_torch.stages import Stage  # noqa: E402

CLASSES = 7
CONFIG = TrainConfig(batch_size=2, image_size=65, train_state="tuning")


def trained(info, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    info = dataclasses.replace(
        info,
        num_classes=CLASSES,
        attention="trained" if config.attention_trains else "feature_norm",
        descriptor_classifier=config.backbone_trains,
    )
    return info, config


def pytorchs_count(info, config, backward):
    """Operations by PyTorch's own counter, right but for depthwise gradients."""
    side = config.image_size
    with torch.device("meta"), flop_counter.FlopCounterMode(display=False) as counter:
        delf = TrainableDelf(info, folded=not config.backbone_trains)
        stage = Stage(delf, config).train()
        images = torch.empty(config.batch_size, side, side, 3, dtype=torch.uint8)
        loss, _ = stage(images, torch.empty(config.batch_size, dtype=torch.int64))
        if backward:
            loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_from": "block4"},
        {"train_from": "block2"},
        {"train_state": "attn"},
        {"joint": True},
        {"batch_size": 5, "image_size": 97},
    ],
    ids=str,
)
def test_a_steps_operations_are_those_of_pytorchs_counter(narrow, changes):
    info, config = trained(KERAS, **changes)
    wanted = pytorchs_count(info, config, backward=True)
    assert count_step_flop(info, config) == wanted > 0


def test_gradients_of_depthwise_convolutions_cost_as_much_as_they_do():
    info, config = trained(LITE0)
    forward = pytorchs_count(info, config, backward=False)
    # Two gradients of everything, but for the pixels: 33 x 33 cells of 32 channels.
    pixels = 2 * config.batch_size * 33 * 33 * 32 * 3 * 3 * 3
    assert count_step_flop(info, config) == 3 * forward - pixels


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    data = write_training_set(folder / "set")
    config = small_run(data, folder, batch_size=4, max_iters=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("delf_torch.rates.SIDES", {"cpu": 64})
        return bench.run_train_bench(config, "torch", 1)


def test_every_way_is_related_to_its_work_and_to_the_matrix_rate(result):
    rates, product = result["steps_per_second"], result["matrix_gflops"]["float32"]
    assert list(rates) == ["tuning", "tuning, plain loop", "attn", "attn, plain loop"]
    assert result["device"] == "cpu" and product > 0
    for way, rate in rates.items():
        assert result["milliseconds_per_step"][way] == pytest.approx(1000 / rate)
        gflop = result["gflop_per_step"][way.partition(",")[0]]
        share = rate * gflop / product
        assert result["share_of_matrix_rate"][way] == pytest.approx(share)
    assert result["pipeline_images_per_second"] > 0


def test_the_table_has_every_way_the_original_and_the_pipeline(result):
    table = bench.format_table(result)
    for way, rate in result["steps_per_second"].items():
        row = next(line for line in table.splitlines() if line.startswith(f"{way}  "))
        assert f"{1000 / rate:.0f}" in row.split()
    assert "Ascend 910, batch 32, a step: tuning 171 ms, attn 156 ms" in table
    assert "the input pipeline alone delivers" in table


def test_the_pipeline_is_judged_by_one_and_a_half_times_the_faster_stage():
    figures = {"batch_size": 10, "cores": 4, "steps_per_second": dict(tuning=2, attn=6)}
    enough = {**figures, "pipeline_images_per_second": 90.0}
    assert bench.judge_pipeline(enough).endswith("consumes is 90: enough")
    short = {**figures, "pipeline_images_per_second": 70.0}
    assert bench.judge_pipeline(short).endswith("not enough: it needs 6 cores")


def test_without_pytorchs_counter_the_other_figures_stay(result):
    bare = {**result, "gflop_per_step": {}, "matrix_gflops": {}}
    table = bench.format_table({**bare, "share_of_matrix_rate": {}})
    assert "matrix product" not in table and "attn, plain loop" in table
