"""The self-test of the catalogue, whole; and the self-test tested: blind it, turn it round, and it must say so."""

import functools
import json
from typing import Any

import numpy as np
import pytest

import compare
import manual
from compare.agreement.audit import Check
from compare.agreement.verdict import Judge, Judgement, Verdict
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, read_experiment
from compare.lockstep.loop import Loop
from compare.selftest import SelfTest, alarms, grounds, self_test
from compare.selftest.run import Trial

Array = np.ndarray[Any, Any]
DTYPES = ("float64", "float32")
KEYS = {"mistakes", "caught", "located", "named", "false_alarms", "checks", "survivors", "equivalent"}


@functools.cache
def every_mistake() -> SelfTest:
    return self_test(alarms=False, digits=False)


@pytest.fixture
def whole() -> SelfTest:
    """Every mistake, in small networks: on digits it is tried by `backproof selftest`, and here one in twenty."""
    return every_mistake()


@pytest.fixture
def document(whole: SelfTest) -> dict[str, Any]:
    return json.loads(json.dumps(whole.to_json(), allow_nan=False))


def test_nothing_survives(whole: SelfTest, document: dict[str, Any]) -> None:
    assert document["survivors"] == []
    assert document["unplantable"] == []
    assert document["mistakes"] == len(CATALOGUE) == len({trial.mistake for trial in whole.trials})
    assert whole.exit_status == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_is_located_and_named_in_either_precision(dtype: str, whole: SelfTest) -> None:
    trials = [t for t in whole.trials if t.dtype == dtype and t.effective_step is not None]
    assert len(trials) >= 200
    assert [t for t in trials if not t.caught] == []
    assert [t for t in trials if not t.located] == []
    assert sum(t.named_first for t in trials) >= 0.95 * len(trials)


def test_the_counts_are_those_of_the_matrix(document: dict[str, Any]) -> None:
    """Counted again from the single trials, by the definitions: at the first effective step, where it is, first."""
    assert document.keys() >= KEYS
    effective = [row for row in document["matrix"] if row["effective_step"] is not None]
    names = {row["mistake"] for row in effective}
    caught = {row["mistake"] for row in effective if row["caught_step"] != row["effective_step"]}
    located = caught | {row["mistake"] for row in effective if row["found"] != row["expected"]}
    named = caught | {row["mistake"] for row in effective if row["named"][:1] != [row["mistake"]]}
    assert document["caught"] == len(names - caught)
    assert document["located"] == len(names - located)
    assert document["named"] == len(names - named)
    assert document["equivalent"] == sorted({row["mistake"] for row in document["matrix"]} - names)
    assert document["trials"]["planted"] == len(document["matrix"])
    assert document["trials"]["effective"] == len(effective)


def test_greater_or_equal_is_equivalent(whole: SelfTest, document: dict[str, Any]) -> None:
    """On generic numbers no pre-activation is exactly 0: the mask z >= 0 is then that of z > 0, and no mistake."""
    assert document["equivalent"] == ["relu-mask-at-zero"]
    assert [t.caught_step for t in whole.trials if t.mistake == "relu-mask-at-zero"] == [None] * 2


def test_single_precision_cannot_be_lost_from_single_precision(whole: SelfTest) -> None:
    lost = [t for t in whole.trials if t.mistake.startswith("float32-in-")]
    assert {t.dtype for t in lost if t.effective_step is None} == {"float32"}
    assert {t.dtype for t in lost if t.caught} == {"float64"}


def test_every_mistake_is_tried_on_a_small_network_in_either_precision(whole: SelfTest) -> None:
    small = {ground.experiment.name for ground in grounds.small_grounds()}
    by_mistake: dict[str, set[str]] = {}
    for t in whole.trials:
        assert t.network in small
        by_mistake.setdefault(t.mistake, set()).add(t.dtype)
    assert all(tried == set(DTYPES) for tried in by_mistake.values())


def test_one_in_twenty_on_digits_as_well() -> None:
    digits = {ground.experiment.name for ground in grounds.mnist_grounds()}
    trials = [t for t in self_test(list(CATALOGUE.values())[::20], alarms=False).trials if t.network in digits]
    effective = [t for t in trials if t.effective_step is not None]
    assert len(effective) >= 20
    assert [t for t in effective if not t.located] == []


