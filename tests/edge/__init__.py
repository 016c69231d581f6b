"""Tests at the edge of the whole relay, in memory."""
