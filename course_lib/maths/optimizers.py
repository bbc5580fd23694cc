"""Optimisers: what becomes of a gradient before it moves a parameter.

With θ the parameters, g_t = ∂𝓛/∂θ at step t = 1, 2, … and α the learning rate, element by element:

    gradient descent    θ ← θ − α g                                         (1)
    momentum            u ← μ u − α g,              θ ← θ + u               (2)
    Nesterov            u ← μ u − α g,              θ ← θ + μ u − α g       (3)
    RMSProp             v ← ρ v + (1 − ρ) g²,       θ ← θ − α g / √(v + ε)  (4)
    Adam                m ← β₁ m + (1 − β₁) g,      m̂ = m / (1 − β₁ᵗ)       (5)
                        v ← β₂ v + (1 − β₂) g²,     v̂ = v / (1 − β₂ᵗ)       (6)
                        θ ← θ − α m̂ / (√v̂ + ε)                              (7)
    AMSGrad             the same with the largest v so far in place of v    (8)

u, m and v start at 0. Each class keeps them for one array of parameters:
`theta = Adam(learning_rate=0.001).step(theta, gradient)`. It is stochastic gradient descent when g
comes from a batch; the optimiser cannot tell. Names and defaults are Keras's, but that the
learning rate is always said. Where Keras, PyTorch and the papers disagree, it is about where ε
stands, and an argument chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import as_array, function, instance, number, positive_int, positive_number

__all__ = [
    "AMSGrad",
    "Adam",
    "GradientDescent",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "WarmUp",
    "descend",
    "descent",
]

Array = NDArray[np.float64]
Rate = float | Callable[[int], float]


@dataclass(frozen=True)
class WarmUp:
    """A learning rate that rises in a straight line and then stays: α_t = rate · min(1, t / steps).

    (Vaswani et al. 2017, 5.3, let it fall again like t^(−1/2).)

    Parameters
    ----------
    rate : float
        Where it ends, above 0.
    steps : int
        How long it rises; 1 is none.

    Raises
    ------
    TypeError, ValueError
        If a number is none or out of range.
    """

    rate: float
    steps: int

    def __post_init__(self) -> None:
        """Refuse what is no rate or no number of steps."""
        positive_number("rate", self.rate)
        positive_int("steps", self.steps)

    def __call__(self, t: int) -> float:
        """Return the rate of step t, from 1 on."""
        return self.rate * min(1.0, t / self.steps)


class Optimizer(ABC):
    """What all optimisers have in common; a new one defines `_change`, and `reset` for its state.

    Parameters
    ----------
    learning_rate : float, or callable
        α, above 0; a callable takes t = 1, 2, … and returns α_t.

    Attributes
    ----------
    t : int
        Steps taken since the last `reset`.

    Raises
    ------
    TypeError, ValueError
        If a number is none or out of range; the sentence names the argument.
    """

    def __init__(self, learning_rate: Rate) -> None:
        self.learning_rate = learning_rate
        self.reset()

    @property
    def learning_rate(self) -> Rate:
        """α, or the function that gives α_t."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        """Take another α from the next step on."""
        self._learning_rate = value if callable(value) else positive_number("learning_rate", value)

    def reset(self) -> None:
        """Forget all steps: t, and what the optimiser has gathered from the gradients."""
        self.t = 0
        self._shape: tuple[int, ...] | None = None

    def step(self, theta: ArrayLike, gradient: ArrayLike) -> Array:
        """Return θ after one more step; `theta` and `gradient` are not changed.

        Parameters
        ----------
        theta, gradient : arrays of one shape, any shape
            The same shape at each step, until `reset`.

        Returns
        -------
        array, shaped like `theta`

        Raises
        ------
        TypeError, ValueError
            If an array is not finite, or the shapes differ.
        """
        theta = as_array("theta", theta)
        if self._shape not in (None, theta.shape):
            raise ValueError(
                f"`theta` has shape {theta.shape}; this optimiser takes {self._shape}, "
                "as in its steps so far, until `.reset()`."
            )
        takes = f"one number for each of `theta`, shape {theta.shape}"
        gradient = as_array("gradient", gradient, shape=theta.shape, takes=takes)
        self._shape = theta.shape
        with np.errstate(over="ignore"):  # g² beyond 1e308 is infinite, and stops Adam for good
            return theta + self.change(gradient)

    def change(self, gradient: Array) -> Array:
        """Return what one more step adds to θ, without checks, for loops that train."""
        self.t += 1
        alpha = self._learning_rate
        if callable(alpha):
            alpha = positive_number(f"learning_rate({self.t})", alpha(self.t))
        return self._change(gradient, alpha, self.t)

    @abstractmethod
    def _change(self, g: Array, alpha: float, t: int) -> Array:
        """Return what step t adds to θ, for the gradient g and the learning rate α_t."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: learning rate {self._learning_rate}, {self.t} steps taken>"


class GradientDescent(Optimizer):
    """Gradient descent (1): straight down, as far as the slope is steep.

    Parameters
    ----------
    learning_rate : float, or callable
        α. On a quadratic it converges where α is below 2 / the largest curvature.
    """

    def _change(self, g: Array, alpha: float, t: int) -> Array:
        return -alpha * g


