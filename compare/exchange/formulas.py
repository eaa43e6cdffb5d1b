"""The loss, the optimizer and what comes before its rule as formulas in words and plain signs, with their numbers."""

import inspect
from collections.abc import Mapping
from typing import Any

import manual
from compare.agreement.operations import PREPARATION
from compare.experiment.description import Experiment

OVER = "the sum over examples n and outputs k of"
LOSSES = {
    "SquaredError": "{factor} times {over} (prediction[n,k] - target[n,k])^2",
    "MSELoss": "{over} (prediction[n,k] - target[n,k])^2",
    "CrossEntropyLoss": "minus the sum over examples n of log(softmax of the outputs of n, at the label of n)",
    "NLLLoss": "minus the sum over examples n of prediction[n, label of n]; predictions are logarithms",
    "BCELoss": "minus {over} target log(prediction) + (1 - target) log(1 - prediction), logarithms cut off at -100",
    "BCEWithLogitsLoss": "minus {over} target log(s) + (1 - target) log(1 - s), with s = 1 / (1 + exp(-prediction))",
    "L1Loss": "{over} |prediction[n,k] - target[n,k]|",
    "HuberLoss": "{over} d^2 / 2 where |d| <= {delta}, {delta} (|d| - {delta}/2) beyond; d = prediction - target",
    "SmoothL1Loss": "{over} d^2 / (2 {beta}) where |d| < {beta}, |d| - {beta}/2 beyond; d = prediction - target",
    "KLDivLoss": "{over} target (log(target) - prediction), 0 where the target is 0; predictions are logarithms",
    "MultiMarginLoss": "the sum over examples n of 1/K times the sum over k other than the label t of max(0, "
    "{margin} - prediction[n,t] + prediction[n,k])^{p}",
}
PER_EXAMPLE = ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")  # "mean" divides these by N, not by N*K

DECAYED = "g <- g + weight_decay p"
RULES = {
    "SGD": ["v <- momentum v + (1 - dampening) g, the first time v = g", "p <- p - lr v"],
    "Adagrad": [
        "s <- s + g^2, from s = initial_accumulator_value", "p <- p - lr / (1 + (t-1) lr_decay) g / (sqrt(s) + eps)",
    ],
    "RMSprop": ["s <- alpha s + (1 - alpha) g^2", "p <- p - lr g / (sqrt(s) + eps)"],
    "Adadelta": [
        "s <- rho s + (1 - rho) g^2", "d = sqrt(a + eps) / sqrt(s + eps) g", "a <- rho a + (1 - rho) d^2",
        "p <- p - lr d",
    ],
    "Adam": [
        "m <- beta1 m + (1 - beta1) g", "v <- beta2 v + (1 - beta2) g^2",
        "p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)",
    ],
}  # fmt: skip
KEPT = {  # what a rule keeps: its letter here, and torch's name for it, in the names of the tensors
    "SGD": "v is momentum_buffer",
    "Adagrad": "s is sum, t is step",
    "RMSprop": "s is square_avg, b is grad_avg, v is momentum_buffer, t is step",
    "Adadelta": "s is square_avg, a is acc_delta, t is step",
    "Adam": "m is exp_avg, v is exp_avg_sq, w is max_exp_avg_sq, t is step",
}


def loss_formula(experiment: Experiment) -> str:
    """Return the loss's formula in words, with what it is divided by."""
    kind, given = experiment.loss.kind, dict(experiment.loss.arguments)
    made = inspect.signature(getattr(manual, kind)).parameters
    arguments = {name: given.get(name, parameter.default) for name, parameter in made.items()}
    formula = LOSSES[kind].format(over=OVER, **arguments)
    if arguments.get("log_target"):
        formula = f"{OVER} exp(target) (target - prediction); both are logarithms"
    if smoothing := arguments.get("label_smoothing"):
        formula = (
            f"minus {OVER} q[n,k] log(softmax of the outputs of n, at k), with q = {1 - smoothing:g} at the label of "
            f"n, 0 elsewhere, plus {smoothing:g}/K everywhere"
        )
    for key, words in (("weight", "every term times its weight"), ("pos_weight", "target times its pos_weight")):
        if arguments.get(key) is not None:
            formula += f" ({words}: {list(arguments[key])})"
    return f"C = {formula}, {divided(kind, arguments)}."


def divided(kind: str, arguments: Mapping[str, Any]) -> str:
    """Return what the sum is divided by."""
    reduction = arguments["reduction"]
    if reduction == "none":
        return "not even summed"
    if reduction == "sum":
        return "not divided"
    if reduction == "mean" and kind in PER_EXAMPLE[:2] and arguments.get("weight") is not None:
        return "divided by the sum of the weights of the batch's labels"
    if reduction == "mean" and kind not in PER_EXAMPLE:
        return "divided by N*K, the number of elements of the prediction"
    return "divided by N, the number of examples of the batch"


