"""A neural network in NumPy whose every gradient is derived by hand.

Read it like a textbook: `DERIVATION.md` tells the story and numbers its equations; the code cites the numbers.

    description   linear, activations, softmax, losses, ...   one class a layer, forward above backward
    network       layers in order, a loss at the end: the forward pass, the backward pass, the trace
    optimizers    what is done with the gradients; clipping before, schedules over the steps, adaptive rules
    initializers  where the weights come from
"""

from manual import initializers
from manual.activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from manual.adaptive import Adadelta, Adagrad, Adam, AdamW, RMSprop
from manual.attention import MultiheadAttention
from manual.batchnorm import BatchNorm1d, BatchNorm2d
from manual.clipping import clip_grad_norm_, clip_grad_value_
from manual.convolution import Conv2d
from manual.dropout import Dropout
from manual.embedding import Embedding
from manual.flatten import Flatten
from manual.groupnorm import GroupNorm
from manual.gru import GRU
from manual.initializers import kaiming_normal, kaiming_uniform, normal, uniform, xavier_normal, xavier_uniform
from manual.layernorm import LayerNorm, RMSNorm
from manual.likelihoods import BCEWithLogitsLoss, KLDivLoss
from manual.linear import Linear
from manual.losses import BCELoss, CrossEntropyLoss, MSELoss, NLLLoss, SquaredError
from manual.lstm import LSTM
from manual.network import Network, describe, fit, name_layers
from manual.optimizers import SGD
from manual.piecewise import HuberLoss, L1Loss, MultiMarginLoss, SmoothL1Loss
from manual.pooling import AvgPool2d, MaxPool2d
from manual.positions import Positions
from manual.residual import Residual
from manual.rnn import RNN
from manual.schedules import CosineAnnealingLR, LinearLR, SequentialLR, StepLR, build_schedule
from manual.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CosineAnnealingLR",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LinearLR",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "Network",
    "Positions",
    "RMSNorm",
    "RMSprop",
    "ReLU",
    "Residual",
    "SequentialLR",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "SquaredError",
    "StepLR",
    "Tanh",
    "build_schedule",
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
