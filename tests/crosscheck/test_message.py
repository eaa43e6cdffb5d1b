"""What a failure tells: location, both values, witnesses, the named mistake, and the smallest input that shows it."""

import json
from typing import Any

import numpy as np
import pytest
import torch

import compare
from compare import DerivationError, DescriptionError, crosscheck
from tests.crosscheck.right import Dense, NaiveSoftmax, Relu, Swish, Table
from tests.crosscheck.wrong import (
    Diagonal,
    InnerCorner,
    LastExampleOnly,
    RaisesForOne,
    TermMissing,
    TiesToFirst,
    TwoWrong,
    WrongForward,
)

F = torch.nn.functional


def failed(candidate: Any, reference: Any, *shape: Any, **keywords: Any) -> DerivationError:
    with pytest.raises(DerivationError) as caught:
        crosscheck(candidate, reference, *shape, examples=60, **keywords)
    return caught.value


def test_the_error_is_an_assertion_with_its_result() -> None:
    error = failed(TermMissing(), F.silu)
    assert isinstance(error, AssertionError)
    assert error.result.verdict == "DIVERGES"
    assert error.result.exit_status == 1
    assert not error.result
    assert str(error) == str(error.result)


def test_location_and_both_values_are_those_of_the_smallest_input() -> None:
    result = failed(TermMissing(), F.silu).result
    failure = result.failures[0]
    x, dy = (result.smallest[name][tuple(failure["index"])] for name in ("input", "grad_output"))
    s = 1 / (1 + np.exp(-x))
    assert failure["tensor"] == "input.grad"
    assert failure["manual"] == pytest.approx(dy * s)
    assert failure["reference"] == pytest.approx(dy * (s + x * s * (1 - s)))
    assert failure["error"] > failure["bound"] > 0
    for value in (failure["manual"], failure["reference"]):
        assert repr(value) in str(result)
    assert "input.grad[0, 0]" in str(result)


def test_the_three_witnesses_side_with_autograd() -> None:
    result = failed(Diagonal(), F.softmax, arguments={"dim": -1}).result
    witnesses = result.failures[0]["witnesses"]
    truth = result.failures[0]["reference"]
    assert witnesses["autograd"] == pytest.approx(truth)
    assert witnesses["complex_step"] == pytest.approx(truth)
    assert witnesses["central_difference"] == pytest.approx(truth, abs=1e-8)
    for word in ("autograd", "complex step", "central difference", "side with autograd"):
        assert word in str(result)


def test_two_different_functions_are_told_from_a_wrong_derivative() -> None:
    """The backward pass is right for the forward pass, which is not the reference's."""
    result = failed(WrongForward(), F.silu).result
    assert result.failing[0] == "output"


def test_a_named_mistake_of_the_catalogue() -> None:
    class NoRest:
        def forward(self, z: Any) -> Any:
            self.a = 1 / (1 + np.exp(-z))
            return self.a

        def backward(self, grad_output: Any) -> Any:
            return grad_output * self.a

    failure = failed(NoRest(), torch.sigmoid).result.failures[0]
    assert failure["suspects"][0]["name"] == "sigmoid-derivative-without-rest"
    assert "sigmoid-derivative-plus" in failure["ruled_out"]


def test_a_mistake_of_any_derivation_where_the_catalogue_knows_no_such_entry() -> None:
    class Squares:
        def forward(self, x: Any) -> Any:
            self.x = x
            return x * x

        def backward(self, grad_output: Any) -> Any:
            return grad_output * self.x

    failure = failed(Squares(), torch.square).result.failures[0]
    assert "halved" in {suspect["name"] for suspect in failure["suspects"]}


def test_all_failing_tensors_are_reported() -> None:
    error = failed(TwoWrong(), torch.nn.Linear(3, 4), ("batch", 3))
    assert error.result.failing == ["input.grad", "bias.grad"]
    assert "input.grad[" in str(error)
    assert "bias.grad[" in str(error)
    assert "weight.grad[" not in str(error)


