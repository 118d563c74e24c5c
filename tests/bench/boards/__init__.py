"""How long the boards' queries take on a day of data of a fleet: `python -m tests.bench.boards`."""
