"""The decisions, pure: no clock, lock, sleep, randomness or I/O in here. Time and draws are arguments."""
