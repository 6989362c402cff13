"""What the schedulers of vLLM versions decide, step by step, recorded for the tests of the twin."""
