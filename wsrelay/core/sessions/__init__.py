"""State machines of a client and of its subscriptions."""
