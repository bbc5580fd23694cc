"""Each optimiser = its formula by hand = Keras; closed forms, conventions, and who converges."""

import math
from functools import partial

import numpy as np
import pytest

from course_lib.maths.optimizers import (
    Adam,
    AMSGrad,
    GradientDescent,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
    WarmUp,
    descend,
    descent,
)

EVERY = [GradientDescent, Momentum, Nesterov, RMSProp, Adam, AMSGrad]
ALPHA = 0.01


def gradients(steps=50, shape=(3, 2), seed=41):
    """Gradients from 1e-4 to 1e2 in size, as different parameters have them, with noise."""
    rng = np.random.default_rng(seed)
    size = np.logspace(-4, 2, math.prod(shape)).reshape(shape)
    return size * rng.standard_normal((steps, *shape))


def run(optimizer, theta, gs):
    """Return θ after each gradient of `gs`."""
    path = []
    for g in gs:
        theta = optimizer.step(theta, g)
        path.append(theta)
    return np.array(path)


def by_hand(name, gs, alpha, mu=0.9, rho=0.9, beta_1=0.9, beta_2=0.999, eps=1e-7):
    """Return the steps of (1) to (8) as closed sums over all gradients so far, no recursion."""
    changes = []
    for t in range(1, len(gs) + 1):
        past, age = np.array(gs[:t]), np.arange(t - 1, -1, -1)
        g = past[-1]

        def mean(decay, powers, past=past, age=age):
            return np.tensordot((1 - decay) * decay**age, past**powers, axes=1)

        m_hat = mean(beta_1, 1) / (1 - beta_1**t)
        v_hat = mean(beta_2, 2) / (1 - beta_2**t)
        u = -alpha * np.tensordot(mu**age, past, axes=1)
        changes.append(
            {
                "GradientDescent": -alpha * g,
                "Momentum": u,
                "Nesterov": mu * u - alpha * g,
                "RMSProp": -alpha * g / np.sqrt(mean(rho, 2) + eps),
                "Adam": -alpha * m_hat / (np.sqrt(v_hat) + eps / math.sqrt(1 - beta_2**t)),
            }[name]
        )
    return np.array(changes)


@pytest.mark.parametrize("kind", EVERY[:-1])
def test_every_step_is_the_formula_summed_up(kind):
    gs = gradients()
    theta = np.ones((3, 2))
    path = run(kind(learning_rate=ALPHA), theta, gs)
    expected = theta + np.cumsum(by_hand(kind.__name__, gs, ALPHA), axis=0)
    np.testing.assert_allclose(path, expected, rtol=1e-11)


def test_amsgrad_by_hand():
    gs = gradients()
    m = v = v_max = np.zeros((3, 2))
    theta, path = np.ones((3, 2)), []
    for t, g in enumerate(gs, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        v_max = np.maximum(v_max, v)
        correction = math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        theta = theta - ALPHA * correction * m / (np.sqrt(v_max) + 1e-7)
        path.append(theta)
    own = run(AMSGrad(ALPHA), np.ones((3, 2)), gs)
    np.testing.assert_allclose(own, path, rtol=1e-12)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 2)])
def test_arguments_are_left_alone_and_shapes_kept(kind, shape):
    optimizer = kind(learning_rate=ALPHA)
    theta, gs = np.ones(shape), gradients(5, shape)
    earlier = []
    for g in gs:
        copies = theta.copy(), g.copy()
        new = optimizer.step(theta, g)
        np.testing.assert_array_equal(theta, copies[0])
        np.testing.assert_array_equal(g, copies[1])
        assert np.shape(new) == shape
        earlier.append((new, new.copy()))
        theta = new
    for new, copy in earlier:  # a result is not overwritten by the steps after it
        np.testing.assert_array_equal(new, copy)


@pytest.mark.parametrize("kind", EVERY)
def test_reset_forgets_everything(kind):
    gs = gradients(8)
    optimizer = kind(learning_rate=ALPHA)
    first = run(optimizer, np.zeros((3, 2)), gs)
    assert optimizer.t == 8
    optimizer.reset()
    assert optimizer.t == 0
    np.testing.assert_array_equal(run(optimizer, np.zeros((3, 2)), gs), first)
    optimizer.reset()
    optimizer.step(np.zeros(5), np.ones(5))  # another shape is fine after a reset


