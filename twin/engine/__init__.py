"""The engine, compiled by Numba: the scheduler, the time that its steps take, and an hour of both."""
