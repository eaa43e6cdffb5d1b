"""FORM.md: the form in which a program elsewhere writes its trace, with the names and shapes of this network."""

from collections.abc import Iterable
from string import Template
from typing import Any

from compare.agreement.operations import own_kind
from compare.exchange.architecture import SCHEMA_VERSION

FORM = Template("""# The form of the exchange: $name, $steps steps

Written by `backproof export`. `backproof verify` of this folder reads what your program writes. Schema $version.

## What is here

- `architecture.json`: layers (those inside a Residual under its `layers`), loss (formula and convention), optimizer
  with all its hyperparameters, dtype, steps, and the list of all named tensors of a step.
- `initial.safetensors`: the initial parameters$and_buffers by name. `batches.safetensors`: for every step its batch,
  `step-000001.input` and `step-000001.target`$and_masks, and so on.
- `tensors/`: the same numbers raw: little-endian, C order (the last index runs fastest), nothing between two tensors.
  `tensors/index.json` has for each its name, dtype, shape, file, offset and length in bytes, and for a batch its step.
  A program that does not read JSON may rely on the layout:
  - `tensors/initial.bin`: the parameters$and_buffers in this order: $initial.
  - `tensors/batches.bin`: for every step $given (integers as int64$masks_as).

## What to do

Start from the initial parameters$and_buffers. At every step take its batch, run forward, loss, backward, update, all in
$dtype. The input is $input. The target is $target.
$drawing
$formula $convention

The update of a parameter p with the gradient g = dC/dp, at the t-th update, line by line:

$update

## What to write

Any subset of the tensors below, at any of the steps 1 to $steps, into the folder `trace/`, in one of these forms or
in several of them (each tensor of a step once):

1. `trace/step-000001.safetensors`, ...: one file a step, the tensors by name.
2. `trace/index.json` and raw binaries beside it. The index is a list of entries
   `{"step": 1, "name": "loss", "dtype": "$dtype", "shape": [], "file": "trace.bin", "offset": 0, "length": $item}`:
   little-endian, C order, `file` relative to `trace/`. dtypes: float64, float32, int64, bool.
3. Losses alone: `trace/losses.csv`, with the header `step,loss` and a line for every step, or `trace/losses.json`, a
   list of numbers, the first of step 1. Write $digits significant digits (`%.${digits}g`): fewer widen what is allowed.

The more is written, the more is proved. An operation whose inputs are all written is held against its own rounding
bound, and a mistake in it is named. Where a step's `....updated` are written, the next step is proved on its own: the
reference takes them over. Losses alone prove little, and `backproof verify` says how little.

## The tensors of a step, in the order in which it makes them

N is the number of examples in the batch. `x.grad` is dC/dx. Parameters without a suffix are those before the update
(they may be left out: they are the `updated` ones of the step before), `updated` those after it; likewise buffers.

| name | stage | dtype | shape |
| --- | --- | --- | --- |
$table
""")


DRAWING = """
Dropout draws nothing: at every step it uses the masks that are given for it, 1 (true) where an element is kept:
y = x mask / (1 - p), and dC/dx = dC/dy mask / (1 - p).
"""


def form(document: dict[str, Any], initial: Iterable[str]) -> str:
    """Return the text of FORM.md for an architecture, and the names in initial.bin in their order."""
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    masks = [name for name in tensors if own_kind(name) == "drawn"]
    buffers = any(own_kind(name) == "buffers" for name in tensors)
    double = document["dtype"] == "float64"
    rows = [
        f"| `{t['name']}` | {t['stage']} | {t['dtype']} | [{', '.join(map(str, t['shape']))}] |"
        for t in tensors.values()
    ]
    return FORM.substitute(
        name=document["name"], steps=document["steps"], version=SCHEMA_VERSION,
        initial=", ".join(f"`{name}` {tensors[name]['shape']}" for name in initial),
        and_buffers=" and buffers" if buffers else "", and_masks=" and its masks" if masks else "",
        given=", then ".join(f"`{name}`" for name in ("input", "target", *masks)),
        masks_as=", masks as bytes 0 and 1" if masks else "", drawing=DRAWING if masks else "",
        dtype=document["dtype"], input=document["input"]["values"], target=document["target"]["values"],
        formula=document["loss"]["formula"], convention=document["loss"]["convention"],
        update="\n".join(f"    {line}" for line in document["optimizer"]["formula"]),
        digits=17 if double else 9, item=8 if double else 4, table="\n".join(rows),
    )  # fmt: skip
