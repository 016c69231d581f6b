"""Test doubles for the public seams, so that what is built on them can be tested without a socket."""
