"""The words of an answer: names, functions of NumPy, attributes of arrays. What is not here is not allowed."""

BUILTINS = frozenset([  # of Python's own names
    "range", "slice", "len", "enumerate", "zip", "sum", "abs", "min", "max", "reversed", "sorted", "float", "int",
    "bool", "tuple", "list", "dict", "set", "any", "all", "round", "NotImplementedError", "ValueError",
])  # fmt: skip
NUMPY = frozenset([  # np.something: functions of real numbers; nothing that reads, writes or calls
    "zeros", "zeros_like", "ones", "ones_like", "empty", "empty_like", "full", "full_like", "array", "asarray",
    "arange", "eye", "identity", "linspace", "where", "exp", "expm1", "log", "log1p", "log2", "log10", "exp2",
    "sqrt", "square", "cbrt", "abs", "absolute", "fabs", "sign", "tanh", "sinh", "cosh", "sin", "cos", "tan",
    "arctan", "maximum", "minimum", "fmax", "fmin", "clip", "sum", "mean", "prod", "var", "std", "max", "min",
    "amax", "amin", "ptp", "cumsum", "cumprod", "dot", "vdot", "matmul", "outer", "inner", "einsum", "tensordot",
    "kron", "multiply", "add", "subtract", "divide", "true_divide", "negative", "positive", "reciprocal", "power",
    "hypot", "logaddexp", "concatenate", "stack", "vstack", "hstack", "split", "array_split", "reshape",
    "transpose", "swapaxes", "moveaxis", "expand_dims", "squeeze", "ravel", "repeat", "tile", "broadcast_to",
    "flip", "roll", "pad", "take", "take_along_axis", "put_along_axis", "unique", "bincount", "argmax", "argmin",
    "argsort", "sort", "flatnonzero", "nonzero", "count_nonzero", "isnan", "isinf", "isfinite", "isneginf",
    "isposinf", "logical_and", "logical_or", "logical_not", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal", "errstate", "newaxis", "pi", "e", "inf", "nan", "ndindex", "diag", "diagonal", "trace", "triu",
    "tril", "any", "all", "heaviside", "real", "atleast_1d", "atleast_2d", "copy", "copyto", "nan_to_num",
    "float32", "float64", "shape", "ndim", "size", "floor", "ceil", "floor_divide", "mod", "diff", "average",
])  # fmt: skip
ARRAYS = frozenset([  # of arrays, and of dicts and lists of them; no view, no buffer
    "shape", "ndim", "size", "dtype", "T", "mT", "reshape", "sum", "mean", "prod", "var", "max", "min", "transpose",
    "swapaxes", "copy", "astype", "ravel", "flatten", "dot", "any", "all", "repeat", "squeeze", "cumsum", "argmax",
    "argmin", "trace", "diagonal", "clip", "fill", "item", "tolist", "items", "keys", "values", "get", "append",
    "extend", "update", "pop", "setdefault", "at", "real", "round", "start", "stop",
])  # fmt: skip
FACTS = frozenset(["shape", "ndim", "size", "dtype", "T", "mT", "real", "start", "stop"])  # of those, no methods
OF_SELF = frozenset([  # self.something, beside what forward keeps
    "parameters", "gradients", "buffers", "state", "drawn", "training", "needs_input_gradient", "network",
])  # fmt: skip
