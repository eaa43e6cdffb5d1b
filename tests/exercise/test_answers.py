"""Answers that are right in another form, and answers that are wrong as people are: named, and told in hints."""

import secrets
from typing import Any

import pytest

from compare.exercise.entries import find_entry
from compare.exercise.paper import text_of
from compare.views.exercise import standing

RIGHT: list[tuple[str, str]] = [
    ("linear", """
        self.gradients["weight"] = np.einsum("nj,ni->ji", grad_output, self.x)
        if "bias" in self.parameters:
            self.gradients["bias"] = np.einsum("nj->j", grad_output)
        return np.einsum("nj,ji->ni", grad_output, self.parameters["weight"])"""),
    ("linear", """
        dW, db = np.zeros_like(self.parameters["weight"]), np.zeros_like(grad_output[0])
        for n in range(len(grad_output)):
            dW += np.outer(grad_output[n], self.x[n])
            db += grad_output[n]
        for name in self.parameters:
            self.gradients[name] = dW if name == "weight" else db
        return np.stack([self.parameters["weight"].T @ delta for delta in grad_output])"""),
    ("sigmoid", """
        e = (1 - self.a) / self.a  # e^-z
        return grad_output * e / (1 + e) ** 2"""),
    ("silu", """
        found = np.empty_like(grad_output)
        for place in np.ndindex(grad_output.shape):
            z = float(self.z[place])
            s = 1 / (1 + math.exp(-z))
            found[place] = grad_output[place] * (s + z * s * (1 - s))
        return found"""),
    ("softmax", """
        rows = [(np.diag(p) - np.outer(p, p)) @ g for p, g in zip(self.p, grad_output)]
        return np.stack(rows)"""),
]  # fmt: skip

WRONG: list[tuple[str, str, str, str]] = [
    ("sigmoid", "return grad_output * self.a", "input.grad", "sigmoid-derivative-without-rest"),
    ("tanh", "return grad_output * (1 - self.a)", "input.grad", "tanh-derivative-without-square"),
    ("linear", """
        self.gradients["weight"] = grad_output.T @ self.x
        self.gradients["bias"] = grad_output.mean(axis=0)
        return grad_output @ self.parameters["weight"]""", "bias.grad", "bias-gradient-averaged"),
    ("linear", """
        self.gradients["weight"] = self.gradients.get("weight", 0) + grad_output.T @ self.x
        self.gradients["bias"] = grad_output.sum(axis=0)
        return grad_output @ self.parameters["weight"]""", "weight.grad", "gradient-not-zeroed"),
    ("tanh", """
        grad_output *= 1 - self.a * self.a
        return grad_output""", "grad_output", "input-changed-in-place"),
    ("adam", """
        b1, b2 = self.betas
        g = gradient + self.weight_decay[name] * parameter
        m = b1 * self.state.get(f"{name}.exp_avg", 0) + (1 - b1) * g
        v = b2 * self.state.get(f"{name}.exp_avg_sq", 0) + (1 - b2) * g * g
        self.state[f"{name}.exp_avg"], self.state[f"{name}.exp_avg_sq"] = m, v
        parameter -= self.lr * m / (np.sqrt(v) + self.eps)""", "step1.weight.updated", "adam-uncorrected"),
    ("article", """
        d2 = (self.a2 - self.target) / len(self.x) * self.a2
        return {"linear2.output.grad": d2, "linear2.weight.grad": d2.T @ self.a1}""",
     "linear2.output.grad", "sigmoid-derivative-without-rest"),
]  # fmt: skip


