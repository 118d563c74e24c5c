"""These tests need the frameworks, which have virtual environments of their own: `make test-frameworks`."""

from __future__ import annotations

import os

LANE = os.environ.get("HUDDLE_TEST_FRAMEWORKS")
"""`3` or `2`: the openai release beside the frameworks. What a lane should have and has not is a failure."""

collect_ignore = ["test_over_2.py", "test_over_3.py", "test_beside.py"]
if LANE:
    collect_ignore = [f"test_over_{'2' if LANE == '3' else '3'}.py"]
