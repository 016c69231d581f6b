"""The embedded broker, for one process."""
