"""The sites of what an optimizer does before its updates: gathering gradients, clipping them, setting the rate.

Each is named as the tensor of the trace that it makes:

    linear1.weight.grad.accumulated   "Accumulation"  x: the micro-batch's gradient; state: the sum before
    linear1.weight.grad.clipped       "Clipping"      x: the gradient before; parameters: those of all, by name
    adam.lr                           "Schedule"      x: the base rate
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.diagnosis.site import Arrays, Site
from manual import clip_grad_norm_, clip_grad_value_
from manual.schedules import Schedule


def preparation_sites(
    name: str,
    base_lr: float,
    schedule: Schedule | None,
    options: Mapping[str, Any],
    micro: int,
    gradients: Arrays,
    accumulated: Arrays,
    accumulated_before: Arrays,
    common: Mapping[str, Any],
) -> dict[str, Site]:
    """Return the sites by name, in the order of a step, those that the step has.

    `name` is the optimizer's ("adam"); `options` are its accumulate, max_norm, norm_type and clip_value; `micro` counts
    the calls of `step` before this one. The arrays go by parameter: the gradients of the backward pass, the sums with
    them, as recorded, and the sums before.
    """
    sites: dict[str, Site] = {}
    k, entering = options["accumulate"], gradients
    if k > 1:
        for parameter, gradient in gradients.items():
            before = accumulated_before.get(parameter)
            sites[f"{parameter}.grad.accumulated"] = Site(
                f"{parameter}.grad.accumulated", "Accumulation", gradient,
                {"accumulated": gradient / k if micro % k == 0 or before is None else before + gradient / k},
                state={} if before is None else {"accumulated": before}, options={"accumulate": k, "micro": micro},
                **common,
            )  # fmt: skip
        entering = accumulated
    clips = options["max_norm"] is not None or options["clip_value"] is not None
    if clips and micro % k == k - 1:
        clipped = {parameter: np.array(gradient) for parameter, gradient in entering.items()}
        if options["max_norm"] is not None:
            clip_grad_norm_(clipped, options["max_norm"], options["norm_type"])
        elif options["clip_value"] is not None:
            clip_grad_value_(clipped, options["clip_value"])
        for parameter, gradient in entering.items():
            sites[f"{parameter}.grad.clipped"] = Site(
                f"{parameter}.grad.clipped", "Clipping", gradient, {"clipped": clipped[parameter]},
                parameters=entering, options=options, **common,
            )  # fmt: skip
    if schedule is not None:
        step = micro // k
        sites[f"{name}.lr"] = Site(
            f"{name}.lr", "Schedule", np.asarray(base_lr), {"lr": np.asarray(schedule.lr(step, base_lr))},
            options={"schedule": schedule, "step": step}, **common,
        )  # fmt: skip
    return sites
