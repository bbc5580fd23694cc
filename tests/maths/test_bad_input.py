"""Every public function answers every kind of bad input with one clear sentence."""

import inspect

import numpy as np
import pytest

from course_lib.maths import (
    activations,
    clipping,
    initializers,
    normalization,
    optimizers,
    propagation,
    stacks,
)
from course_lib.maths.activations import ACTIVATIONS, Activation, as_activation
from course_lib.maths.clipping import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    clip_weights,
    global_norm,
)
from course_lib.maths.initializers import INITIALIZERS, variance
from course_lib.maths.normalization import (
    MovingAverages,
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    layer_norm,
    layer_norm_backward,
)
from course_lib.maths.optimizers import (
    Adam,
    AMSGrad,
    GradientDescent,
    Momentum,
    Nesterov,
    RMSProp,
    WarmUp,
    descend,
    descent,
)
from course_lib.maths.propagation import (
    deep_stack,
    deep_stack_backward,
    deep_stack_gradients,
    expected_factor,
    factor_per_layer,
    make_stack,
    signal_theory,
)
from course_lib.maths.stacks import StackForm, stack_pass

RNG = np.random.default_rng(1)
X, W, NAN = np.ones((2, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)
TRACE = deep_stack(X, [W], "tanh")
_, BATCH_TRACE = batch_norm([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
_, LAYER_TRACE = layer_norm([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
CONSTANT = MovingAverages(3, momentum=0)
CONSTANT.update(batch_norm(np.ones((2, 3)))[1])
OPTIMIZERS = (GradientDescent, Momentum, Nesterov, RMSProp, Adam, AMSGrad)
STEPPED = Adam(0.1)
STEPPED.step(np.ones(2), np.ones(2))
NOT_A_NUMBER = ["three", None, [1, 2], True, 1j]


def _call(function, *args, **kwargs):
    return pytest.param(
        lambda: function(*args, **kwargs),
        function,
        id=getattr(function, "__qualname__", "function"),  # pytest numbers the cases
    )


CASES = [
    # arrays: wrong shape, wrong type, empty, not finite
    *[
        _call(deep_stack, x, [W], "relu")
        for x in (1.0, np.ones(3), np.ones((2, 3, 4)), np.ones((2, 4)), np.ones((0, 3)), "x", None)
    ],
    _call(deep_stack, [[1, 2, 3], [1, 2]], [W], "relu"),
    _call(deep_stack, X * 1j, [W], "relu"),
    _call(deep_stack, [["1", "2", "3"]], [W], "relu"),
    _call(deep_stack, NAN, [W], "relu"),
    _call(deep_stack, X * np.inf, [W], "relu"),
    *[_call(deep_stack, X, weights, "relu") for weights in ([], W, None, "W", 3, {1: W})],
    *[
        _call(deep_stack, X, [W, wrong], "relu")
        for wrong in (np.ones((2, 3)), np.ones(3), None, NAN, "W", np.ones((3, 0)))
    ],
    *[_call(deep_stack, X, [W], name) for name in ("Relu", "swish", None, 3, ["relu"], np.tanh)],
    *[
        _call(deep_stack, X, [W], "relu", biases)
        for biases in ([], 1.0, [np.ones(2)], [np.ones(3)] * 2, [NAN[0]], ["b"], np.ones((1, 3, 1)))
    ],
    *[
        _call(deep_stack, X, [W], "relu", dtype=dtype)
        for dtype in (int, "float8", "half a float", np.complex64, 32)
    ],
    *[
        _call(function, trace, np.ones((2, 3)))
        for function in (deep_stack_backward, deep_stack_gradients)
        for trace in (None, X, "trace", [W])
    ],
    *[
        _call(function, TRACE, d_output)
        for function in (deep_stack_backward, deep_stack_gradients)
        for d_output in (1.0, np.ones((3, 2)), np.ones(3), NAN[:2], "ones", None)
    ],
    # counts and numbers
    *[
        _call(make_stack, *args)
        for wrong in (0, -1, 2.0, "3", None, True, np.nan)
        for args in ((wrong, 3, "he_normal", RNG), (3, wrong, "he_normal", RNG))
    ],
    *[_call(make_stack, 2, 3, name, RNG) for name in ("he", "He_Normal", None, 1)],
    *[_call(make_stack, 2, 3, "he_normal", rng) for rng in (1, None, np.random, "rng")],
    *[_call(make_stack, 2, 3, "normal", RNG, stddev=wrong) for wrong in (0, -1, np.nan, "1", None)],
    *[
        _call(factor_per_layer, norms)
        for norms in (
            1.0,
            [1.0],
            [],
            np.ones((2, 2)),
            [0.0, 1.0],
            [1.0, np.nan],
            [np.inf, 1.0],
            [-1.0, 1.0],
            "norms",
            None,
        )
    ],
    *[
        _call(factor_per_layer, [1.0, 2.0], widths=widths)
        for widths in ([1], [1, 2, 3], [1, 0], [1, 2.5], 3, "ab")
    ],
    *[
        _call(function, *args, *([5] if function is signal_theory else []))
        for function in (expected_factor, signal_theory)
        for args in (
            ("swish", 0.1, 10),
            (None, 0.1, 10),
            ("relu", 0, 10),
            ("relu", -0.1, 10),
            ("relu", np.nan, 10),
            ("relu", "0.1", 10),
            ("relu", 0.1, 0),
            ("relu", 0.1, 2.5),
            ("relu", np.ones(2), 10),
            ("relu", np.inf, 10),
        )
    ],
    *[_call(expected_factor, "relu", 0.1, 10, q=q) for q in (-1, np.nan, np.inf, "1", [1.0])],
    *[_call(expected_factor, "relu", 0.1, 10, bias_stddev=b) for b in (-1, np.nan, None, "1")],
    *[_call(signal_theory, "relu", 0.1, 10, depth) for depth in (0, -1, 2.5, None, "5")],
    *[_call(signal_theory, "relu", 0.1, 10, 5, q0=q0) for q0 in (0, -1, np.nan, None)],
    *[_call(signal_theory, "relu", 0.1, 10, 5, bias_stddev=b) for b in (-1, np.inf, "1")],
    # initialisers
    *[
        _call(draw, shape, RNG)
        for draw in INITIALIZERS.values()
        for shape in (
            None,
            3,
            (3,),
            (3, 4, 5),
            (0, 3),
            (3, -1),
            (2.0, 3),
            ("3", 4),
            (True, 3),
            "34",
        )
    ],
    *[_call(draw, (3, 3), rng) for draw in INITIALIZERS.values() for rng in (None, 1, "rng")],
    *[
        _call(INITIALIZERS["normal"], (3, 3), RNG, stddev=wrong)
        for wrong in (0, -1, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[
        _call(INITIALIZERS["orthogonal"], (3, 3), RNG, gain=wrong)
        for wrong in (0, -1, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[_call(variance, name, (3, 3)) for name in ("he", None, 3)],
    *[_call(variance, "he_normal", shape) for shape in (3, (3,), (0, 3), None)],
    _call(variance, "normal", (3, 3), stddev=0),
    _call(variance, "orthogonal", (3, 3), gain=np.nan),
    *[_call(propagation.random_pass, weights, "relu") for weights in (None, [], [None], W)],
    _call(propagation.random_pass, [W], "swish"),
    _call(propagation.random_pass, [W], "relu", samples=0),
    _call(propagation.random_pass, [W], "relu", seed=-1),
    # activations
    *[
        _call(function, a)
        for activation in ACTIVATIONS.values()
        for function in (activation.function, activation.derivative)
        for a in ("a", None, [[1], [1, 2]], [np.nan], np.inf, 1j, {})
    ],
    _call(ACTIVATIONS["prelu"].slope_derivative, [np.nan]),
    *[
        _call(function, 1.0, wrong)
        for activation in (ACTIVATIONS["leaky_relu"], ACTIVATIONS["prelu"])
        for function in (activation.function, activation.derivative)
        for wrong in (np.nan, *NOT_A_NUMBER)
    ],
    *[_call(ACTIVATIONS["prelu"].with_slope, wrong) for wrong in (np.nan, *NOT_A_NUMBER)],
    _call(ACTIVATIONS["relu"].with_slope, 0.1),
    *[_call(as_activation, wrong) for wrong in ("swish", None, 3, np.tanh)],
    _call(Activation, 3, np.sin, np.cos, 1.0),
    _call(Activation, "sine", "sin", np.cos, 1.0),
    _call(Activation, "sine", np.sin, None, 1.0),
    _call(Activation, "sine", np.sin, np.cos, 0.0),
    # clipping
    *[
        _call(clip_weights, wrong, 0.1)
        for wrong in (None, "W", [], NAN, [NAN], [W, None], [W, "W"])
    ],
    *[_call(clip_weights, W, wrong) for wrong in (0, -1, np.nan, np.inf, *NOT_A_NUMBER)],
    *[
        _call(clip, [W], wrong)
        for clip in (clip_by_value, clip_by_norm, clip_by_global_norm)
        for wrong in (0, -1, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[
        _call(clip, wrong, 0.1)
        for clip in (clip_by_value, clip_by_norm, clip_by_global_norm)
        for wrong in ([], [W, "W"], [W, None], [W, W * 1j], [np.ones((0, 3))], "W", None, 1j * W)
    ],
    *[_call(clip_by_global_norm, wrong, 0.1) for wrong in (W, {1: W})],
    *[_call(global_norm, wrong) for wrong in (W, [], None, ["W"], [W, None])],
    # normalisation
    *[
        _call(norm, x)
        for norm in (batch_norm, layer_norm)
        for x in (
            1.0,
            "x",
            None,
            X * 1j,
            [[1, 2, 3], [1, 2]],
            NAN,
            X * np.inf,
            [[1e200, 1], [-1e200, 2]],
        )
    ],
    *[_call(batch_norm, x) for x in (np.ones((1, 3)), np.ones(3), np.ones((2, 3, 4)))],
    *[_call(layer_norm, x) for x in (np.ones((3, 1)), np.ones((0, 3)), [1.0])],
    *[
        _call(norm, X, **{name: wrong})
        for norm in (batch_norm, layer_norm)
        for name in ("scale", "offset")
        for wrong in (2.0, np.ones(2), np.ones((2, 3)), np.ones((1, 3)), NAN[0], "ones")
    ],
    *[
        _call(norm, X, epsilon=wrong)  # X is constant, so that 0 is wrong too
        for norm in (batch_norm, layer_norm)
        for wrong in (0, -1e-3, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[_call(batch_norm_backward, trace, X) for trace in (None, X, TRACE, LAYER_TRACE)],
    *[_call(layer_norm_backward, trace, X) for trace in (None, X, TRACE, BATCH_TRACE)],
    *[
        _call(backward, trace, d_y)
        for backward, trace in (
            (batch_norm_backward, BATCH_TRACE),
            (layer_norm_backward, LAYER_TRACE),
        )
        for d_y in (1.0, np.ones((3, 2)), np.ones(3), NAN[:2], "ones", None)
    ],
    *[_call(MovingAverages, wrong) for wrong in (0, -1, 2.5, "3", None, True)],
    *[_call(MovingAverages, 3, wrong) for wrong in (-0.1, 1.1, np.nan, *NOT_A_NUMBER)],
    *[_call(MovingAverages, 3, unbiased=wrong) for wrong in (1, None, "yes")],
    *[
        _call(MovingAverages(units).update, trace)
        for units, trace in ((2, BATCH_TRACE), (3, LAYER_TRACE), (3, X), (3, None))
    ],
    *[
        _call(batch_norm_inference, x, MovingAverages(3))
        for x in (np.ones(3), np.ones((2, 4)), NAN, "x", None)
    ],
    *[_call(batch_norm_inference, X, wrong) for wrong in (None, X, BATCH_TRACE)],
    _call(batch_norm_inference, X, MovingAverages(3), np.ones(2)),
    _call(batch_norm_inference, X, MovingAverages(3), offset=np.ones(2)),
    _call(batch_norm_inference, X, MovingAverages(3), epsilon=-1),
    _call(batch_norm_inference, X, CONSTANT, epsilon=0),
    # optimisers
    *[
        _call(kind, wrong)
        for kind in OPTIMIZERS
        for wrong in (0, -1, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[
        _call(kind, 0.1, momentum=wrong)
        for kind in (Momentum, Nesterov)
        for wrong in (-0.1, np.nan, np.inf, *NOT_A_NUMBER)
    ],
    *[
        _call(kind, 0.1, **{name: wrong})
        for kind, name in (
            (RMSProp, "rho"),
            *((kind, name) for kind in (Adam, AMSGrad) for name in ("beta_1", "beta_2")),
        )
        for wrong in (-0.1, 1, 1.5, np.nan, *NOT_A_NUMBER)
    ],
    *[
        _call(kind, 0.1, epsilon=wrong)
        for kind in (RMSProp, Adam, AMSGrad)
        for wrong in (0, -1e-8, np.nan, *NOT_A_NUMBER)
    ],
    *[
        _call(kind, 0.1, epsilon_inside=wrong)
        for kind in (RMSProp, Adam, AMSGrad)
        for wrong in (None, 1, "yes")
    ],
    *[_call(kind, 0.1, bias_correction=None) for kind in (Adam, AMSGrad)],
    *[
        _call(kind(0.1).step, *arguments)
        for kind in OPTIMIZERS
        for arguments in (
            (X, NAN),
            (NAN, W),
            (X, W),
            (X, X[0]),
            (X, 1.0),
            (1.0, X),
            (X, "slope"),
            (None, X),
            (X, None),
            (X, 1j * X),
            (np.ones(0), np.ones(0)),
        )
    ],
    *[_call(STEPPED.step, np.ones(3), np.ones(3)), _call(STEPPED.step, np.ones((2, 1)), X)],
    *[
        _call(GradientDescent(lambda t, wrong=wrong: wrong).step, 1.0, 1.0)
        for wrong in (0, -1, np.nan, None)
    ],
    *[_call(WarmUp, wrong, 10) for wrong in (0, -1.0, np.nan, np.inf, None, "fast")],
    *[_call(WarmUp, 0.1, wrong) for wrong in (0, -1, 2.5, None, "3")],
    *[_call(descend, wrong, [1.0], Adam(0.1), 3) for wrong in (None, X, "slope")],
    *[
        _call(descend, lambda theta, wrong=wrong: wrong, [1.0, 2.0], Adam(0.1), 3)
        for wrong in (None, 1.0, np.ones(3), np.ones((2, 1)), "steep")
    ],
    *[_call(descend, np.sin, wrong, Adam(0.1), 3) for wrong in (None, "here", [np.nan], [], 1j)],
    *[_call(descend, np.sin, [1.0], wrong, 3) for wrong in (None, Adam, 0.1, np.sin)],
    *[_call(descend, np.sin, [1.0], Adam(0.1), wrong) for wrong in (0, -1, 2.5, None, "3")],
    *[_call(descent, wrong, [[1.0]], Adam(0.1)) for wrong in (None, X, "slope")],
    *[_call(descent, np.sin, [wrong], Adam(0.1)) for wrong in (None, "here", [np.nan], 1j)],
    *[_call(descent, np.sin, [[1.0]], wrong) for wrong in (None, Adam, 0.1, np.sin)],
    # stacks with norms and skips
    *[_call(stack_pass, x, [W], "relu") for x in (1.0, np.ones(3), np.ones((2, 4)), NAN, "x")],
    *[_call(stack_pass, X, wrong, "relu") for wrong in ([], W, None, [NAN], [W, np.ones((2, 3))])],
    *[_call(stack_pass, X, [W], wrong) for wrong in ("swish", None, 3)],
    *[_call(stack_pass, X, [W], "relu", normalization=wrong) for wrong in ("group", True, 0)],
    *[_call(stack_pass, X, [W], "relu", skip=wrong) for wrong in (np.nan, "1", True, [1.0])],
    *[_call(stack_pass, X, [W], "relu", norm_scale=wrong) for wrong in (np.nan, "1", None)],
    *[_call(stack_pass, X, [W], "relu", norm_epsilon=wrong) for wrong in (0, -1, np.nan, "1")],
    *[_call(stack_pass, X, [W], "relu", d_output=wrong) for wrong in (1.0, np.ones((3, 2)), NAN)],
    *[_call(stack_pass, X, [W], "relu", seed=wrong) for wrong in (-1, 1.5, None)],
    _call(stack_pass, X[:1], [W], "relu", normalization="batch"),
    _call(stack_pass, X, [W[:, :1]], "relu", normalization="layer"),
    _call(StackForm, "relu"),
    _call(StackForm, ACTIVATIONS["relu"], "group"),
]


@pytest.mark.parametrize(("call", "function"), CASES)
def test_it_is_refused_in_one_sentence(call, function):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.startswith("`"), sentence  # which argument
    assert " is " in sentence or " has " in sentence or " holds " in sentence, sentence  # what
    assert " take" in sentence, sentence  # what it takes
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 200, sentence


@pytest.mark.parametrize(
    "module", [activations, clipping, initializers, normalization, optimizers, propagation, stacks]
)
def test_no_public_function_is_missing_from_the_table(module):
    tested = {case.values[1] for case in CASES}
    tested |= {getattr(function, "__func__", function) for function in tested}
    # Called by modules, not by readers, and what functions return:
    helpers = {activations.elementwise, activations.bare}
    helpers |= {normalization.normalize, normalization.normalize_backward}
    helpers |= {normalization.normalize_with, StackForm.skip_of}
    helpers |= {stacks.forward, stacks.backward, stacks.make_layers}
    helpers |= {optimizers.Optimizer, optimizers.Optimizer.change, optimizers.Optimizer.reset}
    helpers |= {kind.reset for kind in OPTIMIZERS}  # they take no argument
    results = {propagation.StackTrace, propagation.StackGradients, propagation.SignalTheory}
    results |= {normalization.NormTrace, normalization.NormGradients}
    results |= {stacks.Layer, stacks.LayerTrace}
    for name, value in vars(module).items():
        public = not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        if public and callable(value) and value not in helpers | results:
            assert value in tested, name
        if public and inspect.isclass(value):
            for method, function in vars(value).items():
                if (
                    inspect.isfunction(function)
                    and not method.startswith("_")
                    and function not in helpers
                ):
                    assert function in tested, method
