"""Ten thousand damaged experiment files: each is read, or refused with a sentence; not one traceback."""

import contextlib
import copy
import random
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

import compare
from compare.cli import main
from compare.experiment.datasets import DataError, Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import preset_folder, preset_names, read_experiment, to_toml

PRESETS = {name: (preset_folder() / f"{name}.toml").read_text(encoding="utf-8") for name in preset_names()}
SHARES = 20  # in which the ten thousand are tried, so that several processes can share the work
EACH = 500

WORDS = [
    "0", "-1", "1e999", "nan", "inf", "-inf", "true", "99999999999999999999", "1e308", "''", "[]", "{}", "=",
    "[[layers]]", "[training]", "[optimizer]", "\0", "☃", '"Linear"', '"' + "x" * 3000 + '"', "[" * 300, "{a=" * 50,
    "kind",
    '"../../x.py:Y"', '"mine.py"', '"torch.os.system"', "1979-05-27", "0x10", "1_0", "#", '"""', "'", "\r\n", "\ufeff",
]  # fmt: skip
VALUES: list[Any] = [
    0, -1, 1, 2, 3, 10, 784, 2_000, 100_001, 2**63, -(2**63), 0.0, -0.5, 1e-320, 1e308, float("inf"), float("nan"),
    True, False, "", "Linear", "SGD", "mean", "x" * 2000, "\n", "a.b", "file.py:Name", "nowhere.py:Name", [], [1, 2],
    [[]], [{}], {}, {"kind": "Linear"}, {"kind": 3}, [{"kind": "Sigmoid"}], {"a": {"b": {"c": []}}}, ["x"], [0.5, 0.5],
    [1e400],
]  # fmt: skip


def damaged_text(chance: random.Random, text: str) -> str:
    """Return a file with a few characters, words or lines changed."""
    for _ in range(chance.randint(1, 3)):
        lines, at = text.splitlines(keepends=True), chance.randrange(len(text) + 1)
        match chance.randrange(6):
            case 0:
                text = text[:at] + chance.choice(WORDS) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 30) :]
            case 2:
                text = text[:at] + chr(chance.randrange(1, 0xD7FF)) + text[at + 1 :]
            case 3:
                line = chance.randrange(len(lines))
                text = "".join(lines[:line] + lines[line + 1 :]) or "\n"
            case 4:
                text = "".join(chance.sample(lines, len(lines)))
            case _:
                line = chance.randrange(len(lines))
                key, equals, _ = lines[line].partition("=")
                lines[line] = f"{key}{equals}{chance.choice(WORDS)}\n"
                text = "".join(lines)
    return text


def damaged_document(chance: random.Random, text: str) -> str:
    """Return a file that is still TOML, with values of other types, keys that are none, tables cut out or doubled."""
    document = tomllib.loads(text)
    for _ in range(chance.randint(1, 3)):
        places = list(places_in(document))
        table, key = chance.choice(places)
        match chance.randrange(5):
            case 0 | 1:
                table[key] = copy.deepcopy(chance.choice(VALUES))
            case 2:
                del table[key]
            case 3 if isinstance(table, dict):
                table[chance.choice(["kind", "size", "lr", "layers", "p", "reduction", "dim", "x y"])] = table.pop(key)
            case _:
                table[key] = [table[key], copy.deepcopy(table[key])]
        if not document:
            return "\n"
    return tomli_w.dumps(document)


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every table or list of a document, with each of its keys or indices."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places_in(inner)


def files(share: int) -> Iterator[bytes]:
    chance = random.Random(share)
    for number in range(EACH):
        text = PRESETS[chance.choice(preset_names())]
        if number % 25 == 0:
            yield chance.randbytes(chance.randint(0, 400))
        elif number % 2:
            yield damaged_text(chance, text).encode("utf-8", "replace")
        else:
            yield damaged_document(chance, text).encode("utf-8", "replace")


def small_enough(experiment: Experiment) -> bool:
    """Whether a step of it can be taken in no time."""
    sizes = [value for _, layer in experiment.leaves() for value in layer.arguments.values() if isinstance(value, int)]
    return max(sizes, default=0) < 800 and experiment.training.device == "cpu" and experiment.data.dataset == "mnist"


def is_deep(experiment: Experiment) -> bool:
    """Whether it has so many layers that a step, with all that is measured around it, takes seconds."""
    return len(list(experiment.leaves())) > 12


@pytest.mark.parametrize("share", range(SHARES))
def test_a_damaged_file_is_read_or_refused_with_a_sentence(
    share: int, tmp_path: Path, small_data: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, read, refused = tmp_path / "damaged.toml", 0, 0
    for number, content in enumerate(files(share)):
        path.write_bytes(content)
        try:
            experiment = read_experiment(str(path))
        except DescriptionError as wrong:
            refused += 1
            message = str(wrong)
            if number % 20 == 1:
                assert_one_message(path, message, capsys, monkeypatch)
            assert 10 < len(message) < 6000
            continue
        read += 1
        (tmp_path / "again.toml").write_text(to_toml(experiment), encoding="utf-8")
        assert to_toml(read_experiment(str(tmp_path / "again.toml"))) == to_toml(experiment)
        if read % 10 == 0 and small_enough(experiment) and (share % 4 == 0 or not is_deep(experiment)):
            take_a_step(experiment)
    assert read + refused == EACH
    assert refused > EACH / 3
    assert read > EACH / 50


def assert_one_message(
    path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says the same, and leaves with the status of a usage error."""
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["backproof", "run", str(path), "--show-config"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert left.value.code == 2
    assert said.out == ""
    assert said.err == f"backproof: {message}\n"


def take_a_step(experiment: Experiment) -> None:
    """Run one step of what could be read; what does not fit the data is refused with a sentence."""
    training = replace(experiment.training, steps=1, batch_size=min(experiment.training.batch_size, 20))
    with contextlib.suppress(DescriptionError, DataError), np.errstate(all="ignore"):
        compare.run(replace(experiment, training=training), steps=1, mode="lockstep")