class Momentum(Optimizer):
    """Momentum (2), the heavy ball of Polyak (1964), as in Keras's `SGD(momentum=…)`.

    Under a constant gradient the steps grow to α g / (1 − μ), ten times α g with μ = 0.9.

    Parameters
    ----------
    learning_rate : float, or callable
    momentum : float, 0 or more
        μ, the share of the last step that is taken again.

    Attributes
    ----------
    velocity : array
        u, the last step.
    """

    def __init__(self, learning_rate: Rate, momentum: float = 0.9) -> None:
        self.momentum = number("momentum", momentum, minimum=0)
        super().__init__(learning_rate)

    def reset(self) -> None:
        """Forget all steps: t = 0 and u = 0."""
        super().reset()
        self.velocity: Any = 0.0

    def _change(self, g: Array, alpha: float, t: int) -> Array:
        self.velocity = self.momentum * self.velocity - alpha * g
        return self.velocity


class Nesterov(Momentum):
    """Nesterov's momentum (3), as in Keras's `SGD(nesterov=True)`.

    Nesterov (1983) takes the gradient at θ + μ u, where momentum is about to carry θ. What is kept
    here, in Keras and in PyTorch is that point itself (Bengio et al. 2013, eq. 7): the gradient is
    taken where the parameters are, and the first step is (1 + μ) α g.
    """

    def _change(self, g: Array, alpha: float, t: int) -> Array:
        return self.momentum * super()._change(g, alpha, t) - alpha * g


class RMSProp(Optimizer):
    """RMSProp (4): each gradient over the root mean square of its past (Hinton 2012, lecture 6e).

    v starts at 0 and nothing corrects for it, so the first step is about α / √(1 − ρ): 3.2 α.

    Parameters
    ----------
    learning_rate : float, or callable
    rho : float, from 0 to below 1
        ρ, how much of v is kept.
    epsilon : float, above 0
    epsilon_inside : bool
        True: g / √(v + ε), as in Keras. False: g / (√v + ε), as in PyTorch; the same ε then stops
        gradients below ε, not below √ε.

    Attributes
    ----------
    v : array
        The running mean of g².
    """

    def __init__(
        self,
        learning_rate: Rate,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        *,
        epsilon_inside: bool = True,
    ) -> None:
        self.rho = _decay_rate("rho", rho)
        self.epsilon = positive_number("epsilon", epsilon)
        self.epsilon_inside = instance("epsilon_inside", epsilon_inside, bool, "True or False")
        super().__init__(learning_rate)

    def reset(self) -> None:
        """Forget all steps: t = 0 and v = 0."""
        super().reset()
        self.v: Any = 0.0

    def _change(self, g: Array, alpha: float, t: int) -> Array:
        self.v = self.rho * self.v + (1 - self.rho) * g**2
        if self.epsilon_inside:
            return -alpha * g / np.sqrt(self.v + self.epsilon)
        return -alpha * g / (np.sqrt(self.v) + self.epsilon)


class Adam(Optimizer):
    """Adam (5) to (7): a step of about α for each parameter, whatever the size of its gradient.

    Kingma & Ba (2015), algorithm 1. Under a constant gradient far above ε every step is α.

    Parameters
    ----------
    learning_rate : float, or callable
    beta_1, beta_2 : float, from 0 to below 1
        β₁ and β₂, how much of m and of v is kept.
    epsilon : float, above 0
    bias_correction : bool
        False leaves out the divisions by 1 − β₁ᵗ and 1 − β₂ᵗ: the first step is then
        (1 − β₁) / √(1 − β₂) times as large, 3.2 α with the defaults.
    epsilon_inside : bool
        True: ε is added to √v before the correction, α √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε), as
        Keras does; this is the ε̂ at the end of the paper's section 2. False: to √v̂, as in (7) and
        in PyTorch, whose ε is 1e-8. Seen from (7), ε̂ is ε̂ / √(1 − β₂ᵗ), 32 times as large at t = 1.

    Attributes
    ----------
    m, v : arrays
        The running means of g and of g², not corrected.
    """

    def __init__(
        self,
        learning_rate: Rate,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        bias_correction: bool = True,
        epsilon_inside: bool = True,
    ) -> None:
        self.beta_1 = _decay_rate("beta_1", beta_1)
        self.beta_2 = _decay_rate("beta_2", beta_2)
        self.epsilon = positive_number("epsilon", epsilon)
        self.bias_correction = instance("bias_correction", bias_correction, bool, "True or False")
        self.epsilon_inside = instance("epsilon_inside", epsilon_inside, bool, "True or False")
        super().__init__(learning_rate)

    def reset(self) -> None:
        """Forget all steps: t = 0, m = 0 and v = 0."""
        super().reset()
        self.m: Any = 0.0
        self.v: Any = 0.0

    def _change(self, g: Array, alpha: float, t: int) -> Array:
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        corrected = (1 - self.beta_1**t, 1 - self.beta_2**t) if self.bias_correction else (1, 1)
        return -alpha * self._direction(self.m, self.v, *corrected)

    def _direction(self, m: Array, v: Array, m_weight: float, v_weight: float) -> Array:
        """Return m̂ / (√v̂ + ε), where m̂ = m / m_weight and v̂ = v / v_weight."""
        if self.epsilon_inside:
            return np.sqrt(v_weight) / m_weight * m / (np.sqrt(v) + self.epsilon)
        return m / m_weight / (np.sqrt(v / v_weight) + self.epsilon)


