"""Networks that read characters and words: what they compute, learn, and write."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths import recurrent
from course_lib.models import gradient_flow, language
from course_lib.models.language import (
    CELLS,
    StepByStep,
    character_model,
    evaluate,
    generate,
    sentence_classifier,
    train_character_model,
)
from course_lib.models.text import Text, baselines, load_text, sample, tempered, windows
from course_lib.models.training import accuracy, fit

K = 7
CODES = np.random.default_rng(71).integers(0, K, 60)
ALPHABET = Text("alphabet", "abcdefg" * 200, "abcdefg")
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


def rng(seed=71):
    return np.random.default_rng(seed)


def refuses(kind, call, *parts):
    """`call` raises `kind` with one sentence that has `parts` in it."""
    with pytest.raises(kind) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for part in parts:
        assert part in sentence, sentence


def away_from_the_start(model):
    """Give the model weights that are far from those it began with, biases too."""
    draw = rng(5)
    model.set_weights([draw.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@EVERY_CELL
@pytest.mark.parametrize("embedding", [None, 5])
def test_a_language_model_gives_logits_at_every_step(cell, embedding):
    model = character_model(cell, K, 6, embedding=embedding)
    for length in (1, 9):
        assert model(np.zeros((2, length), dtype=int)).shape == (2, length, K)
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    inputs = embedding or K
    biases = 2 if cell == "gru" else 1  # reset_after
    expected = gates * 6 * (inputs + 6 + biases) + (6 + 1) * K + (K * (embedding or 0))
    assert model.count_params() == expected


@EVERY_CELL
def test_a_seed_draws_the_same_weights_and_every_matrix_its_own(cell):
    one, again, other = (character_model(cell, 6, 6, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(one.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    assert not np.array_equal(one.get_weights()[0], one.get_weights()[1])


@pytest.mark.parametrize(("cell", "name"), [("rnn", "SimpleRNN"), ("lstm", "LSTM"), ("gru", "GRU")])
def test_it_computes_what_the_equations_say(cell, name):
    model = away_from_the_start(character_model(cell, K, 6))
    layer = getattr(recurrent, name).from_keras(model.get_layer(cell))
    kernel, bias = model.get_layer("logits").get_weights()
    x, _ = windows(CODES, 12, 5, rng())
    expected = layer.forward(np.eye(K)[x]).outputs @ kernel + bias
    np.testing.assert_allclose(model(x).numpy(), expected, atol=2e-5)


# Judging


@EVERY_CELL
def test_a_text_is_judged_as_if_read_one_by_one(cell):
    model = away_from_the_start(character_model(cell, K, 6, embedding=4))
    reader = StepByStep(model)
    logits = [reader.predict(CODES[:i]) for i in range(1, 60)]
    nats = [-np.log(tempered(row, 1)[code]) for row, code in zip(logits, CODES[1:], strict=True)]
    assert evaluate(model, CODES, streams=1) == pytest.approx(np.mean(nats), rel=1e-5)


def test_streams_are_read_side_by_side_each_with_its_own_state():
    model = away_from_the_start(character_model("gru", K, 6))
    parts = [evaluate(model, CODES[start : start + 15], streams=1) for start in (0, 14, 28, 42)]
    assert evaluate(model, CODES[:57], streams=4) == pytest.approx(np.mean(parts), rel=1e-6)
    assert evaluate(model, CODES, streams=4) == pytest.approx(np.mean(parts), rel=1e-6)


def test_a_model_that_knows_nothing_needs_log_K():
    model = character_model("lstm", K, 6)
    model.get_layer("logits").set_weights([np.zeros((6, K)), np.zeros(K)])
    assert evaluate(model, CODES, streams=3) == pytest.approx(np.log(K), rel=1e-7)


# Training


@EVERY_CELL
def test_it_learns_the_alphabet_and_writes_it_on(cell):
    model = character_model(cell, K, 12)
    before = evaluate(model, ALPHABET.codes[:200])
    history = train_character_model(
        model, ALPHABET.codes, steps=120, length=10, batch_size=8, learning_rate=0.02
    )
    assert history.steps == 120
    assert evaluate(model, ALPHABET.codes[:500], streams=2) < 0.15 < 1.5 < before
    assert generate(model, ALPHABET, "cde", 12, temperature=0) == "fgabcdefgabc"


def test_it_beats_single_characters_on_a_novel():
    text = load_text("northanger_abbey")
    train, test = text.split()
    model = character_model("gru", text.size, 48)
    train_character_model(model, train, steps=120, length=30, learning_rate=0.01)
    bits = evaluate(model, test[:5000]) / np.log(2)
    assert bits < baselines(train, test[:5000], size=text.size, order=1)["unigram"] - 0.4


def test_the_same_seed_shows_every_model_the_same_characters(monkeypatch):
    shown = []
    monkeypatch.setattr(language, "fit", lambda *given, **settings: shown.append((given, settings)))
    for seed, cell in ((2, "rnn"), (2, "lstm"), (3, "lstm")):
        train_character_model(
            character_model(cell, K, 4),
            CODES,
            steps=5,
            length=8,
            batch_size=3,
            clip=0.25,
            seed=seed,
        )
    (_, x, y), settings = shown[0]
    assert x.shape == y.shape == (15, 8)  # windows of its own for every step
    assert np.array_equal(x, shown[1][0][1])
    assert not np.array_equal(x, shown[2][0][1])
    assert settings["seed"] == shown[1][1]["seed"] == 2
    assert settings["optimizer"].global_clipnorm == 0.25


def test_the_gradient_flow_of_a_language_model_can_be_measured():
    model = character_model("lstm", K, 6)
    x, y = windows(CODES, 10, 4, rng())
    flow = gradient_flow.by_time_step(
        model, x, y, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    assert flow["lstm"].norms.shape == (10,)
    assert (flow["lstm"].norms > 0).all()


# Step by step, and writing


@EVERY_CELL
@pytest.mark.parametrize("embedding", [None, 5])
def test_step_by_step_gives_what_the_model_gives_at_once(cell, embedding):
    model = away_from_the_start(character_model(cell, K, 6, embedding=embedding))
    expected = model(CODES[None, :20]).numpy()[0]
    reader = StepByStep(model)
    for n in (1, 2, 3, 10, 20):
        np.testing.assert_allclose(reader.predict(CODES[:n]), expected[n - 1], atol=1e-5)
    np.testing.assert_allclose(reader.predict(CODES[:7]), expected[6], atol=1e-5)  # starts again
    other = np.r_[CODES[7:12], CODES[:3]]
    np.testing.assert_allclose(reader.predict(other), model(other[None]).numpy()[0, -1], atol=1e-5)
    np.testing.assert_allclose(reader.predict(other), reader.predict(other))


def test_layers_on_top_of_each_other_go_step_by_step():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(K, 4),
            layers.GRU(5, return_sequences=True),
            layers.Dropout(0.5),
            layers.LSTM(6, return_sequences=True),
            layers.Dense(K),
        ]
    )
    away_from_the_start(model)
    expected = model(CODES[None, :9]).numpy()[0, -1]
    np.testing.assert_allclose(StepByStep(model).predict(CODES[:9]), expected, atol=1e-5)


def test_a_model_that_cannot_go_step_by_step_is_refused():
    layers = keras.layers
    codes = keras.Input((None,), dtype="int32")
    x = layers.Embedding(K, 4)(codes)
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both_ways")(x)
    model = keras.Model(codes, layers.Dense(K)(both))
    refuses(ValueError, lambda: StepByStep(model), "both_ways (Bidirectional)")
    refuses(ValueError, lambda: StepByStep(sentence_classifier("gru", 9, 2)), "language model")
    refuses(TypeError, lambda: StepByStep("model"), "`model` is 'model'")


def test_what_is_written_depends_on_seed_and_temperature_alone():
    model = character_model("gru", ALPHABET.size, 6)
    one = generate(model, ALPHABET, "abc", 40, 1.0, seed=3)
    assert len(one) == 40
    assert set(one) <= set(ALPHABET.characters)
    assert generate(model, ALPHABET, "abc", 40, 1.0, seed=3) == one
    assert generate(model, ALPHABET, "abc", 40, 1.0, seed=4) != one
    cold = generate(model, ALPHABET, "abc", 40, 0, seed=3)
    assert cold == generate(model, ALPHABET, "abc", 40, 0, seed=4)


def test_writing_is_sampling_from_the_whole_model():
    model = away_from_the_start(character_model("lstm", ALPHABET.size, 6))

    def slowly(codes):
        return model(codes[None]).numpy()[0, -1]

    expected = ALPHABET.decode(sample(slowly, ALPHABET.encode("ab"), 30, 0.8, rng(3)))
    assert generate(model, ALPHABET, "ab", 30, 0.8, seed=3) == expected


# Sentences


SENTENCES = np.array([[3, 4, 5, 0, 0], [2, 2, 0, 0, 0], [6, 3, 2, 4, 5]])


@pytest.mark.parametrize("cell", [*CELLS, "bag"])
def test_padding_changes_nothing(cell):
    model = away_from_the_start(sentence_classifier(cell, K, 3, embedding=4, units=5))
    logits = model(SENTENCES).numpy()
    assert logits.shape == (3, 3)
    longer = np.pad(SENTENCES, ((0, 0), (0, 4)))
    np.testing.assert_allclose(model(longer).numpy(), logits, atol=1e-6)
    np.testing.assert_allclose(model(SENTENCES[:1, :3]).numpy(), logits[:1], atol=1e-6)
    unmasked = np.where(longer == 0, 1, longer)  # the control: another word is read
    assert np.abs(model(unmasked).numpy() - logits)[:2].max() > 1e-3


@pytest.mark.parametrize("cell", [*CELLS, "bag"])
def test_only_a_bag_does_not_see_the_order(cell):
    model = away_from_the_start(sentence_classifier(cell, K, 3, embedding=4, units=5))
    turned = SENTENCES[2:, ::-1]
    difference = np.abs(model(turned).numpy() - model(SENTENCES[2:]).numpy()).max()
    assert (difference < 1e-6) == (cell == "bag")


@pytest.mark.parametrize("cell", [*CELLS, "bag"])
def test_a_sentence_without_words_has_finite_logits(cell):
    model = sentence_classifier(cell, K, 3)
    assert np.isfinite(model(np.zeros((2, 5), dtype=int))).all()


@pytest.mark.parametrize(("cell", "learns"), [("lstm", True), ("bag", False)])
def test_order_is_learnt_where_there_is_a_state(cell, learns):
    """Words 2 and 3 stand in every sentence; the class is which of them comes first."""
    draw = rng()
    first = draw.integers(0, 2, 400)
    x = draw.integers(4, K, (400, 8))
    x[np.arange(400), draw.integers(0, 4, 400)] = 2 + first
    x[np.arange(400), draw.integers(4, 8, 400)] = 3 - first
    model = sentence_classifier(cell, K, 2, embedding=8, units=12)
    fit(model, x, first, epochs=25, batch_size=40, optimizer=keras.optimizers.Adam(0.02))
    assert (accuracy(model, x, first) > 0.95) == learns


# Bad input


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"cell": "ltsm"}, "perhaps lstm"),
        ({"cell": None}, "`cell` is None"),
        ({"characters": 0}, "`characters` is 0"),
        ({"units": 2.5}, "`units` is 2.5"),
        ({"embedding": -1}, "`embedding` is -1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"seed": "one"}, "`seed` is 'one'"),
    ],
)
def test_a_language_model_refuses(keywords, part):
    arguments = {"cell": "lstm", "characters": K, "units": 4} | keywords
    refuses((TypeError, ValueError), lambda: character_model(**arguments), part)


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"cell": "bags"}, "perhaps bag"),
        ({"vocabulary": 1}, "`vocabulary` is 1"),
        ({"vocabulary": ["a", "b"]}, "`vocabulary` is ['a', 'b']"),
        ({"classes": 1}, "`classes` is 1"),
        ({"embedding": None}, "`embedding` is None"),
        ({"units": 0}, "`units` is 0"),
        ({"seed": None}, "`seed` is None"),
    ],
)
def test_a_classifier_refuses(keywords, part):
    arguments = {"cell": "lstm", "vocabulary": K, "classes": 2} | keywords
    refuses((TypeError, ValueError), lambda: sentence_classifier(**arguments), part)


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"codes": [0, K]}, f"`codes` holds {K}"),
        ({"codes": CODES / 2}, "`codes`"),
        ({"length": 60}, "60 characters"),
        ({"length": 0}, "`length` is 0"),
        ({"steps": 0}, "`steps` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"learning_rate": 0}, "`learning_rate` is 0"),
        ({"clip": -1}, "`clip` is -1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"model": None}, "`model` is None"),
    ],
)
def test_training_refuses(keywords, part):
    arguments = {"model": character_model("rnn", K, 3), "codes": CODES, "steps": 1, "length": 5}
    arguments |= keywords
    refuses((TypeError, ValueError), lambda: train_character_model(**arguments), part)


def test_judging_and_writing_refuse():
    model = character_model("rnn", K, 3)
    refuses(ValueError, lambda: evaluate(model, CODES[:50]), "50 characters", "51 or more")
    refuses(ValueError, lambda: evaluate(model, [9] * 80), "`codes` holds 9")
    refuses(ValueError, lambda: evaluate(model, CODES, streams=0), "`streams` is 0")
    classifier = sentence_classifier("rnn", 9, 2)
    refuses(ValueError, lambda: evaluate(classifier, CODES), "language model")
    refuses(TypeError, lambda: evaluate(tf.zeros(3), CODES), "`model` is")
    refuses(ValueError, lambda: generate(model, ALPHABET, "", 5), "`prompt` is empty")
    refuses(TypeError, lambda: generate(model, ALPHABET, 3, 5), "`prompt` is 3")
    refuses(ValueError, lambda: generate(model, ALPHABET, "z", 5), "'z' at place 0")
    refuses(TypeError, lambda: generate(model, "abc", "a", 5), "`text` is 'abc'")
    refuses(ValueError, lambda: generate(model, ALPHABET, "a", 0), "`length` is 0")
    refuses(ValueError, lambda: generate(model, ALPHABET, "a", 5, -1), "`temperature` is -1")
    novel = load_text("northanger_abbey")
    refuses(ValueError, lambda: generate(model, novel, "a", 5), "7 characters", "has 74")
    refuses(ValueError, lambda: StepByStep(model).predict([]), "0 characters")
