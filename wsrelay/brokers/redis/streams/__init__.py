"""Channels with history in Redis: each channel's stream, and the ways to learn of its entries."""