@pytest.mark.parametrize(
    ("candidate", "reference", "shape", "keywords", "sizes"),
    [
        (TermMissing, F.silu, ("batch", "n"), {}, (1, 1)),
        (Diagonal, F.softmax, ("batch", "n"), {"arguments": {"dim": -1}}, (1, 2)),  # one output has no neighbour
        (LastExampleOnly, torch.nn.Linear(3, 4), ("batch", 3), {}, (2, 3)),  # one example shows nothing
        (TiesToFirst, lambda x: torch.amax(x, -1), ("batch", "n"), {}, (1, 2)),  # a tie needs two
        (InnerCorner, F.hardswish, ("batch", 3, "n"), {}, (1, 3, 1)),
    ],
)
def test_a_failure_shrinks_to_the_smallest_input(
    candidate: Any, reference: Any, shape: Any, keywords: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    result = crosscheck(candidate, reference, shape, raises=False, **keywords)
    assert result.smallest["input"].shape == sizes


def test_the_values_of_the_smallest_input_are_simple() -> None:
    result = failed(TermMissing(), F.silu).result
    for array in result.smallest.values():
        assert np.array_equal(array, np.round(array, 2))


def test_the_smallest_input_fails_by_itself() -> None:
    result = failed(Diagonal(), F.softmax, arguments={"dim": -1}).result
    own = crosscheck(
        Diagonal(), F.softmax, arguments={"dim": -1}, inputs=result.smallest["input"], examples=1, raises=False
    )
    assert not own
    for name in ("input", "grad_output"):
        written = str(result).partition(f"    {name} = ")[2].partition("\n")[0]
        assert np.array_equal(eval(written, {"np": np}), result.smallest[name])  # it can be copied as it stands


def test_the_kink_is_called_a_kink() -> None:
    result = failed(InnerCorner(), F.hardswish).result
    assert result.failures[0]["at_kink"]
    assert "the reference's convention counts" in str(result)
    assert not failed(TermMissing(), F.silu).result.failures[0]["at_kink"]


def test_one_batch_size_that_fails() -> None:
    result = failed(RaisesForOne(), F.silu).result
    assert result.structure["batch size 1"] == "does not hold"
    assert "IndexError: too few examples" in str(result)


def test_the_same_seed_gives_the_same_result() -> None:
    first, again = (crosscheck(Swish(), F.silu, examples=30, seed=5).to_json() for _ in range(2))
    assert first == again
    assert crosscheck(Swish(), F.silu, examples=30, seed=6).to_json()["worst"] != first["worst"]


@pytest.mark.parametrize("candidate", [Swish, TermMissing])
def test_the_result_is_json(candidate: Any) -> None:
    result = crosscheck(candidate, F.silu, examples=20, raises=False)
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["verdict"] == result.verdict
    assert data["examples"] >= 20
    assert (data["divergence"] is None) == (candidate is Swish)
    assert set(data["power"]) == {"output", "input.grad"}


def test_agreement_says_what_could_have_been_seen() -> None:
    result = crosscheck(Dense(), torch.nn.Linear(3, 4), ("batch", 3), examples=30)
    assert all(entry["smallest_relative_mistake"] < 1e-12 for entry in result.power.values())
    assert "The smallest relative mistake that would have been seen" in str(result)
    assert "batch sizes 1, 2, 7" in result.structure


def test_overflow_is_named_and_does_not_decide() -> None:
    result = crosscheck(NaiveSoftmax(), F.softmax, arguments={"dim": -1}, examples=20)
    assert result.verdict == "AGREES"
    assert "Overflow" in result.overflow
    with pytest.raises(DerivationError, match="where torch is finite"):
        crosscheck(NaiveSoftmax(), F.softmax, arguments={"dim": -1}, examples=20, overflow="fail")
    assert crosscheck(Relu(), F.relu, examples=20, overflow="fail").overflow == ""


def test_nothing_compared_is_no_agreement() -> None:
    class NeverFinite:
        def forward(self, x: Any) -> Any:
            return np.full_like(x, np.nan)

        def backward(self, grad_output: Any) -> Any:
            return np.full_like(grad_output, np.nan)

    result = crosscheck(NeverFinite(), lambda x: x * float("nan"), examples=20, raises=False)
    assert result.verdict == "INCONCLUSIVE"
    assert result.exit_status == 3


def test_the_candidate_is_left_as_it_was() -> None:
    layer = Dense()
    before = {name: array.copy() for name, array in layer.parameters.items()}
    crosscheck(layer, torch.nn.Linear(3, 4), ("batch", 3), examples=10)
    assert not hasattr(layer, "x")
    for name, array in before.items():
        assert np.array_equal(array, layer.parameters[name])


@pytest.mark.parametrize(
    ("candidate", "reference", "keywords", "words"),
    [
        (Swish(), "torch.nn.functional.sylu", {}, "Did you mean 'silu'"),
        (Swish(), "jax.nn.silu", {}, "wanted a name in torch"),
        (Swish(), 3, {}, "something torch can call"),
        (object(), F.silu, {}, "has no forward"),
        (Dense, torch.nn.Linear, {"arguments": {"biass": False}}, "Did you mean 'bias'"),
        (Dense(), torch.nn.Linear(5, 4), {"input_shape": ("batch", 5)}, "wanted the same names and shapes"),
        (Swish(), torch.nn.Linear(5, 4), {"input_shape": ("batch", 5)}, "wanted the same names and shapes"),
        (Swish(), F.silu, {"input_shape": ("batch", -1)}, "wanted sizes, or names for any size"),
        (Swish(), F.silu, {"dtypes": "float16"}, "wanted float64, float32, or both"),
        (Swish(), F.silu, {"examples": 0}, "wanted at least 1"),
        (Swish(), F.silu, {"between": (1, 0)}, "the smaller first"),
        (Swish(), F.mse_loss, {"target": "label"}, "Did you mean 'labels'"),
        (Table(), torch.nn.Embedding(6, 3), {"indices": -1}, "wanted a whole number"),
        (Swish(), F.glu, {"input_shape": ("batch", 3)}, "takes none of the inputs drawn"),
        (Swish(), F.silu, {"parameters": {"weight": (1,)}}, "which Swish does not have"),
    ],
)
def test_what_cannot_be_set_up_is_told_in_a_sentence(
    candidate: Any, reference: Any, keywords: dict[str, Any], words: str
) -> None:
    with pytest.raises(DescriptionError) as wrong:
        crosscheck(candidate, reference, **{"examples": 10, **keywords})
    assert words in str(wrong.value)


def test_the_room_and_the_function_are_one_name() -> None:
    import importlib

    room: Any = importlib.import_module("compare.crosscheck")
    assert room(Swish(), F.silu, examples=5).agrees
    assert compare.crosscheck(Swish(), F.silu, examples=5).agrees
