"""A diagnosis names what is wrong, leaves the model as it was, and refuses what makes no sense."""

import random
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models import clinic, diagnosis, gradient_flow
from course_lib.models.gradient_flow import diagnose
from course_lib.models.made_up import made_up_data
from course_lib.models.targets import taking_logits

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


class HalfLife(keras.optimizers.schedules.LearningRateSchedule):
    """As tutorials write them: it cannot be written down, and casts the step."""

    def __call__(self, step):
        return 0.01 / (1 + keras.ops.cast(step, "float32"))


class Driven(keras.optimizers.SGD):
    """Another argument, and no `get_config` that knows of it."""

    def __init__(self, speed):
        super().__init__(0.01 * speed)


@pytest.mark.parametrize(
    ("make", "name", "rate"),
    [
        (lambda: keras.optimizers.Adam(HalfLife()), "Adam", 0.01),
        (lambda: keras.optimizers.SGD(lambda: 0.02), "SGD", 0.02),
        (
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(HalfLife())),
            "LossScaleOptimizer",
            0.01,
        ),
        (
            lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 50)),
            "Adam",
            0.02,
        ),
        (lambda: Driven(speed=3), "Adam", 0.001),
    ],
)
def test_a_rate_and_an_optimizer_of_the_reader_s_own(zoo, make, name, rate):
    model, x, y, _ = zoo("sequential")
    optimizer = make()
    model.compile(optimizer, LOGITS)
    theirs = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
    found = diagnose(model, x, y, steps=30)
    assert (found.trial.optimizer, found.trial.learning_rate) == (name, pytest.approx(rate))
    assert getattr(optimizer, "inner_optimizer", optimizer)._learning_rate is theirs
    assert ("Driven cannot be made anew" in found.summary()) is isinstance(optimizer, Driven)


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
    assert [(f.kind, f.severity) for f in found.findings] == [("learning rate too low", "note")]
    assert "it learns in as many steps" in found.findings[0].sentence


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
    assert "<code>keras.layers.Normalization</code>" in found._repr_html_()


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


# ------------------------------------------------------- networks of the reader's, sound and not

CROSS_ENTROPY = "sparse_categorical_crossentropy"


