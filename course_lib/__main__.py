"""The command line of the course: `python -m course_lib lab`, `python -m course_lib test`.

This file and `__init__` parse on every Python since 2.7, so that an old one is answered with a
sentence. Everything here is standard library: the environment may not exist yet.
"""

from __future__ import print_function

import sys

PYTHONS = ((3, 11), (3, 12), (3, 13))
COMMANDS = (
    # name, what it does
    ("lab", "set up, then open the course in JupyterLab (--no-browser, --port N, ...)"),
    ("test", "set up, then run every test, every notebook and every widget"),
    ("doctor", "look at Python, packages, TensorFlow, kernel, memory, disk and data"),
    ("reset", "NN: put chapter NN back as it was; your version is kept beside it"),
    ("bench", "measure speed and memory, as ratios within one run"),
    ("recompute", "NN: run the recorded experiments of chapter NN again"),
    ("audit", "run chapters under many seeds: a table of how far every claim holds"),
    ("figures", "make the header picture of each chapter again where its code changed"),
    ("lock", "write the lists of packages and the checksums of the course's own data"),
)
IN_THE_ENVIRONMENT = ("audit", "bench", "recompute", "figures", "lock")
USED_WHILE_DEVELOPING = ("audit", "bench", "figures", "lock")


def wrong_python(version, command, windows=False):
    """Return the sentence for a Python that the course cannot use, or None for one that it can."""
    if tuple(version[:2]) in PYTHONS:
        return None
    found = ".".join(str(part) for part in version[:3])
    why = "" if tuple(version[:2]) < PYTHONS[0] else " (TensorFlow has no build for it yet)"
    instead = "py -3.12" if windows else "python3.12"
    return (
        "The course needs Python 3.11, 3.12 or 3.13; this is Python {}{}: install 3.12 from "
        "https://www.python.org/downloads/, then run `{} -m course_lib {}`."
    ).format(found, why, instead, command)


def usage():
    """Return the help text."""
    lines = ["Usage: python -m course_lib COMMAND", ""]
    lines += ["  {:<10} {}".format(name, text) for name, text in COMMANDS]
    lines += ["", "Start with `python -m course_lib lab`."]
    return "\n".join(lines)


def main(arguments=None):
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else None
    names = [known for known, _ in COMMANDS]
    sentence = wrong_python(
        sys.version_info, name if name in names else "lab", sys.platform == "win32"
    )
    if sentence:
        print(sentence, file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows console may lack a character
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        from course_lib import __version__

        print(__version__)
        return 0
    if name not in names:
        if name is not None:
            print("There is no command `{}`.\n".format(name), file=sys.stderr)
        print(usage(), file=sys.stderr)
        return 2
    return run(name, arguments[1:])


def run(name, arguments):
    """Run one known command, and turn what stops it into a sentence and an exit code."""
    from importlib import import_module

    from course_lib.commands import environment

    try:
        if name in IN_THE_ENVIRONMENT and not {"-h", "--help"} & set(arguments):
            python = environment.ensure(dev=name in USED_WHILE_DEVELOPING)
            if not environment.is_this(python):
                variables = dict(environment.environment_variables(python), COURSE_ENV="current")
                argv = [python, "-m", "course_lib", name]
                argv.extend(arguments)
                return environment.run(argv, env=variables)
        return import_module("course_lib.commands." + name).main(arguments) or 0
    except environment.SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command takes it up again.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
