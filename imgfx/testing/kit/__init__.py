"""The conformance kit: whether a plugin does what every plugin promises.

`imgfx plugins test NAME` and `pytest --imgfx NAME` both run it. A subject is one thing that a
plugin offers; for each kind of thing there is a list of checks, each of which answers one finding.
"""
