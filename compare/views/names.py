"""What the words of a record that stand for themselves are called in prose: verdicts, stages, witnesses, keys.

A word stays as it is in JSON and in code. Verdicts stay in prose, too: in other languages an explanation stands beside.
"""

from compare.language import Sentence, mark, tell

WORDS = (
    mark("AGREES"), mark("EXPLAINED"), mark("DIVERGES"), mark("INCONCLUSIVE"),  # verdicts
    mark("RUNNING"), mark("KILLED"), mark("INTERRUPTED"), mark("FAILED"), mark("FINISHED"),  # and where there is none
    mark("RIGHT"), mark("WRONG"), mark("UNFINISHED"), mark("REFUSED"),  # of an exercise
    mark("layers"), mark("losses"), mark("optimizers"), mark("networks"),
    mark("running"), mark("killed"), mark("interrupted"), mark("failed"), mark("finished"),
    mark("data"), mark("parameters"), mark("forward"), mark("loss"), mark("backward"), mark("update"),  # stages
    mark("manual"), mark("autograd"), mark("complex step"), mark("central difference"), mark("central error"),
    mark("tensor"), mark("index"), mark("conclusion"),
    mark("relative error"), mark("cosine"), mark("ratio"), mark("elements"), mark("rows"), mark("columns"),
    mark("shape"), mark("rank of difference"), mark("zero where right is zero"), mark("zero where input is negative"),
    mark("command"), mark("start"), mark("end"), mark("exit reason"), mark("plant"),  # where a run took place
    mark("implementation"), mark("system"), mark("machine"), mark("cpu count"), mark("threads"), mark("determinism"),
    mark("device"), mark("variables"), mark("dataset"), mark("train"), mark("test"), mark("order seed"),
    mark("order digest"), mark("pixel scale"), mark("torch blas"), mark("numpy simd"), mark("torch simd"),
)  # fmt: skip
CALLED: dict[str, Sentence] = {word.replace(" ", "_"): word for word in WORDS}


def called(key: str) -> str:
    """Return a word of a record as it is called in the chosen language; one that is not ours with its underscores out.

    >>> called("central_difference")
    'central difference'
    """
    return tell(CALLED[key]) if key in CALLED else key.replace("_", " ")
