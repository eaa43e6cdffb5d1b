"""The reference's optimizers: named as the manual side names, agreeing with it, and able to take over a state."""

from typing import Any

import numpy as np
import pytest
import torch

import manual
import reference
from reference.optimizers import build_schedule

Array = np.ndarray[Any, Any]

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.3, "lr_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8, "centered": True, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.02}),
    ("Adadelta", {"rho": 0.7, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": {"linear1.weight": 0.1}}),
    ("AdamW", {"lr": 0.1}),
]
WARMED = {
    "kind": "SequentialLR", "milestones": [2],
    "schedules": [{"kind": "LinearLR", "total_iters": 2}, {"kind": "CosineAnnealingLR", "T_max": 5, "eta_min": 0.01}],
}  # fmt: skip
TRAINING: list[dict[str, Any]] = [
    {},
    {"accumulate": 3},
    {"max_norm": 0.1},
    {"clip_value": 0.02},
    {"schedule": {"kind": "StepLR", "step_size": 2}},
    {"accumulate": 2, "max_norm": 0.1, "norm_type": 1.0, "schedule": WARMED},
]


class Pair:
    """The same small network and optimizer on both sides."""

    def __init__(self, kind: str, options: dict[str, Any], dtype: str = "float64"):
        rng = np.random.default_rng(3)
        by_hand = manual.name_layers([manual.Linear(5, 4), manual.Tanh(), manual.Linear(4, 3)])
        shapes = manual.Network(by_hand, manual.SquaredError()).parameters
        self.dtype = dtype
        self.parameters = {n: rng.normal(size=p.shape).astype(dtype) for n, p in shapes.items()}
        self.manual = manual.Network(by_hand, manual.SquaredError(), self.parameters)
        modules = {
            name: getattr(torch.nn, type(layer).__name__)(
                *((layer.in_features, layer.out_features) if isinstance(layer, manual.Linear) else ())
            )
            for name, layer in by_hand.items()
        }
        self.reference = reference.Network(modules, reference.build_loss("SquaredError", {}), self.parameters)
        self.mine = getattr(manual, kind)(self.manual, **options)
        self.theirs = reference.Optimizer(kind, self.reference, **options)

    def step(self, seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """Take a step on both sides; return the whole traces, copied."""
        rng = np.random.default_rng(seed)
        x, target = rng.normal(size=(6, 5)).astype(self.dtype), rng.integers(0, 3, 6)
        traces = []
        for network, optimizer in ((self.manual, self.mine), (self.reference, self.theirs)):
            network.loss(x, target)
            network.backward()
            before = {name: np.array(array) for name, array in network.trace().items()}
            optimizer.step()
            traces.append(before | {name: np.array(array) for name, array in optimizer.trace().items()})
        return traces[0], traces[1]


def require_equal(mine: dict[str, Array], theirs: dict[str, Array], rtol: float = 1e-11) -> None:
    assert list(mine) == list(theirs)
    for name, array in mine.items():
        np.testing.assert_allclose(array, theirs[name], rtol, 1e-14, err_msg=name, strict=True)


@pytest.mark.parametrize("training", TRAINING, ids=str)
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_both_sides_name_order_and_compute_alike(kind: str, options: dict[str, Any], training: dict[str, Any]) -> None:
    pair = Pair(kind, options | training)
    for seed in range(8):
        require_equal(*pair.step(seed))


@pytest.mark.parametrize("kind", ["SGD", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW"])
def test_the_defaults_are_torchs(kind: str) -> None:
    pair = Pair(kind, {})
    for seed in range(3):
        require_equal(*pair.step(seed))


def test_steps_are_counted_in_float32_to_the_bit() -> None:
    pair = Pair("Adam", {})
    for seed in range(3):
        mine, theirs = pair.step(seed)
        for trace in (mine, theirs):
            assert trace["adam.linear1.bias.step"].dtype == np.float32
            assert trace["adam.linear1.bias.step"].shape == ()
            assert trace["adam.linear1.bias.step"] == seed + 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_learning_rate_of_the_trace_is_of_the_networks_dtype(dtype: str) -> None:
    mine, theirs = Pair("Adam", {"lr": 0.1, "schedule": {"kind": "LinearLR"}}, dtype).step(0)
    for trace in (mine, theirs):
        assert trace["adam.lr"].dtype == dtype
        assert trace["adam.lr"] == np.dtype(dtype).type(0.1 / 3)


@pytest.mark.parametrize("training", [{"accumulate": 2}, {"max_norm": 0.1}, {"accumulate": 2, "clip_value": 0.1}])
def test_a_step_leaves_the_gradients_of_the_last_backward_pass(training: dict[str, Any]) -> None:
    pair = Pair("Adam", training)
    for seed in range(4):
        _, theirs = pair.step(seed)
        for name, array in pair.reference.trace().items():
            np.testing.assert_array_equal(array, theirs[name] if ".grad" in name else array)
        for name, weight in pair.reference.weights.items():
            assert weight.grad is not None
            np.testing.assert_array_equal(weight.grad.numpy(), theirs[f"{name}.grad"])


# ---------------------------------------------------------------------------------------- taking over


@pytest.mark.parametrize("training", TRAINING, ids=str)
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_an_optimizer_goes_on_from_a_state_as_its_owner_would(
    kind: str, options: dict[str, Any], training: dict[str, Any]
) -> None:
    owner, taken_over = Pair(kind, options | training), Pair(kind, options | training)
    for seed in range(5):
        owner.step(seed)
        taken_over.step(100 + seed)  # to a state of its own, which must go
    taken_over.reference.load(owner.manual.parameters)
    taken_over.theirs.load(owner.mine.state)
    taken_over.theirs.micro = owner.mine.micro
    for seed in range(5, 8):
        require_equal(owner.step(seed)[0], taken_over.step(seed)[1], 1e-10)


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_loading_nothing_drops_everything(kind: str, options: dict[str, Any]) -> None:
    used, fresh = Pair(kind, options | {"accumulate": 2}), Pair(kind, options | {"accumulate": 2})
    for seed in range(2):
        used.step(seed)
    used.reference.load(used.parameters)
    used.theirs.load({})
    used.theirs.micro = 0
    assert [name for name in used.theirs.trace() if not name.endswith(".updated")] == []
    for seed in range(10, 14):
        require_equal(used.step(seed)[1], fresh.step(seed)[1], 0)


def test_what_is_loaded_is_copied() -> None:
    pair = Pair("Adam", {"accumulate": 2, "amsgrad": True})
    for seed in range(3):
        pair.step(seed)
    pair.theirs.load(pair.mine.state)
    kept = {name: array.copy() for name, array in pair.theirs.trace().items()}
    own = {**pair.theirs.accumulated}
    assert own.keys() == pair.parameters.keys()
    for array in pair.mine.state.values():
        assert not any(np.shares_memory(array, other) for other in pair.theirs.trace().values())
        array[...] = 7
    for name, array in pair.theirs.trace().items():
        np.testing.assert_array_equal(array, kept[name])


def test_nothing_of_a_step_lies_in_the_other_sides_memory() -> None:
    pair = Pair("RMSprop", {"accumulate": 2, "momentum": 0.5, "max_norm": 0.1, "schedule": WARMED})
    pair.step(0)
    pair.theirs.load(pair.mine.state)
    pair.step(1)
    mine, theirs = pair.manual.trace(), pair.reference.trace() | pair.theirs.trace()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert not any(np.shares_memory(array, other) for other in theirs.values()), name


def test_micro_takes_a_schedule_to_where_it_stood() -> None:
    first, second = (Pair("SGD", {"lr": 0.4, "accumulate": 2, "schedule": WARMED}) for _ in range(2))
    rates = []
    for seed in range(10):
        rates.append(first.theirs.lr)
        first.step(seed)
    assert len(set(rates)) == 5
    for micro in (7, 0, 9):
        second.theirs.micro = micro
        assert second.theirs.lr == rates[micro]


def test_a_schedule_is_torchs_own() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    made = build_schedule(optimizer, WARMED)
    assert type(made) is torch.optim.lr_scheduler.SequentialLR
    with pytest.raises(AttributeError):
        build_schedule(optimizer, {"kind": "CosineLR"})


# ---------------------------------------------------------------------------------------- one update alone


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_one_update_in_float64_is_the_networks(kind: str, options: dict[str, Any], dtype: str) -> None:
    pair = Pair(kind, options, dtype)
    for seed in range(4):
        before = {key: array.astype(np.float64) for key, array in pair.mine.state.items()}
        mine, _ = pair.step(seed)
        for name in pair.parameters:
            own = {**options, "weight_decay": pair.mine.weight_decay[name]} if name in pair.mine.weight_decay else {
                **options, "weight_decay": 0.0}  # fmt: skip
            state = {k.removeprefix(f"{name}."): v for k, v in before.items() if k.startswith(f"{name}.")}
            inputs = mine[name].astype(np.float64), mine[f"{name}.grad"].astype(np.float64)
            updated, after = reference.update(kind, own, *inputs, state)
            rtol = 1e-12 if dtype == "float64" else 1e-5
            np.testing.assert_allclose(mine[f"{name}.updated"], updated, rtol, rtol / 100)
            assert updated.dtype == np.float64
            for key, array in after.items():
                found = mine[f"{kind.lower()}.{name}.{key}"]
                np.testing.assert_allclose(found, array, rtol, rtol / 100, err_msg=f"{name}.{key}")
                assert array.dtype == (np.float32 if key == "step" else np.float64)
