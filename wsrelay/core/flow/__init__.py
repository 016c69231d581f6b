"""Bounds and schedules: queues, rates, delays, expiry."""
