"""The one clock of the glue, s. Monotonic; policies get its readings as arguments."""

from __future__ import annotations

import time
from typing import Final

clock: Final = time.perf_counter
