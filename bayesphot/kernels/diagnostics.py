"""Rank-normalised split R-hat, bulk and tail ESS, Pareto k, quantiles.

Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021 (R-hat and ESS); Geyer 1992 (initial monotone
sequence); Vehtari et al. 2024 and Zhang & Stephens 2009 (Pareto k). Equal to ArviZ's where no
draws tie across ranks; one sort of a parameter's draws serves every number.
"""

import math
from typing import NamedTuple

import numpy as np

from .cache import borrowing, compiled, part

#: Columns of a summary row.
MEDIAN = 0
SD = 1
LOW = 2
HIGH = 3
R_HAT = 4
ESS_BULK = 5
ESS_TAIL = 6
N_SUMMARY = 7


class Scratch(NamedTuple):
    """Room for the diagnostics; the last row of ``reals`` is left to the caller."""

    reals: np.ndarray  # (6, at least n)
    places: np.ndarray  # (4, at least n + 1) int64


@part
def allocate_scratch(n):
    """Return scratch for the diagnostics of n draws."""
    room = max(n, 256) + 1
    return Scratch(np.empty((6, room)), np.empty((4, room), np.int64))


@borrowing
def sort_with_order(values, order, stack):
    """Sort values in place, carrying order along: quicksort, insertion sort below 17."""
    top = 2
    stack[0] = 0
    stack[1] = values.size - 1
    while top > 0:
        high = stack[top - 1]
        low = stack[top - 2]
        top -= 2
        while high - low > 16:
            a = values[low]
            b = values[(low + high) >> 1]
            c = values[high]
            pivot = max(min(a, b), min(max(a, b), c))
            i = low
            j = high
            while i <= j:
                while values[i] < pivot:
                    i += 1
                while values[j] > pivot:
                    j -= 1
                if i <= j:
                    t = values[i]
                    values[i] = values[j]
                    values[j] = t
                    u = order[i]
                    order[i] = order[j]
                    order[j] = u
                    i += 1
                    j -= 1
            # The longer part waits: the stack stays below 2 log2(n).
            if j - low < high - i:
                stack[top] = i
                stack[top + 1] = high
                high = j
            else:
                stack[top] = low
                stack[top + 1] = j
                low = i
            top += 2
    _insert_into_place(values, order)


@borrowing
def _insert_into_place(values, order):
    """Sort values that are nearly sorted, carrying order along."""
    for i in range(1, values.size):
        t = values[i]
        u = order[i]
        j = i - 1
        while j >= 0 and values[j] > t:
            values[j + 1] = values[j]
            order[j + 1] = order[j]
            j -= 1
        values[j + 1] = t
        order[j + 1] = u


@borrowing
def fill_normal_scores(values, order, scores, out):
    """Spread normal scores of average ranks to the draws' places.

    ``scores[i + j]`` is the score of the average of 0-based ranks i and j.
    """
    n = values.size
    i = 0
    while i < n:
        j = i
        while j + 1 < n and values[j + 1] == values[i]:
            j += 1
        z = scores[i + j]
        for k in range(i, j + 1):
            out[order[k]] = z
        i = j + 1


@borrowing
def sort_draws(draws, mean, sd, values, order, count, stack):
    """Fill the sorted draws and their order: buckets 4 sd about the mean, then insertions.

    Half the time of quicksort for draws of a bell shape; others are left to quicksort.
    """
    n = draws.size
    scale = n / (8.0 * sd) if sd > 0.0 else 0.0
    low = mean - 4.0 * sd
    count[:] = 0
    for i in range(n):
        count[_find_bucket((draws[i] - low) * scale, n) + 1] += 1
    moves = 0
    for b in range(n):
        moves += count[b + 1] * count[b + 1]
        count[b + 1] += count[b]
    for i in range(n):
        b = _find_bucket((draws[i] - low) * scale, n)
        values[count[b]] = draws[i]
        order[count[b]] = i
        count[b] += 1
    if moves > 64 * n:
        sort_with_order(values, order, stack)
    else:
        _insert_into_place(values, order)


@borrowing
def _find_bucket(place, n):
    """Return floor(place) held to 0 .. n - 1."""
    if place >= n:
        return n - 1
    return np.int64(place) if place > 0.0 else 0


