"""In what order an epoch walks through the examples: drawn from the seed, as stored, or as Python 2 shuffled lists."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.experiment.description import DescriptionError, Experiment, Layer, Training
from compare.experiment.files import read_experiment
from compare.experiment.streams import batches, order_of_epoch

CITED = Path(__file__).resolve().parents[2] / "results" / "20261124T170418Z_article_s1_0231d49c"
LAYERS = (Layer("Linear", arguments={"in_features": 784, "out_features": 10}),)


def trained(**training: object) -> Experiment:
    return Experiment("orders", LAYERS, training=Training(**training))  # pyright: ignore[reportArgumentType]


def shuffled_by_python_2(order: list[int], random_: random.Random) -> None:
    """What `random.shuffle(x)` of Python 2.7 does, from its documentation and source: Fisher and Yates, downwards."""
    for i in reversed(range(1, len(order))):
        j = int(random_.random() * (i + 1))
        order[i], order[j] = order[j], order[i]


def epochs_of(experiment: Experiment, examples: int, taken: int = 0) -> list[tuple[int, list[int]]]:
    return [(epoch, rows.tolist()) for epoch, rows in batches(experiment, examples, taken)]


def test_the_usual_order_is_that_of_the_record_that_readme_cites() -> None:
    facts = json.loads((CITED / "data.json").read_text(encoding="utf-8"))
    order = order_of_epoch(read_experiment("article"), facts["train"], 0).astype("<i8")
    assert hashlib.sha256(order.tobytes()).hexdigest() == facts["order_digest"]
    assert read_experiment(str(CITED / "config.toml")).training.order == "shuffled"  # it does not say so


def test_the_stored_order_is_that_of_the_images_in_every_epoch() -> None:
    walk = epochs_of(trained(order="stored", epochs=2, batch_size=3), 7)
    assert walk == [(epoch, rows) for epoch in (0, 1) for rows in ([0, 1, 2], [3, 4, 5], [6])]


@given(st.integers(0, 2**63 - 1), st.integers(1, 40))
def test_python_2s_shuffles_go_on_from_epoch_to_epoch(seed: int, examples: int) -> None:
    experiment = trained(order="python-shuffle", seed=seed, epochs=3, batch_size=examples)
    order, generator = list(range(examples)), random.Random(seed)
    for epoch, (_, rows) in enumerate(batches(experiment, examples)):
        shuffled_by_python_2(order, generator)
        assert rows.tolist() == order, epoch


def test_what_python_2_made_of_ten_numbers() -> None:
    """random.seed(1); x = range(10); random.shuffle(x), twice: by the draws 0.134364..., 0.847433... on paper."""
    draws = random.Random(1)
    assert [int(draws.random() * (i + 1)) for i in range(9, 0, -1)] == [1, 7, 6, 1, 2, 2, 2, 2, 0]
    first, second = (order_of_epoch(trained(order="python-shuffle", seed=1), 10, epoch).tolist() for epoch in (0, 1))
    assert first == [8, 0, 3, 4, 5, 2, 9, 6, 7, 1]
    assert sorted(second) == list(range(10))
    assert second != first


@pytest.mark.parametrize("order", ["shuffled", "python-shuffle"])
def test_a_second_network_goes_on_where_the_first_one_left_the_stream(order: str) -> None:
    whole = epochs_of(trained(order=order, epochs=5, batch_size=4), 11)
    rest = epochs_of(trained(order=order, epochs=3, batch_size=4, epochs_before=2), 11)
    assert rest == [(epoch - 2, rows) for epoch, rows in whole if epoch >= 2]
    assert rest != whole[: len(rest)]  # from scratch it would be the first epochs again


@given(st.sampled_from(["shuffled", "stored", "python-shuffle"]), st.integers(0, 17))
def test_a_walk_that_goes_on_has_the_same_steps(order: str, taken: int) -> None:
    experiment = trained(order=order, epochs=3, batch_size=2)
    assert epochs_of(experiment, 11, taken) == epochs_of(experiment, 11)[taken:]


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"order": "sorted"}, "training.order is 'sorted', which is not known"),
        ({"order": "storde"}, "Did you mean 'stored'?"),
        ({"epochs_before": -1}, "training.epochs_before is -1; wanted a whole number from 0"),
        ({"order": "stored", "epochs_before": 2}, "training.epochs_before is 2; wanted 0 with the order as stored"),
    ],
)
def test_an_order_that_there_is_not_is_refused(training: dict[str, object], words: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        trained(**training)
    assert words in str(refused.value)


def test_orders_are_permutations_of_their_own() -> None:
    orders = [order_of_epoch(trained(order="python-shuffle", seed=3), 50, epoch) for epoch in range(4)]
    assert all(np.array_equal(np.sort(order), np.arange(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
