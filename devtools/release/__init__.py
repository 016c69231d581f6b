"""What keeps generated files of the project in step with their sources."""
