"""`backproof explain`: what is printed, what --json holds, and what is said where a name is wrong."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import compare
from compare.cli import main
from compare.experiment.datasets import Dataset
from compare.explain.selection import select
from compare.language import say


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["backproof", "explain", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_the_console_tells_the_whole_way(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "article", "--weight", "linear1.weight[23,272]")
    assert status == 0
    for part in ("training image 1, a 0", "▄███▄", "+0.8645", "z_j = Σ_i w_ji x_i + b_j", "da/dz = a (1 − a)", "(17)",
                 "manual/linear.py:", "autograd", "complex step", "central differences", "learning rate 4",
                 "backproof explain article --weight 'linear2.bias[7]'"):  # fmt: skip
        assert part in out
    table = out[out.index("largest first") : out.index("sum  ")]
    products = [abs(float(row.split()[-1])) for row in table.splitlines() if row.startswith("[0,")]
    assert len(products) == 10
    assert products == sorted(products, reverse=True)


def test_json_holds_the_same_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "article", "--weight", "linear1.weight[12,:]", "--json", "--sample", "21", "--step", "3"
    )
    data = json.loads(out)
    assert status == 0
    assert re.fullmatch(r"linear1\.weight\[12,\d+\]", data["weight"])
    assert set(data["gradient"]) == {"manual", "autograd", "complex_step", "central_difference"}
    assert data["gradient"]["manual"] == pytest.approx(np.prod([f["value"] for f in data["factors"]]), rel=1e-9)
    assert len(data["selection"]["elements"]) == 784
    assert data["selection"]["elements"][0]["weight"] == data["weight"]
    assert (data["sample"], data["step"], len(data["outputs"]), np.shape(data["image"])) == (21, 3, 10, (28, 28))
    assert [set(term) for term in data["factors"][-1]["terms"]] == [
        {"tensor", "value", "slope", "arriving", "product"}
    ] * 10
    assert data["chain"][0]["gradient"] == data["gradient"]["manual"] == data["selection"]["elements"][0]["gradient"]
    assert data["chain"][0]["value"] == data["value"]
    assert data["forward"][-1] == {"tensor": "loss", "value": data["loss"]}


def test_python_gives_the_same_object(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "article", "--weight", "linear2.bias[3]", "--json")
    explained = compare.explain("article", weight="linear2.bias[3]")
    assert explained.to_json() == json.loads(out)
    assert "linear2.bias[3]" in repr(explained)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["article", "--weight", "linear1.wieght[1,2]"], "linear1.weight"),
        (["article", "--weight", "linear3.weight[1,2]"], "linear2.weight"),
        (["article", "--weight", "linear1.weight[30,2]"], "0 to 29"),
        (["article", "--weight", "linear1.weight[3]"], "has shape (30, 784)"),
        (["article", "--weight", "linear1.weight[a,3]"], "stands 'a'"),
        (["article", "--weight", "[[3]"], "no weight's name"),
        (["article", "--step", "0"], "1 to 12,000"),
        (["article", "--step", "99999"], "1 to 12,000"),
        (["article", "--sample", "60000"], "0 to 59,999"),
        (["artikel"], "article"),
        (["article", "--lang", "fr"], "zh"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_html_writes_the_page_that_begins_where_it_is_asked_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_data: Dataset
) -> None:
    file = tmp_path / "page.html"
    weight = ("--weight", "linear1.weight[3,:]")
    status, out, _ = run(capsys, "article-one-layer", "--html", str(file), "--step", "20", *weight, "--lang", "zh")
    page = file.read_text(encoding="utf-8")
    first = json.loads(re.findall(r'id="first">(.*?)</script>', page)[0])
    assert (status, out) == (0, f"{say('explainer: {file}', file=file)}\n")
    assert (first["tensor"], first["index"][0], first["instant"] > 0) == ("linear1.weight", 3, True)
    assert '<html lang="zh' in page
    status, _, err = run(capsys, "lenet", "--html", str(file))
    assert status == 3
    assert "no page of its own" in err


def test_names_may_be_short_where_one_is_meant() -> None:
    parameters = {"conv2d1.weight": np.zeros((6, 1, 5, 5)), "conv2d2.weight": np.zeros((16, 6, 5, 5))}
    assert str(select("conv1.weight[0,0,2,1]", parameters)) == "conv2d1.weight[0,0,2,1]"
    assert select("conv2d2.weight[-1,0,:,2]", parameters).indices((16, 6, 5, 5)) == [(15, 0, n, 2) for n in range(5)]


def test_where_examples_are_mixed_the_batch_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "batchnorm", "--weight", "batchnorm1d1.bias[0]")
    assert status == 0
    assert "mixes the examples" in out
    assert "64 images" in out


def test_an_image_without_ink_at_a_pixel_says_why_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "article-one-layer", "--weight", "linear1.weight[0,0]")
    assert status == 0
    assert "is 0, and so is the product" in out


MINE = """
name = "mine"
layers = [
    {{ kind = "Linear", in_features = 784, out_features = 6 }},
    {{ kind = "{layer}"{reference} }},
    {{ kind = "Linear", in_features = 6, out_features = 10 }},
]
loss = {{ kind = "CrossEntropyLoss"{loss} }}
optimizer = {{ kind = "SGD", lr = {lr}{schedule} }}
training = {{ steps = 50, batch_size = 20 }}
"""


def mine(folder: Path, layer: str = "Sigmoid", reference: str = "", loss: str = "", lr: str = "0.5",
         schedule: str = "") -> str:  # fmt: skip
    file = folder / "my network.toml"
    file.write_text(MINE.format(layer=layer, reference=reference, loss=loss, lr=lr, schedule=schedule))
    return str(file)


def test_the_rate_is_that_of_the_step_and_not_of_the_next(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    schedule = ', schedule = { kind = "StepLR", step_size = 1, gamma = 0.1 }'
    _, out, _ = run(capsys, mine(tmp_path, schedule=schedule), "--json")
    data = json.loads(out)
    assert data["update"]["lr"] == 0.5
    assert data["update"]["change"] == pytest.approx(-0.5 * data["gradient"]["manual"], rel=1e-9)


def test_a_backward_pass_that_is_wrong_is_not_shown_as_a_product(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """|z| is no analytic function, so that the complex step alone would see a slope of 0; here backward forgets a 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import numpy as np\n\n\nclass Twice:\n    def forward(self, z):\n        self.sign = np.sign(z.real)\n"
        "        return 2 * np.abs(z)\n\n    def backward(self, grad_output):\n        return grad_output * self.sign\n"
    )
    file = mine(tmp_path, "own.py:Twice", ', reference = "torch.nn.Softplus"')
    _, out, _ = run(capsys, file, "--json")
    data = json.loads(out)
    assert data["product"] == pytest.approx(2 * data["gradient"]["manual"], rel=1e-6)
    _, out, _ = run(capsys, file)
    assert "is not that of the forward pass" in out


