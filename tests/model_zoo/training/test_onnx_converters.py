"""Thresholds leave the zoo so that float32 features decide as they did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model_zoo.training.onnx_converters import round_down


@given(st.floats(-(2.0**60), 2.0**60), st.floats(-(2.0**60), 2.0**60, width=32))
def test_a_threshold_rounded_down_decides_as_the_exact_one(threshold: float, value: float) -> None:
    assert (value <= float(round_down(threshold))) == (value <= threshold)