def rows(seed=0):
    """Return 64 rows of eight columns, and which of three sums of them is the largest."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 8)).astype("float32")
    return x, (x @ rng.normal(size=(8, 3))).argmax(1)


def made(*layers, loss=CROSS_ENTROPY, optimizer="adam"):
    model = keras.Sequential([layer() if isinstance(layer, type) else layer for layer in layers])
    model.compile(optimizer, loss)
    return model


def norms_that_have_not_caught_up(depth=12):
    small = keras.initializers.RandomNormal(stddev=0.03)
    return [
        layer
        for _ in range(depth)
        for layer in (
            K.Dense(16, kernel_initializer=small),
            K.BatchNormalization(momentum=0.999),
            K.ReLU(),
        )
    ]


def test_moving_statistics_that_have_not_caught_up_are_no_constant_output():
    model = made(*norms_that_have_not_caught_up(), K.Dense(3, activation="softmax"))
    found = diagnose(model, *rows(), seconds=120)
    assert found.healthy, str(found)
    assert found.trial.outcome == "learns"
    assert found.trial.variation > 0.1


@pytest.mark.parametrize("between", [K.Dropout(0.5), K.BatchNormalization()], ids=["drop", "norm"])
def test_a_constant_output_stays_one_beside_dropout_and_batch_norm(between):
    x, y = rows()
    shut = K.Dense(1, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))
    found = diagnose(made(K.Dense(8), between, shut, loss="mse"), x, y + 1.0)
    assert kinds(found) == ["constant output"], str(found)
    assert found.trial.variation == 0


def test_frozen_batch_norms_are_judged_by_their_own_statistics():
    """These are used in training, too: what they make constant is constant."""
    norm = K.BatchNormalization(trainable=False)
    model = made(K.Dense(8), norm, K.Dense(3, activation="softmax"))
    x, y = rows()
    model.build((None, 8))
    norm.set_weights([np.zeros(8), np.zeros(8), np.zeros(8), np.ones(8)])  # gamma 0
    assert diagnose(model, x, y, steps=30).trial.variation == 0


def far_from_zero(units, **options):
    """Return a layer with weights so large that its first answers are worse than a constant."""
    large = keras.initializers.RandomNormal(stddev=1.0)
    return K.Dense(units, kernel_initializer=large, **options)


SLOW = {
    "logistic": lambda x, y: (made(far_from_zero(3, activation="softmax")), x, y),
    "linear": lambda x, y: (made(far_from_zero(1), loss="mse"), x, x[:, 0]),
    "picture": lambda x, y: (
        made(K.Dense(4, activation="relu"), far_from_zero(8), loss="mse"),
        x,
        x,
    ),
    "far off": lambda x, y: (
        made(K.Dense(32, activation="relu"), K.Dense(1), loss="mse"),
        x,
        20 + x[:, 0],
    ),
}


@pytest.mark.parametrize("case", SLOW)
def test_a_loss_that_still_falls_is_no_stall(case):
    found = diagnose(*SLOW[case](*rows()), seconds=120)
    assert found.trial.outcome == "falls"
    assert found.healthy
    assert "still falling; pass more `steps`" in found.summary()
    assert {finding.severity for finding in found.findings} <= {"note"}
    assert "no progress" not in str(found)


def test_a_loss_that_still_falls_learns_with_more_steps_or_larger_ones():
    model, x, y = SLOW["logistic"](*rows())
    found = diagnose(model, x, y, seconds=120)
    (note,) = found.findings
    assert (note.kind, note.severity) == ("learning rate too low", "note")
    assert "learns in as many steps" in note.sentence
    assert diagnose(model, x, y, steps=1000, seconds=120).trial.outcome == "learns"


def test_a_loss_that_only_the_last_bias_lowers_is_a_stall():
    model = made(
        *[K.Dense(16, activation="sigmoid") for _ in range(16)],
        K.Dense(1),
        loss="mse",
        optimizer=keras.optimizers.SGD(1e-3),
    )
    x, _ = rows()
    found = diagnose(model, x, 20 + x[:, 0], seconds=120)
    losses = found.trial.losses
    assert losses[-50:].mean() < 0.9 * losses[50:100].mean() < 0.9 * losses[:50].mean()
    assert found.trial.outcome == "stalls"
    assert kinds(found) == ["vanishing in depth"], str(found)


SCALED = {
    "Normalization": lambda x: adapted(1e4 * x),
    "Rescaling": lambda x: K.Rescaling(1e-4),
    "Batch Norm": lambda x: K.BatchNormalization(),
    "frozen": lambda x: K.Dense(
        8, kernel_initializer=keras.initializers.Identity(1e-4), trainable=False
    ),
}


def adapted(x):
    layer = K.Normalization()
    layer.adapt(x)
    return layer


@pytest.mark.parametrize("case", SCALED)
def test_a_gradient_that_no_weight_reads_does_not_vanish(case):
    x, y = rows()
    model = made(SCALED[case](x), K.Dense(3, activation="softmax"))
    found = diagnose(model, 1e4 * x, y, seconds=120)
    assert found.healthy, str(found)
    assert "vanishing in depth" not in str(found)


def test_a_gradient_that_vanishes_behind_a_normalization_is_still_seen():
    x, y = rows()
    hidden = [K.Dense(16, activation="sigmoid") for _ in range(12)]
    model = made(adapted(1e4 * x), *hidden, K.Dense(3, activation="softmax"))
    found = diagnose(model, 1e4 * x, y, seconds=120)
    assert kinds(found) == ["vanishing in depth"], str(found)
    (fault,) = found.faults
    assert fault.where.endswith(f"back to {hidden[0].name}")
    assert fault.evidence["factor per layer"] == pytest.approx(
        fault.evidence["what arrives"] ** (1 / 12)
    )


def test_biases_are_no_measure_of_a_step():
    """Those of a GRU have two dimensions, and are tiny after an epoch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 6, 5)).astype("float32")
    y = (x.sum((1, 2)) > 0).astype("float32")
    model = made(K.GRU(8), K.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    model.fit(x, y, verbose=0)
    assert any(len(w.shape) > 1 and "bias" in w.name for w in model.trainable_weights)
    found = diagnose(model, x, y, steps=30)
    assert found.trial.update_ratio < 0.02
    assert not [f for f in found.findings if "learning rate" in f.kind]


def two_outputs(as_dict):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    h = K.Dense(8)(inputs)
    a, b = K.Dense(1, name="b")(h), K.Dense(3, activation="softmax", name="a")(h)
    model = keras.Model(inputs, {"b": a, "a": b} if as_dict else [a, b])
    losses, weights = ("mse", CROSS_ENTROPY), (2.0, 0.5)
    names = ("b", "a")
    model.compile(
        "adam",
        dict(zip(names, losses, strict=True)) if as_dict else list(losses),
        loss_weights=dict(zip(names, weights, strict=True)) if as_dict else list(weights),
    )
    return model


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_best_constant_answer_of_several_outputs(as_dict):
    x, y = rows()
    number = 5 + np.random.default_rng(1).normal(size=64).astype("float32")
    targets = {"b": number, "a": y} if as_dict else [number, y]
    trial = diagnose(two_outputs(as_dict), x, targets, steps=30).trial
    share = np.bincount(y) / len(y)
    entropy = -(share * np.log(share)).sum()
    assert trial.baseline == pytest.approx(2.0 * np.var(number) + 0.5 * entropy, rel=1e-4)
    assert trial.first > 10 * trial.baseline
    assert trial.outcome != "learns"  # the biases alone move in so few steps


def test_a_constant_answer_that_is_not_known_is_not_given():
    def of_the_first_two(y_true, y_pred):
        return keras.ops.mean((y_pred[:, :2] - y_true) ** 2, axis=-1)

    x, _ = rows()
    model = made(K.Dense(3), loss=of_the_first_two)
    found = diagnose(model, x, x[:, :2], steps=30)
    assert np.isnan(found.trial.baseline)
    assert found.trial.reference == found.trial.first
    assert found.summary().endswith("; what the best constant answer has is not known.")


def test_a_learning_rate_of_0_is_named():
    x, y = rows()
    hidden, last = K.Dense(32, activation="relu"), K.Dense(3, activation="softmax")
    found = diagnose(made(hidden, last, optimizer=keras.optimizers.SGD(0.0)), x, y)
    assert kinds(found) == ["learning rate too low"], str(found)
    assert "is 0: no weight moves" in found.faults[0].sentence
    assert found.trial.update_ratio == 0
    assert all("a learning rate of" in name for name in found.cures)


def test_steps_that_are_rounded_away_are_named():
    x, y = rows()
    half = [K.Dense(8, dtype="bfloat16"), K.Dense(3, activation="softmax", dtype="bfloat16")]
    found = diagnose(made(*half), x, y)
    (finding, _) = found.findings
    assert (finding.kind, finding.severity) == ("learning rate too low", "warning")
    assert "rounded away in bfloat16" in finding.sentence


class ItsOwnStep(keras.Sequential):
    """Trains by what it pleases."""

    def train_step(self, data):
        return {"loss": keras.ops.mean(self(data[0])) ** 2}


@pytest.mark.parametrize("kind", [keras.Sequential, ItsOwnStep])
def test_a_train_step_of_its_own_is_not_what_was_tried(kind):
    x, y = rows()
    model = kind([K.Dense(8, activation="relu"), K.Dense(3, activation="softmax")])
    found = diagnose(model, x, y, loss=CROSS_ENTROPY, steps=30)
    says = "trained here by its loss alone, not by the `train_step` of ItsOwnStep."
    assert found.summary().endswith(says) is (kind is ItsOwnStep)


def test_a_matrix_that_gets_no_gradient_is_no_rounding():
    """Behind dead units the last bias moves, and no rate would move the matrices."""
    model, x, y = clinic.PATIENTS["dead from the start"].build(seed=1)
    found = diagnose(model, x, y, steps=30)
    assert found.trial.update_ratio == 0
    assert found.trial.moved
    assert "learning rate too low" not in [finding.kind for finding in found.findings]


def test_an_update_every_few_steps_is_a_step():
    """With gradients that are summed up, most steps move nothing."""
    x, y = rows()
    summed = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=20)
    start = keras.initializers.GlorotUniform(seed=1)
    each, every = (
        made(K.Dense(3, activation="softmax", kernel_initializer=start), optimizer=optimizer)
        for optimizer in ("adam", summed)
    )
    plain = diagnose(each, x, y).trial.update_ratio
    assert diagnose(every, x, y, steps=60).trial.update_ratio == pytest.approx(plain, rel=0.2)


