"""`python -m course_lib lock`: what was locked, from what, and whether the two lists agree."""

import json
import shutil
from pathlib import Path

import pytest

from course_lib import data
from course_lib.commands import environment, lock

ROOT = environment.ROOT


@pytest.fixture
def copy(tmp_path):
    """A copy of what the locks are made from, and the locks."""
    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", *environment.LOCKS.values()):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(place, old, new):
    text = place.read_text(encoding="utf-8")
    assert old in text
    place.write_text(text.replace(old, new), encoding="utf-8")


def test_both_locks_are_fresh():
    assert lock.problems(ROOT) == []


def test_the_learners_list_installs_the_course_first_and_holds_nothing_but_versions():
    first, second, *others = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert first == "-e ."
    assert second.startswith(lock.HASH)
    for line in others:
        assert lock.version_of(lock.pins([line])[0]) != "none", line


@pytest.mark.parametrize("name", list(environment.LOCKS.values()))
def test_no_address_and_no_path_in_a_list(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for word in ("://", "--index", "--find-links", "file:", "/tmp", "\\"):
        assert word not in text


def test_control_a_new_requirement_makes_both_lists_stale(copy):
    change(copy / "pyproject.toml", '"numpy>=2.0,<3",', '"numpy>=2.0,<3", "scipy>=1",')
    said = " ".join(lock.problems(copy))
    assert "requirements.txt is older than pyproject.toml" in said
    assert "tests/requirements.txt is older than pyproject.toml" in said
    assert "requirements.txt does not meet `scipy>=1` on Python 3.11" in said


def test_control_a_raised_floor_is_noticed(copy):
    change(copy / "pyproject.toml", '"numpy>=2.0,<3"', '"numpy>=99"')
    assert any("does not meet `numpy>=99`" in sentence for sentence in lock.problems(copy))


def test_control_a_requirement_of_the_tests_makes_only_their_list_stale(copy):
    change(copy / "pyproject.toml", '"codespell>=2.4"', '"codespell>=2.4,<9"')
    (sentence,) = lock.problems(copy)
    assert sentence.startswith("tests/requirements.txt is older")


def test_order_and_remarks_in_pyproject_do_not_matter(copy):
    text = (copy / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith('    "numpy'))
    lines[first], lines[first + 1] = lines[first + 1] + "  # a remark", lines[first]
    (copy / "pyproject.toml").write_text("\n".join(lines), encoding="utf-8")
    assert lock.problems(copy) == []


def test_control_two_lists_that_disagree(copy):
    version = next(
        line.split("==")[1]
        for line in (copy / "requirements.txt").read_text().splitlines()
        if line.startswith("attrs==")
    )
    change(copy / "tests/requirements.txt", f"attrs=={version}", "attrs==1.0")
    (sentence,) = lock.problems(copy)
    assert sentence.startswith(f"attrs is {version} in requirements.txt and 1.0 in tests/")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("-e .\n", "", "the first line must be `-e .`"),
        ("numpy==", "numpy>=", "does not meet `numpy"),
        ("keras==", "# keras==", "does not meet `keras"),
        (
            "\nnumpy==",
            "\n--index-url" + " https://example.org\nnumpy==",
            "names an address or a path",
        ),
        ("sys_platform == 'win32'\n", "sys_platform == 'os2'\n", "Python 3.11, win32 AMD64"),
    ],
)
def test_control_a_list_that_was_changed_by_hand(copy, old, new, said):
    change(copy / "requirements.txt", old, new)
    assert any(said in sentence for sentence in lock.problems(copy))


def test_a_missing_list_is_named(copy):
    (copy / "tests" / "requirements.txt").unlink()
    assert lock.problems(copy)[0].startswith("tests/requirements.txt is missing")


def test_an_unreadable_line_is_shown(copy):
    (copy / "requirements.txt").write_text("-e .\nnumpy = 2\n")
    with pytest.raises(environment.SetupError, match="`numpy = 2` is no requirement"):
        lock.problems(copy)


def test_every_target_has_just_one_tensorflow():
    pins = lock.pins((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    for target in lock.TARGETS:
        names = {
            lock._name(pin)
            for pin in pins
            if lock._name(pin).startswith("tensorflow") and lock._applies(pin.marker, target)
        }
        small = (target["sys_platform"], target["platform_machine"]) in (
            ("linux", "x86_64"),
            ("win32", "AMD64"),
        )
        assert names == {"tensorflow-cpu" if small else "tensorflow"}


def test_check_writes_nothing_and_says_that_all_is_fresh(capsys):
    before = [(ROOT / name).stat().st_mtime_ns for name in environment.LOCKS.values()]
    assert lock.main(["--check"]) == 0
    assert capsys.readouterr().out == "Both locks and all checksums are fresh.\n"
    assert before == [(ROOT / name).stat().st_mtime_ns for name in environment.LOCKS.values()]


def test_fresh_locks_are_left_alone_and_checksums_renewed(tmp_path, monkeypatch, capsys):
    def resolve(*_):
        raise AssertionError("a fresh lock must not be resolved again")

    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(lock, "write", resolve)
    with (tmp_path / "data" / "ledger.csv").open("a", encoding="utf-8") as file:
        file.write("one more line\n")
    assert lock.main([]) == 0
    assert "Checksums: ledger.csv." in capsys.readouterr().out
    assert data.problems() == []


def test_a_resolution_that_fails_is_one_sentence(copy, monkeypatch):
    def fails(argv, **_):
        assert "--universal" in argv
        assert not any("index" in word and "--no-" not in word for word in argv)
        return type("Done", (), {"returncode": 1, "stdout": "", "stderr": "error: dns error"})

    monkeypatch.setattr(lock.subprocess, "run", fails)
    with pytest.raises(environment.SetupError, match="cannot be reached"):
        lock.write(copy, upgrade=False)


def test_writing_puts_course_and_hash_on_top(copy, monkeypatch):
    def resolve(argv, **_):
        output = Path(argv[-1].removeprefix("--output-file="))
        old = output.read_text()
        bounds = Path(argv[-2].removeprefix("--constraints=")).read_text()
        seen.append((argv[5:7], "numpy==" in old, "numpy==" in bounds))
        output.write_text("numpy==2.4.6\n")
        return type("Done", (), {"returncode": 0})

    seen = []
    monkeypatch.setattr(lock.subprocess, "run", resolve)
    lock.write(copy, upgrade=False)
    tables = lock.tables(ROOT)
    learn = f"-e .\n{lock.HASH}{lock.hash_of(tables['learn'])}\nnumpy==2.4.6\n"
    test = f"{lock.HASH}{lock.hash_of(tables['test'])}\nnumpy==2.4.6\n"
    assert (copy / "requirements.txt").read_text() == learn
    assert (copy / "tests/requirements.txt").read_text() == test
    assert seen[0] == (["pyproject.toml", "--extra=tensorflow"], True, False)
    assert seen[1][2]  # what learners have bounds what the tests add
    lock.write(copy, upgrade=True)
    assert not seen[2][1]  # no old version is preferred


def test_the_manifest_is_written_canonically():
    text = (ROOT / "data" / "MANIFEST.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
