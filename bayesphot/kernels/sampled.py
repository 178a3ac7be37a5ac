"""Sampled PSFs: oversampled images, by cubic B-splines, varying over the detector or not.

The coefficients c of the spline are kept in phases: those an oversampling apart lie side by side,
so that all pixels of a row read neighbouring numbers. At pixel i the place in the image is
u = (i - x) oversampling + origin; with t = u - floor(u) the value along an axis is
sum_a B_a(t) c[floor(u) - 1 + a], a = 0 .. 3. Between places on the detector the image is bilinear.

A width factor w other than 1 makes of phi(d) the source phi(d / w) / w^2.
"""

import math

import numpy as np

from .cache import apart, borrowing
from .structs import N_CELL, N_PLACE, ORIGIN, OVERSAMPLING, PSF_TABLE, SHAPE, X, Y

#: Rows of scratch: offsets, weights and slopes of four coefficients along x; then sums.
N_LINE = 12
_OFFSET = 0
_WEIGHT = 4
_SLOPE = 8


@borrowing
def spline_weight(a, t):
    """Return the weight of coefficient a = 0 .. 3 at t in [0, 1)."""
    if a == 0:
        s = 1.0 - t
        return s * s * s / 6.0
    if a == 1:
        return (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0
    if a == 2:
        return (1.0 + 3.0 * t + 3.0 * t * t - 3.0 * t * t * t) / 6.0
    return t * t * t / 6.0


@borrowing
def spline_slope(a, t):
    """Return the derivative of the weight by t."""
    if a == 0:
        s = 1.0 - t
        return -0.5 * s * s
    if a == 1:
        return -2.0 * t + 1.5 * t * t
    if a == 2:
        return 0.5 + t - 1.5 * t * t
    return 0.5 * t * t


@borrowing
def _locate(numbers, axis, place):
    """Return the place on the detector before a coordinate, the share of the next, d share."""
    n = int(numbers[N_PLACE + axis])
    if n == 1:
        return np.int64(0), 0.0, 0.0
    first = PSF_TABLE + (int(numbers[N_PLACE]) if axis == 1 else 0)
    i = np.int64(0)
    while i < n - 2 and place >= numbers[first + i + 1]:
        i += 1
    step = numbers[first + i + 1] - numbers[first + i]
    share = (place - numbers[first + i]) / step
    if share <= 0.0:
        return i, 0.0, 0.0
    if share >= 1.0:
        return i, 1.0, 0.0
    return i, share, 1.0 / step


@borrowing
def _find_overlap(u, step, n_cell, size):
    """Return the first and end of ``size`` pixels all of whose four coefficients exist."""
    m = np.int64(math.floor(u)) - 1
    low = np.int64(0)
    high = np.int64(size)
    for a in range(4):
        cell = (m + a) // step
        low = max(low, -cell)
        high = min(high, n_cell - cell)
    return low, high


@borrowing
def _add_row(table, start, offset, weight, factor, out):
    """Add factor * sum_a weight[a] table[start + offset[a] + i] to each pixel i of a row."""
    n = np.uint64(out.size)
    c0 = table[start + np.int64(offset[0]) :]
    c1 = table[start + np.int64(offset[1]) :]
    c2 = table[start + np.int64(offset[2]) :]
    c3 = table[start + np.int64(offset[3]) :]
    w0 = factor * weight[0]
    w1 = factor * weight[1]
    w2 = factor * weight[2]
    w3 = factor * weight[3]
    for i in range(n):
        out[i] += w0 * c0[i] + w1 * c1[i] + w2 * c2[i] + w3 * c3[i]


@borrowing
def _find_table(numbers):
    """Return where the phases begin, and how many numbers one place's are, one phase is."""
    n_phase = int(numbers[N_CELL]) * int(numbers[N_CELL + 1])
    n_image = int(numbers[OVERSAMPLING]) * int(numbers[OVERSAMPLING + 1]) * n_phase
    start = PSF_TABLE + int(numbers[N_PLACE]) + int(numbers[N_PLACE + 1])
    return start, n_image, n_phase


@apart
def fill_sampled(psf, source, window, lines, unit):
    """Fill a source of unit flux over its window."""
    numbers = psf.numbers
    height = window[1] - window[0]
    width = window[3] - window[2]
    for p in range(height * width):
        unit[p] = 0.0
    if source[SHAPE] != 0.0:
        _fill_stretched(psf, source, window, lines, unit)
        return
    step_y = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    table, n_image, n_phase = _find_table(numbers)
    u = (window[2] - source[X]) * step_x + numbers[ORIGIN + 1]
    v = (window[0] - source[Y]) * step_y + numbers[ORIGIN]
    first, end = _find_overlap(u, step_x, n_cell, width)
    top, bottom = _find_overlap(v, step_y, int(numbers[N_CELL]), height)
    if first >= end:
        return
    offset = lines[0]
    weight = lines[1]
    m = np.int64(math.floor(u)) - 1
    for a in range(4):
        cell = (m + a) // step_x
        offset[a] = (m + a - cell * step_x) * n_phase + cell
        weight[a] = spline_weight(a, u - math.floor(u))
    m = np.int64(math.floor(v)) - 1
    gx, share_x, _ = _locate(numbers, 1, psf.column + source[X])
    gy, share_y, _ = _locate(numbers, 0, psf.row + source[Y])
    for place in range(4):
        share = share_x if place & 1 else 1.0 - share_x
        share *= share_y if place & 2 else 1.0 - share_y
        if share == 0.0:
            continue
        g = (gy + (place >> 1)) * int(numbers[N_PLACE + 1]) + gx + (place & 1)
        for b in range(4):
            cell = (m + b) // step_y
            phase = m + b - cell * step_y
            start = table + g * n_image + phase * step_x * n_phase + cell * n_cell
            factor = share * spline_weight(b, v - math.floor(v))
            for j in range(top, bottom):
                out = unit[j * width + first : j * width + end]
                _add_row(numbers, start + j * n_cell + first, offset, weight, factor, out)


@apart
def fill_sampled_columns(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives of a unit source, ``n_used`` of them."""
    numbers = psf.numbers
    height = window[1] - window[0]
    width = window[3] - window[2]
    for c in range(n_used):
        for p in range(height * width):
            columns[c, p] = 0.0
    if n_used > SHAPE or source[SHAPE] != 0.0:
        _fill_stretched_columns(psf, source, window, lines, n_used, columns)
        return
    step_y = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    table, n_image, n_phase = _find_table(numbers)
    u = (window[2] - source[X]) * step_x + numbers[ORIGIN + 1]
    v = (window[0] - source[Y]) * step_y + numbers[ORIGIN]
    first, end = _find_overlap(u, step_x, n_cell, width)
    top, bottom = _find_overlap(v, step_y, int(numbers[N_CELL]), height)
    if first >= end:
        return
    offset = lines[0]
    weight = lines[1]
    slope = lines[2]
    m = np.int64(math.floor(u)) - 1
    for a in range(4):
        cell = (m + a) // step_x
        offset[a] = (m + a - cell * step_x) * n_phase + cell
        weight[a] = spline_weight(a, u - math.floor(u))
    gx, share_x, rate_x = _locate(numbers, 1, psf.column + source[X])
    gy, share_y, rate_y = _locate(numbers, 0, psf.row + source[Y])
    m = np.int64(math.floor(v)) - 1
    t = v - math.floor(v)
    for place in range(4):
        right = place & 1
        below = place >> 1
        share = (share_x if right else 1.0 - share_x) * (share_y if below else 1.0 - share_y)
        by_x = (rate_x if right else -rate_x) * (share_y if below else 1.0 - share_y)
        by_y = (rate_y if below else -rate_y) * (share_x if right else 1.0 - share_x)
        if share == 0.0 and by_x == 0.0 and by_y == 0.0:
            continue
        for a in range(4):
            slope[a] = by_x * weight[a] - share * step_x * spline_slope(a, u - math.floor(u))
        g = (gy + below) * int(numbers[N_PLACE + 1]) + gx + right
        for b in range(4):
            cell = (m + b) // step_y
            phase = m + b - cell * step_y
            start = table + g * n_image + phase * step_x * n_phase + cell * n_cell + first
            factor = spline_weight(b, t)
            fall = by_y * factor - share * step_y * spline_slope(b, t)
            for j in range(top, bottom):
                row = columns[:, j * width + first : j * width + end]
                here = start + j * n_cell
                _add_row(numbers, here, offset, weight, share * factor, row[0])
                _add_row(numbers, here, offset, slope, factor, row[1])
                _add_row(numbers, here, offset, weight, fall, row[2])


@borrowing
def _prepare_columns(numbers, source, window, shrink, lines):
    """Fill offsets, weights and slopes of the four coefficients along x of each column."""
    step = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    _, _, n_phase = _find_table(numbers)
    for i in range(window[3] - window[2]):
        u = (window[2] + i - source[X]) * step * shrink + numbers[ORIGIN + 1]
        m = np.int64(math.floor(u))
        for a in range(4):
            index = m - 1 + a
            cell = index // step
            inside = 0 <= cell < n_cell
            lines[_OFFSET + a, i] = (index - cell * step) * n_phase + cell if inside else 0.0
            lines[_WEIGHT + a, i] = spline_weight(a, u - m) if inside else 0.0
            lines[_SLOPE + a, i] = spline_slope(a, u - m) if inside else 0.0


@apart
def _fill_stretched(psf, source, window, lines, unit):
    """Fill a source of another width than the image's."""
    numbers = psf.numbers
    width = window[3] - window[2]
    shrink = math.exp(-source[SHAPE])
    step = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    table, n_image, n_phase = _find_table(numbers)
    _prepare_columns(numbers, source, window, shrink, lines)
    gx, share_x, _ = _locate(numbers, 1, psf.column + source[X])
    gy, share_y, _ = _locate(numbers, 0, psf.row + source[Y])
    for j in range(window[1] - window[0]):
        v = (window[0] + j - source[Y]) * step * shrink + numbers[ORIGIN]
        m = np.int64(math.floor(v))
        out = unit[j * width : (j + 1) * width]
        for b in range(4):
            cell = (m - 1 + b) // step
            if not 0 <= cell < int(numbers[N_CELL]):
                continue
            factor = shrink * shrink * spline_weight(b, v - m)
            phase = m - 1 + b - cell * step
            for place in range(4):
                share = share_x if place & 1 else 1.0 - share_x
                share *= share_y if place & 2 else 1.0 - share_y
                if share == 0.0:
                    continue
                g = (gy + (place >> 1)) * int(numbers[N_PLACE + 1]) + gx + (place & 1)
                start = table + g * n_image + phase * step_x * n_phase + cell * n_cell
                for i in range(width):
                    s = 0.0
                    for a in range(4):
                        s += lines[_WEIGHT + a, i] * numbers[start + int(lines[_OFFSET + a, i])]
                    out[i] += share * factor * s


@apart
def _fill_stretched_columns(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives of a source of any width."""
    numbers = psf.numbers
    width = window[3] - window[2]
    shrink = math.exp(-source[SHAPE])
    step = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    table, n_image, n_phase = _find_table(numbers)
    _prepare_columns(numbers, source, window, shrink, lines)
    gx, share_x, rate_x = _locate(numbers, 1, psf.column + source[X])
    gy, share_y, rate_y = _locate(numbers, 0, psf.row + source[Y])
    for j in range(window[1] - window[0]):
        dy = window[0] + j - source[Y]
        v = dy * step * shrink + numbers[ORIGIN]
        m = np.int64(math.floor(v))
        row = columns[:, j * width : (j + 1) * width]
        for b in range(4):
            cell = (m - 1 + b) // step
            if not 0 <= cell < int(numbers[N_CELL]):
                continue
            factor = shrink * shrink * spline_weight(b, v - m)
            fall = -shrink * shrink * shrink * step * spline_slope(b, v - m)
            phase = m - 1 + b - cell * step
            for place in range(4):
                right = place & 1
                below = place >> 1
                part_x = share_x if right else 1.0 - share_x
                part_y = share_y if below else 1.0 - share_y
                by_x = (rate_x if right else -rate_x) * part_y
                by_y = (rate_y if below else -rate_y) * part_x
                share = part_x * part_y
                if share == 0.0 and by_x == 0.0 and by_y == 0.0:
                    continue
                g = (gy + below) * int(numbers[N_PLACE + 1]) + gx + right
                start = table + g * n_image + phase * step_x * n_phase + cell * n_cell
                for i in range(width):
                    s = 0.0
                    d = 0.0
                    for a in range(4):
                        c = numbers[start + int(lines[_OFFSET + a, i])]
                        s += lines[_WEIGHT + a, i] * c
                        d += lines[_SLOPE + a, i] * c
                    d *= -step_x * shrink
                    row[0, i] += share * factor * s
                    row[1, i] += factor * (share * d + by_x * s)
                    row[2, i] += (share * fall + by_y * factor) * s
                    if n_used > SHAPE:
                        dx = window[2] + i - source[X]
                        by_width = factor * (dx * d - 2.0 * s) + dy * fall * s
                        row[SHAPE, i] += share * by_width
