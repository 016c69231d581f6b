"""The transports: ports and the router, WebSockets, and the registry of all connections."""
