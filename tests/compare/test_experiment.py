"""The description: read from TOML, laid over, written and read back, refused with a message that helps; the streams."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare.experiment.batches import take_batch
from compare.experiment.classes import INITIALIZERS
from compare.experiment.datasets import Dataset
from compare.experiment.description import (
    Data,
    DescriptionError,
    Experiment,
    Initial,
    Layer,
    Loss,
    Optimizer,
    Training,
)
from compare.experiment.files import (
    changes_of,
    preset_folder,
    preset_names,
    read_experiment,
    to_document,
    to_toml,
)
from compare.experiment.networks import check_data, parameter_shapes
from compare.experiment.streams import batches, count_steps, initial_parameters, stream

SMALLEST = """
[[layers]]
kind = "Linear"
in_features = 784
out_features = 10
"""
EVERYTHING = """
name = "every-key.1"
about = "Every key with a value that is not its default."

[[layers]]
kind = "Linear"
name = "first"
in_features = 784
out_features = 12
bias = false

[[layers]]
kind = "ReLU"

[[layers]]
kind = "Linear"
in_features = 12
out_features = 10

[[layers]]
kind = "LogSoftmax"
dim = 1

[loss]
kind = "NLLLoss"
reduction = "sum"

[optimizer]
kind = "SGD"
lr = 0.25
momentum = 0.5
dampening = 0.125
weight_decay = 0.001
nesterov = false
decays = "weights"

[initial]
weight = "normal"
bias = "zeros"
low = -2.0
high = 3.0
mean = 0.5
std = 0.25

[data]
dataset = "kmnist"
data_root = "somewhere"
download = true
form = "image"
side = 14
levels = 4
divisor = 256.0
train = 50
score_on = "held-out"

