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
from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS
from compare.experiment.description import Layer
from tests.catalogue.cases import CASES
from tests.catalogue.cases.case import Case

EXAMPLES = 200
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
        described = Layer(case.kind, arguments=case.arguments)  # which gives the layers of a Residual their names
        made, against = described.build(), reference.build_layer(case.kind, described.arguments)
        options |= {"indices": case.indices or None, "training": case.training}
    return crosscheck(made, against, case.shape, between=case.between, **options)


@pytest.mark.parametrize("case", CASES, ids=str)
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
