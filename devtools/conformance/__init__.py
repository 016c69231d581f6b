"""The Autobahn test suite against the relay's own router and protocol class: `python -m devtools.conformance`."""
