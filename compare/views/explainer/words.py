"""Everything that the page says, in the reader's language. In braces stand the values that its script will put in."""

from typing import Any

from compare.language import say

SLOTS = {  # what the script puts into a sentence: a slot comes out of `say` as it went in
    name: f"{{{name}}}"
    for name in (
        "against", "apart", "best", "column", "cost", "count", "digits", "following", "from", "gradient", "ink",
        "input", "label", "layer", "next", "pixel", "row", "sample", "steepest", "step", "tensor", "to", "unit",
        "value", "weight",
    )
}  # fmt: skip


def page_words(**values: Any) -> dict[str, str]:
    """Return the texts that stand in the page from the beginning; `values` are its numbers of layers and weights."""
    return opening_words(**values) | chain_words() | workshop_words()


def opening_words(**values: Any) -> dict[str, str]:
    """Return what stands at the head of the page and around the picture."""
    return {
        "title": say("Backpropagation, step by step"),
        "about": say("{name}: {layers} units, {weights:,} weights and biases", **values),
        "lead": say(
            "An image goes in, ten numbers come out, a cost says how wrong they are, and the chain rule carries that "
            "wrongness back to every weight. Here you can look at each number on the way."
        ),
        "computed": say(
            "All of it is computed in this page, as you look, by the formulas that stand beside it, and held against "
            "what PyTorch's autograd found for the same image and the same weights."
        ),
        "skip": say("Skip to the formulas"),
        "noscript": say("This page computes as you look at it, and needs JavaScript for that. It asks for no network."),
        "mode": say("The picture shows"),
        "forward": say("forward: activations and weights"),
        "backward": say("backward: deltas and gradients"),
        "key": say("Full and solid: above zero. Hollow and dashed: below zero. Strength and size: how much."),
        "howto": say(
            "Click a pixel, a unit or a line to choose a connection. By keyboard: Tab to the digit or a row of units, "
            "then the arrow keys."
        ),
    }


def chain_words() -> dict[str, str]:
    """Return what stands around the equations of the chosen weight."""
    return {
        "weightTitle": say("One weight"),
        "tensor": say("tensor"),
        "unit": say("unit"),
        "input": say("input"),
        "steepest": say("The steepest of this layer"),
        "pointing": say(
            "Point at a symbol, tap it, or walk through an equation with Tab and the arrow keys: it tells its number, "
            "and a ring shows where it sits in the picture."
        ),
        "forwardTitle": say("Forward"),
        "forwardAbout": say(
            "The unit weighs its inputs, adds its bias, and gives on what its activation function makes of the sum. At "
            "the end stands the cost."
        ),
        "forwardAboutShort": say("The unit weighs its inputs and adds its bias. At the end stands the cost."),
        "backwardTitle": say("Backward: the chain"),
        "backwardAbout": say(
            "The weight moves the sum of its unit, that moves the unit's activation, and that moves the cost. A chain "
            "of three, so a product of three derivatives."
        ),
        "backwardAboutShort": say("The weight moves the sum of its unit, and that moves the cost: a product of two."),
        "aboveAbout": say(
            "Nobody says what a hidden unit should have been. It acts through every unit of the next layer, so the "
            "chain rule adds up what all of them send back: each its own delta times the weight that leads to it."
        ),
        "aboveCaption": say("What comes back, the largest part first:"),
        "aboveUnit": say("from"),
        "aboveDelta": say("its delta"),
        "aboveWeight": say("the weight"),
        "aboveProduct": say("product"),
        "gradientAbout": say("The first factors are the same for all weights of the unit: their product is its delta."),
        "witnessTitle": say("Who says so"),
        "witnessAbout": say(
            "The same derivative, found in several ways. The central difference knows no calculus: it nudges the "
            "weight up and down and looks at the cost. It loses digits where two nearly equal costs are subtracted."
        ),
        "witnessCaption": say("The cost's derivative by the chosen weight"),
        "witness": say("found by"),
        "witnessValue": say("value"),
        "witnessDigits": say("agreement"),
        "updateTitle": say("The update"),
        "updateAbout": say("Against the gradient, by the learning rate, if this image were the whole batch."),
    }