@pytest.mark.parametrize("kind", EVERY)
def test_a_plain_number_and_a_list_are_parameters_too(kind):
    assert np.shape(kind(learning_rate=ALPHA).step(1, 2)) == ()
    as_list = kind(learning_rate=ALPHA).step([1, 2], [3, 4])
    as_array = kind(learning_rate=ALPHA).step(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    np.testing.assert_array_equal(as_list, as_array)
    assert as_list.dtype == np.float64


@pytest.mark.parametrize("kind", EVERY)
def test_a_learning_rate_may_be_a_function_of_t(kind):
    """A constant function is the constant; α/√t takes the k-th step α/√k long where α is all."""
    gs = gradients(6)
    constant = run(kind(learning_rate=lambda t: ALPHA), np.zeros((3, 2)), gs)
    np.testing.assert_array_equal(constant, run(kind(learning_rate=ALPHA), np.zeros((3, 2)), gs))
    if kind in (GradientDescent, Adam):
        path = run(kind(lambda t: ALPHA / math.sqrt(t)), np.zeros(1), np.ones((4, 1)))[:, 0]
        lengths = -np.diff(np.append(0, path))
        np.testing.assert_allclose(lengths, ALPHA / np.sqrt([1, 2, 3, 4]), rtol=1e-5)


def test_warm_up_rises_in_a_line_and_stays():
    rate = WarmUp(0.4, 4)
    np.testing.assert_allclose([rate(t) for t in range(1, 7)], [0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    path = run(GradientDescent(rate), np.zeros(1), np.ones((3, 1)))[:, 0]
    np.testing.assert_allclose(path, [-0.1, -0.3, -0.6])
    for arguments, name in (((0.0, 4), "`rate` is 0"), ((0.1, 0), "`steps` is 0")):
        with pytest.raises(ValueError, match=name):
            WarmUp(*arguments)


def test_the_learning_rate_can_be_changed_between_steps():
    optimizer = GradientDescent(learning_rate=1.0)
    theta = optimizer.step(np.zeros(1), np.ones(1))
    optimizer.learning_rate = 0.25
    assert optimizer.step(theta, np.ones(1))[0] == -1.25
    with pytest.raises(ValueError, match="`learning_rate` is -1; it takes"):
        optimizer.learning_rate = -1


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_gradient_descent_on_a_quadratic_is_geometric(alpha):
    """θ_k = (1 − α λ)^k θ_0 for 𝓛 = λ θ²/2."""
    curvature, start = np.array([0.5, 2.0]), np.array([3.0, -1.0])
    path = descend(lambda theta: curvature * theta, start, GradientDescent(alpha), steps=30)
    expected = start * (1 - alpha * curvature) ** np.arange(31)[:, None]
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-15)


def test_gradient_descent_converges_below_two_over_the_curvature_and_not_above():
    ends = {
        factor: descend(lambda x: 4 * x, [1.0], GradientDescent(factor * 2 / 4), 200)[-1, 0]
        for factor in (0.99, 1.0, 1.01)
    }
    assert abs(ends[0.99]) < 0.02
    assert abs(ends[1.0]) == 1
    assert abs(ends[1.01]) > 50


@pytest.mark.parametrize(("kind", "ahead"), [(Momentum, 0), (Nesterov, 1)])
def test_momentum_on_a_quadratic_is_a_matrix_power(kind, ahead):
    """(θ, u) is multiplied by the same 2 × 2 matrix at every step."""
    alpha, mu, curvature = 0.1, 0.8, 3.0
    c = alpha * curvature
    velocity = np.array([-c, mu])  # u′ = −c θ + μ u
    position = np.array([1.0, 0.0]) + (mu * velocity - [c, 0] if ahead else velocity)
    step = np.array([position, velocity])
    path = descend(lambda x: curvature * x, [2.0], kind(alpha, momentum=mu), steps=25)[:, 0]
    expected = [(np.linalg.matrix_power(step, k) @ [2.0, 0.0])[0] for k in range(26)]
    np.testing.assert_allclose(path, expected, rtol=1e-11, atol=1e-14)


def test_nesterov_is_the_gradient_taken_where_momentum_is_about_to_land():
    """Nesterov's own form keeps ψ and asks for g(ψ + μ u); θ = ψ + μ u is what is kept here."""
    alpha, mu = 0.05, 0.9

    def slope(x):
        return np.array([4 * x[0] ** 3 + x[1], x[0] + 2 * x[1]])

    psi, u, ahead = np.array([1.0, -0.5]), np.zeros(2), []
    for _ in range(20):
        ahead.append(psi + mu * u)
        u = mu * u - alpha * slope(psi + mu * u)
        psi = psi + u
    path = descend(slope, [1.0, -0.5], Nesterov(alpha, mu), steps=19)
    np.testing.assert_allclose(path, ahead, rtol=1e-12)


def test_momentum_reaches_ten_times_the_step_and_nesterov_starts_with_1_9():
    g = np.ones((200, 1))
    for kind, first in ((GradientDescent, 1.0), (Momentum, 1.0), (Nesterov, 1.9)):
        lengths = -np.diff(run(kind(ALPHA), np.zeros(1), g)[:, 0], prepend=0)
        assert lengths[0] == pytest.approx(first * ALPHA, rel=1e-12)
        terminal = ALPHA if kind is GradientDescent else 10 * ALPHA
        assert lengths[-1] == pytest.approx(terminal, rel=1e-7)


def test_the_best_momentum_beats_the_best_gradient_descent():
    """Rates (κ − 1)/(κ + 1) and (√κ − 1)/(√κ + 1) on a quadratic of condition number κ = 100."""
    curvature, start, steps = np.array([1.0, 100.0]), np.array([1.0, 1.0]), 200
    plain = descend(lambda x: curvature * x, start, GradientDescent(2 / 101), steps)
    ball = Momentum((2 / 11) ** 2, momentum=(9 / 11) ** 2)
    heavy = descend(lambda x: curvature * x, start, ball, steps)
    rate = (np.abs(plain[-1]) / np.abs(plain[100])) ** (1 / 100)
    np.testing.assert_allclose(rate, 99 / 101, rtol=1e-9)
    # Both eigenvalues of a step are then r = 1 − √(α λ) = ±9/11, hence rᵏ and k rᵏ:
    k, r = np.arange(steps + 1)[:, None], np.array([9 / 11, -9 / 11])
    expected = r**k * (1 + k * ((1 - (2 / 11) ** 2 * curvature) / r - 1))
    np.testing.assert_allclose(heavy, expected, rtol=1e-5)
    assert np.linalg.norm(heavy[-1]) < 1e-6 * np.linalg.norm(plain[-1])


# --- sizes of steps -----------------------------------------------------------------------------

SIZES = 10.0 ** np.arange(-8, 7)


@pytest.mark.parametrize("epsilon", [1e-7, 1e-8])
def test_the_first_step_of_adam_in_both_conventions(epsilon):
    """α g/(g + ε) in algorithm 1; with ε̂, ε/√(1 − β₂) stands in place of ε."""
    for inside, effective in ((False, epsilon), (True, epsilon / math.sqrt(0.001))):
        optimizer = Adam(ALPHA, epsilon=epsilon, epsilon_inside=inside)
        steps = -optimizer.step(np.zeros_like(SIZES), SIZES)
        np.testing.assert_allclose(steps, ALPHA * SIZES / (SIZES + effective), rtol=1e-11)


def test_the_first_step_for_a_gradient_of_a_millionth():
    """0.2403 α with Keras's defaults, 0.9901 α with PyTorch's: the same algorithm by name."""
    keras_like = Adam(1.0).step(0.0, 1e-6)
    torch_like = Adam(1.0, epsilon=1e-8, epsilon_inside=False).step(0.0, 1e-6)
    assert -keras_like == pytest.approx(0.2403, abs=5e-5)
    assert -torch_like == pytest.approx(0.9901, abs=5e-5)


def test_the_first_step_of_rmsprop_in_both_conventions():
    """Without correction a tenth of g² is seen: √10 α, until ε takes over."""
    inside = -RMSProp(1.0).step(np.zeros_like(SIZES), SIZES)
    outside = -RMSProp(1.0, epsilon_inside=False).step(np.zeros_like(SIZES), SIZES)
    np.testing.assert_allclose(inside, SIZES / np.sqrt(0.1 * SIZES**2 + 1e-7), rtol=1e-12)
    np.testing.assert_allclose(outside, SIZES / (np.sqrt(0.1) * SIZES + 1e-7), rtol=1e-12)
    assert inside[-1] == pytest.approx(math.sqrt(10), rel=1e-6)
    at_1e_minus_5 = SIZES.searchsorted(0.99e-5)
    assert inside[at_1e_minus_5] == pytest.approx(0.03162, abs=5e-6)
    assert outside[at_1e_minus_5] == pytest.approx(3.065, abs=5e-4)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("kind", [Adam, AMSGrad])
def test_a_constant_gradient_makes_every_step_alpha(kind, size):
    optimizer = kind(ALPHA, epsilon=1e-12, epsilon_inside=False)
    path = run(optimizer, np.zeros(1), np.full((100, 1), -size))
    np.testing.assert_allclose(np.diff(path[:, 0], prepend=0), ALPHA, rtol=1e-8)


def test_without_bias_correction_the_first_steps_are_too_long():
    """(1 − β₁)/√(1 − β₂) = 3.16 α at first; the twelfth is the longest, 6.57 α."""
    optimizer = Adam(1.0, epsilon=1e-15, bias_correction=False)
    lengths = -np.diff(run(optimizer, np.zeros(1), np.ones((8000, 1)))[:, 0], prepend=0)
    t = np.arange(1, 8001)
    np.testing.assert_allclose(lengths, (1 - 0.9**t) / np.sqrt(1 - 0.999**t), rtol=1e-9)
    assert lengths[0] == pytest.approx(0.1 / math.sqrt(0.001), rel=1e-9)
    assert lengths.argmax() == 11
    assert lengths.max() == pytest.approx(6.57, abs=0.005)
    assert lengths[-1] == pytest.approx(1, rel=1e-3)


def test_adam_slows_down_where_the_sign_alternates():
    g = np.where(np.arange(20_000) % 2 == 0, 1.0, -1.0)[:, None]
    path = run(Adam(1.0), np.zeros(1), g)[:, 0]
    assert abs(path[-1] - path[-2]) == pytest.approx(0.1 / 1.9, rel=1e-4)


@pytest.mark.parametrize(("zeros", "expected"), [(200, 1.34970), (3000, 3.0827)])
def test_a_gradient_after_a_long_silence_makes_a_long_step(zeros, expected):
    """(1 − β₁)/√(1 − β₂) corrected for t; the bound of Kingma & Ba, section 2.1, is 3.1623 α."""
    g = np.zeros((zeros + 1, 1))
    g[-1] = 1.0
    path = run(Adam(1.0), np.zeros(1), g)[:, 0]
    assert not path[:-1].any()
    assert -path[-1] == pytest.approx(expected, rel=1e-4)


def test_the_scale_of_the_loss_does_not_matter_to_adam_and_does_to_gradient_descent():
    gs = gradients(30)
    for kind, ratio in ((Adam, 1), (RMSProp, 1), (GradientDescent, 1000), (Momentum, 1000)):
        options = {"epsilon": 1e-30} if kind in (Adam, RMSProp) else {}
        once = run(kind(ALPHA, **options), np.zeros((3, 2)), gs)
        louder = run(kind(ALPHA, **options), np.zeros((3, 2)), 1000 * gs)
        np.testing.assert_allclose(louder, ratio * once, rtol=1e-9)


def test_a_gradient_whose_square_overflows_stops_adam_for_good():
    """In float32 that is any gradient above 1.8e19, in float64 above 1.3e154."""
    for kind in (Adam, AMSGrad, RMSProp):
        optimizer = kind(1.0)
        assert optimizer.step(0.0, 1e160) == 0
        assert optimizer.step(0.0, 1.0) == 0


# --- AMSGrad ------------------------------------------------------------------------------------


def _reddi(optimizer, C, steps, period, other):
    """Minimise C x once a period and other · x at all other times, x in [−1, 1]."""
    x = 0.0
    for t in range(1, steps + 1):
        x = float(np.clip(optimizer.step(x, C if t % period == 1 else other), -1, 1))
    return x


def test_adam_goes_to_the_worst_point_where_amsgrad_goes_to_the_best():
    """Reddi, Kale & Kumar 2018, theorem 1: C = 4, β₁ = 0, β₂ = 1/(1 + C²), α_t = 1/(2√t)."""
    options = {"learning_rate": lambda t: 0.5 / math.sqrt(t), "beta_1": 0.0, "beta_2": 1 / 17}
    for bias_correction in (False, True):
        ends = {
            kind: _reddi(kind(**options, bias_correction=bias_correction), 4.0, 3000, 3, -1.0)
            for kind in (Adam, AMSGrad)
        }
        assert ends[Adam] > 0.99
        assert ends[AMSGrad] < -0.9


def test_adams_drift_in_the_counterexample():
    """C = 3: +0.68095 α every three steps, away from the minimum, once v has settled."""
    optimizer = Adam(1.0, beta_1=0.0, beta_2=0.1, epsilon=1e-15, bias_correction=False)
    g = np.tile([3.0, -1.0, -1.0], 40)[:, None]
    path = run(optimizer, np.zeros(1), g)[:, 0]
    assert path[-1] - path[-4] == pytest.approx(0.68095, abs=1e-5)


def test_amsgrads_v_never_falls_and_adams_does():
    adam, amsgrad = Adam(ALPHA), AMSGrad(ALPHA)
    for g in [10.0] + [0.1] * 5000:
        adam.step(0.0, g)
        amsgrad.step(0.0, g)
    assert amsgrad.v_max == pytest.approx(0.001 * 10**2, rel=1e-12)
    assert adam.v == pytest.approx(0.1**2 + (0.1 - 0.1**2) * 0.999**5000, rel=1e-9)
    assert amsgrad.v == adam.v


def test_amsgrad_is_adam_while_v_grows():
    g = np.linspace(1, 10, 30)[:, None]
    own = run(AMSGrad(ALPHA), np.zeros(1), g)
    np.testing.assert_array_equal(own, run(Adam(ALPHA), np.zeros(1), g))


# --- descend ------------------------------------------------------------------------------------


def rosenbrock_slope(theta):
    x, y = theta
    return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


@pytest.mark.parametrize("kind", EVERY)
def test_a_path_is_one_step_after_the_other(kind):
    path = descend(rosenbrock_slope, [-1.0, 0.5], kind(learning_rate=1e-4), steps=20)
    assert path.shape == (21, 2)
    optimizer, theta = kind(learning_rate=1e-4), np.array([-1.0, 0.5])
    for point in path:
        np.testing.assert_array_equal(theta, point)
        theta = optimizer.step(theta, rosenbrock_slope(theta))


def test_a_path_begins_afresh_and_leaves_start_alone():
    optimizer, start = Momentum(1e-4), np.array([-1.0, 0.5])
    first = descend(rosenbrock_slope, start, optimizer, steps=5)
    np.testing.assert_array_equal(descend(rosenbrock_slope, start, optimizer, steps=5), first)
    np.testing.assert_array_equal(start, [-1.0, 0.5])
    assert optimizer.t == 5


def test_a_gradient_function_that_writes_into_its_argument_does_no_harm():
    def slope(theta):
        theta *= 2
        return theta

    path = descend(slope, [1.0], GradientDescent(0.25), steps=3)[:, 0]
    np.testing.assert_array_equal(path, [1, 0.5, 0.25, 0.125])


def test_a_path_that_explodes_ends_in_nan():
    path = descend(lambda x: x**3, [10.0], GradientDescent(1.0), steps=20)[:, 0]
    finite = np.isfinite(path)
    last = finite.sum()
    assert 2 < last < 20
    assert finite[:last].all()
    assert np.isnan(path[last:]).all()


def test_start_may_be_a_number():
    path = descend(lambda x: 2 * x, 1.0, GradientDescent(0.25), steps=2)
    np.testing.assert_array_equal(path, [1, 0.5, 0.25])


def test_a_new_optimizer_needs_one_formula():
    class SignDescent(Optimizer):
        def _change(self, g, alpha, t):
            return -alpha * np.sign(g)

    path = descend(lambda x: 2 * x, [1.0], SignDescent(0.25), steps=4)[:, 0]
    np.testing.assert_array_equal(path, [1, 0.75, 0.5, 0.25, 0])
    with pytest.raises(TypeError, match="abstract"):
        Optimizer(0.1)


def test_optimizers_print_in_one_line():
    optimizer = Adam(learning_rate=0.001)
    optimizer.step(0.0, 1.0)
    assert repr(optimizer) == "<Adam: learning rate 0.001, 1 steps taken>"


# --- Keras --------------------------------------------------------------------------------------


# Names in Keras, and numbers that float32 holds exactly: Keras passes them through it.
DECAYS = {"beta_1": 7 / 8, "beta_2": 31 / 32, "epsilon": 2**-20}
PAIRS = {
    "gradient descent": (GradientDescent, "SGD", {}, {}),
    "momentum": (Momentum, "SGD", {"momentum": 7 / 8}, {}),
    "nesterov": (Nesterov, "SGD", {"momentum": 7 / 8}, {"nesterov": True}),
    "rmsprop": (RMSProp, "RMSprop", {"rho": 7 / 8, "epsilon": 2**-20}, {}),
    "adam": (Adam, "Adam", DECAYS, {}),
    "amsgrad": (AMSGrad, "Adam", DECAYS, {"amsgrad": True}),
}
DEFAULTS = {
    "gradient descent": (GradientDescent, "SGD", {}),
    "momentum": (Momentum, "SGD", {"momentum": 0.9}),
    "nesterov": (Nesterov, "SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (RMSProp, "RMSprop", {}),
    "adam": (Adam, "Adam", {}),
    "amsgrad": (AMSGrad, "Adam", {"amsgrad": True}),
}


def keras_path(keras, theirs, theta, gs):
    """Return θ after each gradient of `gs`, by a Keras optimiser in float64."""
    variable = keras.Variable(theta, dtype="float64")
    path = []
    for g in gs:
        theirs.apply([keras.ops.convert_to_tensor(g, dtype="float64")], [variable])
        path.append(variable.numpy().copy())
    return np.array(path)


def moved(path):
    return path - 1


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", PAIRS)
def test_fifty_steps_equal_keras_where_float32_holds_the_numbers(name, keras):
    kind, keras_name, both, only_keras = PAIRS[name]
    theirs = getattr(keras.optimizers, keras_name)(1 / 64, **both, **only_keras)
    gs, start = gradients(), np.ones((3, 2))
    expected = moved(keras_path(keras, theirs, start, gs))
    own = moved(run(kind(1 / 64, **both), start, gs))
    np.testing.assert_allclose(own, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", DEFAULTS)
def test_fifty_steps_with_defaults_equal_keras_to_float32(name, keras):
    """Keras's α, μ and β are float32: 1e-7 each, and Adam's 1 − β₂ᵗ magnifies that."""
    kind, keras_name, options = DEFAULTS[name]
    theirs = getattr(keras.optimizers, keras_name)(0.001, **options)
    gs, start = gradients(), np.ones((3, 2))
    expected = moved(keras_path(keras, theirs, start, gs))
    own = moved(run(kind(0.001), start, gs))
    scale = np.abs(expected).max(axis=0)
    tolerance = 2e-5 if "Adam" in keras_name else 1e-6
    assert (np.abs(own - expected) / scale).max() < tolerance


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("momentum", GradientDescent(1 / 64)),
        ("momentum", Nesterov(1 / 64, 7 / 8)),
        ("nesterov", Momentum(1 / 64, 7 / 8)),
        ("rmsprop", RMSProp(1 / 64, 7 / 8, 2**-20, epsilon_inside=False)),
        ("adam", Adam(1 / 64, **DECAYS, epsilon_inside=False)),
        ("adam", Adam(1 / 64, **DECAYS, bias_correction=False)),
        ("adam", AMSGrad(1 / 64, **DECAYS)),
        ("amsgrad", Adam(1 / 64, **DECAYS)),
        ("amsgrad", AMSGrad(1 / 64, **DECAYS, bias_correction=False)),
    ],
)
def test_the_comparison_notices_another_convention(name, wrong, keras):
    """Negative controls: what is near each optimiser is more than 1 % away from it."""
    _, keras_name, both, only_keras = PAIRS[name]
    theirs = getattr(keras.optimizers, keras_name)(1 / 64, **both, **only_keras)
    gs, start = gradients(), np.ones((3, 2))
    expected = moved(keras_path(keras, theirs, start, gs))
    own = moved(run(wrong, start, gs))
    assert (np.abs(own - expected) / np.abs(expected).max(axis=0)).max() > 1e-2


@pytest.mark.tensorflow
def test_keras_keeps_the_maximum_of_the_uncorrected_v(keras):
    """Negative control: the maximum of v̂ instead is far away once v falls."""
    gs = np.concatenate([[[10.0]], np.full((49, 1), 0.1)])
    theirs = keras.optimizers.Adam(1 / 64, **DECAYS, amsgrad=True)
    expected = keras_path(keras, theirs, np.zeros(1), gs)[:, 0]
    own = run(AMSGrad(1 / 64, **DECAYS), np.zeros(1), gs)[:, 0]
    np.testing.assert_allclose(own, expected, rtol=1e-11)
    m = v = v_max = theta = 0.0
    for t, g in enumerate(gs[:, 0], start=1):
        m, v = 7 / 8 * m + g / 8, 31 / 32 * v + g**2 / 32
        v_max = max(v_max, v / (1 - (31 / 32) ** t))
        theta -= m / (1 - (7 / 8) ** t) / math.sqrt(v_max) / 64
    assert abs(theta - expected[-1]) > 0.1 * abs(expected[-1])


@pytest.mark.tensorflow
def test_keras_first_steps_of_adam_are_the_epsilon_hat_form(keras):
    """Over fourteen decades of g, to Keras's 2e-5; algorithm 1 is noticed at the small end."""
    theirs = keras.optimizers.Adam(1.0)
    steps = -keras_path(keras, theirs, np.zeros_like(SIZES), SIZES[None])[0]
    own = -Adam(1.0).step(np.zeros_like(SIZES), SIZES)
    np.testing.assert_allclose(own, steps, rtol=2e-5)
    algorithm_1 = -Adam(1.0, epsilon_inside=False).step(np.zeros_like(SIZES), SIZES)
    assert algorithm_1[0] > 10 * steps[0]


@pytest.mark.tensorflow
def test_defaults_are_those_of_keras(keras):
    adam, rmsprop = keras.optimizers.Adam(), keras.optimizers.RMSprop()
    own_adam, own_rmsprop = Adam(0.001), RMSProp(0.001)
    for name in ("beta_1", "beta_2", "epsilon"):
        assert getattr(own_adam, name) == getattr(adam, name)
    assert (own_rmsprop.rho, own_rmsprop.epsilon) == (rmsprop.rho, rmsprop.epsilon)


def test_partial_classes_make_optimizers():
    quick = partial(Adam, beta_2=0.9)
    assert quick(learning_rate=0.1).beta_2 == 0.9


def test_descent_moves_each_weight_as_descend_moves_it_alone():
    starts = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([4.0])]
    curvatures = [2.0, 0.3]
    before = [start.copy() for start in starts]
    path = descent(
        lambda weights: [c * w for c, w in zip(curvatures, weights, strict=True)],
        starts,
        used := Adam(0.1),
    )
    reached = [next(path) for _ in range(20)]
    for place, (start, c) in enumerate(zip(starts, curvatures, strict=True)):
        alone = descend(lambda w, c=c: c * w, start, Adam(0.1), steps=20)
        together = np.stack([weights[place] for weights in reached])
        assert np.array_equal(together, alone[1:])
    assert all(map(np.array_equal, starts, before))
    assert used.t == 0


def test_one_number_stands_for_all_entries_in_descent():
    (w,) = next(descent(lambda _: [2.0], [np.zeros((2, 3))], GradientDescent(0.1)))
    assert np.allclose(w, -0.2)


def test_descent_refuses_gradients_that_do_not_fit_at_the_step():
    weights = [np.zeros((2, 3))]
    with pytest.raises(ValueError, match=r"`weights\[0\]` has shape \(3, 2\); it takes \(2, 3\)"):
        next(descent(lambda _: [np.zeros((3, 2))], weights, Adam(0.1)))
    with pytest.raises(ValueError, match="returned 2 gradients; it takes one for each of 1"):
        next(descent(lambda _: [0.0, 0.0], weights, Adam(0.1)))
