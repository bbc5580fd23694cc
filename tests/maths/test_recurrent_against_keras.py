"""Recurrent layers: own outputs and gradients = TensorFlow's tape = Keras, in float64 to 1e-9."""

import numpy as np
import pytest

from course_lib.maths.recurrent import GRU, LSTM, SimpleRNN

pytestmark = pytest.mark.tensorflow

BATCH, LENGTH, FEATURES, UNITS = 3, 7, 2, 4
KINDS = {
    **{
        f"rnn {name}": (SimpleRNN, {"activation": name})
        for name in ("tanh", "relu", "linear", "sigmoid", "elu")
    },
    "lstm": (LSTM, {}),
    "gru": (GRU, {"reset_after": True}),
    "gru before": (GRU, {"reset_after": False}),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def keras_layer(keras, kind, *, bias=True, dtype="float64", seed=51):
    """Return a built Keras layer with random weights, biases included."""
    own, options = KINDS[kind]
    layer = getattr(keras.layers, own.__name__)(
        UNITS, return_sequences=True, use_bias=bias, dtype=dtype, **options
    )
    layer.build((BATCH, LENGTH, FEATURES))
    rng = np.random.default_rng(seed)
    layer.set_weights([0.7 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def problem(kind, *, last_step, seed=52):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, LENGTH, FEATURES))
    state = list(rng.standard_normal((2 if kind == "lstm" else 1, BATCH, UNITS)))
    d_outputs = rng.standard_normal((BATCH, LENGTH, UNITS))
    if last_step:
        d_outputs[:, :-1] = 0
    return x, state, d_outputs


def own_form(state):
    return tuple(state) if len(state) == 2 else state[0]


def listed(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("last_step", [True, False], ids=["last step", "every step"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@EVERY_KIND
def test_equals_keras(kind, bias, last_step, tf, keras):
    layer = keras_layer(keras, kind, bias=bias)
    x, state, d_outputs = problem(kind, last_step=last_step)
    own = KINDS[kind][0].from_keras(layer)
    trace = own.forward(x, own_form(state))
    gradients = own.backward(trace, d_outputs)

    inputs, states = tf.constant(x), [tf.constant(s) for s in state]
    with tf.GradientTape() as tape:
        tape.watch([inputs, *states])
        outputs = layer(inputs, initial_state=states)
        loss = tf.reduce_sum(outputs * d_outputs)
    found = tape.gradient(loss, [*layer.trainable_weights, inputs, *states])

    np.testing.assert_allclose(trace.outputs, outputs, **CLOSE)
    mine = [*gradients.weights, gradients.inputs, *listed(gradients.initial_state)]
    assert len(mine) == len(found)
    for a, b in zip(mine, found, strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a, b, **CLOSE)


@EVERY_KIND
def test_the_final_state_is_the_one_that_keras_returns(kind, keras):
    layer = keras_layer(keras, kind)
    x, _, _ = problem(kind, last_step=True)
    own = KINDS[kind][0].from_keras(layer)
    layer.return_state = True
    _, *states = layer(x)
    for a, b in zip(listed(own.forward(x).final_state), states, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def _written_out(tf, own, x, state):
    """The equations in TensorFlow's operations, one by one: the lists of h_t and of c_t."""
    W_x, W_h = tf.constant(own.kernel), tf.constant(own.recurrent_kernel)
    b = np.atleast_2d(own._b)
    h, c = tf.constant(state[0]), tf.constant(state[-1])
    hs, cs = [], []
    for t in range(x.shape[1]):
        x_part = x[:, t] @ W_x + b[0]
        if isinstance(own, LSTM):
            i, f, g, o = tf.split(x_part + h @ W_h, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
        elif isinstance(own, GRU):
            x_z, x_r, x_c = tf.split(x_part, 3, axis=1)
            U_z, U_r, U_c = tf.split(W_h, 3, axis=1)
            u_z, u_r, u_c = np.split(b[1] if own.reset_after else 0 * b[0], 3)
            z, r = tf.sigmoid(x_z + h @ U_z + u_z), tf.sigmoid(x_r + h @ U_r + u_r)
            from_state = r * (h @ U_c + u_c) if own.reset_after else (r * h) @ U_c
            candidate = tf.tanh(x_c + from_state)
            kept = z if own.keeps == "old" else 1 - z
            h = kept * h + (1 - kept) * candidate
        else:
            phi = {"relu": tf.nn.relu, "linear": tf.identity, "elu": tf.nn.elu}
            name = own.activation.name
            h = (phi.get(name) or getattr(tf, name))(x_part + h @ W_h)
        hs.append(h)
        cs.append(c)
    return hs, cs


@pytest.mark.parametrize("keeps", ["old", "new"])
@EVERY_KIND
def test_what_arrives_at_each_state_is_what_a_tape_finds(kind, keeps, tf, keras):
    own = KINDS[kind][0].from_keras(keras_layer(keras, kind))
    own.keeps = keeps  # of no meaning but for a GRU
    x, state, d_outputs = problem(kind, last_step=False)
    trace = own.forward(x, own_form(state))
    gradients = own.backward(trace, d_outputs)

    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        hs, cs = _written_out(tf, own, inputs, state)
        loss = tf.reduce_sum(tf.stack(hs, axis=1) * d_outputs)
    by_h, by_c = tape.gradient(loss, [hs, cs])
    np.testing.assert_allclose(trace.outputs, tf.stack(hs, axis=1), **CLOSE)
    np.testing.assert_allclose(gradients.states, tf.stack(by_h, axis=1), **CLOSE)
    if kind == "lstm":
        np.testing.assert_allclose(trace.cells, tf.stack(cs, axis=1), **CLOSE)
        np.testing.assert_allclose(gradients.total_cells, tf.stack(by_c, axis=1), **CLOSE)


@EVERY_KIND
def test_the_jacobians_are_those_of_a_tape(kind, tf, keras):
    """TensorFlow's `batch_jacobian` has what moves first; the course has it last."""
    layer = keras_layer(keras, kind)
    own = KINDS[kind][0].from_keras(layer)
    x, state, _ = problem(kind, last_step=True)
    trace = own.forward(x, own_form(state))
    J = own.jacobians(trace)
    layer.return_state = True
    for t in range(LENGTH):
        before = tf.constant(np.concatenate(state, axis=1))
        with tf.GradientTape() as tape:
            tape.watch(before)
            states = tf.split(before, len(state), axis=1)
            _, *state = layer(x[:, t : t + 1], initial_state=states)
            after = tf.concat(state, axis=1)
        found = np.swapaxes(tape.batch_jacobian(after, before).numpy(), 1, 2)
        np.testing.assert_allclose(J[:, t], found, **CLOSE)


@pytest.mark.parametrize("kind", ["gru", "gru before"])
def test_a_converted_gru_is_still_the_keras_layer(kind, tf, keras):
    layer = keras_layer(keras, kind)
    own = GRU.from_keras(layer)
    x, _, _ = problem(kind, last_step=True)
    np.testing.assert_allclose(own.converted().forward(x).outputs, layer(x), **CLOSE)
    own.keeps = "new"  # what is forgotten when weights are read in the other convention
    assert np.abs(own.forward(x).outputs - layer(x)).max() > 1e-2


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before"])
def test_a_layer_with_other_biases_is_the_keras_layer_with_them(kind, keras):
    layer = keras_layer(keras, kind)
    own = KINDS[kind][0].from_keras(layer)
    changed = own.with_bias(**{own.BLOCKS[1]: 3.0, "candidate": -1.0})
    x, _, _ = problem(kind, last_step=True)
    assert np.abs(changed.forward(x).outputs - layer(x)).max() > 1e-2
    layer.set_weights(changed.weights)
    np.testing.assert_allclose(changed.forward(x).outputs, layer(x), **CLOSE)


@EVERY_KIND
def test_weights_go_there_and_back(kind, keras):
    layer, other = keras_layer(keras, kind), keras_layer(keras, kind, seed=99)
    own = KINDS[kind][0].from_keras(layer)
    other.set_weights(own.weights)
    x, _, _ = problem(kind, last_step=True)
    np.testing.assert_array_equal(other(x), layer(x))
    own.kernel[:] = 0
    assert np.abs(layer.get_weights()[0]).min() > 0  # a copy


@EVERY_KIND
def test_a_random_layer_has_the_shapes_of_a_keras_layer(kind, keras):
    own, options = KINDS[kind]
    drawn = own.random(FEATURES, UNITS, np.random.default_rng(1), **options)
    layer = keras_layer(keras, kind)
    assert [w.shape for w in drawn.weights] == [w.shape for w in layer.get_weights()]


def test_a_random_lstm_has_the_biases_of_a_keras_layer(keras):
    layer = keras.layers.LSTM(UNITS)
    layer.build((None, None, FEATURES))
    drawn = LSTM.random(FEATURES, UNITS, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn.bias, layer.get_weights()[2])


@pytest.mark.parametrize(
    ("kind", "other"),
    [("rnn tanh", "rnn relu"), ("rnn relu", "rnn linear"), ("gru", "gru before")],
)
def test_the_comparison_notices_another_layer(kind, other, keras):
    """The weights of one layer (no bias) in the equations of another: far from equal."""
    layer = keras_layer(keras, kind, bias=False)
    own, options = KINDS[other]
    x, _, _ = problem(kind, last_step=True)
    wrong = own(*layer.get_weights(), **options)
    assert np.abs(wrong.forward(x).outputs - layer(x)).max() > 1e-2


def test_the_comparison_notices_float32(tf, keras):
    layer = keras_layer(keras, "lstm", dtype="float32")
    x, _, _ = problem("lstm", last_step=True)
    error = np.abs(LSTM.from_keras(layer).forward(x).outputs - layer(x.astype("float32"))).max()
    assert 1e-9 < error < 1e-5


def test_gates_in_another_order_are_noticed(keras):
    """PyTorch's GRU has r before z."""
    layer = keras_layer(keras, "gru", bias=False)
    kernel, recurrent_kernel = (
        np.concatenate([w[:, UNITS : 2 * UNITS], w[:, :UNITS], w[:, 2 * UNITS :]], axis=1)
        for w in layer.get_weights()
    )
    x, _, _ = problem("gru", last_step=True)
    wrong = GRU(kernel, recurrent_kernel)
    assert np.abs(wrong.forward(x).outputs - layer(x)).max() > 1e-2


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda K: SimpleRNN.from_keras(K.LSTM(3)), TypeError, "keras.layers.SimpleRNN"),
        (lambda K: LSTM.from_keras("LSTM"), TypeError, "`layer` is 'LSTM'"),
        (lambda K: GRU.from_keras(K.GRU(3)), ValueError, "not built"),
        (lambda K: LSTM.from_keras(built(K.LSTM(3, go_backwards=True))), ValueError, "forwards"),
        (lambda K: LSTM.from_keras(built(K.LSTM(3, activation="relu"))), ValueError, "'tanh'"),
        (
            lambda K: GRU.from_keras(built(K.GRU(3, recurrent_activation="hard_sigmoid"))),
            ValueError,
            "'sigmoid'",
        ),
        (
            lambda K: SimpleRNN.from_keras(built(K.SimpleRNN(3, activation="leaky_relu"))),
            ValueError,
            "`layer.activation` is 'leaky_relu'",
        ),
    ],
)
def test_what_does_not_compute_the_same_is_refused(make, error, words, keras):
    with pytest.raises(error) as caught:
        make(keras.layers)
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith("`layer")
    assert " is " in sentence or " has " in sentence, sentence
    assert " take" in sentence, sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def built(layer):
    layer.build((None, None, 2))
    return layer
