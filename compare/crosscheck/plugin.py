"""The pytest plug-in: the fixture `crosscheck`. Torch is imported when a test asks for it, not before."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def crosscheck() -> Callable[..., Any]:
    """Hold a derivation of your own against autograd: crosscheck(MyLayer(), torch.nn.functional.silu).

    Raises DerivationError, with location, both values, witnesses, named mistake and smallest input, where it is wrong.
    """
    from compare.crosscheck.check import crosscheck as check

    return check
