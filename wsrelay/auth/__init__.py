"""Authentication of clients: tickets, tokens, and the application's hook."""
