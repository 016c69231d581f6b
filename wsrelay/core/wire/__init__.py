"""Bytes on the wire: HTTP heads and responses, WebSocket frames, PROXY headers."""
