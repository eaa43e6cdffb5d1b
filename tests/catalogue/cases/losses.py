"""Losses: every option of every constructor, every shape that torch takes, every reduction.

Cases that leave the reduction out are also tried with all of them.
"""

from tests.catalogue.cases.case import Case

WEIGHT = {"weight": [0.5, 2.0, 1.25]}  # of three classes
ROWS = ("batch", 3)
LOG = (-6.0, -0.01)  # log-probabilities
UNIT = (0.01, 0.99)  # probabilities

CASES: list[Case] = [
    # The squared error in every convention
    Case("SquaredError", target="like"),
    Case("SquaredError", ("batch", "n", 2), {"reduction": "mean", "factor": 1.7}, target="like"),
    Case("SquaredError", arguments={"reduction": "sum", "factor": 1.0}, target="like"),
    Case("SquaredError", arguments={"reduction": "none"}, target="like"),
    Case("SquaredError", ROWS, target="labels"),
    Case("MSELoss", target="like"),
    Case("MSELoss", ("n",), target="like"),
    Case("MSELoss", ROWS, {"reduction": "batchmean"}, target="labels"),
    Case("MSELoss", ("batch", 2, "m"), {"reduction": "none"}, target="like"),
    # Distances with corners
    Case("L1Loss", target="like"),
    Case("L1Loss", ("batch", 2, 3), {"reduction": "batchmean"}, target="like"),
    Case("L1Loss", arguments={"reduction": "none"}, target="like"),
    Case("SmoothL1Loss", target="like"),
    Case("SmoothL1Loss", arguments={"beta": 0.3}, target="like"),
    Case("SmoothL1Loss", arguments={"beta": 0.0}, target="like", about="the distance itself"),
    Case("SmoothL1Loss", ("batch", 2, 3), {"reduction": "sum", "beta": 2.5}, target="like"),
    Case("HuberLoss", target="like"),
    Case("HuberLoss", arguments={"delta": 0.3}, target="like"),
    Case("HuberLoss", ("batch", 2, 3), {"reduction": "batchmean", "delta": 2.5}, target="like"),
    Case("HuberLoss", ROWS, {"reduction": "none", "delta": 0.7}, target="labels"),
    # Yes-or-no questions
    Case("BCELoss", between=UNIT, target="like"),
    Case("BCELoss", ROWS, WEIGHT, between=UNIT, target="like"),
    Case("BCELoss", ROWS, {"reduction": "batchmean"}, between=UNIT, target="labels"),
    Case("BCELoss", ("batch", 2, 3), {**WEIGHT, "reduction": "none"}, between=UNIT, target="like"),
    Case("BCEWithLogitsLoss", target="probabilities"),
    Case("BCEWithLogitsLoss", ROWS, WEIGHT, target="probabilities"),
    Case("BCEWithLogitsLoss", ROWS, {"pos_weight": [0.25, 3.0, 1.5]}, target="probabilities"),
    Case("BCEWithLogitsLoss", ROWS, {**WEIGHT, "pos_weight": [0.25, 3.0, 1.5], "reduction": "sum"}, target="labels"),
    Case("BCEWithLogitsLoss", ("batch", 2, 3), {"reduction": "none"}, target="probabilities"),
    # One label of several
    Case("NLLLoss", between=LOG, target="labels"),
    Case("NLLLoss", ROWS, WEIGHT, between=LOG, target="labels"),
    Case("NLLLoss", ROWS, {**WEIGHT, "ignore_index": 1}, between=LOG, target="labels"),
    Case("NLLLoss", (*ROWS, 2), {**WEIGHT, "reduction": "sum"}, between=LOG, target="labels"),
    Case("NLLLoss", (*ROWS, 2, 4), {"reduction": "batchmean"}, between=LOG, target="labels"),
    Case("NLLLoss", (3,), between=LOG, target="labels", about="a single example"),
    Case("NLLLoss", ROWS, {"reduction": "none"}, between=LOG, target="labels"),
    Case("CrossEntropyLoss", target="labels"),
    Case("CrossEntropyLoss", target="probabilities"),
    Case("CrossEntropyLoss", ROWS, WEIGHT, target="labels"),
    Case("CrossEntropyLoss", ROWS, WEIGHT, target="probabilities"),
    Case("CrossEntropyLoss", ROWS, {"ignore_index": 2}, target="labels"),
    Case("CrossEntropyLoss", arguments={"label_smoothing": 0.2}, target="labels"),
    Case("CrossEntropyLoss", ROWS, {**WEIGHT, "ignore_index": 1, "label_smoothing": 0.2}, target="labels"),
    Case("CrossEntropyLoss", ROWS, {**WEIGHT, "label_smoothing": 0.2}, target="probabilities"),
    Case("CrossEntropyLoss", (*ROWS, 2), {**WEIGHT, "label_smoothing": 0.2}, target="labels"),
    Case("CrossEntropyLoss", (*ROWS, 2, 4), {"label_smoothing": 0.2}, target="probabilities"),
    Case("CrossEntropyLoss", (3,), {**WEIGHT, "label_smoothing": 0.2}, target="labels", about="a single example"),
    Case("CrossEntropyLoss", (3,), target="probabilities", about="a single example"),
    Case("CrossEntropyLoss", ROWS, {"reduction": "sum"}, target="labels"),
    Case("CrossEntropyLoss", (*ROWS, 2), {**WEIGHT, "reduction": "batchmean"}, target="labels"),
    Case("CrossEntropyLoss", (*ROWS, 2), {**WEIGHT, "reduction": "none"}, target="labels"),
    # One distribution against another
    Case("KLDivLoss", between=LOG, target="probabilities"),
    Case("KLDivLoss", arguments={"log_target": True}, between=LOG, target="like"),
    Case("KLDivLoss", ("batch", 3, 2), {"reduction": "batchmean"}, between=LOG, target="probabilities"),
    Case("KLDivLoss", arguments={"reduction": "none", "log_target": True}, between=LOG, target="like"),
    Case("KLDivLoss", ROWS, {"reduction": "sum"}, between=LOG, target="labels", about="targets of exactly 0"),
    # Margins
    Case("MultiMarginLoss", target="labels"),
    Case("MultiMarginLoss", arguments={"p": 2}, target="labels"),
    Case("MultiMarginLoss", arguments={"margin": 0.25}, target="labels"),
    Case("MultiMarginLoss", ROWS, {**WEIGHT, "p": 2, "margin": 1.5}, target="labels"),
    Case("MultiMarginLoss", (3,), WEIGHT, target="labels", about="a single example"),
    Case("MultiMarginLoss", ROWS, {"reduction": "batchmean"}, target="labels"),
    Case("MultiMarginLoss", ROWS, {"reduction": "none"}, target="labels"),
]
