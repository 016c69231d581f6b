"""The Autobahn test suite against the relay's own front door and protocol class: `python -m devtools.conformance`."""
