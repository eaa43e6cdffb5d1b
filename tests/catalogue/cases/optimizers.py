"""Cases of the optimizers: every option at least once."""

from tests.catalogue.cases.case import Case

SHAPE = ("n", 3)

CASES = [
    Case("SGD", SHAPE, {"lr": 0.3}),
    Case("SGD", SHAPE, {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.05, "maximize": True}),
    Case("SGD", SHAPE, {"lr": 0.3, "momentum": 0.8, "dampening": 0.4}),
    Case("SGD", ("n",), {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    Case("Adagrad", SHAPE),
    Case("Adagrad", SHAPE, {"lr": 0.3, "lr_decay": 0.2, "weight_decay": 0.05, "eps": 0.1}),
    Case("Adagrad", ("n",), {"lr": 0.3, "initial_accumulator_value": 0.5, "maximize": True}),
    Case("RMSprop", SHAPE),
    Case("RMSprop", SHAPE, {"lr": 0.05, "alpha": 0.7, "eps": 0.01, "weight_decay": 0.05}),
    Case("RMSprop", SHAPE, {"centered": True, "eps": 0.001}, about="the variance may cancel"),
    Case("RMSprop", ("n",), {"momentum": 0.8, "maximize": True}),
    Case("RMSprop", SHAPE, {"momentum": 0.8, "centered": True, "alpha": 0.9, "eps": 0.001}),
    Case("Adadelta", SHAPE),
    Case("Adadelta", ("n",), {"lr": 0.7, "rho": 0.6, "eps": 0.001, "weight_decay": 0.05}),
    Case("Adadelta", SHAPE, {"maximize": True}),
    Case("Adam", SHAPE),
    Case("Adam", SHAPE, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.05}),
    Case("Adam", ("n",), {"lr": 0.1, "amsgrad": True, "betas": (0.6, 0.7)}),
    Case("Adam", SHAPE, {"lr": 0.1, "maximize": True}),
    Case("AdamW", SHAPE),
    Case("AdamW", SHAPE, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "weight_decay": 0.3}),
    Case("AdamW", ("n",), {"lr": 0.1, "amsgrad": True, "maximize": True}),
    # What every optimizer does before its update, tried on one rule that is linear in the gradient and one that is not.
    Case("SGD", SHAPE, {"lr": 0.3, "max_norm": 0.5}),
    Case("Adam", SHAPE, {"lr": 0.3, "max_norm": 0.5, "norm_type": 1.0}),
    Case("SGD", SHAPE, {"lr": 0.3, "clip_value": 0.1}),
    Case("Adam", SHAPE, {"lr": 0.1, "accumulate": 3}),
    Case("SGD", SHAPE, {"lr": 0.1, "momentum": 0.9, "accumulate": 2, "max_norm": 0.5}),
    Case("SGD", SHAPE, {"lr": 0.3, "schedule": {"kind": "StepLR", "step_size": 2, "gamma": 0.5}}),
    Case("Adam", SHAPE, {"lr": 0.1, "schedule": {"kind": "CosineAnnealingLR", "T_max": 7, "eta_min": 0.01}}),
    Case("AdamW", SHAPE, {"lr": 0.1, "schedule": {
        "kind": "SequentialLR", "milestones": [3],
        "schedules": [{"kind": "LinearLR", "total_iters": 3}, {"kind": "CosineAnnealingLR", "T_max": 9}],
    }}),
]  # fmt: skip