# ------------------------------------------- what a trial alone does not tell, or tells wrongly


def batch(samples=64, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8)).astype("float32")
    return x, (x @ rng.normal(size=(8, 3))).argmax(axis=1)


def stacked(*layers, loss=LOGITS):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(0.003), loss)
    return model


ROOT = K.Lambda(keras.ops.sqrt, name="root")


@pytest.mark.parametrize(
    ("layers", "through"),
    [
        ([K.Dense(8, activation="relu", name="below"), ROOT, K.Dense(3)], "root"),
        ([K.Dense(3, activation="relu")], "the loss"),
    ],
)
def test_a_slope_that_is_infinite_is_found_where_it_is(layers, through):
    rooted = lambda y, p: keras.ops.mean(keras.ops.sqrt(p), axis=-1)  # noqa: E731
    x, y = batch()
    model = stacked(*layers, loss=rooted if through == "the loss" else LOGITS)
    found = diagnose(model, x, y)
    (fault,) = found.faults
    assert (fault.kind, fault.where) == ("non-finite numbers", f"gradient through {through}")
    assert np.isfinite(found.flow.loss)
    assert fault.evidence["numbers that are not finite"] > 0
    assert "a slope is infinite" in found.flow.summary()


def test_weights_that_are_no_numbers_are_found_though_the_loss_is_one():
    """Some processors' ReLU makes 0 of NaN: the loss goes on as if nothing had happened."""

    def silent(v):
        return tf.where(tf.math.is_nan(v), 0.0, v * tf.cast(v > 0, v.dtype))

    x, y = batch()
    found = diagnose(stacked(K.Dense(8, activation=silent), ROOT, K.Dense(3)), x, y)
    assert [fault.kind for fault in found.faults] == ["non-finite numbers"]
    assert (found.trial.outcome, found.trial.spoilt) == ("diverges", True)
    assert np.isfinite(found.trial.losses).all()
    assert f"{found.trial.last:.3g}, with weights NaN or infinite; the best" in found.summary()


