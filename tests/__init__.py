"""Tests of wsrelay. Hypothesis draws the same examples in every run, so that a failure is never about luck, or load."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "wsrelay",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("wsrelay")
