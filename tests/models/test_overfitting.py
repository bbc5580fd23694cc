"""Few sentences, what is said to help against learning them by heart, and a bag of words."""

import keras
import numpy as np
import pytest

from course_lib.maths.differences import central_differences
from course_lib.models import overfitting
from course_lib.models.words import load_sentences

SMALL = {"units": 3, "sentences": 20}


@pytest.fixture(scope="module")
def parts():
    return overfitting.three_parts(words=60, length=6)


def small(parts):
    """The same with few sentences to measure on."""
    few = [overfitting.few_of(sample, 40, 1) for sample in parts[:3]]
    return overfitting.Parts(*few, parts.words)


def test_the_test_part_is_that_of_the_course_and_no_sentence_is_in_two_parts(parts):
    sentences = load_sentences()
    assert len(parts.train.x) + len(parts.validation.x) == len(sentences.train.texts)
    assert np.array_equal(parts.test.y, sentences.test.labels)
    whole = overfitting.three_parts(words=3000, length=40)
    rows = [{tuple(row) for row in sample.x} for sample in whole[:3]]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_more_sentences_hold_all_of_fewer(parts):
    few, more = (overfitting.few_of(parts.train, n, 3) for n in (10, 30))
    assert np.array_equal(more.x[:10], few.x)
    assert np.array_equal(more.y[:10], few.y)
    assert not np.array_equal(few.x, overfitting.few_of(parts.train, 10, 4).x)


@pytest.mark.parametrize("name", ["l1", "l2", "recurrent_l2"])
def test_penalties_are_lambda_times_the_sums_that_they_are_said_to_be(name):
    model = overfitting.classifier(30, 1, units=3, **{name: 0.01})
    matrices = [w for w in model.get_weights() if w.ndim == 2]
    if name == "recurrent_l2":
        matrices = [model.layers[1].cell.recurrent_kernel.numpy()]
    expected = 0.01 * sum(np.sum(np.abs(w) if name == "l1" else w**2) for w in matrices)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert expected > 1e-3


def states(cell):
    """The states of a linear layer with W_h = W_x = 1 that is told 1 at each step."""
    layer = keras.layers.RNN(cell, return_sequences=True)
    x = np.ones((2, 6, 50), np.float32)
    layer.build(x.shape)
    cell.set_weights([np.eye(50), np.eye(50)])
    return np.asarray(layer(x, training=True))


def test_keras_takes_the_same_mask_at_each_step_and_another_one_for_each_sentence():
    cell = keras.layers.SimpleRNNCell(
        50, activation="linear", use_bias=False, recurrent_dropout=0.5, seed=1
    )
    h = states(cell)
    masks = (h[:, 1:] - 1) / h[:, :-1]
    assert set(np.unique(masks.round(6))) == {0.0, 2.0}
    assert np.array_equal(masks, np.broadcast_to(masks[:, :1], masks.shape))
    assert not np.array_equal(masks[0], masks[1])


def test_a_fresh_mask_differs_from_step_to_step_and_keras_own_does_not():
    ones = np.ones((3, 40), np.float32)
    fresh = overfitting.FreshMaskCell(40, recurrent_dropout=0.5)
    keras_own = keras.layers.LSTMCell(40, recurrent_dropout=0.5)
    for cell, same in ((fresh, False), (keras_own, True)):
        one, two = (np.asarray(cell.get_recurrent_dropout_mask(ones)) for _ in range(2))
        assert one.shape == (4, 3, 40)
        assert set(np.unique(one)) == {0.0, 2.0}
        assert np.array_equal(one, two) is same


@pytest.mark.parametrize(
    "settings", [{}, {"decay": 3.0}, {"dropout_recurrent": 0.5}, {"dropout_each_step": 0.5}]
)
def test_a_reader_that_begins_again_is_as_new(parts, settings):
    few, how = small(parts), {"measured": [0, 3, 6]}
    used = overfitting.Reader(few.words, **SMALL, **settings)
    first = used.learn(few, 1, **how)[1]
    other = used.learn(few, 2, **how)[1]
    again = used.learn(few, 1, **how)[1]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (3, 3, 2)
    new = overfitting.Reader(few.words, **SMALL, **settings).learn(few, 1, **how)[1]
    assert np.allclose(first, new, atol=1e-5)


def test_measuring_does_not_disturb(parts):
    few = small(parts)
    reader = overfitting.Reader(few.words, **SMALL, dropout_readout=0.3)
    often = reader.learn(few, 1, measured=range(7))[1]
    assert often.shape == (7, 3, 2)
    assert np.array_equal(often[[2, 6]], reader.learn(few, 1, measured=[2, 6])[1])


