"""Tests of `wsrelay.brokers.redis.streams`."""
