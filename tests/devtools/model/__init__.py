"""Tests of devtools/model."""
