"""The same faults for the bare client and for ours: `python -m tests.bench.storm`."""
