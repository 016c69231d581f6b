"""Counters and their exposition."""
