"""Every compiled function of the package.

Arrays come in as the named tuples of ``structs``; results go out through arguments, status codes
and counts as return values. Nothing here raises, prints or knows of units, masks or tables.
"""
