"""Every optimizer against torch.optim, step by step; clipping, accumulation and schedules against torch's own."""

import inspect
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import manual
from manual import Linear, Network, SquaredError, Tanh, clip_grad_norm_, clip_grad_value_
from manual.optimizers import OPTIONS, Optimizer
from manual.schedules import build_schedule

Array = np.ndarray[Any, Any]

SHAPES = {"linear1.weight": (4, 3), "linear1.bias": (4,), "linear2.weight": (2, 4), "linear2.bias": (2,)}
CHOSEN = {"linear1.weight": 0.05, "linear2.bias": 0.2}

CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.05, "maximize": True}),
    ("SGD", {"lr": 0.3, "momentum": 0.8, "dampening": 0.4, "weight_decay": CHOSEN}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.2, "weight_decay": 0.05}),
    ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 0.5, "eps": 0.1, "weight_decay": CHOSEN}),
    ("Adagrad", {"lr": 0.3, "maximize": True, "weight_decay": 0.05}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.7, "eps": 0.01, "weight_decay": 0.05}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"momentum": 0.8, "weight_decay": CHOSEN}),
    ("RMSprop", {"momentum": 0.8, "centered": True, "alpha": 0.9, "maximize": True, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.7, "rho": 0.6, "eps": 1e-3, "weight_decay": CHOSEN}),
    ("Adadelta", {"maximize": True, "weight_decay": 0.05}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.05}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.6, 0.7)}),
    ("Adam", {"lr": 0.1, "maximize": True, "weight_decay": CHOSEN}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "betas": (0.6, 0.7), "weight_decay": CHOSEN}),
    ("AdamW", {"lr": 0.1, "maximize": True}),
]
KINDS = list(OPTIONS)


def build(dtype: Any = np.float64) -> Network:
    rng = np.random.default_rng(1)
    parameters = {name: rng.uniform(-1, 1, shape).astype(dtype) for name, shape in SHAPES.items()}
    return Network([Linear(3, 4), Tanh(), Linear(4, 2)], loss=SquaredError(), parameters=parameters)


def gradients(step: int, dtype: Any = np.float64, size: float = 1.0) -> dict[str, Array]:
    """Return signed gradients of sizes from 1e-3 to 1: the same for both sides, so that only the update is compared."""
    rng = np.random.default_rng(100 + step)
    return {
        name: (size * rng.choice([-1, 1], shape) * 10.0 ** rng.uniform(-3, 0, shape)).astype(dtype)
        for name, shape in SHAPES.items()
    }


def make(kind: str, network: Any, **options: Any) -> Optimizer:
    return getattr(manual, kind)(network, **options)


class Twin:
    """torch's optimizer over copies of a network's parameters."""

    def __init__(self, kind: str, network: Network, weight_decay: Any = None, **options: Any):
        self.weights = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in network.parameters.items()}
        groups: list[dict[str, Any]] = [{"params": [weight]} for weight in self.weights.values()]
        if weight_decay is not None:
            for name, group in zip(self.weights, groups, strict=True):
                group["weight_decay"] = weight_decay.get(name, 0.0) if isinstance(weight_decay, dict) else weight_decay
        self.optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)(groups, foreach=False, **options)

    def take(self, given: dict[str, Array]) -> None:
        for name, gradient in given.items():
            self.weights[name].grad = torch.tensor(gradient)
        self.optimizer.step()

    def state(self) -> dict[str, Array]:
        return {
            f"{name}.{key}": value.numpy()
            for name, weight in self.weights.items()
            for key, value in self.optimizer.state[weight].items()
            if value is not None
        }

    def require_equal(self, optimizer: Optimizer, rtol: float, atol: float) -> None:
        """Hold parameters and state against the manual optimizer's; the counts to the bit."""
        theirs = self.state()
        assert theirs.keys() == {key for key in optimizer.state if not key.endswith(".accumulated")}
        for name, weight in self.weights.items():
            mine = optimizer.network.parameters[name]
            np.testing.assert_allclose(mine, weight.detach().numpy(), rtol, atol, err_msg=name, strict=True)
        for key, value in theirs.items():
            exact = key.endswith(".step")
            np.testing.assert_allclose(
                optimizer.state[key], value, 0 if exact else rtol, 0 if exact else atol, err_msg=key, strict=True
            )