class AMSGrad(Adam):
    """AMSGrad (8): Adam whose v never falls (Reddi, Kale & Kumar 2018, algorithm 2).

    The paper has no bias correction and no ε. Keras's `Adam(amsgrad=True)` and PyTorch's have both,
    and keep the largest of the uncorrected v; so does this. `bias_correction=False` is the paper.

    Attributes
    ----------
    v_max : array
        The largest v so far, of each parameter.
    """

    def reset(self) -> None:
        """Forget all steps: t = 0, and m, v and the largest v are 0."""
        super().reset()
        self.v_max: Any = 0.0

    def _direction(self, m: Array, v: Array, m_weight: float, v_weight: float) -> Array:
        self.v_max = np.maximum(self.v_max, v)
        return super()._direction(m, self.v_max, m_weight, v_weight)


def descend(
    gradient: Callable[[Array], ArrayLike], start: ArrayLike, optimizer: Optimizer, steps: int
) -> Array:
    """Follow an optimiser down a surface and return every point on the way.

    Parameters
    ----------
    gradient : callable
        Takes θ, shape (d,), and returns ∂𝓛/∂θ there, of the same shape.
    start : array, shape (d,)
        The first point; an array of another shape, or one number, works as well.
    optimizer : one of the optimisers above, such as `Adam(learning_rate=0.1)`
        Begins afresh: it is `reset` first.
    steps : int

    Returns
    -------
    array, shape (steps + 1, d)
        The start, and θ after each step. From the step on at which θ or its gradient leaves the
        range of float64, NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or `gradient` returns no numbers or too many.
    """
    function("gradient", gradient, "a function of θ that returns the gradient there")
    theta = as_array("start", start)
    takes = "an optimiser, such as `Adam(learning_rate=0.1)`"
    instance("optimizer", optimizer, Optimizer, takes)  # type: ignore[type-abstract]
    path = np.full((positive_int("steps", steps) + 1, *theta.shape), np.nan)
    path[0] = theta
    takes = f"one number for each of θ, shape {theta.shape}"
    optimizer.reset()
    with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
        for t in range(steps):
            g = gradient(path[t].copy())
            g = as_array("gradient(θ)", g, shape=theta.shape, finite=False, takes=takes)
            theta = path[t] + optimizer.change(g)
            if not np.isfinite(theta).all():
                break
            path[t + 1] = theta
    return path


def descent(
    gradient: Callable[[list[Array]], Sequence[ArrayLike]],
    weights: Sequence[ArrayLike],
    optimizer: Optimizer,
) -> Iterator[list[Array]]:
    """Follow an optimiser down with a list of weights: yield them after each step, without end.

    Parameters
    ----------
    gradient : callable
        Takes the weights and returns as many gradients, each of the shape of its weight; one
        number stands for all entries.
    weights : sequence of arrays
        They stay as they are.
    optimizer : one of the optimisers above, such as `Adam(learning_rate=0.1)`
        Each weight gets a copy of its own, `reset` first.

    Yields
    ------
    list of arrays
        What is not finite is passed on: an explosion is a result here.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; at a step, if a gradient has not the shape of its weight.
    """
    function("gradient", gradient, "a function of the weights that returns their gradients")
    here = [as_array(f"weights[{place}]", w) for place, w in enumerate(weights)]
    takes = "an optimiser, such as `Adam(learning_rate=0.1)`"
    instance("optimizer", optimizer, Optimizer, takes)  # type: ignore[type-abstract]
    rules = [deepcopy(optimizer) for _ in here]
    for rule in rules:
        rule.reset()
    return _steps(gradient, here, rules)


def _steps(gradient: Any, weights: list[Array], rules: list[Optimizer]) -> Iterator[list[Array]]:
    while True:
        gradients = gradient(list(weights))
        if len(gradients) != len(weights):
            raise ValueError(
                f"`gradient` returned {len(gradients)} gradients; it takes one for each of "
                f"{len(weights)} weights."
            )
        for place, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            if np.shape(g) not in (w.shape, ()):
                raise ValueError(
                    f"the gradient of `weights[{place}]` has shape {np.shape(g)}; it takes "
                    f"{w.shape}, or one number."
                )
        with np.errstate(over="ignore", invalid="ignore"):
            weights = [
                w + rule.change(np.broadcast_to(g, w.shape))
                for w, g, rule in zip(weights, gradients, rules, strict=True)
            ]
        yield weights


def _decay_rate(name: str, value: float) -> float:
    """Return `value` if it is a number from 0 to below 1."""
    takes = "a number from 0 to below 1"
    value = number(name, value, minimum=0, maximum=1, takes=takes)
    if value == 1:
        raise ValueError(f"`{name}` is 1; it takes {takes}.")
    return value
