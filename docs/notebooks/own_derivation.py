# %% [markdown]
# # A derivation of your own, proved
#
# You derive a gradient on paper, write it down in NumPy, and want to know whether it is right. This notebook (a script
# in cells, which Jupyter, VS Code and others open as a notebook) takes one derivation through that: wrong at first,
# then right, then at work in a network.
#
# The function is $a = z\,\sigma(z)$, known as Swish or SiLU.

# %%
import numpy as np
import torch

import compare
from compare import crosscheck

# %% [markdown]
# ## A first derivation
#
# $\sigma' = \sigma (1 - \sigma)$, so $da/dz = z\,\sigma(z)(1 - \sigma(z))$. Or is it?


# %%
class Swish:
    def forward(self, z):
        self.z, self.s = z, 1 / (1 + np.exp(-z))
        return z * self.s

    def backward(self, grad_output):
        return grad_output * self.z * self.s * (1 - self.s)


first = crosscheck(Swish(), torch.nn.functional.silu, input_shape=("batch", "n"), examples=60, raises=False)
first

# %% [markdown]
# `raises=False` hands back the result in the place of an exception. It says which tensor is wrong, where, and by how
# much more than rounding allows; and it shrinks the input to the smallest that still fails. Three witnesses have been
# asked about the element: autograd, the complex step, central differences.

# %%
print(first)

# %%
assert not first
assert first.failing == ["input.grad"], first.failing  # the output agrees: its slope is wrong
witnesses = first.failures[0]["witnesses"]
assert abs(witnesses["complex_step"] - witnesses["autograd"]) < 1e-6

# %% [markdown]
# ## The product rule
#
# $a$ has two factors that depend on $z$. The product rule gives one term for each:
#
# $$\frac{da}{dz} = \sigma(z) + z\,\sigma(z)(1 - \sigma(z))$$


# %%
class RightSwish(Swish):
    def backward(self, grad_output):
        return grad_output * (self.s + self.z * self.s * (1 - self.s))


second = crosscheck(RightSwish(), torch.nn.functional.silu, input_shape=("batch", "n"), examples=60)
second

# %%
assert second
print(second)

# %% [markdown]
# ## At work in a network
#
# The layer takes the place of one of ours in a training run on MNIST, and every tensor of every step is held against
# autograd: with the wrong derivative, then with the right one.

# %%
from dataclasses import replace

from compare.experiment.description import Layer
from compare.experiment.files import read_experiment

article = read_experiment("article")
layers = list(article.layers)
layers[1] = Layer(kind="SiLU", arguments={}, name="swish1")
experiment = replace(article, name="swish", layers=tuple(layers))

wrong = compare.run(experiment, layers={"swish1": Swish()}, steps=3, lr=0.1)
wrong

# %%
wrong.finding

# %%
right = compare.run(experiment, layers={"swish1": RightSwish()}, steps=200, lr=0.1)
right

# %%
assert wrong.finding is not None
assert (wrong.verdict, wrong.finding.operation, wrong.finding.step) == ("DIVERGES", "swish1.backward", 1)
assert right.verdict == "AGREES"

# %% [markdown]
# ## One weight, in numbers
#
# What the derivative does in a network of one hidden layer: a weight of the first layer, factor by factor, on a real
# digit, beside autograd's number.

# %%
explained = compare.explain(experiment, weight="linear1.weight[12,:]")
explained

# %%
product = np.prod([factor.value for factor in explained.factors])
assert np.isclose(product, explained.gradient.autograd, rtol=1e-12)

# %% [markdown]
# And the tensors of a step, by name, are what `trace` returns:

# %%
explained.moment.manual.network.loss(explained.moment.trace["input"], explained.moment.trace["target"])
explained.moment.manual.network.trace()
