"""What is known of a planted mistake: where it is, what it spoils, and when it has first had an effect."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from compare.diagnosis.mistakes import Mistake
from compare.diagnosis.site import Site

Batch = tuple[np.ndarray, np.ndarray]


@dataclass
class Planted:
    """A planted mistake: where, what it should spoil first, and at which of its steps it has had an effect."""

    mistake: Mistake
    where: str  # the site's name
    tensor: str  # the first tensor in the order of the trace that it spoils
    operation: str  # the operation that spoils it
    calls: int = 0
    first_effect: int | None = None  # the first call, from 1, in which the wrong tensor was not the right one
    spoil_batch: Callable[[np.ndarray, np.ndarray], Batch] | None = None
    share_memory: bool = False
    before: dict[str, Site] = field(default_factory=dict)  # the sites of the step before, by name

    def make(self, site: Site) -> np.ndarray:
        """Return the wrong tensor at a site, the right one where it cannot be made; note the effect."""
        key = self.mistake.key
        with_history = replace(site, previous=self.before.get(site.name))
        ways = self.mistake.ways(with_history)
        wrong = ways[0] if ways else site.right[key]
        if not np.array_equal(wrong, site.right[key]) and self.first_effect is None:
            self.first_effect = self.calls
        return wrong
