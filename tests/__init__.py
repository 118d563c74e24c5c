"""The tests: a package, so that `python -m tests.bench` and shared helpers import by name."""
