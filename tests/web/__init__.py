"""Tests of what is served beside the sockets."""
