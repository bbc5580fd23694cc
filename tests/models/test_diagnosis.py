"""A diagnosis names what is wrong, leaves the model as it was, and refuses what makes no sense."""

import random
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from course_lib.models import clinic, diagnosis, gradient_flow
from course_lib.models.gradient_flow import diagnose

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# The quick ones of every kind; all of them, with several seeds, are in `clinic.calibration`.
QUICK = [
    "digits, two ReLU layers",
    "regression",
    "a picture of itself",
    "digits, already trained",
    "pixels that it scales itself",
    "large weights, deep",
    "an RNN that runs away",
    "dead from the start",
    "tanh, far out",
    "a weight that is no number",
    "the logarithm of 0",
    "raw numbers",
    "too fast",
    "too slow",
    "a softmax over one",
    "a ReLU at the end",
]


def kinds(found):
    return [finding.kind for finding in found.faults]


@pytest.mark.parametrize("name", QUICK)
def test_it_names_what_is_wrong(name):
    patient = clinic.PATIENTS[name]
    found = diagnose(*patient.build(seed=11), seconds=120)
    assert kinds(found) == ([patient.kind] if patient.kind else []), str(found)
    assert found.healthy is patient.healthy


def everything(model):
    """Return every number of a model and its optimiser, and the state of Python's generator."""
    variables = [*model.variables, *model.optimizer.variables]
    states = [
        state
        for layer in model.layers
        for state in keras.tree.flatten(getattr(layer, "states", None) or ())
        if isinstance(state, keras.Variable)
    ]
    values = [keras.ops.convert_to_numpy(variable).tobytes() for variable in [*variables, *states]]
    return values, random.getstate()


def compiled(model, optimizer="adam"):
    model.compile(optimizer, LOGITS, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("norm_and_dropout", False),
        ("norm_and_dropout", True),
        ("list_of_layers", True),
        ("stateful", True),
        ("both_directions", True),
        ("spectral", True),
    ],
)
def test_the_model_is_the_same_afterwards(zoo, name, trained):
    model, x, y, _ = zoo(name)
    compiled(model)
    model(x)
    if trained:
        model.fit(x, y, batch_size=len(x), verbose=0)
    before = everything(model)
    diagnose(model, x, y, steps=30)
    assert everything(model) == before
    assert model.optimizer.built is trained


def test_a_trial_that_gave_nothing_back_would_be_seen(zoo, monkeypatch):
    model, x, y, _ = zoo("sequential")
    compiled(model)
    before = everything(model)
    monkeypatch.setattr("course_lib.models.trial.unchanged", lambda model: nullcontext())
    diagnose(model, x, y, steps=30)
    assert everything(model) != before


def test_a_fault_needs_harm(zoo):
    """A figure out of range is a note while the network trains: nothing but the trial differs."""
    model, x, y = clinic.PATIENTS["GRU on noise"].build(seed=3)
    found = diagnose(model, x, y, seconds=120)
    assert found.healthy
    assert [(f.kind, f.severity) for f in found.findings] == [("vanishing in time", "note")]
    assert found.trial.outcome == "learns"


def test_without_a_compiled_optimizer_nothing_is_said_of_its_rate():
    model, x, y = clinic.PATIENTS["too slow"].build(seed=1)
    loose = keras.Sequential.from_config(model.get_config())
    loose.set_weights(model.get_weights())
    found = diagnose(loose, x, y, loss=LOGITS)
    assert found.healthy
    assert found.trial.optimizer == "Adam"


@pytest.mark.parametrize(
    "name", ["several_inputs", "named_outputs", "several_outputs", "masked_tokens", "attention"]
)
def test_it_takes_any_model(zoo, name):
    model, x, y, loss = zoo(name)
    found = diagnose(model, x, y, loss=loss, steps=30)
    assert isinstance(found.healthy, bool)
    assert found.summary() in str(found)


def test_labels_in_either_form_and_outputs_in_either_form():
    x = np.random.default_rng(1).normal(size=(48, 5)).astype("float32")
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    baselines = set()
    for loss, activation, labels in (
        (LOGITS, None, y),
        ("sparse_categorical_crossentropy", "softmax", y[:, None]),
        ("categorical_crossentropy", "softmax", np.eye(3)[y]),
        (keras.losses.CategoricalCrossentropy(from_logits=True), None, np.eye(3)[y]),
    ):
        model = keras.Sequential([keras.Input((5,)), K.Dense(8), K.Dense(3, activation=activation)])
        found = diagnose(model, x, labels, loss=loss, steps=30)
        baselines.add(round(found.trial.baseline, 4))
    share = np.bincount(y) / len(y)
    assert baselines == {round(float(-(share * np.log(share)).sum()), 4)}


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_the_best_constant_answer_of_a_regression(loss):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 3)).astype("float32"), rng.normal(size=50).astype("float32")
    model = keras.Sequential([keras.Input((3,)), K.Dense(1)])
    found = diagnose(model, x, y, loss=loss, steps=30)
    function = keras.losses.get(loss)
    grid = [
        float(np.mean(function(y[:, None], np.full((50, 1), c, "float32"))))
        for c in np.linspace(-1, 1, 401)
    ]
    assert found.trial.baseline == pytest.approx(min(grid), rel=0.01)


