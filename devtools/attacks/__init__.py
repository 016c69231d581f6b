"""Attacks on real relays: attempts to get in, to pose as another client, or to do harm.

An attack that is rejected proves nothing unless the legitimate version of the same request succeeds, so each attack
shows that first. It counts as rejected only if the response is exactly the expected one. The attacks are in
`scenarios`; `python -m devtools.attacks --help` explains the rest.
"""