def test_a_reader_measures_before_the_first_step_and_after_the_last(parts):
    few = small(parts)
    model, curves = overfitting.Reader(few.words, **SMALL).learn(few, 5, measured=[0, 4])
    newborn = overfitting.classifier(few.words, 5, **SMALL)
    for row, judge in ((0, newborn), (1, model)):
        expected = overfitting.score(judge.predict_on_batch(few.test.x)[:, 0], few.test.y)
        assert curves[row, 2] == pytest.approx(expected, abs=1e-6)


def test_a_small_network_learns_twenty_sentences_by_heart(parts):
    _, curves = overfitting.Reader(parts.words, units=8, sentences=20, rate=0.02).learn(
        small(parts), 1, measured=[0, 80]
    )
    assert curves[-1, 0, 0] < 0.3 < curves[0, 0, 0]


def test_scores_by_hand():
    bits, right = overfitting.score([0.0, np.log(3)], [1, 0])
    assert bits == pytest.approx(1.5)
    assert right == 0.0
    assert overfitting.score([5.0, -5.0], [1, 0])[1] == 1.0


def test_stopping_goes_by_validation_alone():
    bits = np.array([[[1, 1.0, 0], [0, 0.8, 3], [0, 0.9, 0]], [[1, 1, 0], [0, 2, 0], [0, 3, 0]]])
    assert overfitting.stopped_early(bits).tolist() == [1, 0]


def test_three_ways_to_end_a_run():
    bits = np.array([[[1, 1.0, 0], [0, 0.8, 3], [0, 0.9, 5]], [[1, 1, 7], [0, 2, 0], [0, 3, 6]]])
    right, tempered = bits / 10, bits[:, 0] / 2
    found = overfitting.endings(bits, right, tempered)
    assert list(found) == ["at the end", "with a temperature", "stopped early"]
    assert found["at the end"][0][:, 2].tolist() == [5, 6]
    assert np.array_equal(found["with a temperature"][0], tempered)
    assert np.array_equal(found["with a temperature"][1], right[:, -1])
    assert found["stopped early"][0][:, 2].tolist() == [3, 7]
    assert found["stopped early"][1][:, 2] == pytest.approx([0.3, 0.7])


def test_the_cost_at_a_point_of_the_way_is_interpolated():
    bits = [[[1, 0, 2.0], [0.6, 0, 3], [0.2, 0, 7], [0.9, 0, 50]], [[1, 0, 2], [0.9, 0, 3]] * 2]
    assert overfitting.cost_at(bits, 0.5) == pytest.approx([4.0, np.nan], nan_ok=True)
    assert overfitting.cost_at(bits[0], 1.0) == pytest.approx(2.0)


def test_the_temperature_is_that_of_the_lowest_bits_and_changes_no_answer():
    rng = np.random.default_rng(1)
    honest = 2 * rng.standard_normal(4000)
    y = (rng.random(4000) < 1 / (1 + np.exp(-honest))).astype(int)
    assert overfitting.temperature(7 * honest, y) == pytest.approx(7, rel=0.1)
    assert overfitting.temperature(honest / 3, y) == pytest.approx(1 / 3, rel=0.1)
    assert overfitting.score(7 * honest, y)[1] == overfitting.score(honest, y)[1]


def test_biases_do_not_decay(parts):
    few = small(parts)
    started = overfitting.classifier(few.words, 1, **SMALL)
    model, _ = overfitting.Reader(few.words, **SMALL, rate=1e-9, decay=1e7).learn(
        few, 1, measured=[30]
    )
    for before, after in zip(started.trainable_variables, model.trainable_variables, strict=True):
        share = 1.0 if before.name == "bias" else (1 - 1e-2) ** 30
        assert np.allclose(after, share * before.numpy(), atol=1e-5)


def test_zeros_are_counted_in_the_features_of_words_that_came():
    model = overfitting.classifier(30, 1, units=3)
    features, *others = model.get_weights()
    features[5:], features[:5] = 0.0, 1.0
    model.set_weights([features, *(np.ones_like(w) for w in others)])
    assert overfitting.zeros_of(model, [[1, 2], [4, 0]]) == 0.0
    used = 4 * 16 + sum(w.size for w in others if w.ndim == 2)  # words 1, 2, 4 and 9
    assert overfitting.zeros_of(model, [[1, 2], [4, 9]]) == pytest.approx(16 / used)


def test_batches_are_whole_epochs_in_new_orders():
    rows = list(overfitting.batches(10, 4, 5, 1))
    assert [len(batch) for batch in rows] == [4] * 5
    assert len(set(np.concatenate(rows[:2]))) == 8
    assert not np.array_equal(rows[0], rows[2])
    assert [len(batch) for batch in overfitting.batches(3, 8, 2, 1)] == [3, 3]


