"""Channels with history: positions, recovery from them, and what this process has read of a stream."""
