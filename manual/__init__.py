"""A neural network in NumPy whose every gradient is derived by hand.

Read it like a textbook: `DERIVATION.md` tells the story and numbers its equations; the code cites the numbers.

    description   linear, activations, softmax, losses, ...   one class a layer, forward above backward
    network       layers in order, a loss at the end: the forward pass, the backward pass, the trace
    optimizers    what is done with the gradients
    initializers  where the weights come from
"""

from manual import initializers
from manual.activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from manual.attention import MultiheadAttention
from manual.batchnorm import BatchNorm1d, BatchNorm2d
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
from manual.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
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
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "Network",
    "Positions",
    "RMSNorm",
    "ReLU",
    "Residual",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "SquaredError",
    "Tanh",
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