def alike(*layers):
    """A network of which every matrix starts with one number throughout."""
    return [
        layer.__class__.from_config(
            {**layer.get_config(), "kernel_initializer": keras.initializers.Constant(0.1)}
        )
        for layer in layers
    ]


@pytest.mark.parametrize(
    ("layers", "where", "units"),
    [
        (alike(K.Dense(16, "tanh", name="low"), K.Dense(8, "tanh"), K.Dense(3)), "low", 16),
        ([K.Dense(16, "relu"), *alike(K.Dense(4, "tanh", name="mid"), K.Dense(3))], "mid", 4),
        (
            [
                K.Reshape((2, 4)),
                K.LSTM(6, recurrent_initializer="zeros", kernel_initializer="zeros", name="loop"),
                *alike(K.Dense(3)),
            ],
            "loop",
            6,
        ),
    ],
)
def test_units_that_start_alike_and_get_the_same_gradient_are_one(layers, where, units):
    x, y = batch()
    found = diagnose(stacked(*layers), x, y, steps=30)
    fault = found.faults[0]
    assert (fault.kind, fault.where) == ("units that stay alike", where)
    assert fault.evidence == {"units": units}
    assert fault.chapter == "03_initialization"


def test_units_that_come_apart_in_the_first_step_are_well():
    """A last matrix of 0, and hidden units alike below a matrix that is not."""
    x, y = batch()
    zeros = K.Dense(3, kernel_initializer="zeros")
    assert diagnose(stacked(K.Dense(16, "relu"), zeros), x, y).healthy
    below = alike(K.Dense(4, "tanh"))
    model = stacked(*below, K.Dense(8, "tanh"), K.Dense(3))
    assert diagnose(model, x, y).healthy
    model.compile(keras.optimizers.Adam(1e-7), LOGITS)  # they come apart, by next to nothing
    assert "units that stay alike" not in str(diagnose(model, x, y, steps=30))


