"""Release tools, which keep generated files in step with their sources."""
