"""The images on which the two trained networks disagree, out of the packaged MNIST, if it is what the run had.

No other data set is opened, and no folder that a record names: reading one may execute what lies there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compare.experiment import datasets
from compare.experiment.datasets import DataError
from compare.experiment.examples import chosen
from compare.language import say
from compare.records.reading import Recorded
from compare.views.report.pictures import png

PACKAGED = "mnist"
MOST_IMAGES = 48
MOST_INDICES = 400


@dataclass(frozen=True)
class Example:
    """A test image: number, label, the place in it for a network that predicts pixel after pixel, and both answers."""

    index: int
    label: str
    uri: str
    place: int | None
    manual: str
    reference: str


@dataclass(frozen=True)
class Disagreements:
    """The test images on which the two predict different classes, or why they cannot be shown."""

    count: int
    indices: tuple[int, ...]
    images: tuple[Example, ...]
    missing: str  # why there are no images

    @property
    def unnamed(self) -> int:
        """How many are not even listed."""
        return self.count - len(self.indices)


def disagreements(record: Recorded, most: int = MOST_IMAGES) -> Disagreements | None:
    """Return the disagreements of a record; None where the networks were not tried on the test images."""
    if record.metrics is None:
        return None
    found, answers = record.metrics["disagreements"], record.metrics["answers"]
    if not found:
        return Disagreements(0, (), (), "")
    try:
        images = pictures(record, found[:most], answers)
    except (DataError, ValueError, OSError) as missing:
        return Disagreements(len(found), tuple(found[:MOST_INDICES]), (), str(missing))
    return Disagreements(len(found), tuple(found[:MOST_INDICES]), images, "")


def pictures(record: Recorded, found: list[int], answers: list[list[int]]) -> tuple[Example, ...]:
    """Return these test images, with what manual and the reference take each of them for.

    Raises ValueError or DataError if the data are not those of the run, or not the packaged ones.
    """
    section = record.document.get("data", {})
    section = section if isinstance(section, Mapping) else {}
    name = record.data["dataset"]
    if name != PACKAGED:
        raise ValueError(
            say("A report opens no data set but the packaged {ours}; the run had {name}.", ours=PACKAGED, name=name)
        )
    data = scored(datasets.load(), section)
    if dict(data.digests) != record.data["digests"]:
        raise ValueError(
            say("{name} here is not the {name} of the run: its digests differ from those in data.json.", name=name)
        )
    if len(answers) < len(found):
        count, images = len(answers), len(found)
        raise ValueError(say("metrics.json has {count:,} answers to {images:,} images.", count=count, images=images))
    places = tokens_an_image(section)
    made = []
    for index, (mine, theirs) in zip(found, answers, strict=False):
        image, place = divmod(index, places)
        if image >= len(data.test_images):
            raise ValueError(
                say(
                    "{name} has {count:,} test images; the record names number {image:,}.",
                    name=name, count=len(data.test_images), image=image,
                )
            )  # fmt: skip
        label = data.classes[int(data.test_labels[image])]
        said = [data.classes[a] if places == 1 and a < len(data.classes) else str(a) for a in (mine, theirs)]
        made.append(Example(image, label, png(255 - data.test_images[image]), place if places > 1 else None, *said))
    return tuple(made)


def scored(data: datasets.Dataset, section: Mapping[str, Any]) -> datasets.Dataset:
    """Return the data set with the images that the run was scored on as its test images. Raises ValueError."""
    train, held_out = section.get("train", 0), section.get("score_on") == "held-out"
    if not held_out or type(train) is not int:
        return data
    return chosen(data, train, held_out)


def tokens_an_image(section: Mapping[str, Any]) -> int:
    """Return how many predictions are made for an image: one, or one for every token of its sequence."""
    side = section.get("side", 7)
    return side * side if section.get("form") == "tokens" and isinstance(side, int) and 0 < side <= 28 else 1