def test_it_says_so_when_nothing_is_out_of_range():
    """Nothing to see in the inputs: the trial stalls, and no figure explains it."""
    rng = np.random.default_rng(3)
    x = np.ones((64, 4), "float32") * rng.normal(size=(1, 4)).astype("float32")
    x[:, 0] += 0.01 * np.arange(64) % 2
    model = keras.Sequential([keras.Input((4,)), K.Dense(4, activation="tanh"), K.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    found = diagnose(model, x, rng.normal(size=64).astype("float32"))
    assert found.healthy
    assert "no progress" in [finding.kind for finding in found.findings]
    assert "got nowhere" in str(found)


def test_a_trial_that_is_cut_short_shows_no_harm():
    found = diagnose(*clinic.PATIENTS["sigmoids, twenty deep"].build(seed=1), seconds=1e-6)
    assert found.trial.outcome == "unfinished"
    assert found.healthy
    assert "pass a larger `seconds`" in found.summary()


def test_regularization_is_no_part_of_the_loss_that_has_to_fall():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 5)).astype("float32"), rng.normal(size=(40, 1)).astype("float32")
    baselines = []
    for strength in (0.0, 10.0):
        regularizer = keras.regularizers.L2(strength) if strength else None
        hidden = K.Dense(16, activation="tanh", kernel_regularizer=regularizer)
        model = keras.Sequential([keras.Input((5,)), hidden, K.Dense(1)])
        trial = diagnose(model, x, y, loss="mse", steps=30).trial
        baselines.append(trial.baseline)
        assert trial.first < 10
    assert baselines[0] == pytest.approx(float(np.var(y)), rel=1e-4)
    assert baselines[1] == pytest.approx(baselines[0], rel=1e-4)


def test_a_network_that_is_only_slow_has_no_fault():
    model, x, y = clinic.PATIENTS["digits, two ReLU layers"].build(seed=2)
    model.compile(keras.optimizers.SGD(1e-3), LOGITS)
    found = diagnose(model, x, y, seconds=120)
    assert found.healthy
    assert [(f.kind, f.severity) for f in found.findings] == [("learning rate too low", "warning")]
    assert "the loss falls" in found.findings[0].sentence


def test_every_finding_says_what_to_try_and_where_to_read():
    found = diagnose(*clinic.PATIENTS["raw numbers"].build(seed=1))
    assert found.faults
    for finding in found.findings:
        assert finding.kind in diagnosis.KINDS
        assert finding.severity in ("fault", "warning", "note")
        assert finding.where
        assert finding.evidence
        assert all(isinstance(value, float) for value in finding.evidence.values())
        assert finding.sentence.endswith(".")
        assert finding.advice.endswith(".")
        assert finding.chapter[:2].isdigit()
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=["fault", "warning", "note"].index)


def test_names_are_escaped_in_a_notebook():
    model = keras.Sequential([keras.Input((3,)), K.Dense(1, name="a>b")], name="x>y")
    x = 500 * np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    found = diagnose(model, x, x[:, :1] / 500, loss="mse", steps=30)
    assert "a&gt;b" in found._repr_html_()
    assert "a>b" not in found._repr_html_()


X, Y = np.ones((6, 4), "float32"), np.zeros(6, "int64")


def small():
    return keras.Sequential([keras.Input((4,)), K.Dense(3)])


def frozen():
    model = small()
    model.trainable = False
    return model


BAD = {
    "no model": (lambda: "model", X, Y, {}, "`model` is 'model'; it takes a Keras model"),
    "nan": (small, np.full((6, 4), np.nan), Y, {}, "`x` holds NaN or infinity"),
    "shape": (small, np.ones((6, 5)), Y, {}, r"`x` has shape \(6, 5\)"),
    "lengths": (small, X, Y[:4], {}, "`y` has 4 samples"),
    "loss": (small, X, Y, {"loss": "mso"}, "`loss` is 'mso'"),
    "no loss": (small, X, Y, {}, "not compiled with a loss"),
    "samples": (small, X, Y, {"samples": 1}, "`samples` is 1"),
    "steps": (small, X, Y, {"steps": 2.5}, "`steps` is 2.5"),
    "seconds": (small, X, Y, {"seconds": 0}, "`seconds` is 0"),
    "frozen": (frozen, X, Y, {"loss": LOGITS}, "has no trainable weights"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_a_sentence(case):
    make, x, y, options, says = BAD[case]
    with pytest.raises((ValueError, TypeError), match=says) as info:
        gradient_flow.diagnose(make(), x, y, **options)
    text = str(info.value)
    assert text.endswith(".")
    assert "\n" not in text


def test_a_simple_rnn_at_its_ends_has_no_gates_to_blame():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 10, (64, 12, 3)).astype("float32"), rng.random((64, 1), "float32")
    rnn = keras.layers.SimpleRNN(8, kernel_initializer=keras.initializers.RandomNormal(stddev=2.0))
    model = keras.Sequential([keras.Input((12, 3)), rnn, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.003), "mse")
    found = diagnose(model, x, y, steps=30)
    (saturated,) = [finding for finding in found.findings if "saturated" in finding.kind]
    assert saturated.kind == "saturated units"
    assert saturated.where == rnn.name
    assert "the states of" in saturated.sentence
