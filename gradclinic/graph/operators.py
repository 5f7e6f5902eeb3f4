"""The operators that a graph may be made of. Every one was looked at: what is not here is refused by name.

None of them reads a file, runs code or takes memory beyond its inputs and outputs. Those that draw (dropout and its kind)
draw from the training's own seeded generator.
"""

from __future__ import annotations

_ELEMENTWISE = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "floor", "isfinite", "isinf",
    "isnan", "log", "log10", "log1p", "log2", "logical_not", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin",
    "sinh", "sqrt", "square", "tan", "tanh", "trunc", "zeros_like", "ones_like", "bitwise_not", "softplus", "relu", "relu6",
    "gelu", "silu", "mish", "elu", "celu", "selu", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "hardshrink",
    "softshrink", "log_sigmoid", "prelu", "rrelu", "threshold", "nan_to_num", "clone", "alias", "detach", "contiguous",
    "masked_fill.Scalar", "masked_fill.Tensor", "full_like", "lift_fresh_copy",
)  # fmt: skip

_ARITHMETIC = (
    "add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Scalar", "mul.Tensor", "mul.Scalar", "div.Tensor",
    "div.Scalar", "div.Tensor_mode", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "maximum", "minimum", "atan2",
    "addcmul", "addcdiv", "lerp.Scalar", "lerp.Tensor", "clamp", "clamp_min", "clamp_max", "clamp.Tensor",
    "where.self", "where.ScalarSelf", "where.ScalarOther", "eq.Scalar", "eq.Tensor", "ne.Scalar", "ne.Tensor", "lt.Scalar",
    "lt.Tensor", "le.Scalar", "le.Tensor", "gt.Scalar", "gt.Tensor", "ge.Scalar", "ge.Tensor", "logical_and", "logical_or",
    "bitwise_and.Tensor", "bitwise_or.Tensor", "__and__.Tensor", "__or__.Tensor", "xlogy.Tensor",
)  # fmt: skip

_IN_PLACE = (
    "relu_", "relu6_", "elu_", "celu_", "selu_", "silu_", "mish_", "leaky_relu_", "hardtanh_", "hardsigmoid_", "hardswish_",
    "threshold_", "rrelu_", "sigmoid_", "tanh_", "exp_", "neg_", "sqrt_", "add_.Tensor", "add_.Scalar", "sub_.Tensor",
    "sub_.Scalar", "mul_.Tensor", "mul_.Scalar", "div_.Tensor", "div_.Scalar", "clamp_", "masked_fill_.Scalar", "dropout_",
    "alpha_dropout_", "feature_dropout_", "feature_alpha_dropout_", "zero_", "fill_.Scalar", "copy_", "gelu_",
)  # fmt: skip

_LAYERS = (
    "linear", "bilinear", "embedding", "conv1d", "conv2d", "conv3d", "conv1d.padding", "conv2d.padding", "conv3d.padding",
    "conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input", "batch_norm", "instance_norm", "layer_norm",
    "group_norm", "rms_norm", "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "softmax.int",
    "log_softmax.int", "glu", "scaled_dot_product_attention", "lstm.input", "gru.input", "rnn_tanh.input",
    "rnn_relu.input", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_bilinear2d.vec", "upsample_linear1d.vec",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "cosine_similarity", "pairwise_distance", "one_hot",
)  # fmt: skip

_PRODUCTS = ("matmul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "einsum", "outer")

_REDUCTIONS = (
    "sum", "sum.dim_IntList", "mean", "mean.dim", "amax", "amin", "max", "min", "max.dim", "min.dim", "argmax", "argmin",
    "prod.dim_int", "var.dim", "var.correction", "std.dim", "std.correction", "logsumexp", "cumsum", "norm.ScalarOpt_dim",
    "linalg_vector_norm", "any", "any.dim", "all", "all.dim", "topk", "sort",
)  # fmt: skip

_SHAPES = (
    "view", "reshape", "flatten.using_ints", "unflatten.int", "permute", "transpose.int", "t", "movedim.int",
    "movedim.intlist", "numpy_T", "mT", "squeeze", "squeeze.dim", "squeeze.dims", "unsqueeze", "expand", "expand_as",
    "view_as", "reshape_as", "repeat", "repeat_interleave.self_int", "tile", "cat", "stack", "concat", "hstack", "vstack",
    "chunk", "split.Tensor", "split_with_sizes", "split.sizes", "unbind.int", "slice.Tensor",
    "select.int", "narrow", "index_select", "gather", "index.Tensor", "flip", "roll", "tril", "triu", "pad",
    "constant_pad_nd", "broadcast_to", "diagonal", "swapaxes", "swapdims", "type_as", "to.dtype", "_to_copy", "to.other",
    "meshgrid", "meshgrid.indexing",
)  # fmt: skip

_MADE = (
    "arange", "arange.start", "arange.start_step", "zeros", "ones", "full", "scalar_tensor", "new_zeros", "new_ones",
    "new_full", "eye", "eye.m", "linspace",
)  # fmt: skip

NUMBERS: tuple[str, ...] = (
    "operator.add", "operator.sub", "operator.mul", "operator.floordiv", "operator.mod", "operator.neg", "operator.truediv",
    "math.sqrt", "aten.sym_size.int",
)  # fmt: skip
"""What works out sizes: numbers of numbers."""

GETITEM = "operator.getitem"
"""Takes one of several outputs."""


def _aten(name: str) -> str:
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


ALLOWED: tuple[str, ...] = tuple(
    sorted({
        *map(_aten, _ELEMENTWISE + _ARITHMETIC + _IN_PLACE + _LAYERS + _PRODUCTS + _REDUCTIONS + _SHAPES + _MADE),
        *NUMBERS,
        GETITEM,
    })
)  # fmt: skip
"""Every operator that a graph may name, as PyTorch calls it."""

IN_PLACE = frozenset(map(_aten, _IN_PLACE))
"""Those that overwrite their first argument."""

RECURRENT = frozenset(map(_aten, ("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")))
"""Those that go through a sequence step by step."""

SHAPES = frozenset(map(_aten, _SHAPES))
"""Those that move numbers and compute none."""