def every_option(experiment: Experiment, parameters: list[str]) -> dict[str, Any]:
    """Return all options of the optimizer, defaults too; the weight decay parameter by parameter."""
    optimizer = experiment.optimizer
    return {**optimizer.defaults(), **optimizer.options(parameters)}


def update_formula(experiment: Experiment) -> list[str]:
    """Return what the optimizer does at a step, line by line: g is dC/dp, p the parameter, t counts updates from 1."""
    kind, options = experiment.optimizer.kind, every_option(experiment, [])
    options["weight_decay"] = experiment.optimizer.weight_decay
    lines = before_the_rule(options)
    if options["maximize"]:
        lines.append("g <- -g")
    if kind == "AdamW":
        lines.append("p <- p - lr weight_decay p")
    elif options["weight_decay"]:
        lines.append(DECAYED)
    lines += rule("Adam" if kind == "AdamW" else kind, options)
    numbers = [f"{key} = {value}" for key, value in options.items() if key not in (*PREPARATION, "maximize")]
    if experiment.optimizer.decays == "weights":
        numbers.append("weight_decay is for the weights alone, 0 for biases and the like")
    return [*lines, f"with {', '.join(numbers)}"]


def rule(kind: str, options: Mapping[str, Any]) -> list[str]:
    """Return the lines of an optimizer's rule, as its options make it."""
    lines = list(RULES[kind])
    match kind:
        case "SGD" if not options["momentum"]:
            return ["p <- p - lr g"]
        case "SGD" if options["nesterov"]:
            lines[-1] = "p <- p - lr (g + momentum v)"
        case "RMSprop":
            if options["centered"]:
                lines[1:] = ["b <- alpha b + (1 - alpha) g", "p <- p - lr g / (sqrt(s - b^2) + eps)"]
            if options["momentum"]:
                direction = lines[-1].removeprefix("p <- p - lr ")
                lines[-1:] = [f"v <- momentum v + {direction}", "p <- p - lr v"]
        case "Adam":
            if options["amsgrad"]:
                lines[-1:] = ["w <- max(w, v)", lines[-1].replace("sqrt(v ", "sqrt(w ")]
            lines.append("beta1, beta2 are betas")
    return [*lines, f"({KEPT[kind]}; 0 at first)" if kind != "SGD" else f"({KEPT[kind]})"]


def before_the_rule(options: Mapping[str, Any]) -> list[str]:
    """Return the lines of gathering, clipping, and setting the learning rate."""
    lines, k = [], options["accumulate"]
    if k > 1:
        lines += [
            f"G <- G + g / {k} at every step, from 0 anew after every {k}th (x.grad.accumulated)",
            f"what follows only at every {k}th step, with g = G",
        ]
    if options["max_norm"] is not None:
        power = f"{options['norm_type']:g}"
        lines += [
            f"norm = (sum over all elements of all gradients of |g|^{power})^(1/{power}); inf: the largest |g|",
            f"g <- g min(1, {options['max_norm']:g} / (norm + 1e-6)) (x.grad.clipped)",
        ]
    if options["clip_value"] is not None:
        lines.append(f"g <- max(-{options['clip_value']:g}, min(g, {options['clip_value']:g})) (x.grad.clipped)")
    if options["schedule"] is not None:
        lines.append(
            f"lr <- with s = 0, 1, 2, ... counting the updates before this one: {scheduled(options['schedule'])}"
        )
    return lines


def scheduled(description: Mapping[str, Any]) -> str:
    """Return a schedule in words: `lr` on the right is the base rate."""
    made = manual.build_schedule(description)
    match made:
        case manual.StepLR():
            return f"lr {made.gamma:g}^floor(s / {made.step_size})"
        case manual.LinearLR():
            rise = f"({made.end_factor:g} - {made.start_factor:g})"
            return f"lr ({made.start_factor:.17g} + {rise} min(s, {made.total_iters}) / {made.total_iters})"
        case manual.CosineAnnealingLR():
            low = f"{made.eta_min:g}"
            return f"{low} + (lr - {low}) (1 + cos(pi s / {made.T_max})) / 2"
    parts = [scheduled(inner) for inner in description["schedules"]]
    turns = [f"from s = {start} on, with s counted from there: " for start in description["milestones"]]
    return "; ".join(turn + part for turn, part in zip(["", *turns], parts, strict=True))
