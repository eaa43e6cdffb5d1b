"""One derivation of the user's own."""

from typing import Annotated, Literal

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, Whole, app, dump


@app.command
def check(
    candidate: str,
    *,
    against: str,
    shape: list[str] | None = None,
    examples: Whole = 200,
    seed: Whole = 0,
    dtype: Literal["float64", "float32"] | None = None,
    arguments: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    indices: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    target: str | None = None,
    between: str | None = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Hold one derivation of your own against autograd, on drawn inputs.

    Exit status: 0 agrees, 1 diverges, 2 usage, 3 nothing can be said.

    Parameters
    ----------
    candidate
        FILE.py:NAME, a class or an object with forward and backward, a loss, an optimizer, a torch.autograd.Function.
    against
        What torch calls it, torch.nn.SiLU or torch.nn.functional.silu, or FILE.py:NAME of a torch expression.
    shape
        The input's sizes, a name for any: batch,n (the default). Again for each further input; NAME=batch,n names one.
    examples
        How many inputs are drawn.
    seed
        The seed that all of them come from.
    dtype
        Only this dtype; both without it.
    arguments
        Of the constructor or the function, of both sides: negative_slope=0.2.
    indices
        Inputs of integers from 0 to this number less one; NAME=10 for one input of several.
    target
        What a loss is given: labels, like, probabilities, signs, or a shape.
    between
        The interval that inputs are drawn from: 0,1.
    quiet
        Print the verdict alone.
    """
    from compare.crosscheck.loading import load, read_indices, read_pairs, read_shapes

    found = load(candidate, "the candidate")
    reference = load(against, "--against") if ":" in against else against
    shapes, options = read_shapes(shape or ["batch,n"]), read_pairs(arguments or [], "--arguments")
    from compare.crosscheck.check import crosscheck

    result = crosscheck(
        found, reference, shapes, arguments=options, indices=read_indices(indices or []), target=target,
        between=between.split(",") if between else None, dtypes=dtype or ("float64", "float32"), examples=examples,
        seed=seed, raises=False,
    )  # fmt: skip
    if json:
        print(dump(result.to_json()))
    else:
        print(result.verdict.value if quiet else result)
    return result.exit_status