def test_units_that_are_not_trained_may_be_alike():
    x, y = batch()
    model = stacked(*alike(K.Dense(16, "tanh")), K.Dense(16, "tanh"), K.Dense(3))
    model.layers[0].trainable = False
    model.compile(keras.optimizers.Adam(0.003), LOGITS)
    assert "units that stay alike" not in str(diagnose(model, x, y, steps=30))


def regularized(strength):
    return [
        K.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(strength))
        for units, activation in ((16, "relu"), (16, "relu"), (3, None))
    ]


def test_regularization_that_is_too_strong_is_found_by_the_trial_without_it():
    x, y = batch()
    found = diagnose(stacked(*regularized(10.0)), x, y)
    (fault,) = found.faults
    assert fault.kind == "regularisation too strong"
    adds = f"to a loss of {found.trial.first:.3g}. Without it the network learns."
    assert fault.sentence.endswith(adds)
    assert found.cures["no regularisation"].outcome == "learns"
    assert found.cures["no regularisation"].first == pytest.approx(found.trial.first)
    well = diagnose(stacked(*regularized(1e-3)), x, y)
    assert well.healthy
    assert not well.cures  # nothing to prove, so no trial


def test_weight_decay_that_is_too_strong_is_found_by_the_trial_without_it():
    x, y = batch()
    model = stacked(K.Dense(16, "relu"), K.Dense(16, "relu"), K.Dense(3))
    model.compile(keras.optimizers.AdamW(0.003, weight_decay=50.0), LOGITS)
    (fault,) = diagnose(model, x, y).faults
    assert fault.kind == "regularisation too strong"
    assert "AdamW takes 0.15 of every weight at a step." in fault.sentence
    assert model.optimizer.weight_decay == 50.0


def test_a_loss_that_is_only_what_layers_add_is_not_called_regularization():
    class Adds(keras.layers.Layer):
        def call(self, h):
            self.add_loss(1e3 + keras.ops.mean(h**2))
            return h

    x, _ = batch()
    model = keras.Sequential([keras.Input((8,)), K.Dense(3), Adds()])
    model.compile("adam")
    found = diagnose(model, x, None, steps=30)
    assert "no regularisation" not in found.cures


def test_a_root_that_meets_no_zero_is_well():
    x, y = batch()
    found = diagnose(stacked(K.Dense(8, activation="softplus"), ROOT, K.Dense(3)), x, y)
    assert found.healthy
    assert found.examination.bad_gradient is None


def test_a_gradient_that_overflows_on_its_way_back_explodes():
    """Forward nothing grows, backward a million with every layer: more than float32 holds."""
    layers = []
    for _ in range(8):
        layers += [K.Dense(8), Up()]
    x, y = batch()
    found = diagnose(stacked(*layers, K.Dense(3)), x, y, steps=30)
    assert found.examination.bad_gradient.kind == "exploding in depth"
    assert kinds(found) == ["exploding in depth"]


class Up(keras.layers.Layer):
    """The identity, up to a constant; its slope is a million."""

    def call(self, x):
        return x * 1e6 - keras.ops.stop_gradient(x * (1e6 - 1))


def test_layers_that_no_gradient_reaches_are_named_and_no_fault():
    stop = K.Lambda(keras.ops.stop_gradient)
    x, y = batch()
    model = stacked(K.Dense(8, name="first"), K.Dense(8, name="second"), stop, K.Dense(3))
    found = diagnose(model, x, y)
    assert found.healthy
    assert [(f.kind, f.severity, f.where) for f in found.findings] == [
        ("no gradient", "note", "first")
    ]
    assert "first (and 1 other)" in found.findings[0].sentence


def test_a_layer_used_twice_and_one_that_is_frozen_are_not_cut_off():
    x, y = batch()
    inputs = keras.Input((8,))
    shared, frozen = K.Dense(8, name="shared"), K.Dense(8, trainable=False)
    aside = K.Lambda(keras.ops.stop_gradient)(frozen(shared(inputs)))
    model = keras.Model(inputs, K.Dense(3)(shared(inputs) + aside))
    model.compile("adam", LOGITS)
    assert diagnose(model, x, y, steps=30).examination.cut_off == []


