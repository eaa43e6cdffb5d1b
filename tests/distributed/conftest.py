"""The groups of ranks that the tests share: starting one takes seconds, so each is started once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reference.distributed import Group, group_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all that needs processes of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "two" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("distributed"))


@pytest.fixture(scope="session")
def two() -> Iterator[Group]:
    """Two ranks; whoever asks for as many while this lasts gets them."""
    group = group_of(2)
    yield group
    group.stop()


@pytest.fixture(scope="session")
def three() -> Iterator[Group]:
    """Three ranks, for which 1/3 is rounded."""
    group = group_of(3)
    yield group
    group.stop()


@pytest.fixture
def ranks(request: pytest.FixtureRequest) -> int:
    """How many ranks a test is for, of which there is a group."""
    count: int = request.param
    request.getfixturevalue({2: "two", 3: "three"}[count])
    return count
