"""What a mask hides and what Batch Norm normalises by: found where it is wrong, and only there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models.gradient_flow import diagnose
from course_lib.models.masks import without_masks

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
MASK, NORM = "mask that hides data", "Batch Norm in the wrong mode"


def kinds(found, severity="fault"):
    return [finding.kind for finding in found.findings if finding.severity == severity]


def the(found, kind):
    (finding,) = [finding for finding in found.findings if finding.kind == kind]
    return finding


# ------------------------------------------------------------------------------------------ masks


def messages(seed=1, count=128, length=12, ends="right"):
    """Return tokens 1 … 20 padded with 0; which of 1, 2, 3 stands among them tells the label."""
    rng = np.random.default_rng(seed)
    y, rows = rng.integers(3, size=count), np.arange(count)
    x = rng.integers(4, 21, (count, length))
    for _ in range(2):
        x[rows, rng.integers(0, 6, count)] = 1 + y
    x[np.arange(length) >= rng.integers(6, length + 1, (count, 1))] = 0
    return (x if ends == "right" else x[:, ::-1].copy()), y


def reader(compare=None, *, mask_zero=False, wrap=lambda layer: layer, seed=3):
    keras.utils.set_random_seed(seed)
    tokens = keras.Input((None,), dtype="int32")
    h = K.Embedding(21, 12, mask_zero=mask_zero)(tokens)
    given = {} if compare is None else {"mask": compare(tokens, 0)}
    h = wrap(K.GRU(16, name="gru"))(h, **given)
    model = keras.Model(tokens, K.Dense(3)(h))
    model.compile(keras.optimizers.Adam(0.01), LOGITS)
    return model


def test_a_mask_that_is_the_wrong_way_round():
    found = diagnose(reader(keras.ops.equal), *messages(), seconds=120)
    assert kinds(found) == [MASK], str(found)
    fault = the(found, MASK)
    assert fault.where == "gru"
    assert fault.evidence["of these, no padding"] > 0.8
    assert "What it lets through is the same" in fault.sentence
    assert "`mask=keras.ops.not_equal(tokens, 0)`" in fault.advice


@pytest.mark.parametrize("ends", ["right", "left"])
@pytest.mark.parametrize(
    "options",
    [
        {"compare": keras.ops.not_equal},
        {"mask_zero": True},
        {"mask_zero": True, "wrap": K.Bidirectional},
        {},
    ],
    ids=["explicit", "mask_zero", "both directions", "none"],
)
def test_a_mask_of_the_padding_is_not_mentioned(options, ends):
    found = diagnose(reader(**options), *messages(ends=ends), seconds=120)
    assert MASK not in [finding.kind for finding in found.findings], str(found)
    assert found.healthy


def binary(seed=1, count=96, length=10):
    return (np.random.default_rng(seed).random((count, length)) < 0.3).astype("int32")


def test_a_word_that_has_the_number_of_the_padding():
    """`mask_zero` where 0 is a word: a row of 1s is left, one for each that there was."""
    x = binary()
    y = x[:, -1].astype("int64")
    found = diagnose(reader(mask_zero=True), x, y, samples=len(x), seconds=120)
    finding = the(found, MASK)
    assert finding.severity == "fault", str(found)
    ends = [np.flatnonzero(row)[[0, -1]] for row in x if row.any()]
    inside = sum(last - first + 1 for first, last in ends) - x.sum()
    assert finding.evidence["of these, inside"] == pytest.approx(inside / (x == 0).sum())
    assert inside > 100
    assert "With every step read it learns." in finding.sentence
    healthy = diagnose(reader(), x, y, seconds=120)
    assert healthy.healthy, str(healthy)


def test_gaps_in_a_series_are_no_fault_while_it_learns():
    """Steps that are missing, marked by a value that nothing else has: what `Masking` is for."""
    rng = np.random.default_rng(4)
    y = rng.integers(2, size=96)
    x = rng.normal(size=(96, 10, 2)) + 2 * y[:, None, None]
    x[rng.random((96, 10)) < 0.3] = -9.0
    model = keras.Sequential([keras.Input((10, 2)), K.Masking(-9.0), K.GRU(8), K.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), LOGITS)
    found = diagnose(model, x.astype("float32"), y, seconds=120)
    assert found.healthy
    assert the(found, MASK).severity == "note"
    assert the(found, MASK).evidence["of these, no padding"] == 0


def test_samples_of_which_nothing_is_left():
    x, y = messages()
    x[::2] = 0
    found = diagnose(reader(mask_zero=True), x, y, samples=len(x), seconds=120)
    fault = the(found, MASK)
    assert fault.severity == "fault"
    assert fault.evidence["samples of which nothing is left"] == 0.5


def test_calls_are_given_back_after_a_trial_without_masks():
    model = reader(mask_zero=True)
    x = binary()
    before = model(x[:4]).numpy()
    diagnose(model, x, x[:, -1].astype("int64"), seconds=120)
    assert np.array_equal(model(x[:4]).numpy(), before)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


# ------------------------------------------------------------------------------------- Batch Norm


def blobs(seed=1, count=128, features=12, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count)
    x = rng.normal(size=(count, features)) + 2 * np.eye(features)[y]
    return (shift + scale * x).astype("float32"), y


class Fixed(keras.Model):
    """A class of one's own, where `training=` stands as it is written."""

    def __init__(self, mode):
        super().__init__()
        self.hidden, self.norm, self.last = K.Dense(16), K.BatchNormalization(), K.Dense(3)
        self.mode = mode

    def call(self, x, training=None):
        mode = training if self.mode is None else self.mode
        return self.last(keras.ops.relu(self.norm(self.hidden(x), training=mode)))