@pytest.mark.parametrize(
    ("changes", "arguments", "status", "said"),
    [
        ({"lr": "1e308"}, ("--step", "3"), 3, "an earlier --step"),
        ({"loss": ", ignore_index = 0"}, (), 3, "Look at another --sample."),
        ({"loss": ', reduction = "none"'}, (), 2, "mean, sum or batchmean"),
        ({}, ("--weight", f"linear1.weight[{'9' * 5000},1]"), 2, "wanted a whole number"),
        ({}, ("--weight", ""), 2, "no weight's name"),
        ({}, ("--html", "page.html", "--json"), 2, "give one of them"),
    ],
)
def test_what_cannot_be_explained_is_said(
    changes: dict[str, str], arguments: tuple[str, ...], status: int, said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found, out, err = run(capsys, mine(tmp_path, **changes), *arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert "Traceback" not in err


def test_a_step_that_overflows_is_still_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = run(capsys, mine(tmp_path, lr="1e308"), "--json")
    assert (status, err) == (0, "")
    json.loads(out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_smoothed_targets_are_shown_as_the_loss_has_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, mine(tmp_path, loss=", label_smoothing = 0.2"), "--json")
    targets = [row["target"] for row in json.loads(out)["outputs"]]
    assert targets == pytest.approx([0.82] + [0.02] * 9)


def test_commands_to_go_on_with_can_be_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, mine(tmp_path), "--sample", "59999", "--json")
    for command in json.loads(out)["next"]:
        words = shlex.split(command)
        assert words[1:3] in (["explain", mine(tmp_path)], ["run", mine(tmp_path)])
        if words[1] == "explain":
            assert run(capsys, *words[2:])[0] == 0