def cost(w, x, y, l2):
    sign = 2 * y - 1
    return np.logaddexp(0, -sign * (x @ w)).mean() + l2 * (w**2).sum()


def test_logistic_regression_stands_where_its_gradient_is_zero():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, 20)), rng.integers(0, 2, 12)
    w = overfitting.logistic_regression(x, y, 0.01)
    (slope,) = central_differences(lambda of: cost(of[0], x, y, 0.01), [w])
    (other,) = central_differences(lambda of: cost(of[0], x, y, 0.03), [w])
    assert np.abs(slope).max() < 1e-6 < 1e-3 < np.abs(other).max()


def test_descent_arrives_where_newton_does():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, 20)), rng.integers(0, 2, 12)
    w = overfitting.descended(x, y, 400, keras.optimizers.SGD(1.0), l2=0.05)
    assert np.allclose(w, overfitting.logistic_regression(x, y, 0.05), atol=1e-5)


def test_the_proximal_step_arrives_at_the_minimum_of_l1():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 10)), rng.integers(0, 2, 30)
    w = overfitting.descended(x, y, 3000, keras.optimizers.SGD(0.5), shrink=0.5 * 0.1)
    g = x.T @ (1 / (1 + np.exp(-x @ w)) - y) / len(x)
    assert np.allclose(g[w != 0], -0.1 * np.sign(w[w != 0]), atol=1e-5)
    assert np.all(np.abs(g[w == 0]) <= 0.1 + 1e-5)
    assert 0 < (w == 0).sum() < 10
    assert not (overfitting.descended(x, y, 100, keras.optimizers.Adam(0.01), l1=0.1) == 0).any()


def test_without_w_h_the_gradient_arrives_through_the_cell_alone(parts):
    model, _ = overfitting.Reader(parts.words, **SMALL).learn(small(parts), 1, measured=[1])
    before = model.get_weights()
    whole, alone = (overfitting.arriving(model, parts.validation, share) for share in (1, 0))
    assert all(map(np.array_equal, before, model.get_weights()))
    rows = np.flatnonzero(parts.validation.x.min(axis=1) > 0)[:200]
    kernel, _, bias = (w.astype(float) for w in model.layers[1].get_weights())
    features = model.layers[0](parts.validation.x[rows]).numpy() @ kernel + bias

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    i, f, g, o = np.split(features, 4, axis=-1)  # without W_h the gates see the words alone
    c = np.zeros_like(i[:, 0])
    for t in range(i.shape[1]):
        c = sigmoid(f[:, t]) * c + sigmoid(i[:, t]) * np.tanh(g[:, t])
    read_out, b = (w.astype(float) for w in model.layers[-1].get_weights())
    h = sigmoid(o[:, -1]) * np.tanh(c)
    error = (sigmoid(h @ read_out + b) - parts.validation.y[rows, None]) / len(rows)
    d_c = error * read_out[:, 0] * sigmoid(o[:, -1]) * (1 - np.tanh(c) ** 2)
    assert alone == pytest.approx(np.linalg.norm(d_c * sigmoid(f[:, 1:]).prod(axis=1)), rel=1e-4)
    assert whole != pytest.approx(alone, rel=1e-3)


def test_a_bag_of_words_does_not_see_the_order(parts):
    rng = np.random.default_rng(1)
    few = small(parts)
    mixed = [sample._replace(x=rng.permuted(sample.x, axis=1)) for sample in few[:3]]
    how = {"sentences": [20, 40], "l2": [0.01, 0.1], "seeds": [1, 2]}
    found = overfitting.bag_of_words_runs(few, **how)
    assert found["bits"].shape == found["right"].shape == (2, 2, 2, 3)
    again = overfitting.bag_of_words_runs(overfitting.Parts(*mixed, few.words), **how)
    assert np.allclose(found["bits"], again["bits"])


def test_runs_have_the_shapes_that_they_say_and_a_temperature(parts):
    few, variants = small(parts), [SMALL, SMALL | {"l1": 0.01}]
    found = overfitting.runs(few, variants=variants, seeds=[1, 2], measured=[0, 2, 4])
    assert found["bits"].shape == found["right"].shape == (2, 2, 3, 3)
    assert found["tempered"].shape == (2, 2, 3)
    assert found["T"].shape == found["stretch"].shape == found["zeros"].shape == (2, 2)
    assert not np.array_equal(found["bits"][0, :, -1], found["bits"][1, :, -1])
    model, curves = overfitting.Reader(few.words, **variants[1]).learn(few, 2, measured=[0, 2, 4])
    assert np.allclose(found["bits"][1, 1], curves[..., 0], atol=1e-3)
    logits = model.predict_on_batch(few.test.x)[:, 0] / found["T"][1, 1]
    expected = overfitting.score(logits, few.test.y)[0]
    assert found["tempered"][1, 1, 2] == pytest.approx(expected, abs=1e-3)
    assert np.all(found["tempered"][..., 1] <= found["bits"][:, :, -1, 1] + 1e-3)


