"""Tests of the front door and of what stands behind it."""