# The checkers checked

SOME = [
    CATALOGUE[name]
    for name in (
        "weight-gradient-doubled", "activation-derivative-missing", "bias-gradient-averaged", "delta-doubled",
        "weight-transposed-backward", "bias-forgotten", "sigmoid-steeper", "delta-scaled-255-256",
        "float32-in-weight-gradient", "float32-in-forward",
    )
]  # fmt: skip


def test_a_blind_audit_lets_mistakes_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every bound infinite, of the audit and of what is carried, nothing is caught, and the self-test says so."""
    monkeypatch.setattr(Check, "agrees", property(lambda _: True))
    half_blind = self_test(SOME, alarms=False)
    monkeypatch.setattr("compare.agreement.verdict.carried_bounds", lambda *given: dict.fromkeys(given[1], np.inf))
    blind = self_test(SOME, alarms=False)
    assert blind.exit_status == half_blind.exit_status == 1
    assert blind.to_json()["survivors"] == [mistake.name for mistake in SOME]
    assert blind.to_json()["caught"] == 0
    # What is carried is a net of its own, with wider meshes: most fall into it, a slip of 0.4 % in float32 does not.
    assert half_blind.to_json()["survivors"] == ["delta-scaled-255-256"]


def test_a_localiser_that_walks_backwards_locates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Judge.judge

    def judge(self: Judge, step: int, network: Any, mine: Any, *others: Any) -> Judgement:
        return right(self, step, network, dict(reversed(mine.items())), *others)

    monkeypatch.setattr(Judge, "judge", judge)
    result = self_test(SOME, alarms=False).to_json()
    assert result["caught"] == len(SOME)
    assert result["located"] == 0


def test_a_mistake_caught_late_is_a_survivor() -> None:
    """Caught is: at the first step at which it had an effect."""

    def trial(caught: int | None, found: list[str], named: list[str]) -> SelfTest:
        expected = ["linear1.backward", "linear1.weight.grad"]
        return SelfTest([Trial("some-mistake", "network", "float64", 2, caught, expected, found, named)])

    there = ["linear1.backward", "linear1.weight.grad"]
    for caught in (None, 1, 3):
        late = trial(caught, there, ["some-mistake"])
        assert late.to_json()["survivors"] == ["some-mistake"]
        assert (late.to_json()["located"], late.to_json()["named"], late.exit_status) == (0, 0, 1)
    elsewhere = trial(2, ["linear1.backward", "linear1.bias.grad"], ["another", "some-mistake"])
    assert elsewhere.to_json()["survivors"] == []
    assert [elsewhere.to_json()[key] for key in ("caught", "located", "named")] == [1, 0, 0]


def test_what_cannot_be_planted_or_raises_an_alarm_fails_the_self_test() -> None:
    assert SelfTest().exit_status == 0
    assert SelfTest(unplantable=["some-mistake"]).exit_status == 1
    assert SelfTest(alarms=1).exit_status == 1


# A mistake that the catalogue does not know


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("weight-gradient-doubled", {"ratio": pytest.approx(2, rel=1e-5), "elements": [300, 300]}),
        ("one-row-wrong", {"rows": [1, 10], "ratio": None}),
        ("activation-derivative-missing", {"ratio": None}),
        ("random-feedback-weights", {"ratio": None}),
    ],
)
def test_taken_out_of_the_catalogue_it_is_caught_located_and_measured(
    name: str, measured: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch, small: Dataset
) -> None:
    mistake = CATALOGUE[name]
    experiment = read_experiment("article", changes_of(steps=3, mode="lockstep", dtype=dtype))
    found = {}
    for known in (True, False):
        if not known:
            monkeypatch.delitem(CATALOGUE, name)
        loop = Loop(experiment, small, mistake=mistake)
        (step,) = list(loop)
        assert step.finding is not None
        assert loop.planted is not None
        assert step.finding.verdict is Verdict.DIVERGES
        assert (step.finding.operation, step.finding.tensor) == (loop.planted.operation, loop.planted.tensor)
        found[known] = step.finding
    assert found[True].suspects[0]["name"] == name
    assert name not in [suspect["name"] for suspect in found[False].suspects]
    assert name not in found[False].ruled_out
    if mistake.key == "weight":
        # it is the first layer of the network that is planted in: linear1 has 30 x 784 weights
        measured = {key: value for key, value in measured.items() if key == "ratio"}
    for key, value in measured.items():
        assert found[False].measured[key] == value
    assert found[False].measured["relative_error"] > 0.01


def test_planted_from_outside(small_data: Dataset) -> None:
    """What `--plant` does: the finding of a whole run, in presets with momentum, decay, softmax."""
    for preset, name in {
        "article": "loss-after-update",
        "article-cross-entropy": "softmax-diagonal-only",
        "article-one-layer": "delta-summed-instead-of-averaged",
        "relu": "loss-after-update",
    }.items():
        finding = compare.run(preset, plant=name, steps=3, mode="lockstep", batch_size=17).finding
        assert finding is not None
        assert [finding.suspects[0]["name"]] == [name]


def test_a_mistake_that_a_network_does_not_admit_is_refused(small_data: Dataset) -> None:
    with pytest.raises(compare.DescriptionError, match=r"softmax-diagonal-only cannot be made in article: it needs "):
        compare.run("article", plant="softmax-diagonal-only", steps=3)
    with pytest.raises(compare.DescriptionError, match=r"Did you mean 'weight-gradient-doubled'\?"):
        compare.run("article", plant="weight-gradient-double", steps=3)


# Correct code, and code that only says so

SHORT = [
    *[("article", variant, dtype, 5, 1) for variant in alarms.VARIANTS for dtype in DTYPES],
    *[("relu", "sums reversed", dtype, 2, 1) for dtype in DTYPES],
    *[("relu", "as it is", dtype, 2, 2) for dtype in DTYPES],
]


def test_correct_code_raises_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "TRIALS", SHORT)
    result = self_test([], alarms=True)
    assert result.alarms == 0
    assert result.exit_status == 0
    assert [row["steps"] for row in result.correct] == [trial[3] for trial in SHORT]
    compared = sum(row["checks"] + row["audited"] for row in result.correct)
    assert result.checks == compared > 500
    assert json.loads(json.dumps(result.to_json()))["false_alarms"] == 0


@pytest.mark.parametrize("variant", [name for name in alarms.VARIANTS if name != "as it is"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_variants_do_compute_in_another_order(variant: str, dtype: str) -> None:
    """The same to rounding, and not to the bit: else they would try nothing."""
    rng = np.random.default_rng(3)
    parameters = {"weight": rng.normal(size=(30, 784)), "bias": rng.normal(size=30)}
    x, delta = rng.normal(size=(20, 784)).astype(dtype), rng.normal(size=(20, 30)).astype(dtype)
    results = []
    for kind in (manual.Linear, alarms.VARIANTS[variant]):
        layer = kind(784, 30)
        layer.parameters = {key: value.astype(dtype) for key, value in parameters.items()}
        y, dx = layer.forward(x), layer.backward(delta)
        assert dx is not None
        results.append([y, dx, layer.gradients["weight"], layer.gradients["bias"]])
    assert any(not np.array_equal(one, other) for one, other in zip(*results, strict=True))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e4 * float(np.finfo(dtype).eps))


class SlightlyWrong(manual.Linear):
    """Says that it is correct."""

    def backward(self, grad_output: Array) -> Array | None:
        gradient = super().backward(grad_output)
        self.gradients["weight"] *= 1.001
        return gradient


def test_wrong_code_that_passes_for_correct_raises_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(alarms.VARIANTS, "batch shuffled", SlightlyWrong)
    monkeypatch.setattr(alarms, "TRIALS", [trial for trial in SHORT if trial[0] == "article"])
    result = self_test([], alarms=True)
    assert result.alarms == 2
    assert [row["variant"] for row in result.correct if row["verdict"] == "DIVERGES"] == ["batch shuffled"] * 2
    assert result.exit_status == 1
    assert result.to_json()["false_alarms"] == 2