@borrowing
def center_halves(values, n_chain, n_draw, means, centered):
    """Fill split chains less their means; return (within-chain variance, pooled variance).

    An odd number of draws loses its middle one, as in ArviZ; ``values`` holds whole chains.
    """
    half = n_draw // 2
    n_half = 2 * n_chain
    within = 0.0
    grand = 0.0
    for c in range(n_half):
        first = (c // 2) * n_draw + (c % 2) * (n_draw - half)
        part = values[first : first + half]
        rest = centered[c * half : (c + 1) * half]
        s = 0.0
        for i in range(half):
            s += part[i]
        s /= half
        q = 0.0
        for i in range(half):
            rest[i] = part[i] - s
            q += rest[i] * rest[i]
        means[c] = s
        grand += s
        within += q / (half - 1)
    within /= n_half
    grand /= n_half
    between = 0.0
    for c in range(n_half):
        between += (means[c] - grand) ** 2
    between /= n_half - 1
    return within, within * (half - 1) / half + between


@borrowing
def split_ess(values, n_chain, n_draw, means, centered):
    """Return (ESS, R-hat) of split chains by Geyer's initial monotone sequence.

    rho_t = 1 - (W - mean autocovariance_t) / pooled, summed over pairs of lags; of the pair
    that ends the sequence only the even lag counts.
    """
    n_half = 2 * n_chain
    half = n_draw // 2
    within, pooled = center_halves(values, n_chain, n_draw, means, centered)
    total = np.float64(n_half * half)
    if not within > 0.0:
        return total, np.nan
    previous = np.inf
    accumulated = 0.0
    lag = np.int64(0)
    while True:
        even = 1.0
        if lag > 0:
            even = 1.0 - (within - _mean_lagged(centered, n_half, half, lag)) / pooled
        pair = even + 1.0 - (within - _mean_lagged(centered, n_half, half, lag + 1)) / pooled
        if not pair > 0.0 or lag + 2 >= half - 2:
            break
        previous = min(pair, previous)
        accumulated += previous
        lag += 2
    tau = -1.0 + 2.0 * accumulated
    if even > 0.0 or pair >= 0.0:
        tau += even
    tau = max(tau, 1.0 / math.log10(total))
    return total / tau, math.sqrt(pooled / within)


@borrowing
def _mean_lagged(centered, n_half, half, lag):
    """Return the autocovariance: the mean over half chains of sum x_i x_(i+lag) / n."""
    s = 0.0
    for c in range(n_half):
        first = centered[c * half : c * half + half - lag]
        second = centered[c * half + lag : (c + 1) * half]
        for i in range(first.size):
            s += first[i] * second[i]
    return s / (n_half * np.float64(half))


@borrowing
def quantile(ordered, probability):
    """Return the linearly interpolated quantile of sorted values (numpy's default)."""
    place = probability * (ordered.size - 1)
    i = int(place)
    if i + 1 >= ordered.size:
        return ordered[ordered.size - 1]
    return ordered[i] + (place - i) * (ordered[i + 1] - ordered[i])


@compiled
def summarise_into(draws, n_chain, n_draw, tail, scores, summary):
    """Fill median, sd, low, high, R-hat, bulk and tail ESS of one parameter.

    ``tail`` is the probability below ``low`` and above ``high``.
    """
    scratch = allocate_scratch(n_chain * n_draw)
    summarise_with(draws, n_chain, n_draw, tail, scores, scratch, summary)


@borrowing
def summarise_with(draws, n_chain, n_draw, tail, scores, scratch, summary):
    """Fill a summary row as `summarise_into` does, with the caller's scratch."""
    n = n_chain * n_draw
    reals = scratch.reals
    places = scratch.places
    values = reals[0, :n]
    series = reals[1, :n]
    means = reals[2]
    centered = reals[3, :n]
    order = places[0, :n]
    mean = 0.0
    for i in range(n):
        mean += draws[i]
    mean /= n
    variance = 0.0
    for i in range(n):
        variance += (draws[i] - mean) * (draws[i] - mean)
    sd = math.sqrt(variance / max(n - 1, 1))
    sort_draws(draws, mean, sd, values, order, places[1, : n + 1], places[2])
    # As numpy's median, to the last bit: the two middle draws are often equally far from it.
    median = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    summary[MEDIAN] = median
    summary[SD] = sd
    summary[LOW] = quantile(values, tail)
    summary[HIGH] = quantile(values, 1.0 - tail)
    if values[0] == values[n - 1]:
        # A constant has nothing to mix.
        summary[R_HAT] = np.nan
        summary[ESS_BULK] = np.nan
        summary[ESS_TAIL] = np.nan
        return
    fill_normal_scores(values, order, scores, series)
    summary[ESS_BULK], bulk_r_hat = split_ess(series, n_chain, n_draw, means, centered)
    summary[ESS_TAIL] = np.inf
    for t in range(2):
        cut = quantile(values, 0.95 if t == 1 else 0.05)
        for i in range(n):
            series[i] = 1.0 if draws[i] <= cut else 0.0
        ess, _ = split_ess(series, n_chain, n_draw, means, centered)
        summary[ESS_TAIL] = min(summary[ESS_TAIL], ess)
    _fold(values, order, median, reals[4, :n], places[3, :n])
    fill_normal_scores(reals[4, :n], places[3, :n], scores, series)
    within, pooled = center_halves(series, n_chain, n_draw, means, centered)
    folded_r_hat = math.sqrt(pooled / within) if within > 0.0 else np.nan
    summary[R_HAT] = max(bulk_r_hat, folded_r_hat)


@borrowing
def _fold(values, order, median, folded, folded_order):
    """Fill |draw - median| in rising order, merging the two sorted halves."""
    n = values.size
    high = 0
    while high < n and values[high] < median:
        high += 1
    low = high - 1
    for i in range(n):
        below = median - values[low] if low >= 0 else np.inf
        above = values[high] - median if high < n else np.inf
        # Written as selections: half the branches would be guessed wrong.
        take = np.int64(below <= above)
        folded[i] = min(below, above)
        folded_order[i] = order[low * take + high * (1 - take)]
        low -= take
        high += 1 - take


@part
def pareto_k(log_weight):
    """Return the shape of the generalised Pareto distribution of the largest weights.

    Zhang & Stephens' estimate from the upper min(n/5, 3 sqrt(n)) weights, drawn towards 1/2 by
    ten pseudo-observations; inf where fewer than five weights stand out.
    """
    return _estimate_k(log_weight, allocate_scratch(log_weight.size))


@borrowing
def _estimate_k(log_weight, scratch):
    """Return Pareto k with scratch."""
    n = 0
    top = -np.inf
    reals = scratch.reals
    places = scratch.places
    known = reals[0]
    for i in range(log_weight.size):
        if not math.isnan(log_weight[i]):
            known[n] = log_weight[i]
            top = max(top, log_weight[i])
            n += 1
    if n < 25 or top == -np.inf:
        return np.inf
    m = int(math.ceil(min(0.2 * n, 3.0 * math.sqrt(n))))
    _partition_upper(known[:n], n - m - 1)
    tail = known[n - m : n]
    sort_with_order(tail, places[0], places[1])
    cut = math.exp(max(known[n - m - 1] - top, -708.0))
    count = 0
    for i in range(m):
        e = math.exp(tail[i] - top) - cut
        if e > 0.0:
            tail[count] = e
            count += 1
    if count < 5:
        return np.inf
    n_grid = 30 + int(math.sqrt(count))
    return _fit_pareto(tail[:count], reals[1, :n_grid], reals[2, :n_grid])


@borrowing
def _partition_upper(values, k):
    """Reorder so that values[k] is the k-th smallest, no smaller ones after it (quickselect)."""
    low = 0
    high = values.size - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                t = values[i]
                values[i] = values[j]
                values[j] = t
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return


@borrowing
def _mean_log1p(factor, excess):
    """Return mean ln(1 - factor * excess): one logarithm for the product of eight terms."""
    n = excess.size
    total = 0.0
    for first in range(0, n, 8):
        part = excess[first : min(first + 8, n)]
        product = 1.0
        for i in range(part.size):
            product *= 1.0 - factor * part[i]
        total += math.log(product)
    return total / n


@borrowing
def _fit_pareto(excess, b, likelihood):
    """Return the posterior-mean shape of Zhang & Stephens (2009) for sorted excesses."""
    n = excess.size
    n_grid = b.size
    quartile = excess[int(n / 4.0 + 0.5) - 1]
    top = -np.inf
    for j in range(n_grid):
        b[j] = (1.0 - math.sqrt(n_grid / (j + 0.5))) / (3.0 * quartile) + 1.0 / excess[n - 1]
        k = _mean_log1p(b[j], excess)
        likelihood[j] = n * (math.log(-b[j] / k) - k - 1.0)
        if likelihood[j] > top:
            top = likelihood[j]
    total = 0.0
    for j in range(n_grid):
        likelihood[j] = math.exp(likelihood[j] - top)
        total += likelihood[j]
    kept = 0.0
    b_mean = 0.0
    for j in range(n_grid):
        weight = likelihood[j] / total
        if weight >= 10.0 * 2.220446049250313e-16:
            kept += weight
            b_mean += weight * b[j]
    k = _mean_log1p(b_mean / kept, excess)
    return (n * k + 10.0 * 0.5) / (n + 10.0)