[training]
epochs = 7
steps = 9
batch_size = 11
seed = 13
dtype = "float32"
mode = "lockstep"
audit_every = 17
checkpoint_every = 2.5
threads = 2
device = "cuda:1"
order = "python-shuffle"
epochs_before = 3
"""


def written(folder: Path, content: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def read(folder: Path, content: str) -> Experiment:
    return read_experiment(str(written(folder, content)))


# -------------------------------------------------------------------------------------------------------------- reading


def test_every_key_arrives(tmp_path: Path) -> None:
    found = read(tmp_path, EVERYTHING)
    assert (found.name, found.about) == ("every-key.1", "Every key with a value that is not its default.")
    assert found.layers == (
        Layer("Linear", "first", {"in_features": 784, "out_features": 12, "bias": False}),
        Layer("ReLU", "relu1"),
        Layer("Linear", "linear2", {"in_features": 12, "out_features": 10}),
        Layer("LogSoftmax", "logsoftmax1", {"dim": 1}),
    )
    assert found.loss == Loss("NLLLoss", {"reduction": "sum"})
    assert found.optimizer == Optimizer("SGD", 0.25, 0.5, 0.125, 0.001, False, "weights")
    assert found.initial == Initial("normal", "zeros", -2.0, 3.0, 0.5, 0.25)
    assert found.data == Data("kmnist", "somewhere", True, "image", 14, 4, 256.0, 50, "held-out")
    training = Training(7, 9, 11, 13, "float32", "lockstep", 17, 2.5, 2, "cuda:1", 1, "python-shuffle", 3)
    assert found.training == training


def test_the_example_leaves_no_key_at_its_default(tmp_path: Path) -> None:
    """So that the test above would notice a key that is not read."""
    found, defaults = read(tmp_path, EVERYTHING), read(tmp_path, SMALLEST)
    for section in ("optimizer", "initial", "data", "training"):
        mine, default = vars(getattr(found, section)), vars(getattr(defaults, section))
        same = [key for key in mine if mine[key] == default[key]]
        # SGD's options all have fields; several processes are for the CPU, which is the default device; a file of
        # initial parameters leaves nothing to draw.
        assert same in ([], ["kind", "nesterov", "arguments"], ["world_size"], ["file"]), section


def test_what_is_left_out_has_the_defaults_and_the_files_name(tmp_path: Path) -> None:
    found = read(tmp_path, SMALLEST)
    assert found.name == "mine"
    assert (found.loss, found.optimizer, found.initial) == (Loss(), Optimizer(), Initial())
    assert (found.data, found.training) == (Data(), Training())
    assert found.layers[0].name == "linear1"


def test_whole_numbers_serve_as_numbers(tmp_path: Path) -> None:
    lr = read(tmp_path, SMALLEST + "[optimizer]\nlr = 3\n").optimizer.lr
    assert lr == 3
    assert isinstance(lr, float)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_found_by_its_name_and_fits_the_digits(name: str, small: Dataset) -> None:
    found = read_experiment(name)
    assert found.name == name
    assert found.about
    check_data(found, small)


def test_the_default_preset_stands_first() -> None:
    assert preset_names()[0] == "article"
    assert len(set(preset_names())) == len(preset_names()) >= 4


# -------------------------------------------------------------------------------------------------------- laying over


def test_a_config_is_laid_over_key_by_key_and_options_over_that(tmp_path: Path) -> None:
    over = written(tmp_path, "[training]\nseed = 5\nsteps = 50\n[optimizer]\nlr = 0.5\n", "over.toml")
    plain, found = read_experiment("article"), read_experiment("article", changes_of(steps=7), over)
    assert (found.training.seed, found.training.steps, found.optimizer.lr) == (5, 7, 0.5)
    assert found.training.batch_size == plain.training.batch_size
    assert found.layers == plain.layers
    assert found.name == plain.name


def test_a_config_may_bring_layers_of_its_own(tmp_path: Path) -> None:
    found = read_experiment("article", None, written(tmp_path, SMALLEST))
    assert [layer.name for layer in found.layers] == ["linear1"]


def test_options_of_none_change_nothing_and_paths_become_texts() -> None:
    assert changes_of(steps=None, lr=None) == {}
    assert changes_of(data_root=Path("here"), seed=3) == {"data": {"data_root": "here"}, "training": {"seed": 3}}


def test_changed_checks_again() -> None:
    experiment = read_experiment("article")
    assert experiment.changed("training", seed=9).training.seed == 9
    assert experiment.training.seed != 9
    with pytest.raises(DescriptionError, match=r"training\.seed is -1"):
        experiment.changed("training", seed=-1)


# ---------------------------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_resolved_experiment_reads_back_equal(name: str, dtype: str, tmp_path: Path) -> None:
    experiment = read_experiment(name, changes_of(dtype=dtype, lr=0.1, seed=2**40, steps=3))
    assert read(tmp_path, to_toml(experiment)) == experiment


def test_every_key_reads_back_equal(tmp_path: Path) -> None:
    experiment = read(tmp_path, EVERYTHING)
    assert read(tmp_path, to_toml(experiment)) == experiment
    assert tomllib.loads(to_toml(experiment)) == to_document(experiment)


@settings(deadline=None, max_examples=50, derandomize=True, database=None)
@given(
    lr=st.floats(0, 1e300), low=st.floats(-1e300, -1e-300), seed=st.integers(0, 2**63 - 1), about=st.text(max_size=30)
)
def test_every_number_and_text_reads_back_to_the_bit(
    lr: float, low: float, seed: int, about: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    about = about.encode("utf-8", "ignore").decode("utf-8")
    experiment = Experiment(
        "x", (Layer("Linear", arguments={"in_features": 784, "out_features": 1}),), about,
        optimizer=Optimizer(lr=lr), initial=Initial(low=low), training=Training(seed=seed),
    )  # fmt: skip
    assert read(folder, to_toml(experiment)) == experiment


# ------------------------------------------------------------------------------------------------------------- refused

# what is added to the smallest description (or put in its place, if it has layers), and what the message must say
REFUSED: list[tuple[str, list[str]]] = [
    ("[trainig]\nseed = 1", ["'trainig'", "Did you mean 'training'?"]),
    ("[training]\nseeds = 1", ["[training]", "'seeds'", "'seed'"]),
    ("[training]\nbatchsize = 1", ["[training]", "'batchsize'", "'batch_size'"]),
    ("[training]\nseed = -1", ["training.seed", "-1", "whole number from 0"]),
    ("[training]\nseed = 1.5", ["training.seed", "1.5", "whole number"]),
    ("[training]\nseed = true", ["training.seed", "True", "whole number"]),
    ("[training]\nseed = 99999999999999999999", ["training.seed", "99999999999999999999"]),
    ("[training]\nseed = [1]", ["training.seed", "[1]"]),
    ("[training]\nepochs = 0", ["training.epochs", "0", "from 1"]),
    ("[training]\nbatch_size = 0", ["training.batch_size", "0"]),
    ("[training]\naudit_every = 0", ["training.audit_every", "0"]),
    ("[training]\nthreads = 0", ["training.threads", "0"]),
    ("[training]\nsteps = -3", ["training.steps", "-3"]),
    ('[training]\ndtype = "float46"', ["training.dtype", "'float46'", "Did you mean 'float64'?"]),
    ("[training]\ndtype = 64", ["training.dtype", "64", "float64"]),
    ('[training]\nmode = "lockstp"', ["training.mode", "'lockstp'", "Did you mean 'lockstep'?"]),
    ('[training]\ndevice = "gpu"', ["training.device", "'gpu'", "cuda"]),
    ("training = 5", ["training", "5", "[training]"]),
    ("[[training]]\nseed = 1", ["training", "[training]"]),
    ("[optimizer]\nlr = -0.1", ["optimizer.lr", "-0.1", "at least 0"]),
    ("[optimizer]\nlr = true", ["optimizer.lr", "True", "number"]),
    ("[optimizer]\nlr = nan", ["optimizer.lr", "nan", "finite"]),
    ("[optimizer]\nlr = inf", ["optimizer.lr", "inf", "finite"]),
    ('[optimizer]\nlr = "0.1"', ["optimizer.lr", "'0.1'", "number"]),
    ("[optimizer]\nlr = 2020-01-01", ["optimizer.lr", "number"]),
    (f"[optimizer]\nlr = 1{'0' * 400}", ["optimizer.lr", "finite"]),
    (f"[optimizer]\nlr = 1{'0' * 5000}", ["mine.toml"]),
    ("[optimizer]\nlearning_rate = 1.0", ["[optimizer]", "'learning_rate'"]),
    ('[optimizer]\nkind = "SDG"', ["optimizer.kind", "'SDG'", "'SGD'"]),
    ("[optimizer]\nmomentum = -1", ["optimizer.momentum", "-1"]),
    ("[optimizer]\nweight_decay = -1", ["optimizer.weight_decay", "-1"]),
    ("[optimizer]\nnesterov = true", ["optimizer.nesterov", "momentum"]),
    ("[optimizer]\nnesterov = 1", ["optimizer.nesterov", "1", "true or false"]),
    ('[optimizer]\ndecays = "biases"', ["optimizer.decays", "'biases'"]),
    ('[loss]\nkind = "MSEloss"', ["loss.kind", "'MSEloss'", "Did you mean 'MSELoss'?"]),
    ('[loss]\nkind = "Linear"', ["loss.kind", "'Linear'"]),
    ("[loss]\nkind = 3", ["loss.kind", "3", "text"]),
    ('[loss]\nreduction = "average"', ["reduction", "'average'", "batchmean"]),
    ("[loss]\nreduction = []", ["reduction"]),
    ("[loss]\nreductions = 1", ["SquaredError", "'reductions'", "'reduction'"]),
    ("[loss]\nfactor = 0", ["loss.factor", "0", "above 0"]),
    ("[loss]\nfactor = nan", ["loss.factor", "nan"]),
    ('[loss]\nfactor = "half"', ["factor", "half"]),
    ('[loss]\nkind = "MSELoss"\nfactor = 0.5', ["MSELoss", "'factor'"]),
    ('[initial]\nweight = "xavier"', ["initial.weight", "'xavier'", "'xavier_"]),
    ('[initial]\nbias = "xavier_uniform"', ["initial.bias", "'xavier_uniform'"]),
    ("[initial]\nlow = 1.0", ["initial.low", "1.0", "initial.high"]),
    ("[initial]\nstd = -1.0", ["initial.std", "-1.0"]),
    ('[data]\ndataset = "fashionmnist"', ["data.dataset", "'fashionmnist'", "Did you mean 'fashion-mnist'?"]),
    ("[data]\ndata_root = 3", ["data.data_root", "3", "text"]),
    ('[data]\ndownload = "yes"', ["data.download", "'yes'", "true or false"]),
    ('name = "a/b"\n' + SMALLEST, ["name", "'a/b'", "letters"]),
    ('name = ""\n' + SMALLEST, ["name", "''"]),
    (f'name = "{"x" * 65}"\n' + SMALLEST, ["name", "64"]),
    ("name = 3\n" + SMALLEST, ["name", "3", "text"]),
    ("about = 3\n" + SMALLEST, ["about", "3", "text"]),
    ("layers = 3", ["layers"]),
    ("layers = []", ["layers", "at least one layer"]),
    ("layers = [1]", ["layers[0]", "1", "kind"]),
    ("[layers]\nkind = 'Linear'", ["layers", "[[layers]]"]),
    ("[[layers]]\nname = 'a'", ["layers[0]", "kind"]),
    ("[[layers]]\nkind = 3", ["layers[0].kind", "3", "text"]),
    ("[[layers]]\nkind = 'linear'\n", ["layers.kind", "'linear'", "Did you mean 'Linear'?"]),
    ("[[layers]]\nkind = 'Sigmoid'\nname = '1st'", ["layers.name", "'1st'"]),
    ("[[layers]]\nkind = 'Sigmoid'\nname = 'a.b'", ["layers.name", "'a.b'"]),
    ("[[layers]]\nkind = 'Sigmoid'\nname = 3", ["layers[0].name", "3", "text"]),
    ("[[layers]]\nkind = 'Sigmoid'\ninplace = true", ["Sigmoid", "'inplace'"]),
    ("[[layers]]\nkind = 'Linear'", ["Linear", "in_features"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 0", ["layers.out_features", "0"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 2.0", ["layers.out_features", "2.0"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = true\nout_features = 2", ["layers.in_features", "True"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 10\nrng = 1", ["'rng'"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 10\nbias = 'no'", ["bias", "'no'"]),
    ("[[layers]]\nkind = 'Linear'\nin_features = 784\nout_features = 10\nbias = 0", ["bias", "0"]),
    ("[[layers]]\nkind = 'LogSoftmax'\ndim = 7", ["dim", "7"]),
    ("[[layers]]\nkind = 'LogSoftmax'\ndim = 'rows'", ["dim", "'rows'"]),
    (SMALLEST + SMALLEST, ["linear1", "linear2", "784", "10"]),
    (SMALLEST + "name = 'a'" + "\n[[layers]]\nkind = 'Sigmoid'\nname = 'a'", ["layers.name", "'a'", "differ"]),
    (SMALLEST + "name = 'sigmoid1'" + "\n[[layers]]\nkind = 'Sigmoid'", ["layers.name", "'sigmoid1'", "differ"]),
    ("seed = 1\n" + SMALLEST, ["'seed'"]),
    ("this is no toml", ["not a TOML file"]),
    ("name = 'a'\nname = 'b'\n" + SMALLEST, ["not a TOML file"]),
    ("name = '\x00'\n" + SMALLEST, ["not a TOML file"]),
    ("a = " + "[" * 3000, ["not a TOML file"]),
]


@pytest.mark.parametrize(("content", "fragments"), REFUSED, ids=[re.sub(r"\s+", " ", c[:60]) for c, _ in REFUSED])
def test_what_cannot_be_run_is_refused_with_file_key_and_remedy(
    content: str, fragments: list[str], tmp_path: Path
) -> None:
    has_layers = "layers" in content or "toml" in content or content.startswith("a = ")
    path = written(tmp_path, content if has_layers else f"{content}\n{SMALLEST}")
    if not has_layers and "\n" in content:  # a section must not swallow the layers' keys
        path = written(tmp_path, f"{SMALLEST}\n{content}\n")
    with pytest.raises(DescriptionError) as refused:
        read_experiment(str(path))
    for fragment in [*fragments, "mine.toml"]:
        assert fragment in str(refused.value)
    assert "\n" not in str(refused.value).strip()


def test_a_config_that_is_wrong_names_both_files(tmp_path: Path) -> None:
    over = written(tmp_path, "[training]\nseed = -1\n", "over.toml")
    with pytest.raises(DescriptionError, match=r"article with .*over\.toml.*training\.seed"):
        read_experiment("article", None, over)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("artcle", "Did you mean 'article'?"),
        ("Article", "Did you mean 'article'?"),
        ("zzz", "Known are: article"),
        ("missing.toml", "missing.toml: cannot be read"),
        ("", "no experiment"),
        ("x" * 300, "no experiment"),
        ("x" * 300 + ".toml", "cannot be read"),
        ("a\0b", "no experiment"),
        ("a\0b.toml", "cannot be read"),
        (".", "no experiment"),
    ],
)
def test_an_experiment_that_is_not_there_is_refused(name: str, fragment: str) -> None:
    with pytest.raises(DescriptionError, match=re.escape(fragment)):
        read_experiment(name)


def test_a_folder_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"name = '\xff\xfe'")
    for name in ("folder.toml", "bytes.toml"):
        with pytest.raises(DescriptionError, match=name):
            read_experiment(str(tmp_path / name))


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": -1}, "steps is -1"),
        ({"stepz": 1}, "Did you mean 'steps'?"),
        ({"momentum": 1}, "There is no option 'momentum'"),
    ],
)
def test_options_that_are_wrong_are_refused(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(DescriptionError, match=re.escape(fragment)):
        changes_of(**options)


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch_size", "fragment"),
    [(784, 9, 10, "10 classes"), (784, 10, 601, "601"), (783, 10, 10, "wants 783 inputs")],
)
def test_a_network_or_batch_that_does_not_fit_the_data_is_refused(
    inputs: int, outputs: int, batch_size: int, fragment: str, small: Dataset
) -> None:
    layers = (Layer("Linear", arguments={"in_features": inputs, "out_features": outputs}),)
    with pytest.raises(DescriptionError, match=fragment):
        check_data(Experiment("x", layers, training=Training(batch_size=batch_size)), small)


# ------------------------------------------------------------------------------------------------ damaged descriptions

PRESETS = [(preset_folder() / f"{name}.toml").read_text(encoding="utf-8") for name in preset_names()]
TOKENS = [
    '"', "'", "[", "]", "=", "\n", "#", "nan", "inf", "-", "true", "1e999", "9" * 30, "0x10", "[]", "{}", '""',
    "1979-05-27", "\\u0000", "name", "kind", "layers", "[training]", "[[loss]]", "steps = 1", "dtype = 1", "1_000",
    "Sigmoid", "MSELoss", "float32", "\t", "\r", "é", "Ω",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A preset's text, with a few characters, tokens or lines taken out, put in, doubled or exchanged."""
    text = draw(st.sampled_from([*PRESETS, EVERYTHING]))
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at, line = draw(st.integers(0, len(text))), draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "token", "character", "drop", "double", "exchange", "value"])):
            case "cut":
                text = text[:at] + text[at + draw(st.integers(1, 20)) :]
            case "token":
                text = text[:at] + draw(st.sampled_from(TOKENS)) + text[at:]
            case "character":
                text = text[:at] + draw(st.characters(codec="utf-8")) + text[at + 1 :]
            case "drop":
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case "double":
                text = "\n".join([*lines[: line + 1], *lines[line:]])
            case "exchange":
                other = draw(st.integers(0, len(lines) - 1))
                lines[line], lines[other] = lines[other], lines[line]
                text = "\n".join(lines)
            case _:
                key, equals, _ = lines[line].partition("=")
                lines[line] = f"{key}{equals} {draw(st.sampled_from(TOKENS))}" if equals else lines[line]
                text = "\n".join(lines)
    return text


