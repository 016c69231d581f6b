"""The README and docs/: what they print is run as printed. Programs that are not installed are skipped."""