# ---------------------------------------------------------------------------------------- against torch.optim


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(np.float64, 1e-12, 1e-15), (np.float32, 1e-5, 1e-6)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS, ids=str)
def test_twelve_steps_against_torch(kind: str, options: dict[str, Any], dtype: Any, rtol: float, atol: float) -> None:
    network = build(dtype)
    optimizer, twin = make(kind, network, **options), Twin(kind, network, **options)
    for step in range(12):
        network.gradients = gradients(step, dtype)
        twin.take(network.gradients)
        optimizer.step()
        twin.require_equal(optimizer, rtol, atol)


def test_every_option_of_every_optimizer_is_tried() -> None:
    tried: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for kind, options in CONFIGURATIONS:
        tried[kind] |= options.keys()
    shared = {"schedule", "accumulate", "max_norm", "norm_type", "clip_value"}  # tried below, for all alike
    assert {kind: OPTIONS[kind].keys() - shared - tried[kind] for kind in KINDS} == {kind: set() for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_and_their_defaults_are_torchs(kind: str) -> None:
    # How torch computes, not what; and what makes an AdamW of Adam.
    implementation = {"foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
    theirs = inspect.signature(getattr(torch.optim, kind)).parameters
    wanted = {n: p.default for n, p in theirs.items() if n not in implementation | {"params"}}
    shared = {"schedule": None, "accumulate": 1, "max_norm": None, "norm_type": 2.0, "clip_value": None}
    assert OPTIONS[kind] == wanted | shared


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_attributes_of_the_same_name_and_plain_numbers(kind: str) -> None:
    given = {k: np.float64(v) for k, v in OPTIONS[kind].items() if type(v) is float and k != "norm_type"}
    optimizer = make(kind, build(np.float32), **given)
    for option, value in given.items():
        found = getattr(optimizer, option)
        if option == "weight_decay":
            assert found == dict.fromkeys(SHAPES, value)
            found = found["linear1.bias"]
        assert type(found) is float
        assert found == value


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS, ids=str)
def test_the_dtype_is_kept_but_steps_are_counted_in_float32(kind: str, options: dict[str, Any], dtype: Any) -> None:
    network = build(dtype)
    training = {"accumulate": 2, "max_norm": 0.5, "schedule": {"kind": "LinearLR"}}
    optimizer = make(kind, network, **options, **training)
    for step in range(4):
        network.gradients = gradients(step, dtype)
        optimizer.step()
    for name, array in (network.parameters | optimizer.state | optimizer.trace()).items():
        assert isinstance(array, np.ndarray)
        assert array.dtype == (np.float32 if name.endswith(".step") else dtype), name


@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS, ids=str)
def test_a_step_is_in_place_and_owns_its_state(kind: str, options: dict[str, Any]) -> None:
    network = build()
    arrays = dict(network.parameters)
    optimizer = make(kind, network, **options)
    for step in range(2):
        before = {name: array.copy() for name, array in arrays.items()}
        network.gradients = gradients(step)
        optimizer.step()
        for name, array in arrays.items():
            assert network.parameters[name] is array
            assert (array != before[name]).all()
            np.testing.assert_array_equal(optimizer.previous[name], before[name])
            np.testing.assert_array_equal(network.gradients[name], gradients(step)[name])
    owned = list(optimizer.state.values())
    for position, state in enumerate(owned):
        others = (*network.gradients.values(), *arrays.values(), *owned[:position])
        assert not any(np.shares_memory(state, other) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_put_in_from_outside_is_gone_on_with(kind: str) -> None:
    whole, halved = build(), build()
    first, second = make(kind, whole, lr=0.1), make(kind, halved, lr=0.1)
    for step in range(5):
        whole.gradients = halved.gradients = gradients(step)
        first.step()
        if step == 2:
            for name, array in whole.parameters.items():
                halved.parameters[name][...] = array
            second.state, second.micro = {key: array.copy() for key, array in first.state.items()}, first.micro
        elif step > 2:
            second.step()
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(halved.parameters[name], array)


class Bare:
    """A network for an optimizer: two dicts."""

    def __init__(self, parameters: dict[str, Array], gradients: dict[str, Array]):
        self.parameters, self.gradients = parameters, gradients


def test_a_network_is_whatever_has_parameters_and_gradients() -> None:
    network = Bare({"p": np.array([1.0, 2.0])}, {"p": np.array([0.5, -0.5])})
    make("SGD", network, lr=0.1).step()
    np.testing.assert_allclose(network.parameters["p"], [0.95, 2.05], rtol=1e-15)


# ---------------------------------------------------------------------------------------- published, by hand


def test_adam_against_cs231n() -> None:
    """CS231n, assignment 2, Optimization.ipynb: fourth step counted 5, so that the update sees t = 6."""
    w, dw, m, v = (
        np.linspace(low, high, 20).reshape(4, 5) for low, high in ((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9), (0.7, 0.5))
    )
    network = Bare({"w": w}, {"w": dw})
    optimizer = make("Adam", network, lr=1e-2)
    optimizer.state = {"w.step": np.array(5, np.float32), "w.exp_avg": m, "w.exp_avg_sq": v}
    optimizer.step()
    published = [-0.40094747, -0.3483618, -0.2957770, -0.2431929, -0.1906097]
    exact = [-0.40094747166840083, -0.3483618689667189, -0.2957770321333014, -0.24319298836973444, -0.19060976631902593]
    np.testing.assert_allclose(w[0], published, atol=1e-7)
    np.testing.assert_allclose(w[0], exact, rtol=1e-14)


@pytest.mark.parametrize(
    ("kind", "options", "after_one", "after_two"),
    [
        # One weight 1, gradients 3 then -4.
        # s = 9, 1 - 0.1 * 3/3; s = 25, 0.9 + 0.1 * 4/5
        ("Adagrad", {"lr": 0.1, "eps": 0.0}, 0.9, 0.98),
        # s = 0.5 * 9 = 4.5, 1 - 0.1 * 3/sqrt(4.5); s = 2.25 + 8 = 10.25
        ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 0.0}, 1 - 0.3 / 4.5**0.5, 1 - 0.3 / 4.5**0.5 + 0.4 / 10.25**0.5),
        # m = 1.5, corrected 3; v = 4.5, corrected 9; then m = 0.75 - 2 = -1.25 by 0.75, v = 10.25 by 0.75
        (
            "Adam", {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.0},
            0.9, 0.9 + 0.1 * (1.25 / 0.75) / (10.25 / 0.75) ** 0.5,
        ),
        # the same step, after 1 - 0.1 * 0.5 = 0.95
        ("AdamW", {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.0, "weight_decay": 0.5},
         0.85, 0.85 * 0.95 + 0.1 * (1.25 / 0.75) / (10.25 / 0.75) ** 0.5),
        # s = 4.5, d = sqrt(1)/sqrt(5.5) * 3, a = 0.5 d^2 = 9/11; s = 10.25, d = -sqrt(20/11)/sqrt(11.25) * 4
        ("Adadelta", {"rho": 0.5, "eps": 1.0}, 1 - 3 / 5.5**0.5, 1 - 3 / 5.5**0.5 + 4 * (20 / 11 / 11.25) ** 0.5),
    ],
)  # fmt: skip
def test_two_steps_by_hand(kind: str, options: dict[str, Any], after_one: float, after_two: float) -> None:
    network = Bare({"w": np.array([1.0])}, {})
    optimizer = make(kind, network, **options)
    for gradient, expected in ((3.0, after_one), (-4.0, after_two)):
        network.gradients = {"w": np.array([gradient])}
        optimizer.step()
        assert network.parameters["w"].item() == pytest.approx(expected, rel=1e-14)


