"""Right derivations agree, whatever the seed: no false alarm."""

import copy

import pytest

from compare import crosscheck
from tests.crosscheck.right import RIGHT


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_derivation_agrees(name: str, seed: int) -> None:
    candidate, reference, keywords = RIGHT[name]
    result = crosscheck(copy.deepcopy(candidate), reference, examples=40, seed=seed, **keywords)
    assert result.verdict == "AGREES"
    assert result.examples >= 40
    assert result.checks > 0
    assert not result.failures
