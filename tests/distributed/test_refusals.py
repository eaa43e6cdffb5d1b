"""What cannot be trained in shards is refused before a process is started: which key, why, what to do."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, DescriptionError, Experiment, Layer, Loss, Training
from compare.experiment.files import changes_of, preset_names, read_experiment, to_toml
from compare.experiment.networks import check_data
from compare.lockstep.loop import Loop

LINEAR = Layer("Linear", arguments={"in_features": 784, "out_features": 10})


def experiment(*layers: Layer, loss: Loss | None = None, form: Any = "flat", **training: Any) -> Experiment:
    options: dict[str, Any] = {"world_size": 2} | training
    return Experiment("refused", layers, loss=loss or Loss(), data=Data(form=form), training=Training(**options))


def layer(kind: str, **arguments: Any) -> Layer:
    return Layer(kind, arguments=arguments)


@pytest.mark.parametrize("world_size", [0, 65, -1])
def test_as_many_processes_as_can_be(world_size: int) -> None:
    with pytest.raises(DescriptionError, match=r"training\.world_size is .*; wanted a whole number from 1 to 64"):
        Training(world_size=world_size)


def test_a_batch_has_an_example_for_each() -> None:
    with pytest.raises(DescriptionError, match=r"world_size is 11; wanted at most training\.batch_size, 10"):
        experiment(LINEAR, world_size=11)
    experiment(LINEAR, world_size=10)


def test_on_the_cpu_alone() -> None:
    with pytest.raises(DescriptionError, match=r"training\.device is 'cuda'; wanted 'cpu'"):
        experiment(LINEAR, device="cuda")


@pytest.mark.parametrize(
    "layers",
    [
        (layer("BatchNorm1d", num_features=784), LINEAR),
        (layer("Residual", layers=[{"kind": "BatchNorm1d", "num_features": 784}]), LINEAR),
    ],
)
def test_batchnorm_says_why_and_what_to_do(layers: tuple[Layer, ...]) -> None:
    with pytest.raises(DescriptionError) as refused:
        experiment(*layers)
    message = str(refused.value)
    for words in ("batchnorm1d1", "of its own shard", "SyncBatchNorm needs GPUs", "world_size to 1", "LayerNorm"):
        assert words in message
    experiment(*layers, world_size=1)


def test_weights_of_examples_are_refused_those_of_outputs_are_not() -> None:
    sigmoid = layer("Sigmoid")
    with pytest.raises(DescriptionError, match=r"loss\.weight has a weight for each of 10 examples"):
        experiment(LINEAR, sigmoid, loss=Loss("BCELoss", {"weight": [[1.0]] * 10}))
    for weight in ([0.5] * 10, [[0.5] * 10]):
        experiment(LINEAR, sigmoid, loss=Loss("BCELoss", {"weight": weight}))


@pytest.mark.parametrize(
    ("named", "form", "layers"),
    [
        ("softmax1", "flat", (LINEAR, layer("Softmax", dim=0))),
        ("logsoftmax1", "flat", (LINEAR, layer("LogSoftmax", dim=-2))),
        ("lstm1", "flat", (layer("LSTM", input_size=784, hidden_size=10),)),
        ("rnn1", "rows", (layer("RNN", input_size=28, hidden_size=2), layer("Flatten"),
                          layer("Linear", in_features=56, out_features=10))),
        ("multiheadattention1", "flat", (layer("MultiheadAttention", embed_dim=784, num_heads=2), LINEAR)),
        ("residual1", "rows", (layer("Residual", layers=[{"kind": "Softmax", "dim": 0}]), layer("Flatten"), LINEAR)),
    ],
)  # fmt: skip
def test_layers_that_mix_examples_are_named(named: str, form: str, layers: tuple[Layer, ...], small: Dataset) -> None:
    with pytest.raises(
        DescriptionError, match=rf"layer {named} mixes the examples of a batch .* Set training.world_size to 1"
    ):
        check_data(experiment(*layers, form=form), small)
    check_data(experiment(*layers, form=form, world_size=1), small)


def test_a_network_without_weights_has_no_gradients_to_average(small: Dataset) -> None:
    columns = replace(small, classes=tuple(str(i) for i in range(28)))
    layers = layer("AvgPool2d", kernel_size=[28, 1], stride=1), layer("Flatten")
    with pytest.raises(DescriptionError, match="refused has no weights; wanted some"):
        check_data(experiment(*layers, form="image"), columns)


@pytest.mark.parametrize("name", sorted(set(preset_names()) - {"batchnorm"}))
def test_the_layers_of_every_preset_keep_examples_apart(name: str, small: Dataset) -> None:
    check_data(read_experiment(name, changes_of(world_size=2)), small)


class Sharing(torch.nn.Module):
    """Mixes two examples, in numbers that always add up to 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x + x.flip(0), -1)


def test_what_adds_up_to_the_same_is_mixed_all_the_same() -> None:
    assert reference.mixing_layer({"sharing1": Sharing()}, np.ones((2, 5))) == "sharing1"


@pytest.mark.parametrize(("dim", "found"), [(1, None), (0, "own1")])
def test_what_torch_calls_a_user_s_layer_is_asked_as_well(dim: int, found: str | None) -> None:
    layers = {"own1": reference.build_layer("torch.nn.functional.normalize", {"dim": dim})}
    assert reference.mixing_layer(layers, np.ones((2, 5))) == found


def test_the_number_of_processes_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "several.toml"
    file.write_text(to_toml(read_experiment("article", changes_of(world_size=3))), encoding="utf-8")
    assert read_experiment(str(file)).training.world_size == 3
    assert read_experiment("article").training.world_size == 1


def test_one_process_does_not_pay_for_several(small: Dataset) -> None:
    """What a rank imports would take its time at every start."""
    next(iter(Loop(read_experiment("article", changes_of(steps=1)), small)))
    assert "reference.distributed.rank" not in sys.modules
    assert not torch.distributed.is_initialized()
