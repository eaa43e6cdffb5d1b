"""A neural network in NumPy whose every gradient is derived by hand.

Read it like a textbook: `DERIVATION.md` tells the story and numbers its equations; the code cites the numbers.

    description   linear, activations, losses   one class a layer, forward above backward
    network       layers in order, a loss at the end: the forward pass, the backward pass, the trace
    optimizers    what is done with the gradients; clipping before, schedules over the steps, adaptive rules
    initializers  where the weights come from
"""

from manual import initializers
from manual.activations import LogSoftmax, ReLU, Sigmoid, Tanh
from manual.adaptive import Adadelta, Adagrad, Adam, AdamW, RMSprop
from manual.clipping import clip_grad_norm_, clip_grad_value_
from manual.initializers import kaiming_normal, kaiming_uniform, normal, uniform, xavier_normal, xavier_uniform
from manual.linear import Linear
from manual.losses import BCELoss, CrossEntropyLoss, MSELoss, NLLLoss, SquaredError
from manual.network import Network, describe, fit, name_layers
from manual.optimizers import SGD
from manual.schedules import CosineAnnealingLR, LinearLR, SequentialLR, StepLR

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "BCELoss",
    "CosineAnnealingLR",
    "CrossEntropyLoss",
    "Linear",
    "LinearLR",
    "LogSoftmax",
    "MSELoss",
    "NLLLoss",
    "Network",
    "RMSprop",
    "ReLU",
    "SequentialLR",
    "Sigmoid",
    "SquaredError",
    "StepLR",
    "Tanh",
    "clip_grad_norm_",
    "clip_grad_value_",
    "describe",
    "fit",
    "initializers",
    "kaiming_normal",
    "kaiming_uniform",
    "name_layers",
    "normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]
