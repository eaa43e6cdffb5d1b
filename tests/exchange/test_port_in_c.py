"""A program in C goes through the door: right once, and wrong as people are; each caught, located, named."""

import subprocess
from pathlib import Path

import pytest

from compare.exchange.verified import Verified
from compare.exchange.verify import verify
from tests.exchange.conftest import Exported

SOURCE = Path(__file__).with_name("port.c")
# the mistake's switch: the tensor it spoils first, the operation that is guilty, its name in the catalogue
MISTAKES = {
    "no-1/N": ("sigmoid2.output.grad", "loss.backward", "delta-summed-instead-of-averaged"),
    "no-derivative": ("linear2.output.grad", "sigmoid2.backward", "activation-derivative-missing"),
    "derivative-without-rest": ("linear2.output.grad", "sigmoid2.backward", "sigmoid-derivative-without-rest"),
    "transposed-product": ("linear2.weight.grad", "linear2.backward", "weight-gradient-reshaped"),
    "bias-first-example": ("linear2.bias.grad", "linear2.backward", "bias-gradient-first-example"),
    "no-half": ("loss", "loss.forward", "loss-doubled"),
    "updated-weight": ("sigmoid1.output.grad", "linear2.backward", "updated-weight-used"),
    "learning-rate": ("linear1.weight.updated", "optimizer.step", "learning-rate-other"),
    "update-adds": ("linear1.weight.updated", "optimizer.step", "update-adds"),
}


@pytest.fixture(scope="session", params=["float64", "float32"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The program for a dtype. Without a C compiler these tests fail: they are not skipped."""
    program = tmp_path_factory.mktemp("port") / request.param
    real = "double" if request.param == "float64" else "float"
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", f"-DREAL={real}"]
    words = ["cc", *strict, str(SOURCE), "-o", str(program), "-lm"]
    compiler = subprocess.run(words, capture_output=True, text=True)
    assert compiler.returncode == 0, compiler.stderr
    return request.param, program


def sent_through(exported: Exported, compiled: tuple[str, Path], *mistake: str) -> Verified:
    dtype, program = compiled
    folder = exported(dtype=dtype)
    (folder / "trace").mkdir()
    subprocess.run([program, folder, *mistake], check=True)
    return verify(folder)


def test_the_right_program_agrees(exported: Exported, compiled: tuple[str, Path]) -> None:
    verified = sent_through(exported, compiled)
    outcome = verified.to_json()
    assert (outcome["verdict"], verified.exit_status) == ("AGREES", 0)
    assert (outcome["steps"], outcome["checks"], outcome["audits"]) == (3, 3 * 17, {"steps": 3, "checks": 3 * 17})
    assert outcome["exchange"]["given"]["fraction"] == 1
    assert all(how == ["derived"] for how in outcome["exchange"]["compared_how"].values())
    assert outcome["exchange"]["steps"] == {"exported": 3, "compared": 3, "on_their_own": 3}
    assert (outcome["exchange"]["missing"], outcome["exchange"]["unnoticed"]) == ([], {})


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_program_is_caught_located_and_named(
    exported: Exported, compiled: tuple[str, Path], mistake: str
) -> None:
    verified = sent_through(exported, compiled, mistake)
    tensor, operation, name = MISTAKES[mistake]
    finding = verified.to_json()["divergence"]
    assert (verified.exit_status, finding["verdict"], finding["step"]) == (1, "DIVERGES", 1)
    assert (finding["tensor"], finding["operation"]) == (tensor, operation)
    assert finding["suspects"][0]["name"] == name
    assert name not in finding["ruled_out"]
    assert finding["manual"] != finding["reference"]
    assert len(finding["index"]) == verified.recorded.read(1)[tensor].ndim
