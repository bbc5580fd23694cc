"""Saved models: what can be read is what was saved, and nothing in a file is ever run."""

import json
import zipfile

import keras
import numpy as np
import pytest

from course_lib.models import gradient_flow
from course_lib.models.made_up import made_up_data
from course_lib.models.saved import UnsafeFileError, load_model

pytestmark = pytest.mark.tensorflow


def _of_many_parts():
    symbols = keras.Input((None,), dtype="int32")
    numbers = keras.Input((5,))
    embedded = keras.layers.Embedding(10, 4, mask_zero=True)(symbols)
    lstm = keras.layers.LSTM(
        3, kernel_regularizer="l2", recurrent_initializer=keras.initializers.Orthogonal(0.9)
    )
    h = keras.layers.Dense(6, activation="gelu", kernel_constraint="max_norm")(numbers)
    h = h + keras.layers.Dense(6)(numbers)  # an operation, not a layer
    h = keras.ops.concatenate([h, keras.layers.Bidirectional(lstm)(embedded)], axis=1)
    model = keras.Model([symbols, numbers], keras.layers.Dense(3)(keras.ops.tanh(h) * 2))
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model


def _small():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=keras.losses.mean_squared_error)
    return model


def _edited(path, edit):
    """Write the archive of a small model again, its description changed by `edit`."""
    model = path.with_name("small.keras")
    _small().save(model)
    with zipfile.ZipFile(model) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                description = json.loads(content)
                edit(description)
                content = json.dumps(description)
            after.writestr(name, content)
    return path


def _layers(description):
    return description["config"]["layers"]


@pytest.mark.parametrize("make", [_of_many_parts, _small])
def test_what_was_saved_is_what_is_read(tmp_path, make):
    model = make()
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    x, y = made_up_data(model)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.loss is not None
    flow = gradient_flow.by_layer(again, x, y)
    assert flow.activation_norms[-1] > 0


# ---------------------------------------------------------------- files that want to run something


def test_a_lambda_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = tmp_path / "ran"
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda x: (open("ran", "w").close(), x)[1])]
    )
    model.save(tmp_path / "code.keras")
    ran.unlink(missing_ok=True)  # building and saving a model may call the function
    with pytest.raises(UnsafeFileError, match=r"`path` is 'code.keras', which holds a layer .*Lam"):
        load_model(tmp_path / "code.keras")
    assert not ran.exists()


def _with_function(module, function):
    def edit(description):
        _layers(description)[1]["config"]["activation"] = {
            "module": module,
            "class_name": "function",
            "config": function,
            "registered_name": "function",
        }

    return edit


def _with_class(module, name, config=None, registered=None):
    def edit(description):
        _layers(description)[1] = {
            "module": module,
            "class_name": name,
            "config": config or {},
            "registered_name": registered,
        }

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_with_function("os", "system"), "calls the function 'system', which this loader does not"),
        (_with_function("builtins", "eval"), "calls the function 'eval'"),
        (_with_function("keras.config", "enable_unsafe_deserialization"), "calls the function"),
        (_with_class("subprocess", "Popen", {"args": "x"}), "holds an object of type Popen"),
        (_with_class("keras.utils", "get_file"), "holds an object of type get_file"),
        (_with_class("keras.models", "load_model"), "holds an object of type load_model"),
        (_with_class("keras.src.utils.file_utils", "os"), "holds an object of type os"),
        (_with_class(None, "Own", registered="mine>Own"), "holds an object of type mine>Own"),
        (_with_class("keras.layers", "Dense", registered="mine>C"), "holds an object of type mine"),
        (_with_class("keras.layers", "NoSuchLayer"), "holds an object of type NoSuchLayer"),
        (_with_class("keras.layers", "Lambda"), "holds a layer of type Lambda"),
        (_with_class("keras.layers", "TFSMLayer"), "holds a layer of type TFSMLayer"),
        (_with_class("keras.layers", ["Dense"]), "names a class by something that is no name"),
        (_with_class(None, "__lambda__", {"code": "4wEAAA=="}), "holds a lambda, code that would"),
        (
            _with_class("keras.layers", "StringLookup", {"vocabulary": "/etc/hostname"}),
            "would read the file '/etc/hostname'",
        ),
    ],
)
def test_what_is_not_a_part_of_keras_is_refused(tmp_path, monkeypatch, edit, reason):
    monkeypatch.setattr(keras.saving, "load_model", pytest.fail)  # it must not get that far
    with pytest.raises(UnsafeFileError, match=reason) as told:
        load_model(_edited(tmp_path / "changed.keras", edit))
    assert str(told.value).endswith("and pass the model itself.")