DEFAULTS_ALONE: list[tuple[str, str, str]] = [
    ("mseloss", "return 2 * self.difference / self.difference.size", "MSELoss(reduction='sum')"),
    ("sgd", """
        g = gradient + self.weight_decay[name] * parameter
        v = self.momentum * self.state.get(f"{name}.momentum_buffer", 0) + g
        self.state[f"{name}.momentum_buffer"] = v
        parameter -= self.lr * v""", "SGD(lr=0.3, momentum=0.8, dampening=0.4, maximize=True)"),
    ("crossentropyloss", """
        return (self.p - self.q) / len(self.p)""", "CrossEntropyLoss(reduction='sum', ignore_index=0)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "setting"), DEFAULTS_ALONE)
def test_an_answer_for_the_defaults_alone_is_wrong_and_told_where(
    check: Any, name: str, body: str, setting: str
) -> None:
    checked = check(name, body, hint=4)
    assert (checked.verdict, checked.settings) == ("WRONG", [setting])
    assert setting in standing(checked)
    assert setting in text_of(find_entry(name))


@pytest.mark.parametrize(("name", "body"), RIGHT)
def test_another_right_formula_is_right(check: Any, name: str, body: str) -> None:
    checked = check(name, body)
    assert (checked.verdict, checked.reason, checked.hints) == ("RIGHT", "", [])
    assert checked.agrees_up_to == checked.tensors[-1]


@pytest.mark.parametrize(("name", "body", "tensor", "mistake"), WRONG)
def test_a_known_mistake_is_named(check: Any, name: str, body: str, tensor: str, mistake: str) -> None:
    checked = check(name, body, hint=2)
    assert (checked.verdict, checked.wrong, checked.mistake) == ("WRONG", tensor, mistake)
    assert len(checked.hints) == 2


def test_hints_get_stronger(check: Any) -> None:
    body = """
        self.gradients["weight"] = 2 * grad_output.T @ self.x
        self.gradients["bias"] = grad_output.sum(axis=0)
        return grad_output @ self.parameters["weight"]"""
    checked = check("linear", body, hint=4)
    assert (checked.agrees_up_to, checked.wrong, checked.equation) == ("input.grad", "weight.grad", 15)
    factor, mistake, equation, solution = checked.hints
    assert "2 times" in factor
    assert "a factor 2" in factor
    assert "weight-gradient-doubled" in mistake
    assert "(15)" in equation
    assert "manual/DERIVATION.md" in equation
    assert 'self.gradients["weight"] = delta.T @ self.x  # (15)' in solution
    assert "delta.T" not in factor + mistake + equation


def test_without_a_hint_nothing_but_how_far_it_agrees_is_told(check: Any) -> None:
    assert check("sigmoid", "return grad_output * self.a").hints == []


def test_a_networks_first_wrong_tensor_is_the_finding(check: Any) -> None:
    body = """
        d2 = (self.a2 - self.target) / len(self.x) * self.a2 * (1 - self.a2)
        d1 = d2 @ self.parameters["linear2.weight"]
        return {
            "linear2.output.grad": d2, "linear2.weight.grad": d2.T @ self.a1, "linear2.bias.grad": d2.sum(axis=0),
            "sigmoid1.output.grad": d1, "linear1.output.grad": d1,
            "linear1.weight.grad": d1.T @ self.x, "linear1.bias.grad": d1.sum(axis=0),
        }"""
    checked = check("article", body, hint=3)
    assert (checked.agrees_up_to, checked.wrong, checked.equation) == (
        "sigmoid1.output.grad",
        "linear1.output.grad",
        14,
    )
    assert checked.mistake is not None


NOT_AVERAGED = """
    d2 = {factor} * (self.a2 - self.target) * self.a2 * (1 - self.a2)
    d1 = d2 @ self.parameters["linear2.weight"] * self.a1 * (1 - self.a1)
    return {{
        "linear2.weight.grad": d2.T @ self.a1, "linear2.bias.grad": {bias} * d2.sum(axis=0),
        "linear1.weight.grad": d1.T @ self.x, "linear1.bias.grad": d1.sum(axis=0),
    }}"""


@pytest.mark.parametrize(
    ("factor", "bias", "mistake", "equation"),
    [
        ("1", "1", "delta-summed-instead-of-averaged", 13),
        ("1", "1 / len(self.x)", "weight-gradient-summed", 15),  # not all by the same factor
    ],
)
def test_a_factor_that_all_gradients_share_is_the_first_deltas(
    check: Any, factor: str, bias: str, mistake: str, equation: int
) -> None:
    checked = check("article", NOT_AVERAGED.format(factor=factor, bias=bias), hint=1)
    assert (checked.wrong, checked.mistake, checked.equation) == ("linear2.weight.grad", mistake, equation)
    assert ("sigmoid2.output.grad" in checked.hints[0]) == (equation == 13)


def test_an_empty_file_is_unfinished(check: Any) -> None:
    checked = check("linear", 'raise NotImplementedError("not derived yet")', hint=4)
    assert checked.verdict == "UNFINISHED"
    assert "Begin with input.grad" in checked.hints[0]
    assert "delta.T @ self.x" in checked.hints[3]


def test_a_central_difference_is_no_derivation(check: Any) -> None:
    body = """
        z, h = np.log(self.a / (1 - self.a)), 1e-5
        return grad_output * (1 / (1 + np.exp(-(z + h))) - 1 / (1 + np.exp(-(z - h)))) / (2 * h)"""
    checked = check("sigmoid", body, hint=1)
    assert checked.verdict == "WRONG"
    assert "nearly right" in checked.hints[0]


def test_a_difference_as_exact_as_a_derivation_cannot_be_told_from_one(check: Any) -> None:
    body = """
        d = self.difference
        h = np.where(d == 0, 1, d)
        return self.scale * ((d + h) ** 2 - (d - h) ** 2) / (2 * h)"""
    assert check("mseloss", body).verdict == "RIGHT"


def test_differences_of_a_linear_pass_are_no_derivation(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a linear pass they are exact but for rounding, which tells them on most draws of inputs, not on all."""
    body = """
        W, b = self.parameters["weight"], self.parameters["bias"]
        dW, y = np.zeros_like(W), self.x @ W.T + b
        for j in range(W.shape[0]):
            for i in range(W.shape[1]):
                V = W.copy()
                V[j, i] += 1
                dW[j, i] = (grad_output * (self.x @ V.T + b - y)).sum()
        self.gradients["weight"], self.gradients["bias"] = dW, grad_output.sum(axis=0)
        return grad_output @ W"""
    verdicts = []
    for seed in range(5):
        monkeypatch.setattr(secrets, "randbits", lambda _, seed=seed: seed)
        verdicts.append(check("linear", body).verdict)
    assert verdicts.count("WRONG") >= 3


@pytest.mark.parametrize("body", ["return np.sin(1e18 * self.a) * 1e6", "return grad_output * np.sin(1e18 * self.a)"])
def test_noise_does_not_widen_what_is_allowed(check: Any, body: str) -> None:
    assert check("tanh", body).verdict == "WRONG"
