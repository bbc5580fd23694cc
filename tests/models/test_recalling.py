"""A Transformer trained in NumPy: its gradient, its runs, and the races."""

from functools import partial

import numpy as np
import pytest

from course_lib.maths.differences import central_differences
from course_lib.models import recalling
from course_lib.models.tasks import first_symbol_recall

SIZES = {"units": 8, "heads": 2, "depth": 2, "hidden": 6}


def draw(rng, batch=8, length=4):
    return first_symbol_recall(batch, length, rng)


@pytest.mark.parametrize("normalization", [None, "pre", "post"])
def test_gradient_of_every_parameter(normalization):
    reader = recalling.Reader(
        4, 4, 8, 2, 2, 6, np.random.default_rng(1), normalization=normalization
    )
    reader.theta += 0.1 * np.random.default_rng(2).standard_normal(reader.theta.shape)
    x, y = draw(np.random.default_rng(3), batch=3)
    start = reader.theta.copy()

    def loss(weights):
        reader.theta[:] = weights[0]
        return reader.loss_and_gradient(x, y)[0]

    (numbers,) = central_differences(loss, [start])
    reader.theta[:] = start
    _, gradient = reader.loss_and_gradient(x, y)
    np.testing.assert_allclose(gradient, numbers, atol=1e-7)
    assert np.abs(gradient).max() > 1e-2


def test_blocks_are_views_of_the_parameters():
    reader = recalling.Reader(4, 4, 8, 2, 2, 6, np.random.default_rng(1))
    x, _ = draw(np.random.default_rng(3))
    before = reader.predict(x)
    reader.theta *= 0.5
    assert np.abs(reader.predict(x) - before).max() > 1e-3
    scales = [block.scales[0] for block in reader.blocks]
    assert not np.shares_memory(*scales)


def test_it_learns_and_a_seed_repeats_it():
    how = {"outputs": 4, "steps": 120, "rate": 0.01, "seed": 3, **SIZES}
    run, again = (recalling.train_reader(draw, **how) for _ in range(2))
    assert np.array_equal(run.losses, again.losses)
    assert run.losses[:5].mean() > 1.0 > 5 * run.losses[-20:].mean()
    assert run.accuracy(*draw(np.random.default_rng(9), batch=200)) > 0.95


def test_warm_up_takes_small_steps_first():
    how = {"outputs": 4, "steps": 2, "rate": 0.01, "seed": 3, **SIZES}
    thetas = [recalling.train_reader(draw, **how, warm_up=w).reader.theta for w in (1, 1000)]
    start = recalling.train_reader(draw, **{**how, "rate": 1e-12}).reader.theta
    fast, slow = (np.linalg.norm(theta - start) for theta in thetas)
    assert slow < 0.01 * fast


def test_without_positions_the_order_of_the_others_is_lost():
    """Tokens but the last are moved: the same answer without positions, another one with them."""
    x, _ = draw(np.random.default_rng(3), length=6)
    moved = x[:, [3, 1, 4, 0, 2, 5]]
    for positions, is_same in ((False, True), (True, False)):
        reader = recalling.Reader(4, 4, 8, 2, 2, 6, np.random.default_rng(1), positions=positions)
        assert np.allclose(reader.predict(x), reader.predict(moved), atol=1e-12) == is_same
    how = {"outputs": 4, "steps": 60, "rate": 0.01, "seed": 3, **SIZES}
    told, untold = (recalling.train_reader(draw, **how, positions=p) for p in (True, False))
    assert told.losses[0] != untold.losses[0]
    assert not np.array_equal(told.reader.theta, untold.reader.theta)


def test_a_run_that_explodes_ends_in_nan():
    how = {"outputs": 4, "steps": 9, "rate": 1e200, "seed": 3, **SIZES}
    run = recalling.train_reader(draw, **how, normalization=None)
    assert np.isfinite(run.losses[0])
    assert np.isnan(run.losses[-1])


def test_all_contestants_read_the_same_batches():
    untold = {**SIZES, "positions": False}
    sizes = {"RNN": 6, "LSTM": 6, "LSTM, chrono": 6, "Transformer": SIZES}
    sizes["Transformer, no positions"] = untold
    how = {"batch": 8, "steps": 20, "symbols": 4, "clip": 1.0}
    race = recalling.recall_race(
        sizes=sizes, lengths=[4, 6], rates=[0.003, 0.01], rate_seeds=[5], seeds=[0, 1, 2], **how
    )
    assert race["tuned"].shape == (5, 2, 2)
    assert race["right"].shape == (5, 2, 3)
    assert race["losses"].shape == (5, 2, 3, 2)
    config = {"sizes": sizes, "lengths": [4, 6], "rates": [0.003, 0.01]}
    rows, header = recalling.race_table(race, config)
    assert [len(row) for row in rows] == [len(header)] * 10
    assert rows[9][:2] == ["no positions", 6]
    assert float(rows[9][2].split()[1]) == round(race["right"][4, 1, 1], 2)
    best = [0.003, 0.01][np.argmin(race["tuned"][3, 0])]
    losses, share = recalling.recall_run("Transformer", 4, best, 1, sizes=sizes, **how)
    assert race["right"][3, 0, 1] == share
    assert np.array_equal(race["losses"][3, 0, 1], losses.reshape(-1, 10).mean(axis=1))


def test_warm_up_race_fills_its_table():
    race = recalling.warm_up_race(
        places=["pre", "post"],
        warm_ups=[1, 5],
        rates=[0.001, 0.01],
        seeds=[0],
        length=4,
        batch=4,
        symbols=4,
        steps=10,
        **SIZES,
    )
    assert race["final"].shape == (2, 2, 2, 1)
    assert np.unique(race["final"]).size == 8
    config = {"places": ["pre", "post"], "warm_ups": [1, 5], "rates": [0.001, 0.01]}
    rows, header = recalling.warm_up_table(race["final"], config)
    assert [row[:2] for row in rows[1:3]] == [["pre-LN", "5 steps"], ["post-LN", "none"]]
    assert float(rows[2][3]) == round(race["final"][1, 0, 1, 0], 2)
    assert len(header) == len(rows[0])


def test_read_out_alone():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, 600)
    told, noise = np.eye(4)[y][:, None], rng.standard_normal((600, 1, 4))
    assert recalling.read_out_alone(lambda x: x[:, -1], told, y) == 1.0
    assert recalling.read_out_alone(lambda x: x[:, -1], noise, y) < 0.45


def test_untrained_bodies_know_less_than_all_tokens():
    x, y = first_symbol_recall(600, 12, np.random.default_rng(1))
    sizes = {"RNN": 9, "LSTM": 5, "Transformer": SIZES}
    found = recalling.untrained_answers(x, y, sizes, np.random.default_rng(2))
    assert found.pop("all tokens side by side") == 1.0
    assert set(found) == set(sizes)
    assert all(0.2 < share < 0.9 for share in found.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "`steps` is 0"),
        ({"rate": -1.0}, "`rate` is -1"),
        ({"warm_up": 0}, "`warm_up` is 0"),
        ({"normalization": "mid"}, "`normalization`"),
        ({"heads": 3}, "`heads` is 3"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, words):
    how = {"outputs": 4, "steps": 2, "rate": 0.01, **SIZES, **change}
    with pytest.raises((TypeError, ValueError)) as error:
        recalling.train_reader(partial(draw, batch=2), **how)
    assert words in str(error.value)
