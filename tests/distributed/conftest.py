"""The groups of ranks that the tests share: starting one takes seconds, so each is started once."""

from collections.abc import Iterator

import pytest

from reference.distributed import Group, group_of


@pytest.fixture(scope="session")
def groups() -> Iterator[dict[int, Group]]:
    """The groups by their sizes; while they are here, whoever asks for as many ranks gets them."""
    kept: dict[int, Group] = {}
    yield kept
    for group in kept.values():
        group.stop()


@pytest.fixture
def two(groups: dict[int, Group]) -> Group:
    """Two ranks, started where more threads would be had for the asking."""
    with pytest.MonkeyPatch.context() as elsewhere:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            elsewhere.setenv(name, "2")
        groups[2] = group_of(2)
    return groups[2]


@pytest.fixture
def three(groups: dict[int, Group]) -> Group:
    """Three ranks, for which 1/3 is rounded."""
    groups[3] = group_of(3)
    return groups[3]


@pytest.fixture
def ranks(request: pytest.FixtureRequest) -> int:
    """How many ranks a test is for, of which there is a group."""
    count: int = request.param
    request.getfixturevalue({2: "two", 3: "three"}[count])
    return count
