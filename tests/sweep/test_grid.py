"""A sweep's file: which cells it makes, and what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pytest

from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.files import from_document, read_experiment, read_toml
from compare.sweep.cells import Cell, cells_of, described, heading, label
from compare.sweep.grid import preset_names, read_grid


def cells(tmp_path: Path, content: str) -> list[Cell]:
    file = tmp_path / "sweep.toml"
    file.write_text(content)
    return cells_of(read_grid(str(file)))


def experiment(cell: Cell, tmp_path: Path) -> Experiment:
    file = tmp_path / "cell.toml"
    file.write_text(cell.config)
    return from_document(read_toml(file), "cell")


def test_every_combination_is_a_cell_in_the_order_of_the_file(tmp_path: Path) -> None:
    made = cells(tmp_path, '[grid]\nexperiment = ["article", "relu"]\ntraining.dtype = ["float64", "float32"]\n')
    axes = [tuple(cell.axes.values()) for cell in made]
    assert axes == [("article", "float64"), ("article", "float32"), ("relu", "float64"), ("relu", "float32")]
    for cell, (name, dtype) in zip(made, axes, strict=True):
        assert experiment(cell, tmp_path) == read_experiment(name, {"training": {"dtype": dtype}})
    assert len({cell.key for cell in made}) == 4
    assert made == cells(tmp_path, (tmp_path / "sweep.toml").read_text())  # the keys are the same another time


@pytest.mark.parametrize(
    "written", ["training.seed = [3, 4]", '"training.seed" = [3, 4]', "[grid.training]\nseed = [3, 4]"]
)
def test_a_key_may_be_written_in_every_way_that_toml_has(written: str, tmp_path: Path) -> None:
    made = cells(tmp_path, f"[grid]\n{written}\n")
    assert [(cell.axes, cell.seed) for cell in made] == [({"training.seed": 3}, 3), ({"training.seed": 4}, 4)]


def test_a_class_that_is_named_starts_afresh_and_other_keys_are_laid_over(tmp_path: Path) -> None:
    content = """
    [set]
    experiment = "relu"
    optimizer.lr = 0.5
    initial.weight = "zeros"
    [grid]
    optimizer = [{ kind = "Adam" }, { kind = "SGD", lr = 2.0 }, { weight_decay = 0.25 }]
    loss = [{ kind = "BCEWithLogitsLoss" }, { reduction = "sum" }]
    """
    made = [experiment(cell, tmp_path) for cell in cells(tmp_path, content)]
    relu = read_experiment("relu")
    adam, sgd, decayed = (each.optimizer for each in made[::2])
    assert (adam.kind, adam.lr, adam.weight_decay) == ("Adam", 0.5, 0.0)  # nothing of relu's is left, [set]'s is
    assert (sgd.kind, sgd.lr, sgd.momentum) == ("SGD", 2.0, 0.0)
    assert (decayed.kind, decayed.lr, decayed.momentum) == ("SGD", 0.5, relu.optimizer.momentum)
    assert decayed.weight_decay == 0.25
    assert dict(made[0].loss.arguments) == {}
    assert (made[1].loss.kind, made[1].loss.arguments["reduction"]) == (relu.loss.kind, "sum")
    assert {each.initial.weight for each in made} == {"zeros"}


def test_a_table_and_a_key_of_it_go_together(tmp_path: Path) -> None:
    content = '[grid]\n"loss.reduction" = ["sum", "mean"]\nloss = [{ kind = "BCELoss" }, { kind = "MSELoss" }]\n'
    losses = [experiment(cell, tmp_path).loss for cell in cells(tmp_path, content)]
    assert [(loss.kind, loss.arguments["reduction"]) for loss in losses] == [
        ("BCELoss", "sum"), ("MSELoss", "sum"), ("BCELoss", "mean"), ("MSELoss", "mean"),
    ]  # fmt: skip


def test_defaults_that_depend_on_the_dtype_are_the_cells_own(tmp_path: Path) -> None:
    network = tmp_path / "norm.toml"
    network.write_text(
        '[[layers]]\nkind = "RMSNorm"\nnormalized_shape = 784\n'
        '[[layers]]\nkind = "Linear"\nin_features = 784\nout_features = 10\n'
    )
    made = cells(tmp_path, f"[grid]\nexperiment = ['{network}']\ntraining.dtype = ['float64', 'float32']\n")
    double, single = (experiment(cell, tmp_path).layers[0].arguments["eps"] for cell in made)
    assert single / double > 1e8


def test_a_cell_is_another_where_the_users_file_is(tmp_path: Path) -> None:
    layers = tmp_path / "layers.py"
    source = "class Same:\n    def forward(self, x):\n        return x\n    def backward(self, g):\n        return g\n"
    layers.write_text(source)
    content = (
        "[set]\nlayers = [{ kind = 'Linear', in_features = 784, out_features = 10 }, "
        f"{{ kind = '{layers}:Same', reference = 'torch.nn.Identity' }}]\n[grid]\ntraining.seed = [1]\n"
    )
    (before,) = cells(tmp_path, content)
    layers.write_text(source + "\n# mended\n")
    (after,) = cells(tmp_path, content)
    assert before.config == after.config
    assert before.key != after.key


@pytest.mark.parametrize("name", preset_names())
def test_the_sweeps_of_the_package_are_right(name: str) -> None:
    grid = read_grid(name)
    assert grid.name == name
    assert grid.about
    assert len(cells_of(grid)) > 10


def test_values_are_said_in_short() -> None:
    assert label({"kind": "SGD", "lr": 4.0, "nesterov": True}) == "SGD(lr=4.0, nesterov=true)"
    assert label([0.9, 0.99]) == "[0.9, 0.99]"
    axes = {"loss.kind": "BCELoss", "optimizer.kind": "SGD", "training.seed": 3}
    assert described(axes) == "loss.kind BCELoss, optimizer.kind SGD, seed 3"
    assert heading("loss", {"loss": 1, "training.seed": 2}) == "loss"


WRONG: list[tuple[str, str]] = [
    ("", "there is no [grid]"),
    ("[grid]\n", "there is no [grid]"),
    ("[gird]\nx = 1", "unknown key 'gird'. Did you mean 'grid'?"),
    ("training.seed = [1]", "unknown key 'training'. It belongs in [grid] or [set]."),
    ("name = 3\n[grid]\ntraining.seed = [1]", "name is 3; wanted a text"),
    ("name = '../x'\n[grid]\ntraining.seed = [1]", "name is '../x'; wanted up to 64 letters"),
    ("grid = 3", "grid is 3; wanted a table, [grid]"),
    ("[grid]\nseed = [1, 2]", "[grid] has no key 'seed'. Did you mean 'training.seed'?"),
    ("[grid]\ntraining.sed = [1, 2]", "[grid] has no key 'training.sed'. Did you mean 'training.seed'?"),
    ("[grid]\ntrainin.seed = [1, 2]", "[grid] has no key 'trainin'. Did you mean 'training'?"),
    ("[set]\nmodel = 3\n[grid]\ntraining.seed = [1]", "[set] has no key 'model'"),
    ("[grid]\nlayers.kind = ['ReLU']", "[grid] has no key 'layers.kind'; wanted layers alone"),
    ("[grid]\ntraining.seed = 3", "training.seed is 3; wanted a list of at least one value"),
    ("[grid]\ntraining.seed = []", "training.seed is []; wanted a list of at least one value"),
    ("[grid]\ntraining.seed = [1, 2, 1]", "training.seed has 1 twice"),
    ("[grid]\nloss = ['BCELoss']", "loss[0] is 'BCELoss'; wanted a table, { kind = ... }"),
    ("[grid]\nexperiment = [3]", "experiment[0] is 3; wanted a text"),
    ("[set]\nexperiment = 3\n[grid]\ntraining.seed = [1]", "experiment is 3; wanted a preset's name or a TOML file"),
    ("[set]\ntraining.seed = 3\n[grid]\ntraining.seed = [1]", "training.seed stands in [set] and in [grid]"),
    ("[grid]\n'training.seed' = [1]\ntraining.seed = [2]", "[grid] has training.seed twice"),
    ("[grid]\nexperiment = ['artcle']", "cell 1 (experiment artcle): There is no experiment 'artcle'. Did you mean"),
    ("[grid]\ntraining.seed = [1, 'two']", "cell 2 (seed two): training.seed is 'two'; wanted a whole number"),
    ("[grid]\noptimizer.lrr = [1]", "cell 1 (lrr 1): [optimizer] has no key 'lrr'. Did you mean 'lr'?"),
    ("[grid]\nloss = [{ kind = 'BCELoss', factor = 2 }]", "loss: BCELoss has no argument 'factor'"),
    ("[grid]\noptimizer.lr = [1, 1.0]", "cell 2 (lr 1.0): this is the same experiment as cell 1 (lr 1)"),
    ("[grid]\nloss.kind.of = ['BCELoss']\nloss.kind = ['BCELoss']", "not a TOML file"),
    ("[grid]\n'loss.kind.of' = ['x']\nloss.kind = ['BCELoss']", "loss.kind is 'BCELoss', which has no 'of'"),
    (f"[grid]\ntraining.seed = {list(range(101))}\ntraining.steps = {list(range(100))}", "makes 10,100 cells"),
]


@pytest.mark.parametrize(("content", "said"), WRONG, ids=[said[:45] for _, said in WRONG])
def test_a_wrong_file_is_one_sentence_that_names_it(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as wrong:
        cells(tmp_path, content)
    assert said in str(wrong.value)
    assert str(wrong.value).startswith(str(tmp_path / "sweep.toml"))


@pytest.mark.parametrize(("name", "said"), [("optimizer", "Did you mean 'optimizers'?"), ("no.toml", "cannot be read")])
def test_a_sweep_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(DescriptionError, match=said.replace("?", r"\?")):
        read_grid(name)


def test_values_of_every_kind_are_refused_without_a_traceback(tmp_path: Path) -> None:
    found: list[Any] = ["1979-05-27", "nan", "[[]]", "{}", "''", "true", "[{}]"]
    for value in found:
        for key in ("optimizer.lr", "loss", "layers", "training", "optimizer.schedule", "experiment"):
            with pytest.raises(DescriptionError):
                cells(tmp_path, f"[grid]\n{key} = [{value}, {value}]\n")
            with pytest.raises(DescriptionError):
                cells(tmp_path, f"[set]\n{key} = {value}\n[grid]\ntraining.dtype = ['float16']\n")
