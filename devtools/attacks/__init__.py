"""Knocks at real relays in every way that should not be let in, and looks what comes of it.

An attack that is refused proves nothing unless the honest version of the same request succeeds: each one shows that
first. And it counts as refused only if the answer is the very one that it should be. `acts` is the table of attacks;
`python -m devtools.attacks --help` says the rest.
"""