def test_code_is_found_however_deep_it_lies(tmp_path):
    def edit(description):
        lambda_layer = {"module": "keras.layers", "class_name": "Lambda", "config": {}}
        _layers(description)[1]["config"]["kernel_initializer"] = {"a": [[{"b": lambda_layer}]]}

    with pytest.raises(UnsafeFileError, match="Lambda"):
        load_model(_edited(tmp_path / "deep.keras", edit))


# ---------------------------------------------------------------- files that are none


def test_what_is_no_saved_model_is_refused_with_a_sentence(tmp_path):
    text, folder, empty = tmp_path / "a.keras", tmp_path / "b.keras", tmp_path / "c.keras"
    text.write_text("not a zip archive")
    folder.mkdir()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "old.h5").write_bytes(b"\x89HDF")
    for name, error, sentence in [
        ("a.keras", ValueError, "`path` is 'a.keras', which is no saved model; it takes"),
        ("b.keras", FileNotFoundError, "which is a folder; it takes"),
        ("c.keras", ValueError, "which is no saved model; it takes"),
        ("d.keras", FileNotFoundError, "which does not exist; it takes"),
        ("old.h5", ValueError, "of the older HDF5 format"),
    ]:
        with pytest.raises(error, match=sentence):
            load_model(tmp_path / name)
    with pytest.raises(TypeError, match="`path` is 3; it takes the name of a file"):
        load_model(3)


def test_a_damaged_description_is_refused_with_a_sentence(tmp_path):
    def edit(description):
        _layers(description)[1]["config"]["units"] = "many"

    with pytest.raises(ValueError, match=r"`path` is 'bad.keras', which Keras .* cannot read: "):
        load_model(_edited(tmp_path / "bad.keras", edit))


# ---------------------------------------------------------------- made-up data


def test_symbols_are_those_the_embedding_knows():
    model = _of_many_parts()
    (symbols, numbers), y = made_up_data(model, samples=200, length=7)
    assert symbols.shape == (200, 7)
    assert symbols.min() == 1
    assert symbols.max() == 9
    assert numbers.shape == (200, 5)
    assert abs(numbers.mean()) < 0.2
    assert sorted(set(y)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("loss", "holds"),
    [
        ("mse", lambda y: y.shape == (50, 3) and y.min() < 0),
        ("sparse_categorical_crossentropy", lambda y: y.shape == (50,) and set(y) == {0, 1, 2}),
        (keras.losses.CategoricalCrossentropy(), lambda y: (y.sum(axis=1) == 1).all()),
        (keras.losses.kl_divergence, lambda y: (y.sum(axis=1) == 1).all()),
        ("binary_crossentropy", lambda y: set(y.ravel()) == {0, 1} and y.shape == (50, 3)),
        (keras.losses.Poisson(), lambda y: y.min() >= 0),
        ("mean_squared_logarithmic_error", lambda y: y.min() >= 0),
    ],
)
def test_targets_are_of_the_kind_the_loss_takes(loss, holds):
    softmax = keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((4,)), softmax])
    model.compile("sgd", loss=loss)
    x, y = made_up_data(model, samples=50)
    assert holds(y)
    assert np.isfinite(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize(
    ("loss", "like"),
    [
        ("bce", "binary_crossentropy"),
        ("dice", "binary_crossentropy"),
        (keras.losses.MeanSquaredError(name="sparse_mse"), "mse"),
        (keras.losses.CategoricalCrossentropy(name="loss"), "categorical_crossentropy"),
    ],
)
def test_neither_the_alias_nor_the_name_of_a_loss_decides_its_targets(loss, like):
    targets = []
    for given in (loss, like):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        model.compile("sgd", loss=given)
        targets.append(made_up_data(model, samples=50)[1])
    np.testing.assert_array_equal(*targets)


def test_every_loss_of_keras_but_ctc_has_targets():
    own = [
        name
        for name in dir(keras.losses)
        if name[0].islower() and name not in ("get", "serialize", "deserialize", "ctc")
    ]
    assert len(own) > 15
    for name in own:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        model.compile("sgd", loss=getattr(keras.losses, name))
        assert np.isfinite(made_up_data(model, samples=10)[1]).all()


def _of_its_own(y_true, y_pred):
    return y_pred - y_true


@pytest.mark.parametrize("loss", ["ctc", _of_its_own, {"a": "mse"}])
def test_targets_of_an_unknown_loss_are_not_made_up(loss):
    x = keras.Input((4,))
    model = keras.Model(x, {"a": keras.layers.Dense(2)(x), "b": keras.layers.Dense(3)(x)})
    model.compile("sgd", loss=loss if isinstance(loss, dict) else {"a": loss, "b": loss})
    with pytest.raises(ValueError, match=r"`model` has an output with the loss .* cannot be made"):
        made_up_data(model)


def test_the_one_symbol_of_a_tiny_vocabulary_is_in_range():
    model = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(1, 2)])
    model.compile("sgd", loss="mse")
    assert not made_up_data(model)[0].any()


