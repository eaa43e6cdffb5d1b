"""Every entry of the catalogue against autograd, by the door that is open to everybody's own derivations: crosscheck.

Judged by the operation audit, in float64 and float32, structural checks included. Each entry is tried on at least 200
drawn inputs in either dtype, shared among its cases.
"""

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import manual
import reference
from compare import crosscheck
from compare.agreement.operations import PREPARATION
from compare.agreement.verdict import Verdict
from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS, build_layer
from compare.experiment.description import Layer
from compare.lockstep.loop import Loop
from compare.lockstep.tally import Tally
from compare.selftest.grounds import from_table
from tests.catalogue.cases import CASES
from tests.catalogue.cases.case import Case

EXAMPLES = 200
NETWORK: dict[str, Any] = {
    "name": "prepared", "side": 4, "shape": (16,), "batch_size": 7, "classes": 3, "loss": {"kind": "CrossEntropyLoss"},
    "layers": [
        {"kind": "Linear", "in_features": 16, "out_features": 5}, {"kind": "Tanh"},
        {"kind": "Linear", "in_features": 5, "out_features": 3},
    ],
}  # fmt: skip
SHARES = Counter(case.kind for case in CASES)


def checked(case: Case, examples: int) -> Any:
    options: dict[str, Any] = {"examples": examples, "raises": False}
    if case.kind in OPTIMIZERS:
        made, against = getattr(manual, case.kind), getattr(torch.optim, case.kind)
        return crosscheck(made, against, case.shape, arguments=dict(case.arguments), **options)
    if case.kind in LOSSES:
        made, against = (
            getattr(manual, case.kind)(**case.arguments),
            reference.build_loss(case.kind, dict(case.arguments)),
        )
        options |= {"target": case.target or "like", "classes": case.classes}
    else:
        arguments = dict(case.arguments)
        if case.kind == "Residual":  # whose layers are given their names
            arguments = dict(Layer(case.kind, arguments=arguments).arguments)
        made, against = build_layer(case.kind, arguments), reference.build_layer(case.kind, arguments)
        options |= {"indices": case.indices or None, "training": case.training}
    return crosscheck(made, against, case.shape, between=case.between, **options)


def is_prepared(case: Case) -> bool:
    """Whether the optimizer gathers, clips or schedules before its rule: torch does that outside of its optimizers."""
    return case.kind in OPTIMIZERS and bool(case.arguments.keys() & PREPARATION.keys())


@pytest.mark.parametrize("case", [case for case in CASES if is_prepared(case)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_an_optimizer_does_before_its_rule_agrees_in_training(case: Case, dtype: str) -> None:
    table = {**NETWORK, "optimizer": {"kind": case.kind, **case.arguments}}
    ground = from_table(table)
    experiment = ground.experiment.changed("training", dtype=dtype, audit_every=1)
    tally = Tally(experiment)
    for step in Loop(experiment, ground.dataset):
        tally.add(step)
    assert tally.verdict is Verdict.AGREES, tally.finding
    assert tally.audits == tally.steps == 12


@pytest.mark.parametrize("case", [case for case in CASES if not is_prepared(case)], ids=str)
def test_an_entry_agrees_with_autograd(case: Case) -> None:
    examples = max(25, -(-EXAMPLES // SHARES[case.kind]))
    result = checked(case, examples)
    assert result.agrees, str(result)
    assert result.examples >= examples


def test_every_entry_has_cases() -> None:
    assert set(SHARES) >= {*LAYERS, *LOSSES, *OPTIMIZERS}


def test_every_room_of_cases_is_in_the_list() -> None:
    folder = Path(__file__).parent / "cases"
    rooms = [path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "case")]
    assert sum(len(import_module(f"tests.catalogue.cases.{room}").CASES) for room in rooms) == len(CASES)
