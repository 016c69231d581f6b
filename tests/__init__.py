"""Tests of wsrelay. Hypothesis draws the same examples in every run, so that a failure is never about luck."""

from hypothesis import settings

settings.register_profile("wsrelay", derandomize=True, database=None, deadline=None, max_examples=100)
settings.load_profile("wsrelay")