def test_several_outputs_get_a_target_each():
    x = keras.Input((None, 4), batch_size=6)
    h = keras.layers.GRU(5, return_sequences=True)(x)
    outputs = {"a": keras.layers.Dense(2)(h), "b": keras.layers.Dense(3)(h)}
    model = keras.Model(x, outputs)
    losses = {"a": "mse", "b": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile("sgd", loss=losses)
    x, y = made_up_data(model, length=9)
    assert x.shape == (6, 9, 4)
    assert y["a"].shape == (6, 9, 2)
    assert y["b"].shape == (6, 9)
    model.evaluate(x, y, batch_size=6, verbose=0)


def test_the_same_seed_makes_the_same_data():
    model = _small()
    first, again, other = (made_up_data(model, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_model_that_data_cannot_be_made_for_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match=r"does not say what it reads; it takes one with"):
        made_up_data(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"is not compiled with a loss; it takes one that is"):
        made_up_data(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    with pytest.raises(TypeError, match=r"`model` is .*; it takes|`model` is .*a Keras model"):
        made_up_data("model")
    with pytest.raises(ValueError, match=r"`samples` is 1"):
        made_up_data(_small(), samples=1)


def _of_rare_parts():
    inputs = keras.Input((3, 4))
    dice = keras.random.SeedGenerator(1)
    start = keras.initializers.GlorotUniform(seed=dice)
    outputs = keras.layers.Dense(2, kernel_initializer=start)(inputs[..., 0])
    return keras.Model(inputs, outputs)


def test_a_seed_generator_and_an_ellipsis_are_parts_of_keras(tmp_path):
    model = _of_rare_parts()
    model.save(tmp_path / "rare.keras")
    x = np.random.default_rng(1).normal(size=(5, 3, 4))
    np.testing.assert_array_equal(load_model(tmp_path / "rare.keras")(x), model(x))


def _cut(raw):
    return raw[: len(raw) // 2]


def _garbage(raw):
    return b"\x00" * len(raw)


@pytest.mark.parametrize("damage", [_cut, _garbage])
def test_damaged_weights_are_refused_in_one_sentence(tmp_path, damage):
    _small().save(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "damaged.keras", "w") as damaged,
    ):
        for name in whole.namelist():
            raw = whole.read(name)
            damaged.writestr(name, damage(raw) if name.endswith(".h5") else raw)
    with pytest.raises(ValueError, match=r"`path` is 'damaged.keras', which Keras .* cannot read"):
        load_model(tmp_path / "damaged.keras")


def test_one_byte_that_is_another_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "byte.keras"
    _small().save(path)
    with zipfile.ZipFile(path) as whole:
        at = whole.getinfo("model.weights.h5").header_offset + 2000
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"cannot read: it is damaged, or was not stored whole\."):
        load_model(path)
