"""The PSF of an image from its own stars: the pieces of the iteration.

Not public yet: stars are chosen (`choose`), neighbours fitted and taken out (`frame`, `iterate`),
the PSF solved for (`solve`), and its differences from star to star measured (`modes`).
"""
