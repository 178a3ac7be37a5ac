"""Sampled PSFs: oversampled images, by cubic B-splines, varying over the detector or not.

The coefficients c of the spline are kept in phases: those an oversampling apart lie side by side,
so that all pixels of a row read neighbouring numbers. At pixel i the place in the image is
u = (i - x) oversampling + origin; with t = u - floor(u) the value along an axis is
sum_a B_a(t) c[floor(u) - 1 + a], a = 0 .. 3. Over the detector images are bilinear between
places, or the coefficients of a polynomial; beyond the outermost places, or where the polynomial
holds, they are those of the edge.

A width factor w other than 1 makes of phi(d) the source phi(d / w) / w^2.
"""

import math

import numpy as np

from .cache import apart, borrowing
from .structs import (
    DEGREE,
    N_CELL,
    N_PLACE,
    ORIGIN,
    OVERSAMPLING,
    PSF_TABLE,
    SAMPLED,
    SHAPE,
    X,
    Y,
)

#: Rows of scratch: offsets, weights and slopes of four coefficients along x for each column, the
#: images' shares, sums down the image and the rows that they are over; or what is common to all
#: pixels, up to 4 x 4 numbers and one more.
N_LINE = 23
LEAST_LINE = 17
_OFFSET = 0
_WEIGHT = 4
_SLOPE = 8
_SHARE = 12
_SUM = 16
_ROW = 20


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
def _scale_place(numbers, first, place):
    """Return a coordinate in a polynomial's unit, no further than where it holds, and its rate."""
    scale = numbers[first + 1]
    scaled = (place - numbers[first]) / scale
    if scaled <= numbers[first + 2]:
        return numbers[first + 2], 0.0
    if scaled >= numbers[first + 3]:
        return numbers[first + 3], 0.0
    return scaled, 1.0 / scale


@borrowing
def count_images(numbers):
    """Return how many images may have a share in a source."""
    degree = int(numbers[DEGREE])
    return 4 if degree == 0 else (degree + 1) * (degree + 2) // 2


@borrowing
def find_line(psf, longest):
    """Return how long the rows of scratch must be for windows of some longest side."""
    longest = max(longest, LEAST_LINE)
    if psf.kind != SAMPLED:
        return longest
    numbers = psf.numbers
    row = int(numbers[OVERSAMPLING + 1]) * int(numbers[N_CELL + 1])
    return max(longest, row, count_images(numbers))


@borrowing
def find_share(numbers, i, x, y):
    """Return (image, share, d share / dx, d share / dy) of share i at a place on the detector."""
    degree = int(numbers[DEGREE])
    if degree == 0:
        gx, share_x, rate_x = _locate(numbers, 1, x)
        gy, share_y, rate_y = _locate(numbers, 0, y)
        if i & 1:
            gx += 1
        else:
            share_x = 1.0 - share_x
            rate_x = -rate_x
        if i & 2:
            gy += 1
        else:
            share_y = 1.0 - share_y
            rate_y = -rate_y
        image = gy * int(numbers[N_PLACE + 1]) + gx
        return image, share_x * share_y, rate_x * share_y, share_x * rate_y
    # Share i is u^(n - j) v^j, n the largest with n (n + 1) / 2 <= i.
    n = 0
    while (n + 1) * (n + 2) // 2 <= i:
        n += 1
    j = i - n * (n + 1) // 2
    v, rate_v = _scale_place(numbers, PSF_TABLE, y)
    u, rate_u = _scale_place(numbers, PSF_TABLE + 4, x)
    share = 1.0
    by_u = 0.0
    by_v = 0.0
    for _power in range(n - j):
        by_u = by_u * u + share
        share *= u
    for _power in range(j):
        by_u *= v
        by_v = by_v * v + share
        share *= v
    return np.int64(i), share, by_u * rate_u, by_v * rate_v


