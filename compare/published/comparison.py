"""One figure of theirs beside ours, and what is wanted of it: made by the function for the kind of what is wanted.

as_printed     equal in every digit that the source prints
within         as near as a relative and an absolute tolerance say: the source's own, or one that is derived
equal_count    the same whole number
at_least       no smaller than a figure
band           shown beside theirs, without a verdict
own            ours alone: nobody has published this figure
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """A published figure beside ours. `met` is None where nothing is judged; `decimals` are those that theirs has."""

    what: str
    theirs: float | None
    ours: float
    wanted: str
    met: bool | None
    decimals: int | None = None

    @property
    def difference(self) -> float | None:
        """Ours less theirs; None where nobody has published one."""
        return None if self.theirs is None else self.ours - self.theirs


def as_printed(what: str, theirs: float, ours: float, decimals: int) -> Comparison:
    """Return a comparison that is met where both are printed alike with so many decimals."""
    met = f"{float(ours):.{decimals}f}" == f"{theirs:.{decimals}f}"
    return Comparison(what, theirs, float(ours), f"as printed, {decimals} decimals", met, decimals)


def within(
    what: str, theirs: float, ours: float, *, relative: float = 0.0, absolute: float = 0.0, of: str = ""
) -> Comparison:
    """Return a comparison that is met where |ours - theirs| <= absolute + relative |theirs|.

    `of` tells where the tolerance comes from, such as "the source's test".
    """
    parts = [f"{absolute:.2g}"] if absolute or not relative else []
    parts += [f"{relative:.2g} of theirs"] if relative else []
    met = bool(abs(float(ours) - theirs) <= absolute + relative * abs(theirs))  # not so for NaN
    wanted = f"within {' + '.join(parts)}" + f" ({of})" * bool(of)
    return Comparison(what, theirs, float(ours), wanted, met)


def equal_count(what: str, theirs: int, ours: int) -> Comparison:
    """Return a comparison that is met where both are the same whole number."""
    return Comparison(what, theirs, int(ours), "equal", int(ours) == theirs, 0)


def at_least(what: str, theirs: float, ours: float, least: float, decimals: int | None = None) -> Comparison:
    """Return a comparison that is met where ours is no smaller than `least`."""
    return Comparison(what, theirs, float(ours), f"at least {least:g}", float(ours) >= least, decimals)


def band(
    what: str, theirs: float, ours: float, spread: tuple[float, float] | None = None, decimals: int | None = None
) -> Comparison:
    """Return a comparison without a verdict; `spread` is what correct runs of ours range over, where it is measured."""
    ranges = "" if spread is None else f", ours range over {spread[0]:.6g} to {spread[1]:.6g}"
    return Comparison(what, theirs, float(ours), f"shown, no verdict{ranges}", None, decimals)


def own(what: str, ours: float, decimals: int | None = None) -> Comparison:
    """Return a figure of ours that nobody has published."""
    return Comparison(what, None, float(ours), "no published figure", None, decimals)