def workshop_words() -> dict[str, str]:
    """Return what stands around the drawing area and the mistakes, and at the foot of the page."""
    return {
        "drawTitle": say("A digit of your own"),
        "drawAbout": say(
            "Draw with a finger or the mouse. By keyboard: arrow keys move the brush, Space draws, Backspace erases, "
            "and with Shift held down the arrows draw as they go. Everything on this page follows."
        ),
        "drawing": say("Drawing area, 28 by 28 pixels"),
        "target": say("What it is meant to be"),
        "empty": say("Clear"),
        "startRecorded": say("Draw on the recorded digit"),
        "showRecorded": say("Back to the recorded digit"),
        "mistakeTitle": say("Plant a mistake"),
        "mistakeAbout": say(
            "Each of these has been made by many. Choose one, and see in the table where the numbers part from "
            "autograd's. The first tensor that is wrong is the finding; those after it follow from it."
        ),
        "mistakeOne": say(
            "With one image N is 1: a forgotten 1/N, or a sum over the batch along the wrong axis, changes nothing "
            "here. A run on whole batches shows those:"
        ),
        "mistakeName": say("MISTAKE"),
        "mistake": say("Mistake"),
        "none": say("none: all formulas are right"),
        "tensorsCaption": say("All tensors of the step in their order, and their relative distances."),
        "tensorVerdict": say("verdict"),
        "tensorApart": say("distance"),
        "footer": say("This file needs no network and asks for nothing outside itself."),
        "madeBy": say("Made by:"),
    }


def script_words() -> dict[str, Any]:
    """Return the texts that the page's script fills in: sentences, the names of symbols, the mistakes."""
    return {
        **picture_words(),
        **number_words(),
        **comparison_words(),
        "symbols": symbol_words(),
        "mistakes": mistake_words(),
    }


def picture_words() -> dict[str, str]:
    """Return what the picture is made of, and what is said of what is chosen in it."""
    return {
        "picture": say("The network: digit, units and outputs"),
        "pixels": say("784 pixels", **SLOTS),
        "hidden": say("{count} units", **SLOTS),
        "outputs": say("{count} outputs", **SLOTS),
        "cost": say("cost C = {cost}", **SLOTS),
        "mapWeights": say("weights into unit {unit}", **SLOTS),
        "mapGradients": say("gradients of unit {unit}", **SLOTS),
        "choosePixel": say("Pixel of the digit"),
        "chooseUnit": say("Unit of {layer}", **SLOTS),
        "chooseOutput": say("Output, unit of {layer}", **SLOTS),
        "pixel": say("pixel {pixel} (row {row}, column {column})", **SLOTS),
        "unit": say("unit {unit} of {layer}", **SLOTS),
        "output": say("output {unit}", **SLOTS),
        "chosenWeight": say("{weight} = {value} leads from {from} to {to}.", **SLOTS),
        "chosenBias": say("{weight} = {value} is the bias of {to}: a weight whose input is always 1.", **SLOTS),
        "saidChoice": say("{weight} is {value}, its gradient {gradient}.", **SLOTS),
        "saidStep": say("Weights before step {step}. The cost is {cost}.", **SLOTS),
        "saidCost": say("The cost is {cost}.", **SLOTS),
        "saidClear": say("The drawing area is empty."),
        "weightsBefore": say("Weights before step {step}", **SLOTS),
        "sourceRecorded": say("Training image {sample}, a {label}", **SLOTS),
        "sourceOwn": say("Your own digit, meant to be a {label}", **SLOTS),
    }


def number_words() -> dict[str, str]:
    """Return what stands beside the numbers: what they are sums of, who found them, how far they agree."""
    return {
        "sumOver": say("the sum over the {count} inputs that are not 0, and the bias", **SLOTS),
        "sumAlone": say("the sum over the {count} inputs that are not 0", **SLOTS),
        "sumBelow": say("the sum of the {count} products below", **SLOTS),
        "exact": say("autograd: {value}, the same to the last bit", **SLOTS),
        "agreeOn": say("autograd: {value}, the same on {digits} digits", **SLOTS),
        "apart": say("autograd: {value}, which is another number", **SLOTS),
        "others": say("the {count} others", **SLOTS),
        "sum": say("sum"),
        "toTheBit": say("to the bit"),
        "digits": say("{digits} digits", **SLOTS),
        "byFormula": say("this page's formula"),
        "byAutograd": say("autograd (PyTorch)"),
        "bySecond": say("central difference"),
        "byFourth": say("the same, four points"),
        "byMistake": say("with the planted mistake"),
        "pen": say("Row {row}, column {column}: {ink} of 255.", **SLOTS),
        "reading": say("Output {best} is the largest: {value}. Cost {cost}; steepest gradient {steepest}.", **SLOTS),
    }