@borrowing
def _find_overlap(u, step, n_cell, size):
    """Return the first and end of ``size`` pixels all of whose four coefficients exist."""
    m = np.int64(math.floor(u)) - 1
    low = max(np.int64(0), -(m // step))
    high = min(np.int64(size), n_cell - (m + 3) // step)
    return low, high


@borrowing
def _add_block(table, place, weight, out, width, box):
    """Add to a block of pixels the sums over 4 x 4 coefficients.

    Pixel (j, i) of ``box`` (first row, end row, first column, end column of the window) gets
    sum_ba weight[4 b + a] table[place[4 b + a] + j * place[16] + i].
    """
    w00 = weight[0]
    w01 = weight[1]
    w02 = weight[2]
    w03 = weight[3]
    w10 = weight[4]
    w11 = weight[5]
    w12 = weight[6]
    w13 = weight[7]
    w20 = weight[8]
    w21 = weight[9]
    w22 = weight[10]
    w23 = weight[11]
    w30 = weight[12]
    w31 = weight[13]
    w32 = weight[14]
    w33 = weight[15]
    # Unsigned indices have no meaning from the end, whose test costs half the time here. Places are
    # below 0 where a window begins before the table: of a negative float that is undefined.
    p00 = np.uint64(np.int64(place[0]))
    p01 = np.uint64(np.int64(place[1]))
    p02 = np.uint64(np.int64(place[2]))
    p03 = np.uint64(np.int64(place[3]))
    p10 = np.uint64(np.int64(place[4]))
    p11 = np.uint64(np.int64(place[5]))
    p12 = np.uint64(np.int64(place[6]))
    p13 = np.uint64(np.int64(place[7]))
    p20 = np.uint64(np.int64(place[8]))
    p21 = np.uint64(np.int64(place[9]))
    p22 = np.uint64(np.int64(place[10]))
    p23 = np.uint64(np.int64(place[11]))
    p30 = np.uint64(np.int64(place[12]))
    p31 = np.uint64(np.int64(place[13]))
    p32 = np.uint64(np.int64(place[14]))
    p33 = np.uint64(np.int64(place[15]))
    stride = np.uint64(np.int64(place[16]))
    n = np.uint64(box[3] - box[2])
    for j in range(box[0], box[1]):
        q = np.uint64(j) * stride + np.uint64(box[2])
        o = np.uint64(j * width + box[2])
        for i in range(n):
            c = q + i
            out[o + i] += (
                w00 * table[p00 + c]
                + w01 * table[p01 + c]
                + w02 * table[p02 + c]
                + w03 * table[p03 + c]
                + w10 * table[p10 + c]
                + w11 * table[p11 + c]
                + w12 * table[p12 + c]
                + w13 * table[p13 + c]
                + w20 * table[p20 + c]
                + w21 * table[p21 + c]
                + w22 * table[p22 + c]
                + w23 * table[p23 + c]
                + w30 * table[p30 + c]
                + w31 * table[p31 + c]
                + w32 * table[p32 + c]
                + w33 * table[p33 + c]
            )


@borrowing
def find_table(numbers):
    """Return where the phases begin, and how many numbers one place's are, one phase is."""
    n_phase = int(numbers[N_CELL]) * int(numbers[N_CELL + 1])
    n_image = int(numbers[OVERSAMPLING]) * int(numbers[OVERSAMPLING + 1]) * n_phase
    start = PSF_TABLE + int(numbers[N_PLACE]) + int(numbers[N_PLACE + 1])
    return start, n_image, n_phase


@borrowing
def _find_coefficients(numbers, u, v, across, down, place, with_slopes):
    """Fill weights of the coefficients along both axes and their offsets in one image's phases.

    ``across`` and ``down`` (8 each): four weights, then four slopes by u and v, the places in the
    image of the window's first pixel. Whole numbers are divided once along each axis: a division
    costs as much as ten multiplications.
    """
    step_y = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    n_phase = int(numbers[N_CELL]) * n_cell
    m = np.int64(math.floor(u))
    n = np.int64(math.floor(v))
    for a in range(4):
        across[a] = spline_weight(a, u - m)
        down[a] = spline_weight(a, v - n)
        if with_slopes:
            across[4 + a] = spline_slope(a, u - m)
            down[4 + a] = spline_slope(a, v - n)
    first = (m - 1) // step_x
    first_phase = m - 1 - first * step_x
    row = (n - 1) // step_y
    phase_y = n - 1 - row * step_y
    for b in range(4):
        start = phase_y * step_x * n_phase + row * n_cell
        column = first
        phase_x = first_phase
        for a in range(4):
            place[4 * b + a] = start + phase_x * n_phase + column
            phase_x += 1
            if phase_x == step_x:
                phase_x = np.int64(0)
                column += 1
        phase_y += 1
        if phase_y == step_y:
            phase_y = np.int64(0)
            row += 1
    place[16] = n_cell


@apart
def fill_sampled(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives (C, size) of a unit source, ``n_used`` of them."""
    numbers = psf.numbers
    height = window[1] - window[0]
    width = window[3] - window[2]
    for c in range(n_used):
        for p in range(height * width):
            columns[c, p] = 0.0
    if n_used > SHAPE or source[SHAPE] != 0.0:
        _fill_stretched(psf, source, window, lines, n_used, columns)
        return
    step_y = numbers[OVERSAMPLING]
    step_x = numbers[OVERSAMPLING + 1]
    across = lines[0]
    down = lines[1]
    weight = lines[2]
    place = lines[3]
    shifted = lines[4]
    u = (window[2] - source[X]) * step_x + numbers[ORIGIN + 1]
    v = (window[0] - source[Y]) * step_y + numbers[ORIGIN]
    top, bottom = _find_overlap(v, int(step_y), int(numbers[N_CELL]), height)
    first, end = _find_overlap(u, int(step_x), int(numbers[N_CELL + 1]), width)
    if first >= end or top >= bottom:
        return
    box = (top, bottom, first, end)
    _find_coefficients(numbers, u, v, across, down, place, n_used > 1)
    table, n_image, _ = find_table(numbers)
    shifted[16] = place[16]
    for part in range(count_images(numbers)):
        g, share, by_x, by_y = find_share(
            numbers, part, psf.column + source[X], psf.row + source[Y]
        )
        if share == 0.0 and by_x == 0.0 and by_y == 0.0:
            continue
        for i in range(16):
            shifted[i] = place[i] + table + g * n_image
            weight[i] = share * down[i >> 2] * across[i & 3]
        _add_block(numbers, shifted, weight, columns[0], width, box)
        if n_used == 1:
            continue
        for i in range(16):
            along = by_x * across[i & 3] - share * step_x * across[4 + (i & 3)]
            weight[i] = down[i >> 2] * along
        _add_block(numbers, shifted, weight, columns[1], width, box)
        for i in range(16):
            along = by_y * down[i >> 2] - share * step_y * down[4 + (i >> 2)]
            weight[i] = across[i & 3] * along
        _add_block(numbers, shifted, weight, columns[2], width, box)


@borrowing
def _prepare_columns(numbers, source, window, shrink, lines):
    """Fill offsets, weights and slopes of the four coefficients along x of each column.

    Offsets are those in one row of the image, phase after phase. Returns the first and the end of
    the cells that any column needs.
    """
    step = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    low = n_cell
    high = 0
    for i in range(window[3] - window[2]):
        u = (window[2] + i - source[X]) * step * shrink + numbers[ORIGIN + 1]
        m = np.int64(math.floor(u))
        for a in range(4):
            index = m - 1 + a
            cell = index // step
            inside = 0 <= cell < n_cell
            lines[_OFFSET + a, i] = (index - cell * step) * n_cell + cell if inside else 0.0
            lines[_WEIGHT + a, i] = spline_weight(a, u - m) if inside else 0.0
            lines[_SLOPE + a, i] = spline_slope(a, u - m) if inside else 0.0
            if inside:
                low = min(low, cell)
                high = max(high, cell + 1)
    return low, high


@borrowing
def _list_shares(psf, source, lines):
    """Fill number, share and its slopes of the images that count; return how many do."""
    numbers = psf.numbers
    n = 0
    for part in range(count_images(numbers)):
        g, share, by_x, by_y = find_share(
            numbers, part, psf.column + source[X], psf.row + source[Y]
        )
        if share != 0.0 or by_x != 0.0 or by_y != 0.0:
            lines[_SHARE, n] = g
            lines[_SHARE + 1, n] = share
            lines[_SHARE + 2, n] = by_x
            lines[_SHARE + 3, n] = by_y
            n += 1
    return n


@borrowing
def _sum_rows(numbers, start, weight, factor, cells, total, fresh):
    """Set or add to sums, over cells first to end of all phases, those of four rows of an image.

    ``start`` (4) are their places, ``weight`` (4) their weights, to be times a factor.
    """
    step = int(numbers[OVERSAMPLING + 1])
    n_cell = int(numbers[N_CELL + 1])
    n_phase = int(numbers[N_CELL]) * n_cell
    w0 = factor * weight[0]
    w1 = factor * weight[1]
    w2 = factor * weight[2]
    w3 = factor * weight[3]
    n = np.uint64(cells[1] - cells[0])
    for phase in range(step):
        offset = phase * n_phase + cells[0]
        p0 = np.uint64(np.int64(start[0]) + offset)
        p1 = np.uint64(np.int64(start[1]) + offset)
        p2 = np.uint64(np.int64(start[2]) + offset)
        p3 = np.uint64(np.int64(start[3]) + offset)
        o = np.uint64(phase * n_cell + cells[0])
        if fresh:
            for k in range(n):
                total[o + k] = (
                    w0 * numbers[p0 + k]
                    + w1 * numbers[p1 + k]
                    + w2 * numbers[p2 + k]
                    + w3 * numbers[p3 + k]
                )
        else:
            for k in range(n):
                total[o + k] += (
                    w0 * numbers[p0 + k]
                    + w1 * numbers[p1 + k]
                    + w2 * numbers[p2 + k]
                    + w3 * numbers[p3 + k]
                )


@borrowing
def _sum_images(numbers, v, n_share, cells, n_used, lines):
    """Fill the sums over the four rows of coefficients about v, of all images.

    They are the value, the derivative by v, and, where the images' shares change, those by the
    place on the detector. Returns how many there are.
    """
    step = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    n_row = int(numbers[N_CELL])
    table, n_image, n_phase = find_table(numbers)
    n_cell = int(numbers[N_CELL + 1])
    n_sum = 1 if n_used == 1 else 4 if n_share > 1 else 2
    m = np.int64(math.floor(v))
    weight = lines[_ROW]
    slope = lines[_ROW + 1]
    start = lines[_ROW + 2]
    for b in range(4):
        cell = (m - 1 + b) // step
        inside = 0 <= cell < n_row
        weight[b] = spline_weight(b, v - m) if inside else 0.0
        slope[b] = spline_slope(b, v - m) if inside else 0.0
        start[4 + b] = (m - 1 + b - cell * step) * step_x * n_phase + cell * n_cell if inside else 0
    for k in range(n_share):
        first = table + np.int64(lines[_SHARE, k]) * n_image
        for b in range(4):
            start[b] = first + start[4 + b]
        fresh = k == 0
        _sum_rows(numbers, start, weight, lines[_SHARE + 1, k], cells, lines[_SUM], fresh)
        if n_sum > 1:
            _sum_rows(numbers, start, slope, lines[_SHARE + 1, k], cells, lines[_SUM + 1], fresh)
        if n_sum > 2:
            _sum_rows(numbers, start, weight, lines[_SHARE + 2, k], cells, lines[_SUM + 2], fresh)
            _sum_rows(numbers, start, weight, lines[_SHARE + 3, k], cells, lines[_SUM + 3], fresh)
    return n_sum


@apart
def _fill_stretched(psf, source, window, lines, n_used, columns):
    """Fill value and derivatives of a source of any width.

    Sums over the four rows of coefficients come first, for all columns of the image at once.
    """
    numbers = psf.numbers
    width = window[3] - window[2]
    shrink = math.exp(-source[SHAPE])
    step = int(numbers[OVERSAMPLING])
    step_x = int(numbers[OVERSAMPLING + 1])
    cells = _prepare_columns(numbers, source, window, shrink, lines)
    n_share = _list_shares(psf, source, lines)
    if cells[0] >= cells[1]:
        return
    factor = shrink * shrink
    fall = -factor * shrink * step
    for j in range(window[1] - window[0]):
        dy = window[0] + j - source[Y]
        v = dy * step * shrink + numbers[ORIGIN]
        n_sum = _sum_images(numbers, v, n_share, cells, n_used, lines)
        total = lines[_SUM]
        row = columns[:, j * width : (j + 1) * width]
        for i in range(width):
            s = 0.0
            for a in range(4):
                s += lines[_WEIGHT + a, i] * total[np.uint64(np.int64(lines[_OFFSET + a, i]))]
            row[0, i] = factor * s
        if n_used == 1:
            continue
        for i in range(width):
            along = 0.0
            down = 0.0
            for a in range(4):
                k = np.uint64(np.int64(lines[_OFFSET + a, i]))
                along += lines[_SLOPE + a, i] * total[k]
                down += lines[_WEIGHT + a, i] * lines[_SUM + 1, k]
            along *= -step_x * shrink * factor
            down *= fall
            if n_used > SHAPE:
                dx = window[2] + i - source[X]
                row[SHAPE, i] = dx * along + dy * down - 2.0 * row[0, i]
            if n_sum > 2:
                for a in range(4):
                    k = np.uint64(np.int64(lines[_OFFSET + a, i]))
                    along += factor * lines[_WEIGHT + a, i] * lines[_SUM + 2, k]
                    down += factor * lines[_WEIGHT + a, i] * lines[_SUM + 3, k]
            row[1, i] = along
            row[2, i] = down
