"""Wrong derivations are caught, and the right tensor is named."""

import inspect
from typing import Any

import pytest

from compare import DerivationError, crosscheck
from tests.crosscheck.wrong import WRONG

OPTIMIZERS = ("Ascends", "Dampened")
AT_LEAST = 25


def test_there_are_enough() -> None:
    assert len(WRONG) >= AT_LEAST


@pytest.mark.parametrize(
    ("candidate", "reference", "keywords", "tensors", "word"), WRONG, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_wrong_derivation_is_caught(
    candidate: Any, reference: Any, keywords: dict[str, Any], tensors: list[str], word: str
) -> None:
    # A tensor fails if it does in either dtype, and float64 shows all but a wrong dtype. Where other tensors are right
    # (most of those with keywords), float32 is tried as well: it must not call them wrong.
    dtypes = ("float64", "float32") if keywords or "float" in word else ("float64",)
    with pytest.raises(DerivationError) as caught:
        crosscheck(candidate, reference, examples=100, dtypes=dtypes, **keywords)
    result = caught.value.result
    assert result.verdict == "DIVERGES"
    assert [name for name in tensors if name not in result.failing] == []
    assert word in str(caught.value)
    right = {f"{name}.grad" for name in ("input", "weight", "bias", "a", "x")} - set(tensors)
    if not any(name in ("output", "loss") for name in tensors):
        assert right.isdisjoint(result.failing), "a tensor that is right is called wrong"
    assert not inspect.isclass(result)