@pytest.mark.parametrize(
    "x", [np.zeros((64, 8)), np.ones((64, 8)), np.tile(np.linspace(-1, 1, 8), (64, 1))]
)
def test_samples_that_are_all_the_same(x):
    _, y = batch()
    found = diagnose(stacked(K.Dense(32, activation="relu"), K.Dense(3)), x, y, steps=60)
    assert kinds(found) == ["constant input"]
    assert "scale of the input" not in [finding.kind for finding in found.findings]


def test_samples_that_are_the_same_to_the_first_layer():
    x, y = batch()
    found = diagnose(stacked(K.Rescaling(0.0), K.Dense(3, name="read")), x, y, steps=60)
    constant = [finding for finding in found.findings if finding.kind == "constant input"]
    assert [finding.where for finding in constant] == ["read"]


def test_targets_that_are_all_the_same_prove_nothing():
    x, _ = batch()
    model = stacked(K.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    found = diagnose(model, x, np.ones(64))
    assert [(f.kind, f.severity) for f in found.findings] == [("constant targets", "warning")]
    assert "was not put to the test" in found.summary()
    assert "constant targets" not in str(diagnose(model, x, (x[:, 0] > 0) * 1.0, steps=30))


def test_a_rare_class_is_among_the_samples():
    y = np.zeros(1000, int)
    even = np.linspace(0, 999, 64).astype(int)
    y[np.setdiff1d(np.arange(1000), even)[::100]] = 1  # of those taken evenly none has it
    rows = diagnosis._with_every_class(even, tf.constant(y))
    assert y[rows].sum() == 64 // 8
    assert len(set(rows)) == 64
    model = stacked(K.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    x, _ = batch(1000)
    assert diagnose(model, x, y, steps=30).examination.target_varies


@pytest.mark.parametrize(
    "y",
    [
        np.arange(1000) % 10,  # every class is there
        np.arange(1000),  # as many classes as samples: a number to predict
        np.linspace(0, 1, 1000),
        np.eye(4)[np.arange(1000) % 4],
        np.array(list("ab") * 500),
    ],
)
def test_other_targets_leave_the_samples_even(y):
    even = np.linspace(0, 999, 64).astype(int)
    np.testing.assert_array_equal(diagnosis._with_every_class(even, tf.constant(y)), even)


def test_of_few_samples_no_unit_is_called_dead():
    x, y = batch(2)
    found = diagnose(stacked(K.Dense(32, activation="relu"), K.Dense(3)), x, y, steps=30)
    assert "2 samples cannot show much" in found.summary()
    model = stacked(K.Dense(8, activation="relu", bias_initializer=Far()), K.Dense(3))
    assert "dead units" in str(diagnose(model, *batch(8), steps=30))
    assert "dead units" not in str(diagnose(model, *batch(7), steps=30))


class Far(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, -50.0, dtype)


def test_the_size_of_a_first_batch_is_no_fixed_size():
    model = keras.Sequential([K.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(1).normal(size=(500, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model.fit(x[:64], y[:64], verbose=0)
    assert model.inputs[0].shape[0] is not None
    found = diagnose(model, x, y, samples=48, steps=30)
    assert "48 samples" in str(found)
    assert len(made_up_data(model, samples=20)[0]) == 20


def test_a_loss_of_somebodys_own_that_cannot_be_made_anew_convicts_nobody():
    class Weighted(keras.losses.BinaryCrossentropy):
        def __init__(self, weight=2.0):
            super().__init__()
            self.weight = weight

    model = keras.Sequential([keras.Input((3,)), K.Dense(1)])
    x = np.random.default_rng(1).normal(size=(64, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(1e-9), Weighted())
    found = diagnose(model, 20 * x, (x[:, :1] > 0).astype("float32"), steps=30)
    assert taking_logits(Weighted()) is None
    assert "Taken for logits" not in str(found)


def test_of_matrices_that_begin_at_0_no_share_is_told():
    model = keras.Sequential([keras.Input((4,)), K.Dense(1, kernel_initializer="zeros")])
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 4)).astype("float32")
    y = x @ np.array([[0.5], [-0.5], [0.5], [0.5]], "float32")
    model.compile(keras.optimizers.Adam(1e-6), "mse")
    found = diagnose(model, x, y)
    assert [finding.kind for finding in found.findings] == ["learning rate too low"]
    assert "At 0.001 the loss falls." in str(found)
    assert "nan" not in str(found)
