"""Put WebSockets in front of Redis: any program does ``PUBLISH``, every browser gets the message."""

__version__ = "0.1.0"