def comparison_words() -> dict[str, str]:
    """Return what the table of tensors says, with a mistake planted or without."""
    return {
        "agrees": say("agrees"),
        "parts": say("parts here"),
        "follows": say("follows from it"),
        "autograd": say("autograd"),
        "rightFormulas": say("the right formulas"),
        "comparedWith": say("Held against: {against}.", **SLOTS),
        "allAgree": say("All {count} tensors agree; the largest relative distance is {apart}, at {tensor}.", **SLOTS),
        "partsAt": say(
            "{tensor} is the first to part: its relative distance is {apart}. {following} tensors follow from it.",
            **SLOTS,
        ),
        "noMistake": say("No mistake is planted."),
    }


def symbol_words() -> dict[str, str]:
    """Return the name of every symbol."""
    return {
        "w": say("the weight from {input} to {unit}", **SLOTS),
        "x": say("what {input} gives", **SLOTS),
        "b": say("the bias of {unit}", **SLOTS),
        "z": say("the weighted sum of {unit}", **SLOTS),
        "a": say("the activation of {unit}", **SLOTS),
        "t": say("the target of {unit}", **SLOTS),
        "p": say("the probability that {unit} is given", **SLOTS),
        "C": say("the cost of this image"),
        "dw": say("how the cost changes with the weight from {input} to {unit}", **SLOTS),
        "da": say("how the cost changes with the activation of {unit}", **SLOTS),
        "slope": say("the slope of the activation function at {unit}", **SLOTS),
        "delta": say("the delta of {unit}: how the cost changes with its sum", **SLOTS),
        "db": say("how the cost changes with the bias of {unit}", **SLOTS),
        "dnext": say("the delta of {next}, which sends back most", **SLOTS),
        "wnext": say("the weight from {unit} to {next}", **SLOTS),
        "outputs": say("the ten outputs"),
        "targets": say("the ten targets"),
        "shares": say("the ten probabilities"),
        "new": say("the weight after the update"),
    }


def mistake_words() -> dict[str, str]:
    """Return what is done wrong in each of the mistakes that the page can plant, and what is right."""
    return {
        "bias-forgotten": say("The bias is not added to the weighted sum. The forward pass is wrong already."),
        "sigmoid-exponent-sign": say("The sigmoid is 1 / (1 + e^z). The exponent should be -z."),
        "relu-absolute-value": say("The unit gives |z|. It should give 0 where z is negative."),
        "loss-doubled": say(
            "The half of the cost is lost in its value alone. Its derivative is right, so all else is."
        ),
        "delta-doubled": say(
            "The 2 of the square's derivative is kept. The half of the cost should have cancelled it."
        ),
        "delta-sign-flipped": say("Target minus prediction. It should be prediction minus target."),
        "delta-divided-by-outputs": say("Divided by the ten outputs too, as torch.nn.MSELoss does."),
        "delta-sign-only": say("The derivative of |a - t|. It should be that of the square: a - t itself."),
        "softmax-derivative-as-sigmoid": say("The softmax is differentiated once more as if it were a sigmoid."),
        "delta-target-forgotten": say("The first delta is p. It should be p - t."),
        "cross-entropy-denominator-forgotten": say(
            "a - t, as if the sigmoid had been cancelled already, and then again."
        ),
        "activation-derivative-missing": say("The error passes the activation unchanged: its slope is left out."),
        "sigmoid-derivative-without-rest": say("The slope is a. It should be a (1 - a)."),
        "derivative-taken-of-activation": say("The slope is taken at a. It should be taken at z."),
        "derivative-formula-with-pre-activation": say(
            "The formula a (1 - a), or 1 - a^2, is given z in the place of a."
        ),
        "tanh-derivative-without-square": say("The slope is 1 - a. It should be 1 - a^2."),
        "relu-mask-inverted": say("The error passes where the unit was off. It should pass where it was on."),
        "relu-gradient-times-activation": say("The error is multiplied by a. It should pass unchanged where z > 0."),
        "weight-reshaped-backward": say("The weights are read in the wrong order on the way back: transposed amiss."),
        "weight-forgotten": say("Every unit gets the plain sum of the deltas above. Each should be weighted first."),
        "updated-weight-used": say(
            "The error goes back through weights that are updated already. All gradients come first."
        ),
        "weight-gradient-reshaped": say("The table of gradients is reshaped into the weight's shape, not transposed."),
        "pre-activation-in-weight-gradient": say(
            "The delta is multiplied by z of the unit below. It should be by its a."
        ),
        "weight-gradient-sign-flipped": say("The weight's gradient has the wrong sign: training would climb the cost."),
        "bias-gradient-zero": say("The bias's gradient is forgotten. It should be the delta."),
    }
