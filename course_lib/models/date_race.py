"""Who learns dates: each way of looking back with its best rate, on the same batches.

A way is an attention of `dates.Translator`, such as "additive", and, where it is a control, what
else is different, after a comma: "additive, reader frozen".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import one_of, positive_int
from course_lib.models.dates import ATTENTIONS, DateRun, train_translator
from course_lib.models.tasks import dates

__all__ = ["date_race", "learn_dates"]

FROZEN = ", reader frozen"
FRESH = 1000  # dates that nobody has trained on
AVERAGED = 20  # steps in one point of a curve


def learn_dates(
    way: str, rate: float, seed: int, *, units: Mapping[str, int], steps: int, batch: int
) -> tuple[DateRun, float, float]:
    """Train one way, and examine it on 1000 dates that belong to the seed.

    Parameters
    ----------
    way : str
        An attention, alone or with ", reader frozen".
    rate : float
        The learning rate of the first step.
    seed : int
        Of the first weights, the batches and the fresh dates: the same dates for every way.
    units : dict
        How wide the GRUs of each way are.
    steps, batch : int

    Returns
    -------
    run : DateRun
    loss : float
        On the fresh dates, in nats a character.
    exact : float
        The share of them of which all ten characters are right, 0 … 1.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the sentence names it.
    """
    ways = [*ATTENTIONS, *(attention + FROZEN for attention in ATTENTIONS)]
    attention = one_of("way", way, ways).removesuffix(FROZEN)
    if way not in units:
        raise ValueError(f"`units` has no {way!r}; it takes the width of each way.")
    seed = positive_int("seed", seed, minimum=0)
    run = train_translator(
        attention, units=units[way], steps=steps, batch=batch, learning_rate=rate, seed=seed,
        frozen_reader=way.endswith(FROZEN),
    )  # fmt: skip
    fresh = dates(FRESH, np.random.default_rng(10_000 + seed))
    return run, run.translator.loss(fresh), run.translator.exact(fresh)


def date_race(
    ways: Sequence[str],
    rates: Sequence[float],
    grid_seeds: Sequence[int],
    seeds: Sequence[int],
    patient: int,
    *,
    units: Mapping[str, int],
    steps: int,
    batch: int,
) -> dict[str, NDArray[np.float64]]:
    """Train every way at the best of some rates, which other seeds than the reported ones chose.

    Parameters
    ----------
    ways : sequence of str
        As `learn_dates` takes them.
    rates : sequence of float
    grid_seeds, seeds : sequences of int
        Those by which the rate is chosen, and those that are reported.
    patient : int
        Steps of some longer runs of the first way, with the first three seeds.
    units, steps, batch
        As for `learn_dates`.

    Returns
    -------
    dict of arrays
        `grid`, shape (ways, rates, grid seeds), losses on fresh dates; `exact`, shape (ways,
        seeds); `curves`, shape (ways, seeds, steps / 20), losses of the batches; `late`, shape
        (3,), the share right after the longer runs.

    Raises
    ------
    TypeError, ValueError
        As for `learn_dates`.
    """

    def learn(way: str, rate: float, seed: int, steps: int) -> tuple[DateRun, float, float]:
        return learn_dates(way, rate, seed, units=units, steps=steps, batch=batch)

    grid = np.array(
        [[[learn(way, rate, seed, steps)[1] for seed in grid_seeds] for rate in rates]
         for way in ways]
    )  # fmt: skip
    best = [rates[place] for place in grid.mean(axis=2).argmin(axis=1)]
    found = [[learn(way, rate, seed, steps) for seed in seeds]
             for way, rate in zip(ways, best, strict=True)]  # fmt: skip
    late = [learn(ways[0], best[0], seed, patient)[2] for seed in seeds[:3]]
    curves = [[run.losses.reshape(-1, AVERAGED).mean(axis=1) for run, *_ in runs] for runs in found]
    return {
        "grid": grid,
        "exact": np.array([[exact for *_, exact in runs] for runs in found]),
        "curves": np.array(curves),
        "late": np.array(late),
    }