def test_rows_are_of_the_end_and_leave_the_test_out():
    bits = np.array([[[[9, 9, 9], [0.5, 2, 7]], [[9, 9, 9], [0.25, 3, 7]]]])
    (row,) = overfitting.rows([{"l2": 0.01, "rate": 0.001}], {"bits": bits, "right": bits / 10})
    assert list(row.values()) == ["l2 0.01, rate 0.001", "0.38", "2.50", "0.250", "0.50, 0.25"]


def one_step(optimizer, penalty):
    """Weights after three steps down (w − 1)⁴ / 4, with `penalty` · Σ w² in the loss."""
    w = keras.Variable(np.array([3.0, -2.0, 0.5]), dtype="float64")
    for _ in range(3):
        now = w.numpy()
        optimizer.apply([keras.ops.convert_to_tensor((now - 1) ** 3 + 2 * penalty * now)], [w])
    return w.numpy()


def test_weight_decay_is_l2_under_sgd_and_is_not_under_adam():
    sgd, adam, adamw = keras.optimizers.SGD, keras.optimizers.Adam, keras.optimizers.AdamW
    assert np.allclose(
        one_step(sgd(0.01, weight_decay=0.2), 0), one_step(sgd(0.01), 0.1), atol=1e-12
    )
    apart = one_step(adamw(0.01, weight_decay=0.2), 0) - one_step(adam(0.01), 0.1)
    assert np.abs(apart).max() > 1e-3


BAD = {
    "an unknown setting": (lambda p: overfitting.classifier(9, 1, layers=2), "setting"),
    "no units": (lambda p: overfitting.classifier(9, 1, units=0), "`units`"),
    "half a unit": (lambda p: overfitting.classifier(9, 1, units=2.5), "`units`"),
    "all dropped": (lambda p: overfitting.classifier(9, 1, dropout_input=1.0), "share from 0"),
    "a negative share": (lambda p: overfitting.classifier(9, 1, dropout_readout=-1), "dropout"),
    "a negative penalty": (lambda p: overfitting.classifier(9, 1, l2=-1), "`l2`"),
    "no rate": (lambda p: overfitting.Reader(9, rate=0), "`rate`"),
    "two kinds of mask": (
        lambda p: overfitting.complete({"dropout_recurrent": 0.5, "dropout_each_step": 0.5}),
        "one of them",
    ),
    "too many sentences": (lambda p: overfitting.few_of(p.train, 10**6, 1), "`sentences`"),
    "no parts": (
        lambda p: overfitting.Reader(60, **SMALL).learn("x", 1, measured=[1]),
        "three_parts",
    ),
    "steps that go back": (
        lambda p: overfitting.Reader(60, **SMALL).learn(p, 1, measured=[0, 4, 4]),
        "increase",
    ),
    "no steps": (
        lambda p: overfitting.Reader(60, **SMALL).learn(p, 1, measured=[]),
        "`measured`",
    ),
    "two parts": (lambda p: overfitting.cost_at(np.ones((4, 2)), 0.5), "3 parts"),
    "labels that do not fit": (lambda p: overfitting.score([0.0], [1, 0]), "`y`"),
    "no penalty": (
        lambda p: overfitting.logistic_regression(np.eye(2), np.array([0, 1]), 0.0),
        "`l2`",
    ),
    "a label too many": (
        lambda p: overfitting.logistic_regression(np.eye(2), np.array([0, 1, 1]), 0.1),
        "one label",
    ),
    "descent with a label too many": (
        lambda p: overfitting.descended(np.eye(2), [0, 1, 1], 1, keras.optimizers.SGD(0.1)),
        "one label",
    ),
    "padded sentences alone": (
        lambda p: overfitting.arriving(
            overfitting.classifier(9, 1), overfitting.Sample(np.zeros((3, 4), int), np.ones(3)), 1
        ),
        "padding",
    ),
    "no model": (lambda p: overfitting.stretch_of("x"), "`model`"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_one_sentence(parts, name):
    call, names = BAD[name]
    with pytest.raises((TypeError, ValueError)) as refusal:
        call(parts)
    assert names in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_cost_that_does_not_converge_is_said():
    with pytest.raises(RuntimeError, match="larger `l2`"):
        overfitting.logistic_regression(np.eye(3), np.array([0, 1, 1]), 0.01, most=1)
