"""Records for the tests of reports: run once, small; and one whose every text is hostile."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

import compare
from compare.experiment.files import read_experiment, to_document
from compare.records.reading import read_record

HOSTILE = '</script><img src=x onerror="window.hacked=1"><script>window.hacked=2</script>\'"&'


def run(out: Path, experiment: str = "article", plant: str | None = None, **options: Any) -> Path:
    """Run an experiment and return its record's folder."""
    outcome = compare.run(experiment, out=out, plant=plant, **options)
    assert outcome.record is not None
    return outcome.record


def killed(record: Path) -> Path:
    """Return a copy of a record as a kill in the middle leaves it: half a line, no metrics, no final weights."""
    folder = copied(record, "killed")
    for name in ("metrics.json", "final_manual.safetensors", "final_reference.safetensors"):
        (folder / name).unlink()
    lines = (folder / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "steps.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])
    edit(folder, "manifest", lambda m: m | {"status": "running", "verdict": None, "end": None})
    return sealed(folder, without=("steps.jsonl",))


def hostile(record: Path, where: Path) -> Path:
    """Return a copy of a record in which every text that the schema leaves free would like to be a script."""
    folder = copied(record, "hostile", where)
    document: dict[str, Any] = to_document(read_experiment("article"))
    document |= {"name": HOSTILE, "about": HOSTILE}
    document["loss"] = {"kind": "BCEWithLogitsLoss", "weight": [1.0], HOSTILE: HOSTILE}  # the longest formula
    document["optimizer"] |= {"kind": HOSTILE}
    document["training"] |= {"dtype": HOSTILE}
    (folder / "config.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    edit(folder, "data", lambda d: d | {"classes": [HOSTILE] * 10, "pixel_scale": HOSTILE})
    edit(folder, "environment", lambda e: e | {"cpu": HOSTILE, "packages": e["packages"] | {HOSTILE: HOSTILE}})
    edit(folder, "manifest", lambda m: m | {"command": [HOSTILE], "exit_reason": HOSTILE, "plant": HOSTILE[:300]})
    edit(folder, "metrics", poisoned)
    return sealed(folder)


def poisoned(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics with hostile texts in the divergence, its suspects and its witnesses."""
    finding = metrics["outcome"]["divergence"]
    finding |= dict.fromkeys(("stage", "tensor", "operation", "reason", "last_agreeing"), HOSTILE)
    finding["suspects"] = [{"name": HOSTILE, "about": HOSTILE, "residual": 0.0}]
    finding["ruled_out"] = [HOSTILE]
    finding["measured"] = {HOSTILE: HOSTILE}
    finding["witnesses"] = {HOSTILE: HOSTILE, "conclusion": HOSTILE}
    kink = {
        "step": 1, "layer": "relu1", "example": 0, "unit": HOSTILE, "value": 0.0, "reference": "nan", "bound": 1e-16,
    }  # fmt: skip
    metrics["outcome"] |= {"experiment": HOSTILE, "kinks": [kink]}
    return metrics


def copied(record: Path, name: str, where: Path | None = None) -> Path:
    """Return a copy of a record's folder under another name."""
    folder = (where or record.parent.parent) / name
    shutil.copytree(record, folder)
    return folder


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a JSON file of a record."""
    path = folder / f"{name}.json"
    content = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def sealed(folder: Path, without: tuple[str, ...] = ()) -> Path:
    """Write the digests of a record's files, as they are now, into its manifest; see that it can be read."""
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", *without)
    }
    named = {"files": digests, "config_id": digests["config.toml"][:8]}
    edit(folder, "manifest", lambda manifest: manifest | named)
    read_record(folder)
    return folder
