"""Records that are truncated, edited, binary or made to do harm: refused with the file's name, nothing more happens."""

import json
import os
import random
import shutil
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compare.experiment.datasets import Dataset
from compare.records.reading import read_record
from compare.records.replay import replay
from compare.records.resume import resume
from compare.records.schema import RecordError
from tests.records.conftest import change_manifest, forge, manifest_of
from tests.records.test_resume import stopped_at

DOCUMENTS = ("environment.json", "data.json", "metrics.json")
FILES = (*DOCUMENTS, "config.toml", "steps.jsonl", "initial.safetensors", "final_manual.safetensors")


@pytest.fixture
def watched(tmp_path: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A record beside which, and outside of which, nothing may change; read with little memory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text('{"a": 1}')
    monkeypatch.chdir(outside)
    before = {path: path.read_bytes() for path in outside.rglob("*")}
    yield copied
    assert {path: path.read_bytes() for path in outside.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} == {"outside", copied.name}


def read_all(folder: Path) -> None:
    """Read everything that a report reads."""
    record = read_record(folder)
    for _ in record.steps():
        pass
    for name in ("initial", "final_manual", "final_reference"):
        if record.has(f"{name}.safetensors"):
            record.weights(name)


def refused(folder: Path, name: str) -> str:
    """The record is refused, by a message that names the file, whatever one wants to do with it."""
    with pytest.raises(RecordError) as error:
        read_all(folder)
    assert name in str(error.value)
    assert len(str(error.value)) < 2000
    return str(error.value)


def test_the_record_itself_is_read(watched: Path) -> None:
    read_all(watched)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_truncated_file(name: str, share: float, watched: Path) -> None:
    content = (watched / name).read_bytes()
    (watched / name).write_bytes(content[: int(share * len(content))])
    refused(watched, name)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", [*DOCUMENTS, "steps.jsonl", "initial.safetensors"])
def test_a_truncated_file_with_a_digest_to_match(name: str, share: float, watched: Path) -> None:
    content = (watched / name).read_bytes()
    forge(watched, name, content[: min(int(share * len(content)), len(content) - 3)])
    if name == "steps.jsonl" and share == 0.0:
        read_all(watched)  # no lines at all are no damage by themselves: a run may end before its first step
    else:
        refused(watched, name)


BAD_JSON = {
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "not utf-8": b'{"a": "\xff\xfe"}',
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "a number of many digits": b'{"steps": ' + b"9" * 100_000 + b"}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not a number": b'{"steps": NaN}',
    "zeros": b"\0" * 5000,
}


@pytest.mark.parametrize("content", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.parametrize("name", ["manifest.json", *DOCUMENTS])
def test_a_document_that_is_none(name: str, content: bytes, watched: Path) -> None:
    forge(watched, name, content)
    refused(watched, name)


@pytest.mark.parametrize("content", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_a_line_that_is_none(content: bytes, watched: Path) -> None:
    forge(watched, "steps.jsonl", (watched / "steps.jsonl").read_bytes() + content + b"\n")
    assert "line 13" in refused(watched, "steps.jsonl")


def test_a_line_without_an_end_does_not_fill_the_memory(watched: Path) -> None:
    with (watched / "steps.jsonl").open("ab") as file:
        file.truncate(2**29)  # half a gigabyte of zeros that take no room on the disk
    change_manifest(watched, lambda m: m.update(status="running", files=start_of(m)))
    tracemalloc.start()
    try:
        assert "longer than" in refused(watched, "steps.jsonl")
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def start_of(manifest: dict[str, Any]) -> dict[str, str]:
    kept = ("config.toml", "environment.json", "data.json", "initial.safetensors")
    return {name: manifest["files"][name] for name in kept}


def test_documents_larger_than_any_real_one_are_not_read(watched: Path) -> None:
    for name in ("manifest.json", "metrics.json"):
        kept = (watched / name).read_bytes()
        os.truncate(watched / name, 2**32)
        assert "wanted at most" in refused(watched, name)
        (watched / name).write_bytes(kept)


# ---------------------------------------------------------------------------------------- files that are something else


def something_else(kind: str, path: Path, outside: Path) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    match kind:
        case "a link out of the record":
            path.symlink_to(outside / "secret.json")
        case "a link to a device":
            path.symlink_to("/dev/zero")
        case "a link to itself":
            path.symlink_to(path.name)
        case "a pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()


@pytest.mark.parametrize(
    "kind", ["a link out of the record", "a link to a device", "a link to itself", "a pipe", "a folder"]
)
@pytest.mark.parametrize("name", ["manifest.json", "metrics.json", "config.toml", "steps.jsonl", "initial.safetensors"])
def test_what_is_no_plain_file_is_not_opened(name: str, kind: str, watched: Path, tmp_path: Path) -> None:
    something_else(kind, watched / name, tmp_path / "outside")
    assert "plain file" in refused(watched, name)


@pytest.mark.parametrize(
    "name",
    [
        "../outside/secret.json", "/etc/passwd", "divergence/../../outside/secret.json", "a/b.json", "..", "",
        "divergence\\x.json", "con\0.json", "x" * 5000 + ".json", "~/x.json", "\ud800.json",
    ],
    ids=lambda n: repr(n)[:30],
)  # fmt: skip
def test_a_path_that_climbs_out_is_refused_before_it_is_opened(name: str, watched: Path) -> None:
    change_manifest(watched, lambda m: m["files"].__setitem__(name, "0" * 64))
    refused(watched, "manifest.json")


def test_a_folder_of_a_divergence_that_is_a_link(watched: Path, tmp_path: Path) -> None:
    (watched / "divergence").symlink_to(tmp_path / "outside")
    change_manifest(watched, lambda m: m["files"].__setitem__("divergence/secret.json", "0" * 64))
    assert "link" in refused(watched, "divergence")


# ------------------------------------------------------------------------------------------------------- weights


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


ENTRY = '{"w": {"dtype": "%s", "shape": %s, "data_offsets": %s}}'
WRONG_WEIGHTS = {
    "empty": b"",
    "short": b"\x08\0\0",
    "a header longer than the file": safetensors(b"{}", length=2**63 - 1),
    "a header of 2^64": safetensors(b"{}", length=2**64 - 1),
    "no JSON": safetensors(b"{{{{"),
    "a list": safetensors(b"[]"),
    "deep": safetensors(b"[" * 100_000),
    "offsets behind the end": safetensors((ENTRY % ("F64", "[1000000]", "[0, 8000000]")).encode(), b"\0" * 8),
    "offsets backwards": safetensors((ENTRY % ("F64", "[1]", "[8, 0]")).encode(), b"\0" * 8),
    "a shape that does not fit": safetensors((ENTRY % ("F64", "[2]", "[0, 8]")).encode(), b"\0" * 8),
    "a shape of 2^80": safetensors((ENTRY % ("F64", f"[{2**80}]", "[0, 8]")).encode(), b"\0" * 8),
    "a shape that overflows": safetensors((ENTRY % ("F64", f"[{2**33}, {2**33}]", "[0, 8]")).encode(), b"\0" * 8),
    "a dtype that is none": safetensors((ENTRY % ("F99", "[1]", "[0, 8]")).encode(), b"\0" * 8),
    "a dtype that NumPy has not": safetensors((ENTRY % ("BF16", "[4]", "[0, 8]")).encode(), b"\0" * 8),
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.",
}


@pytest.mark.parametrize("content", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS.keys())
def test_weights_with_a_wrong_header(content: bytes, watched: Path) -> None:
    forge(watched, "initial.safetensors", content)
    refused(watched, "initial.safetensors")


def test_weights_of_another_network_are_refused_before_anything_is_trained(watched: Path, small_data: Dataset) -> None:
    import numpy as np
    from safetensors.numpy import save

    for weights in ({}, {"linear1.weight": np.zeros((30, 784))}, {"x": np.zeros(40_000)}):
        forge(watched, "initial.safetensors", save(weights))
        with pytest.raises(RecordError, match=r"initial\.safetensors"):
            replay(watched)


# -------------------------------------------------------------------------------------------------- descriptions


def config(folder: Path, layers: str) -> None:
    """Give the record other layers."""
    forge(folder, "config.toml", f'name = "article"\nlayers = [{layers}]\n'.encode())


HUGE = {
    "a layer": '{kind = "Linear", in_features = 100000, out_features = 100000}',
    "an embedding": '{kind = "Embedding", num_embeddings = 100000, embedding_dim = 100000}',
    "many layers in one": '{kind = "LSTM", input_size = 784, hidden_size = 10, num_layers = 100000}',
    "a window": '{kind = "Conv2d", in_channels = 1, out_channels = 1, kernel_size = 100000}',
    "a shape": '{kind = "LayerNorm", normalized_shape = [100000, 100000]}',
    "inside a residual": '{kind = "Residual", layers = [{kind = "Linear", in_features = 99999, out_features = 99999}]}',
}


@pytest.mark.parametrize("layers", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("what", [replay, resume])
def test_a_network_larger_than_its_weights_is_not_built(
    what: Callable[..., Any], layers: str, watched: Path, small_data: Dataset
) -> None:
    config(watched, layers)
    change_manifest(watched, lambda m: m.update(status="running", files=start_of(m)))
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match=r"config\.toml"):
            what(watched)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", [read_all, replay, resume])
def test_nothing_that_a_record_names_is_executed(
    what: Callable[..., Any], watched: Path, tmp_path: Path, small_data: Dataset
) -> None:
    marker = tmp_path / "outside" / "executed"
    evil = watched / "evil.py"
    evil.write_text(f"open({str(marker)!r}, 'w').close()\nclass Layer:\n    forward = backward = None\n")
    config(watched, f'{{kind = "{evil}:Layer", reference = "torch.nn.ReLU"}}')
    change_manifest(watched, lambda m: m.update(status="running", files=start_of(m)))
    if what is read_all:
        read_all(watched)
    else:
        with pytest.raises(RecordError, match="--trust"):
            what(watched)
    assert not marker.exists()


def test_a_reference_that_is_no_layer_is_not_called(watched: Path, tmp_path: Path, small_data: Dataset) -> None:
    marker = tmp_path / "outside" / "executed"
    reference = "torch.utils.cpp_extension.subprocess.Popen"
    config(watched, f'{{kind = "Sigmoid", reference = "{reference}", args = ["touch", "{marker}"]}}')
    with pytest.raises(RecordError, match=r"config\.toml"):
        replay(watched)
    assert not marker.exists()


def test_a_record_does_not_make_anybody_download(
    watched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def load(*arguments: Any) -> Any:
        asked.append(arguments)
        raise RecordError("config.toml: nothing is loaded in this test")

    monkeypatch.setattr("compare.experiment.datasets.load", load)
    text = (watched / "config.toml").read_text().replace("download = false", "download = true")
    forge(watched, "config.toml", text.encode())
    with pytest.raises(RecordError):
        replay(watched)
    assert asked
    assert all(True not in arguments for arguments in asked)


# ------------------------------------------------------------------------------------------------------- mutations


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Return a file's content with a few bytes changed, cut out, doubled, or replaced by what is hard to swallow."""
    pieces = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(pieces) + 1)
        match chance.randrange(5):
            case 0:
                pieces[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del pieces[at : at + chance.randint(1, 200)]
            case 2:
                pieces[at:at] = pieces[at : at + chance.randint(1, 200)]
            case 3:
                pieces[at:at] = chance.choice(SPICE)
            case _:
                end = at + chance.randint(1, 20)
                pieces[at:end] = chance.choice(SPICE)
    return bytes(pieces)


SPICE = (
    b"null", b"true", b"[]", b"{}", b'""', b"-1", b"1e999", b"9999999999999999999", b"NaN", b'"../x"', b"\0", b"\xff",
    b'{"a":', b"[[[[", b'"<script>alert(1)</script>"', b",", b":", b"}", b"]", b"\n", b'"inf"', b"0.1", b"1e-400",
)  # fmt: skip


@pytest.mark.parametrize("name", ["manifest.json", *DOCUMENTS, "steps.jsonl", "config.toml", "initial.safetensors"])
def test_any_damage_is_read_or_refused_and_nothing_else(name: str, copied: Path) -> None:
    chance, read = random.Random(name), 0
    refusals: list[str] = []
    content, manifest = (copied / name).read_bytes(), (copied / "manifest.json").read_bytes()
    for _ in range(150):
        (copied / "manifest.json").write_bytes(manifest)
        forge(copied, name, mutated(chance, content))
        try:
            read_all(copied)
            read += 1
        except RecordError as error:
            refusals.append(str(error))
    assert len(refusals) > 5
    assert read + len(refusals) == 150
    blamed = "manifest" if name == "manifest.json" else name  # where a digest in it was hit, its file is named as well
    assert all(blamed in message for message in refusals)


def test_a_manifest_that_is_edited_by_hand_still_has_to_fit(watched: Path) -> None:
    manifest = manifest_of(watched)
    for key in manifest:
        edited = {other: value for other, value in manifest.items() if other != key}
        (watched / "manifest.json").write_text(json.dumps(edited))
        refused(watched, "manifest.json")
        (watched / "manifest.json").write_text(json.dumps({**manifest, key: {"<script>": [[[1e300]]]}}))
        refused(watched, "manifest.json")


# ------------------------------------------------------------------------------------------------------ checkpoints


def forged_checkpoint(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what a checkpoint says, and its own digest with it."""
    from safetensors import safe_open
    from safetensors.numpy import save

    from compare.records.checkpoint import FILE, fingerprint

    with safe_open(folder / FILE, "np") as file:
        facts = json.loads((file.metadata() or {})["facts"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    change(facts)
    for name, other in facts.pop("renamed", {}).items():
        arrays[other] = arrays.pop(name)
        facts["arrays"] = [other if own == name else own for own in facts["arrays"] if own != other]
    text = json.dumps(facts)
    forge(folder, FILE, save(arrays, {"facts": text, "sha256": fingerprint(text, arrays)}))


STATE = "free/state/linear1.weight.exp_avg"
CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a count of steps without end": lambda f: f["loop"]["schedules"]["free"].__setitem__(0, 10**15),
    "steps that were not taken": lambda f: f.update(taken=10**15),
    "a tally of another step": lambda f: f["tally"].update(steps=10**15),
    "more lines than there are": lambda f: f.update(written=2**40),
    "less than none": lambda f: f.update(written=-1),
    "no generators": lambda f: f["loop"].update(generators={}),
    "a generator of text": lambda f: f["loop"]["generators"].update(manual={"dropout1": "x"}, reference=3),
    "a rate that is none": lambda f: f["loop"]["schedules"]["free"].__setitem__(1, "fast"),
    "no tally": lambda f: f.pop("tally"),
    "a tally of lists": lambda f: f.update(tally=[[]]),
    "a worst tensor that is none": lambda f: f["tally"]["worst"].update({"<script>": 3}),
    "arrays that are not there": lambda f: f["arrays"].append("manual/parameters/evil"),
    "fewer arrays": lambda f: f["arrays"].clear(),
    "the state of another's parameter": lambda f: f.update(renamed={STATE: STATE.replace("linear1", "linear9")}),
    "a state of another shape": lambda f: f.update(renamed={STATE: STATE.replace("linear1", "linear2")}),
    "deep": lambda f: f.update(loop={"cleared": {"a": {"b": []}}}),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> Path:
    """A record with a checkpoint, for copying."""
    return stopped_at(6, tmp_path_factory.mktemp("stopped"), small, "adam", steps=9, checkpoint_every=0.0)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_checkpoint_that_was_made_up(
    change: Callable[[dict[str, Any]], Any], stopped: Path, tmp_path: Path, small_data: Dataset
) -> None:
    folder = Path(shutil.copytree(stopped, tmp_path / stopped.name))
    kept = manifest_of(folder)
    forged_checkpoint(folder, change)
    with pytest.raises(RecordError, match=r"checkpoint\.safetensors|steps\.jsonl"):
        resume(folder)
    assert manifest_of(folder)["status"] == kept["status"] == "interrupted"
