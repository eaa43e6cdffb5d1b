"""Who trains: manual, and what one would use instead, each from the same initial weights on the same rows.

contestant   what a contestant is
by_hand      manual's step; a Python loop over the examples
by_torch     PyTorch, eager with each of SGD's updates, and compiled
by_sklearn   MLPClassifier.partial_fit
by_jax       JAX, jitted
engines      HIPS autograd, tinygrad, micrograd
field        who takes part in which case
same         that a contestant computes the step that manual computes
"""
