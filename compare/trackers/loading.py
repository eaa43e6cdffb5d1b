"""Finding trackers by name among the entry points of the installed packages."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from compare.experiment.classes import DescriptionError, nearest
from compare.trackers.tracker import Factory

GROUP = "backproof.trackers"


class TrackerError(Exception):
    """A tracker that is known but cannot be had: says which and what to do. Exit status 3."""


def load_trackers(names: Iterable[str]) -> dict[str, Factory]:
    """Return the factories of the trackers of these names, each once.

    Raises DescriptionError for a name that no installed package has, TrackerError for one that cannot be imported.
    """
    wanted = dict.fromkeys([names] if isinstance(names, str) else names)
    if not wanted:
        return {}
    known = {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.value)}
    points = [find(name, known) for name in wanted]  # a wrong name is said before anything is imported
    return {point.name: load(point) for point in points}


def find(name: str, known: dict[str, EntryPoint]) -> EntryPoint:
    """Return the entry point of that name. Raises DescriptionError, with the nearest name."""
    if name in known:
        return known[name]
    hint = nearest(name, known) if known else f" No installed package has an entry point of the group {GROUP}."
    raise DescriptionError(f"There is no tracker {name!r}.{hint}")


def load(point: EntryPoint) -> Factory:
    """Return what an entry point names. Raises TrackerError."""
    offered = f" of the package {point.dist.name}" if point.dist else ""
    try:
        factory = point.load()
    except ImportError as missing:
        if point.dist and point.dist.name == "backproof":
            advice = "Install what it needs: pip install 'backproof[track]'"
            raise TrackerError(f"The tracker {point.name} cannot be imported ({missing}). {advice}") from None
        raise TrackerError(f"The tracker {point.name}{offered} cannot be imported: {missing}.") from None
    except (Exception, SystemExit) as broken:  # somebody else's module may raise anything
        said = f"{type(broken).__name__}: {broken}"
        raise TrackerError(f"The tracker {point.name}{offered} cannot be loaded: {said}.") from broken
    if not callable(factory):
        found = f"{point.value} is {type(factory).__name__}"
        raise TrackerError(f"The tracker {point.name}{offered}: {found}; wanted (experiment, folder) -> tracker.")
    return cast("Factory", factory)
