"""One module a command of `python -m course_lib`."""
