"""The translator of dates: its gradients, Keras's layers, its controls, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths.differences import central_differences
from course_lib.models.dates import (
    ATTENTIONS,
    Translator,
    at_the_end,
    shifted,
    train_translator,
)
from course_lib.models.tasks import LONGEST, dates


def rng(seed=14):
    return np.random.default_rng(seed)


@pytest.fixture
def task():
    return dates(3, rng())


def drawn(attention, units=5):
    """Return a translator whose biases are not 0, so that each of them counts."""
    translator, dice = Translator.random(attention, units, rng(1)), rng(2)
    for parameter in translator.parameters:
        parameter += 0.3 * dice.standard_normal(parameter.shape)
    return translator


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_it_is_the_same_network_as_keras_layers_and_has_the_gradients_of_the_tape(attention, task):
    translator, codes = drawn(attention), at_the_end(task.x)
    loss, gradients = translator.loss_and_gradients(codes, task.y)
    model = translator.to_keras()
    assert model.count_params() == translator.size
    with tf.GradientTape() as tape:
        logits = model([codes, shifted(task.y)])
        of_keras = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(task.y, logits, from_logits=True)
        )
    np.testing.assert_allclose(logits, translator.run(codes, shifted(task.y)).logits, atol=1e-12)
    assert loss == pytest.approx(float(of_keras), abs=1e-12)
    by_tape = [np.asarray(g) for g in tape.gradient(of_keras, model.trainable_variables)]
    for ours in gradients.parameters:
        assert np.abs(ours).max() > 0
        assert any(g.shape == ours.shape and np.allclose(g, ours, atol=1e-12) for g in by_tape)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_its_gradients_are_central_differences(attention, task):
    translator, codes = drawn(attention, units=3), at_the_end(task.x)
    _, gradients = translator.loss_and_gradients(codes, task.y)
    for place in range(-len(translator.compare) - 2, 0):  # W_Q, W_K, v, V and b

        def loss(value, place=place):
            parameter = translator.parameters[place]
            before, parameter[:] = parameter.copy(), value
            found = translator.loss_and_gradients(codes, task.y)[0]
            parameter[:] = before
            return found

        point = translator.parameters[place].copy()
        np.testing.assert_allclose(
            gradients.parameters[place], central_differences(loss, point), atol=1e-8
        )


def test_gradients_of_the_states_have_a_direct_part_with_attention_alone(task):
    for attention in ATTENTIONS:
        _, gradients = drawn(attention).loss_and_gradients(at_the_end(task.x), task.y)
        assert gradients.states.shape == (3, LONGEST, 5)
        assert (np.abs(gradients.looked_at).max() > 0) == (attention != "none")


def test_padding_gets_no_weight_and_hidden_places_neither(task):
    codes = at_the_end(task.x)
    for attention in ("dot", "additive"):
        translator = drawn(attention)
        weights = translator.run(codes, shifted(task.y)).weights
        np.testing.assert_allclose(weights.sum(axis=2), 1)
        assert (weights[np.broadcast_to((codes == 0)[:, None], weights.shape)] == 0).all()
        hidden = weights == weights.max(axis=2, keepdims=True)
        blind = translator.run(codes, shifted(task.y), hidden).weights
        assert (blind[hidden] == 0).all()
        np.testing.assert_allclose(blind.sum(axis=2), 1)


def test_it_translates_step_by_step_what_it_would_write_all_at_once():
    for attention in ATTENTIONS:
        translator, texts = drawn(attention), ["4 July 1976", "sunday, 4 july 1976"]
        told = translator.translate(texts)
        assert told.texts == tuple(texts)
        assert {len(answer) for answer in told.answers} == {10}
        e = np.exp(told.logits)
        np.testing.assert_allclose(told.probabilities, (e / e.sum(2, keepdims=True)).max(2))
        alone = translator.translate(texts[0])
        assert alone.answers[0] == told.answers[0]
        if attention != "none":
            np.testing.assert_allclose(alone.weights[0], told.weights[0], atol=1e-12)
            assert (told.weights[0][:, len(texts[0]) :] == 0).all()
        else:
            assert told.weights is None


def test_training_lowers_the_loss_repeats_itself_and_leaves_a_frozen_reader():
    how = {"units": 8, "steps": 40, "batch": 8, "learning_rate": 0.02, "seed": 3}
    run, again = (train_translator("dot", **how) for _ in range(2))
    assert run.losses[-5:].mean() < 0.9 * run.losses[:5].mean()
    np.testing.assert_array_equal(run.losses, again.losses)
    frozen = train_translator("dot", frozen_reader=True, **how).translator
    start = Translator.random("dot", 8, np.random.default_rng(3).spawn(2)[0])
    for ours, theirs, learnt in zip(
        frozen.reader.weights, start.reader.weights, run.translator.reader.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert (learnt != theirs).any()
    assert (frozen.V != start.V).any()
    fresh = dates(20, rng())
    assert 0 <= run.translator.exact(fresh) <= 1
    assert run.translator.loss(fresh) < 2.4


def test_texts_end_at_the_last_step():
    codes = at_the_end(np.array([[3, 4, 0, 0], [1, 2, 3, 4]]))
    np.testing.assert_array_equal(codes, [[0, 0, 3, 4], [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("kind", "call", "part"),
    [
        (ValueError, lambda: Translator.random("dots", 4, rng()), "`attention` is 'dots'"),
        (ValueError, lambda: Translator.random("dot", 0, rng()), "`units` is 0"),
        (TypeError, lambda: Translator.random("dot", 4, 1), "`rng` is 1"),
        (ValueError, lambda: drawn("dot").translate([]), "`texts` is empty"),
        (ValueError, lambda: drawn("dot").translate("4/7/1976"), "'4/7/1976'"),
        (TypeError, lambda: drawn("dot").exact("4 july"), "`task` is '4 july'"),
        (TypeError, lambda: drawn("dot").loss(None), "`task` is None"),
        (ValueError, lambda: train_translator("dot", steps=0), "`steps` is 0"),
        (ValueError, lambda: train_translator("dot", learning_rate=-1.0), "`learning_rate` is -1"),
        (TypeError, lambda: train_translator("dot", frozen_reader=1), "`frozen_reader` is 1"),
        (TypeError, lambda: at_the_end([[0.5]]), "`codes` is"),
        (ValueError, lambda: at_the_end([[99]]), "`codes` is"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(kind, call, part):
    with pytest.raises(kind) as caught:
        call()
    assert part in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