@settings(deadline=None, max_examples=400, derandomize=True, database=None)
@given(content=damaged())
def test_a_damaged_description_is_an_experiment_or_a_description_error(
    content: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    try:
        experiment = read_experiment(str(path))
    except DescriptionError:
        return
    assert isinstance(experiment, Experiment)
    path.write_text(to_toml(experiment), encoding="utf-8")
    assert read_experiment(str(path)) == experiment


# ------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_depends_on_the_seed_and_its_name_alone() -> None:
    first = stream(1, "a").random(5)
    stream(1, "b").random(1000)
    np.testing.assert_array_equal(stream(1, "a").random(5), first)
    assert not np.array_equal(stream(1, "b").random(5), first)
    assert not np.array_equal(stream(2, "a").random(5), first)


def test_streams_are_the_same_in_every_process() -> None:
    """A number that changes with the interpreter's hash seed would make no run repeatable."""
    raw: Any = stream(1, "order of epoch 0").bit_generator.random_raw(3)
    assert raw.tolist() == [10837650242898427533, 8417257572567799123, 3850723351681274232]


def experiment(**training: Any) -> Experiment:
    layers = (Layer("Linear", arguments={"in_features": 784, "out_features": 10}),)
    return Experiment("x", layers, training=Training(**training))


def test_streams_of_different_names_are_not_correlated() -> None:
    names = ["initial linear1.weight", "initial linear2.weight", "initial linear1.bias", "order of epoch 0", "x"]
    drawn = np.stack([stream(3, name).normal(size=20_000) for name in names])
    correlation = np.corrcoef(drawn) - np.eye(len(names))
    assert np.abs(correlation).max() < 0.04


# ------------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("batch_size", [1, 7, 20, 103])
def test_every_epoch_shows_every_example_once_in_an_order_of_its_own(batch_size: int) -> None:
    described = experiment(epochs=3, batch_size=batch_size)
    seen: dict[int, list[np.ndarray]] = {}
    for epoch, rows in batches(described, 103):
        seen.setdefault(epoch, []).append(rows)
    assert list(seen) == [0, 1, 2]
    for parts in seen.values():
        assert sorted(np.concatenate(parts).tolist()) == list(range(103))
        assert {len(part) for part in parts[:-1]} <= {batch_size}
        assert len(parts[-1]) == 103 % batch_size or len(parts[-1]) == batch_size
    assert not np.array_equal(np.concatenate(seen[0]), np.concatenate(seen[1]))
    assert not np.array_equal(np.concatenate(seen[0]), np.arange(103))
    assert sum(map(len, seen.values())) == count_steps(described, 103)


@pytest.mark.parametrize("steps", [1, 5, 6, 23])
def test_steps_cap_the_epochs_and_run_past_them(steps: int) -> None:
    described = experiment(steps=steps, epochs=2, batch_size=20)
    seen = list(batches(described, 103))
    assert len(seen) == count_steps(described, 103) == steps
    assert [epoch for epoch, _ in seen] == [step // 6 for step in range(steps)]
    longer = list(batches(experiment(steps=30, batch_size=20), 103))
    for (_, rows), (_, same) in zip(seen, longer, strict=False):
        np.testing.assert_array_equal(rows, same)


def test_the_order_depends_on_the_seed_and_not_on_the_batch_size() -> None:
    one = np.concatenate([rows for _, rows in batches(experiment(batch_size=7), 50)])
    other = np.concatenate([rows for _, rows in batches(experiment(batch_size=50), 50)])
    np.testing.assert_array_equal(one, other)
    seeded = np.concatenate([rows for _, rows in batches(experiment(batch_size=7, seed=2), 50)])
    assert not np.array_equal(one, seeded)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_batch_is_the_pixels_divided_by_255(dtype: str, small: Dataset) -> None:
    rows = np.array([3, 599, 3])
    x, target = take_batch(small.train_images, small.train_labels, rows, dtype)
    assert (x.shape, x.dtype) == ((3, 784), np.dtype(dtype))
    pixels = small.train_images[rows].reshape(3, 784).astype(dtype)
    np.testing.assert_array_equal(x, pixels / np.dtype(dtype).type(255))
    assert x.min() == 0
    assert x.max() <= 1
    np.testing.assert_array_equal(target, small.train_labels[rows])
    assert not np.shares_memory(target, small.train_labels)


# -------------------------------------------------------------------------------------------------- initial parameters

SHAPES = {"linear1.weight": (300, 784), "linear1.bias": (300,), "linear2.weight": (100, 300), "linear2.bias": (100,)}


def drawn(weight: str, bias: str = "zeros", dtype: str = "float64", **more: Any) -> dict[str, np.ndarray]:
    described = experiment(dtype=dtype, seed=more.pop("seed", 4)).changed("initial", weight=weight, bias=bias, **more)
    return initial_parameters(described, SHAPES)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", INITIALIZERS)
def test_every_initializer_gives_the_shapes_and_the_dtype(kind: str, dtype: str) -> None:
    for name, array in drawn(kind, dtype=dtype).items():
        assert (array.shape, array.dtype) == (SHAPES[name], np.dtype(dtype))
        assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("kind", "name", "limit", "std"),
    [
        ("uniform", "linear1.weight", 1.0, 1 / math.sqrt(3)),
        ("normal", "linear1.weight", math.inf, 1.0),
        ("xavier_uniform", "linear1.weight", math.sqrt(6 / 1084), math.sqrt(2 / 1084)),
        ("xavier_normal", "linear1.weight", math.inf, math.sqrt(2 / 1084)),
        ("kaiming_uniform", "linear2.weight", math.sqrt(6 / 300), math.sqrt(2 / 300)),
        ("kaiming_normal", "linear2.weight", math.inf, math.sqrt(2 / 300)),
        ("torch_default", "linear1.weight", 1 / 28, 1 / (28 * math.sqrt(3))),
    ],
)
def test_weights_are_distributed_as_their_initializer_says(kind: str, name: str, limit: float, std: float) -> None:
    weight = drawn(kind)[name]
    assert np.abs(weight).max() <= limit
    assert math.isinf(limit) or np.abs(weight).max() > 0.999 * limit
    assert weight.std() == pytest.approx(std, rel=0.02)
    assert abs(weight.mean()) < 5 * std / math.sqrt(weight.size)


def test_the_ranges_of_the_description_are_used() -> None:
    assert drawn("uniform", low=2.0, high=3.0)["linear1.weight"].min() >= 2
    assert drawn("uniform", low=2.0, high=3.0)["linear1.weight"].max() <= 3
    normal = drawn("normal", mean=5.0, std=0.1)["linear1.weight"]
    assert normal.mean() == pytest.approx(5, abs=0.01)
    assert normal.std() == pytest.approx(0.1, rel=0.02)


def test_biases_have_an_initializer_of_their_own() -> None:
    assert not drawn("uniform", "zeros")["linear1.bias"].any()
    assert drawn("zeros", "uniform")["linear1.bias"].any()
    assert not drawn("zeros", "uniform")["linear1.weight"].any()
    bias = drawn("zeros", "torch_default")["linear1.bias"]
    assert 0.9 / 28 < np.abs(bias).max() <= 1 / 28  # the bound of the layer's weight, 1/sqrt(784)


def test_every_parameter_is_drawn_from_a_stream_of_its_own() -> None:
    whole = drawn("uniform", "uniform")
    alone = initial_parameters(
        experiment(seed=4).changed("initial", weight="uniform", bias="uniform"), {"linear2.bias": (100,)}
    )
    np.testing.assert_array_equal(alone["linear2.bias"], whole["linear2.bias"])
    assert not np.array_equal(whole["linear1.bias"][:100], whole["linear2.bias"])
    assert not np.array_equal(drawn("uniform", seed=5)["linear1.weight"], whole["linear1.weight"])
    np.testing.assert_array_equal(drawn("uniform")["linear1.weight"], whole["linear1.weight"])


def test_float32_starts_where_float64_does() -> None:
    for name, array in drawn("kaiming_normal", "uniform", "float32").items():
        np.testing.assert_array_equal(array, drawn("kaiming_normal", "uniform")[name].astype(np.float32))


def test_the_shapes_are_those_of_the_description() -> None:
    assert parameter_shapes(read_experiment("article")) == {
        "linear1.weight": (30, 784), "linear1.bias": (30,), "linear2.weight": (10, 30), "linear2.bias": (10,),
    }  # fmt: skip


def test_a_rate_that_the_dtype_does_not_have_is_refused() -> None:
    """torch would refuse it in the middle of the first update."""
    assert read_experiment("relu", changes_of(lr=1e40, dtype="float64")).optimizer.lr == 1e40
    with pytest.raises(DescriptionError, match=r"optimizer.lr is 1e\+40; wanted a number that is a float32"):
        read_experiment("relu", changes_of(lr=1e40, dtype="float32"))