def fixed(mode, seed=5):
    keras.utils.set_random_seed(seed)
    model = Fixed(mode)
    model.compile(keras.optimizers.Adam(0.01), LOGITS)
    return model


def normed(seed=5, features=12, **options):
    keras.utils.set_random_seed(seed)
    hidden = [
        part for _ in range(2) for part in (K.Dense(16), K.BatchNormalization(**options), K.ReLU())
    ]
    model = keras.Sequential([keras.Input((features,)), *hidden, K.Dense(3)])
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), LOGITS)
    return model


def test_batch_norm_that_is_held_in_training():
    model, (x, y) = fixed(True), blobs()
    found = diagnose(model, x, y, seconds=120)
    assert kinds(found) == [NORM], str(found)
    fault = the(found, NORM)
    assert fault.where == model.norm.name
    assert fault.evidence["change of an answer"] > 0.1
    apart = model(x[:1], training=False).numpy()
    beside = model(x[:8], training=False).numpy()[:1]
    assert not np.allclose(apart, beside, rtol=0.1), "the harm that was told of is there"


@pytest.mark.parametrize("trained", [False, True])
def test_ordinary_batch_norm_is_not_mentioned(trained):
    for model in (normed(), fixed(None)):
        x, y = blobs()
        if trained:
            model.fit(x, y, epochs=5, verbose=0)
        found = diagnose(model, x, y, seconds=120)
        assert NORM not in [finding.kind for finding in found.findings], str(found)
        assert found.healthy


def foreign():
    return {
        "moving_variance_initializer": keras.initializers.Constant(1e4),
        "trainable": False,
    }


def test_statistics_of_other_data_that_are_not_learnt():
    found = diagnose(normed(**foreign()), *blobs(), seconds=120)
    assert kinds(found) == [NORM], str(found)
    fault = the(found, NORM)
    assert fault.evidence["standard deviation"] < 0.1
    assert "(and 1 other)" in fault.sentence
    assert "When it normalises by the batch, the network learns." in fault.sentence


def test_called_with_training_false_is_as_bad_as_frozen():
    model = fixed(False)
    x, y = blobs()
    model(x)
    model.norm.moving_mean.assign(np.full(16, 500.0))
    model.norm.moving_variance.assign(np.full(16, 1e4))
    found = diagnose(model, x, y, seconds=120)
    assert kinds(found) == [NORM], str(found)


def test_a_frozen_backbone_on_data_like_its_own_is_not_mentioned():
    model, (x, y) = normed(), blobs()
    model.fit(x, y, epochs=20, verbose=0)
    for layer in model.layers[:-1]:
        layer.trainable = False
    keras.utils.set_random_seed(6)
    backbone = keras.Sequential(model.layers[:-1])
    again = keras.Sequential([keras.Input((12,)), backbone, K.Dense(3)])
    again.compile(keras.optimizers.Adam(0.01), LOGITS)
    found = diagnose(again, *blobs(seed=2), seconds=120)
    assert NORM not in [finding.kind for finding in found.findings], str(found)
    assert found.healthy


def test_training_written_into_a_functional_model_gives_way_to_that_of_fit():
    """Keras 3 hands its own `training` to every layer of a functional model."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((12,))
    norm = K.BatchNormalization()
    model = keras.Model(inputs, K.Dense(3)(norm(K.Dense(16)(inputs), training=False)))
    model.compile("sgd", LOGITS)
    before = norm.moving_mean.numpy()
    model.fit(*blobs(), epochs=1, verbose=0)
    assert not np.array_equal(norm.moving_mean.numpy(), before)


# ---------------------------------------------------------------- masks of pairs, and of text


def _attends(**options):
    steps = keras.Input((5, 3))
    attended = K.MultiHeadAttention(2, 4, **options)(steps, steps, use_causal_mask=True)
    return keras.Model(steps, attended)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1}], ids=["fused", "with a softmax inside"])
def test_with_every_step_read_attention_still_does_not_look_ahead(options):
    model = _attends(**options)
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype("float32")
    other = x.copy()
    other[:, -1] += 10
    with without_masks(model):
        moved = np.abs(np.asarray(model(x)) - np.asarray(model(other)))
    assert moved[:, :-1].max() == 0
    assert moved[:, -1].max() > 0


def test_masked_text_is_examined_too():
    words = np.array([["a", "b", "", ""], ["b", "a", "a", ""], ["a", "", "", ""]] * 8)
    to_numbers = K.StringLookup(vocabulary=["a", "b"], mask_token="")
    model = keras.Sequential(
        [keras.Input((4,), dtype="string"), to_numbers, K.Embedding(4, 3, mask_zero=True)]
    )
    model.add(K.GRU(4))
    model.add(K.Dense(1))
    model.compile("adam", "mse")
    found = diagnose(model, tf.constant(words), np.arange(24.0) % 3, steps=30)
    assert MASK not in kinds(found)
