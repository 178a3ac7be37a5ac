"""Random streams inside kernels: xoshiro256+ seeded by splitmix64, ziggurat normals.

Blackman & Vigna 2021 (xoshiro256+), Steele et al. 2014 (splitmix64), Marsaglia & Tsang 2000
(ziggurat; layers as in Doornik 2005; gamma variates). A stream is an array of four uint64.
"""

import math

import numpy as np

from .cache import borrowing

_LAYERS = 128
_TAIL = 3.442619855899
_AREA = 9.91256303526217e-3


def _build_layers():
    """Return the right edges of the ziggurat layers, base layer first."""
    edges = np.zeros(_LAYERS + 1)
    density = math.exp(-0.5 * _TAIL * _TAIL)
    edges[0] = _AREA / density
    edges[1] = _TAIL
    for i in range(2, _LAYERS):
        edges[i] = math.sqrt(-2.0 * math.log(_AREA / edges[i - 1] + density))
        density = math.exp(-0.5 * edges[i] * edges[i])
    return edges


_EDGES = _build_layers()
_RATIOS = _EDGES[1:] / _EDGES[:-1]


@borrowing
def mix_bits(z):
    """Return the splitmix64 finaliser of z."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@borrowing
def seed_stream_into(seed, stream):
    """Fill a stream from a 64-bit seed."""
    z = np.uint64(seed)
    for i in range(4):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        stream[i] = mix_bits(z)


@borrowing
def draw_bits(stream):
    """Return the next 64 bits; the lowest three are weak and no caller uses them."""
    result = stream[0] + stream[3]
    t = stream[1] << np.uint64(17)
    stream[2] ^= stream[0]
    stream[3] ^= stream[1]
    stream[1] ^= stream[2]
    stream[0] ^= stream[3]
    stream[2] ^= t
    stream[3] = (stream[3] << np.uint64(45)) | (stream[3] >> np.uint64(19))
    return result


@borrowing
def draw_uniform(stream):
    """Return u in (0, 1), both ends excluded."""
    return (np.float64(draw_bits(stream) >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@borrowing
def draw_normal(stream):
    """Return a standard normal variate."""
    while True:
        bits = draw_bits(stream)
        layer = np.int64((bits >> np.uint64(3)) & np.uint64(127))
        u = np.float64(bits >> np.uint64(11)) * (1.0 / 4503599627370496.0) - 1.0
        if abs(u) < _RATIOS[layer]:
            return u * _EDGES[layer]
        if layer == 0:
            while True:
                x = math.log(draw_uniform(stream)) / _TAIL
                y = math.log(draw_uniform(stream))
                if -2.0 * y >= x * x:
                    break
            return x - _TAIL if u < 0.0 else _TAIL - x
        x = u * _EDGES[layer]
        upper = math.exp(-0.5 * (_EDGES[layer] * _EDGES[layer] - x * x))
        lower = math.exp(-0.5 * (_EDGES[layer + 1] * _EDGES[layer + 1] - x * x))
        if lower + draw_uniform(stream) * (upper - lower) < 1.0:
            return x


@borrowing
def draw_gamma(stream, shape):
    """Return a gamma variate of the given shape >= 1 and scale 1."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = draw_normal(stream)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = draw_uniform(stream)
        if u < 1.0 - 0.0331 * x * x * x * x:
            return d * v
        if math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            return d * v
