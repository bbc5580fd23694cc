"""Two language models beside each other: one step built once, many runs."""

import time

import numpy as np

from course_lib.models import duel
from course_lib.models.text import load_text

SIZES = {
    "LSTM": {"units": 6, "embedding": 4},
    "Transformer": {"units": 8, "heads": 2, "depth": 1, "hidden": 8},
}


def test_a_trainer_begins_anew_and_repeats_itself():
    build = duel.language_models(7, SIZES)["Transformer"]
    trainer = duel.Trainer(build)
    x, y = duel.batches(np.arange(200) % 7, 10, 4, 12, 1)

    def run(rate, seed):
        trainer.start(rate, seed)
        return [trainer.step(x[i], y[i]) for i in range(12)]

    first, other, again = run(0.01, 1), run(0.03, 2), run(0.01, 1)
    assert first == again
    assert first[0] != other[0]
    assert first[-1] < first[0]
    assert not np.array_equal(trainer.model.get_weights()[0], build(1).get_weights()[0])


def test_judging_leaves_out_the_beginning():
    build = duel.language_models(7, SIZES)["LSTM"]
    model = build(1)
    model.get_layer("logits").set_weights([np.zeros((6, 7)), np.zeros(7)])
    codes = np.random.default_rng(1).integers(0, 7, 500)
    assert abs(duel.judged_after(model, codes, 20, 5) - np.log2(7)) < 1e-5


def test_the_duel_fills_its_tables():
    config = {
        "text": "northanger_abbey",
        "sizes": SIZES,
        "length": 10,
        "batch": 2,
        "uncounted": 5,
        "rates": [0.001, 0.01],
        "rate_steps": 2,
        "rate_seed": 9,
        "seeds": [0, 1],
        "steps": 4,
        "every": 2,
    }
    of = duel.duel(**config)
    trainers = duel.trainers_for("northanger_abbey", SIZES)
    again = duel.replay(of, config, trainers["Transformer"], 1, 3)
    np.testing.assert_allclose(again, of["losses"][1, 1, :3], atol=1e-5)
    assert np.shape(of["tuned"]) == (2, 2)
    assert of["held_out"].shape == (2, 2, 2)
    assert of["losses"].shape == (2, 2, 4)
    assert (of["seconds"] > 0).all()
    assert of["seconds"].shape == (2,)
    size = load_text("northanger_abbey").size
    assert of["parameters"][0] == duel.language_models(size, SIZES)["LSTM"](0).count_params()
    assert np.abs(of["held_out"] - np.log2(size)).max() < 2


def test_products_by_hand():
    trainers = duel.trainers_for("northanger_abbey", SIZES)
    size = load_text("northanger_abbey").size
    found = duel.products_for_a_character(trainers, 10)
    assert found["LSTM"] == 4 * 6 * (4 + 6) + 6 * size
    assert found["Transformer"] == 4 * 8**2 + 2 * 8 * 8 + 8 * size + 2 * 10 * 8


def test_a_step_on_longer_windows_costs_more():
    trainers = duel.trainers_for("northanger_abbey", SIZES)
    codes = np.arange(2 * 20 * 80).reshape(2, 20, 80) % 50
    long = duel.seconds_of_a_step(trainers, *codes, turns=5)
    short = duel.seconds_of_a_step(trainers, *codes[:, :2, :4], turns=5)
    assert (long > 1.5 * short).all()


def test_time_and_memory_are_those_of_the_work():
    ways = {"little": lambda n: sum(range(n)), "much": lambda n: sum(range(50 * n))}
    seconds = duel.seconds_in_turns(ways, [2000, 40_000])
    assert seconds["much"][1] > 5 * seconds["little"][1] > 5 * seconds["little"][0]
    alone = duel.seconds_in_turns({"sleep": lambda n: time.sleep(0.01)}, [1], turns=3)
    assert alone["sleep"][0] < 0.005  # of the processor's time, not of the clock's
    found, few = duel.with_peak_memory(np.zeros, 1000)
    _, many = duel.with_peak_memory(np.zeros, 100_000)
    assert found.shape == (1000,)
    assert 800_000 <= many < 1_000_000 > 10 * few