# ---------------------------------------------------------------------------------------- schedules

SCHEDULES: list[dict[str, Any]] = [
    {"kind": "StepLR", "step_size": 3},
    {"kind": "StepLR", "step_size": 1, "gamma": 0.7},
    {"kind": "LinearLR"},
    {"kind": "LinearLR", "start_factor": 0.1, "end_factor": 0.8, "total_iters": 7},
    {"kind": "LinearLR", "start_factor": 1.0, "end_factor": 0.0, "total_iters": 4},
    {"kind": "CosineAnnealingLR", "T_max": 11},
    {"kind": "CosineAnnealingLR", "T_max": 4, "eta_min": 0.02},  # and up again, and down
    {
        "kind": "SequentialLR", "milestones": [4],
        "schedules": [{"kind": "LinearLR", "total_iters": 4}, {"kind": "CosineAnnealingLR", "T_max": 9}],
    },
    {
        "kind": "SequentialLR", "milestones": [3, 8],
        "schedules": [
            {"kind": "LinearLR", "total_iters": 2}, {"kind": "StepLR", "step_size": 2},
            {"kind": "CosineAnnealingLR", "T_max": 20, "eta_min": 0.01},
        ],
    },
]  # fmt: skip


def torch_schedule(optimizer: torch.optim.Optimizer, description: dict[str, Any]) -> Any:
    arguments = dict(description)
    made = getattr(torch.optim.lr_scheduler, arguments.pop("kind"))
    if inner := arguments.pop("schedules", None):
        return made(optimizer, [torch_schedule(optimizer, s) for s in inner], **arguments)
    return made(optimizer, **arguments)


@pytest.mark.parametrize("description", SCHEDULES, ids=str)
def test_the_closed_form_is_torchs_recursion(description: dict[str, Any]) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([weight], lr=0.3)
    theirs, mine = torch_schedule(optimizer, description), build_schedule(description)
    for step in range(30):
        assert mine.lr(step, 0.3) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-15), step
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("description", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_a_scheduled_optimizer_against_torch(kind: str, description: dict[str, Any]) -> None:
    network = build()
    optimizer, twin = make(kind, network, lr=0.3, schedule=description), Twin(kind, network, lr=0.3)
    theirs = torch_schedule(twin.optimizer, description)
    for step in range(15):
        rate = theirs.get_last_lr()[0]
        assert optimizer.lr == pytest.approx(rate, rel=1e-12, abs=1e-15)
        network.gradients = gradients(step)
        twin.take(network.gradients)
        theirs.step()
        optimizer.step()
        twin.require_equal(optimizer, 1e-11, 1e-14)
        assert optimizer.trace()[f"{kind.lower()}.lr"] == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_a_schedule_counts_updates_not_micro_batches() -> None:
    network = build()
    optimizer = make("SGD", network, lr=1.0, accumulate=3, schedule=manual.StepLR(step_size=1, gamma=0.5))
    rates = []
    for step in range(9):
        network.gradients = gradients(step)
        optimizer.step()
        rates.append(float(optimizer.trace()["sgd.lr"]))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert optimizer.lr == 0.125
    optimizer.micro = 3
    assert optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"kind": "StepLR", "step_size": 0}, "StepLR: step_size is 0; wanted a whole number of at least 1"),
        ({"kind": "StepLR", "step_size": 2.5}, "step_size is 2.5"),
        ({"kind": "StepLR", "step_size": 2, "gamma": -1.0}, "gamma is -1.0"),
        ({"kind": "LinearLR", "start_factor": 0.0}, "start_factor is 0.0; wanted a number above 0, at most 1"),
        ({"kind": "LinearLR", "end_factor": 1.5}, "end_factor is 1.5; wanted a number from 0 to 1"),
        ({"kind": "LinearLR", "total_iters": 0}, "total_iters is 0"),
        ({"kind": "CosineAnnealingLR", "T_max": 0}, "T_max is 0"),
        ({"kind": "CosineAnnealingLR", "T_max": 5, "eta_min": math.nan}, "eta_min is nan"),
        ({"kind": "SequentialLR", "schedules": [{"kind": "LinearLR"}], "milestones": [3]}, r"milestones are \[3\]"),
        ({"kind": "SequentialLR", "schedules": [{"kind": "LinearLR"}] * 3, "milestones": [5, 3]}, "in rising order"),
        ({"kind": "CosineLR"}, "schedule.kind is 'CosineLR'; wanted one of StepLR"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(description: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("SGD", build(), schedule=description)


# ---------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.3, 1e4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_by_norm_against_torch(max_norm: float, norm_type: float, dtype: Any) -> None:
    mine = gradients(0, dtype)
    weights = [torch.nn.Parameter(torch.tensor(g)) for g in mine.values()]
    for weight, gradient in zip(weights, mine.values(), strict=True):
        weight.grad = torch.tensor(gradient)
    before = {name: gradient.copy() for name, gradient in mine.items()}
    theirs = torch.nn.utils.clip_grad_norm_(weights, max_norm, norm_type)
    rtol = 1e-13 if dtype is np.float64 else 1e-6
    np.testing.assert_allclose(clip_grad_norm_(mine, max_norm, norm_type), theirs.numpy(), rtol=rtol)
    for (name, gradient), weight in zip(mine.items(), weights, strict=True):
        assert weight.grad is not None
        np.testing.assert_allclose(gradient, weight.grad.numpy(), rtol=rtol, strict=True)
        assert np.array_equal(gradient, before[name]) == (max_norm == 1e4)  # what is short enough stays to the bit


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_by_value_against_torch(dtype: Any) -> None:
    mine = gradients(0, dtype)
    weights = [torch.nn.Parameter(torch.tensor(g)) for g in mine.values()]
    for weight, gradient in zip(weights, mine.values(), strict=True):
        weight.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_value_(weights, 0.1)
    clip_grad_value_(mine, 0.1)
    for gradient, weight in zip(mine.values(), weights, strict=True):
        assert weight.grad is not None
        np.testing.assert_array_equal(gradient, weight.grad.numpy(), strict=True)
    assert (np.abs(mine["linear1.weight"]) == dtype(0.1)).any()
    assert (np.abs(mine["linear1.weight"]) < 0.1).any()


def test_clipping_by_norm_by_hand() -> None:
    # Norms 3 and 4, together 5: shortened to 1, all by the same fifth.
    found = {"a": np.array([3.0, 0.0]), "b": np.array([[0.0], [-4.0]])}
    assert clip_grad_norm_(found, 1.0) == 5
    np.testing.assert_allclose(found["a"], [0.6, 0], rtol=3e-7)  # 1e-6 stands beside the norm
    np.testing.assert_allclose(found["b"], [[0], [-0.8]], rtol=3e-7)
    assert found["a"][0] == 3 / 5.000001


@pytest.mark.parametrize("options", [{"max_norm": 0.5}, {"max_norm": 0.5, "norm_type": 1.0}, {"clip_value": 0.05}])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_an_optimizer_that_clips_against_torch(kind: str, options: dict[str, Any]) -> None:
    network = build()
    optimizer, twin = make(kind, network, lr=0.3, **options), Twin(kind, network, lr=0.3)
    for step in range(10):
        network.gradients = gradients(step, size=10.0 if step % 2 else 1e-3)  # too long, and short enough
        for name, gradient in network.gradients.items():
            twin.weights[name].grad = torch.tensor(gradient)
        if "max_norm" in options:
            torch.nn.utils.clip_grad_norm_(twin.weights.values(), **options)
        else:
            torch.nn.utils.clip_grad_value_(twin.weights.values(), **options)
        twin.optimizer.step()
        optimizer.step()
        twin.require_equal(optimizer, 1e-12, 1e-15)
        for name, weight in twin.weights.items():
            assert weight.grad is not None
            found = optimizer.trace()[f"{name}.grad.clipped"]
            np.testing.assert_allclose(found, weight.grad.numpy(), rtol=1e-13)
            np.testing.assert_array_equal(  # the network's own stay as they are
                network.gradients[name], gradients(step, size=10.0 if step % 2 else 1e-3)[name]
            )


# ---------------------------------------------------------------------------------------- accumulation


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("options", [{}, {"max_norm": 0.5}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kth_call_updates_with_the_average_of_k_gradients(kind: str, options: dict[str, Any], k: int) -> None:
    network = build()
    optimizer, twin = make(kind, network, lr=0.1, accumulate=k, **options), Twin(kind, network, lr=0.1)
    for call in range(4 * k):
        before = {name: array.copy() for name, array in network.parameters.items()}
        network.gradients = gradients(call)
        for name, weight in twin.weights.items():  # as (loss / k).backward() adds it up
            if call % k == 0:
                weight.grad = torch.zeros_like(weight)
            assert weight.grad is not None
            weight.grad += torch.tensor(network.gradients[name]) / k
        kept = {name: weight.grad.numpy().copy() for name, weight in twin.weights.items() if weight.grad is not None}
        optimizer.step()
        trace = optimizer.trace()
        for name, gradient in kept.items():
            np.testing.assert_allclose(trace[f"{name}.grad.accumulated"], gradient, rtol=1e-13, atol=1e-16)
            np.testing.assert_array_equal(optimizer.state[f"{name}.accumulated"], trace[f"{name}.grad.accumulated"])
        if call % k == k - 1:
            if options:
                torch.nn.utils.clip_grad_norm_(twin.weights.values(), **options)
            twin.optimizer.step()
            twin.require_equal(optimizer, 1e-12, 1e-15)
        else:
            for name, array in before.items():
                np.testing.assert_array_equal(trace[f"{name}.updated"], array)
                np.testing.assert_array_equal(optimizer.previous[name], array)
                assert f"{name}.grad.clipped" not in trace


def test_accumulated_micro_batches_are_the_whole_batch() -> None:
    """The mean over 6 examples is the average of the means over two halves: the same update to rounding."""
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    whole, halves = build(), build()
    at_once, twice = make("Adam", whole, lr=0.1), make("Adam", halves, lr=0.1, accumulate=2)
    for _ in range(3):
        whole.loss(x, target)
        whole.backward()
        at_once.step()
        for rows in (slice(0, 3), slice(3, 6)):
            halves.loss(x[rows], target[rows])
            halves.backward()
            twice.step()
    for name, array in whole.parameters.items():
        np.testing.assert_allclose(halves.parameters[name], array, rtol=1e-9, err_msg=name)


def test_micro_says_where_between_two_updates_a_restored_optimizer_stands() -> None:
    whole, restored = build(), build()
    first, second = (make("Adam", network, lr=0.1, accumulate=3) for network in (whole, restored))
    for call in range(6):
        whole.gradients = restored.gradients = gradients(call)
        first.step()
        if call == 3:
            second.state = {key: array.copy() for key, array in first.state.items()}
            second.micro = 4
            for name, array in whole.parameters.items():
                restored.parameters[name][...] = array
        elif call > 3:
            second.step()
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(restored.parameters[name], array)


# ---------------------------------------------------------------------------------------- trace


def test_the_trace_names_everything_in_the_order_of_a_step() -> None:
    network = Bare({"a.weight": np.ones(2), "a.bias": np.ones(1)}, {"a.weight": np.ones(2), "a.bias": np.ones(1)})
    schedule = manual.LinearLR()
    optimizer = make("Adam", network, accumulate=2, max_norm=1.0, schedule=schedule, amsgrad=True)
    optimizer.step()
    gathered = ["a.weight.grad.accumulated", "a.bias.grad.accumulated"]
    assert list(optimizer.trace()) == [*gathered, "adam.lr", "a.weight.updated", "a.bias.updated"]
    optimizer.step()
    keys = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    assert list(optimizer.trace()) == [
        *gathered, "a.weight.grad.clipped", "a.bias.grad.clipped", "adam.lr",
        *(f"adam.{name}.{key}" for name in ("a.weight", "a.bias") for key in keys),
        "a.weight.updated", "a.bias.updated",
    ]  # fmt: skip
    optimizer.step()  # the state stands as it was
    assert optimizer.trace()["adam.a.bias.step"] == 1


def test_a_networks_trace_has_what_its_optimizer_made() -> None:
    network = build()
    optimizer = make("RMSprop", network, max_norm=0.1)
    network.loss(np.ones((2, 3)), np.ones((2, 2)))
    network.backward()
    optimizer.step()
    names = list(network.trace())
    order = ["linear1.bias.grad", "linear1.weight.grad.clipped", "rmsprop.linear1.weight.square_avg",
             "linear1.weight.updated"]  # fmt: skip
    places = [names.index(name) for name in order]
    assert all(earlier < later for earlier, later in pairwise(places))


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Adam", {"lr": -1.0}, "Adam: lr is -1.0; wanted a number of at least 0"),
        ("Adam", {"betas": (1.0, 0.9)}, r"Adam: betas\[0\] is 1.0; wanted a number from 0 to below 1"),
        ("AdamW", {"betas": (0.9, -0.1)}, r"AdamW: betas\[1\] is -0.1"),
        ("AdamW", {"eps": math.nan}, "AdamW: eps is nan"),
        ("AdamW", {"weight_decay": -0.1}, "weight_decay of linear1.weight is -0.1"),
        ("Adagrad", {"lr_decay": -0.1}, "Adagrad: lr_decay is -0.1"),
        ("Adagrad", {"initial_accumulator_value": -0.1}, "initial_accumulator_value is -0.1"),
        ("Adagrad", {"eps": -0.1}, "eps is -0.1"),
        ("RMSprop", {"alpha": 1.5}, "RMSprop: alpha is 1.5; wanted a number from 0 to below 1"),
        ("RMSprop", {"momentum": -0.5}, "momentum is -0.5"),
        ("RMSprop", {"eps": -0.5}, "eps is -0.5"),
        ("Adadelta", {"rho": -0.5}, "Adadelta: rho is -0.5"),
        ("Adadelta", {"eps": -0.5}, "eps is -0.5"),
        ("SGD", {"accumulate": 0}, "SGD: accumulate is 0; wanted a whole number of at least 1"),
        ("SGD", {"accumulate": 1.5}, "accumulate is 1.5"),
        ("SGD", {"max_norm": 0.0}, "SGD: max_norm is 0.0; wanted a number above 0"),
        ("SGD", {"clip_value": math.nan}, "clip_value is nan"),
        ("SGD", {"max_norm": 1.0, "norm_type": 0.0}, "norm_type is 0.0"),
        ("SGD", {"max_norm": 1.0, "clip_value": 1.0}, "max_norm and clip_value both clip; wanted one"),
    ],
)
def test_options_that_make_no_sense_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, build(), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_needs_gradients(kind: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{kind}.step needs gradients: call network.loss"):
        make(kind, build()).step()
