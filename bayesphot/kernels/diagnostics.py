"""Rank-normalised split R-hat, bulk and tail ESS, Pareto k, quantiles.

Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021 (R-hat and ESS); Geyer 1992 (initial monotone
sequence); Vehtari et al. 2024 and Zhang & Stephens 2009 (Pareto k). Equal to ArviZ's where no
draws tie across ranks; one sort of a parameter's draws serves every number.
"""

import math

import numpy as np

from .cache import borrowing, compiled

#: Columns of a summary row.
MEDIAN = 0
SD = 1
LOW = 2
HIGH = 3
R_HAT = 4
ESS_BULK = 5
ESS_TAIL = 6
N_SUMMARY = 7


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


@compiled
def sort_values(values, stack):
    """Sort values in place."""
    order = np.empty(values.size, np.int32)
    sort_with_order(values, order, stack)


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
def split_moments(values, n_chain, n_draw, means):
    """Return (within-chain variance, pooled variance) of split chains; fill their means.

    An odd number of draws loses its middle one, as in ArviZ; ``values`` holds whole chains.
    """
    half = n_draw // 2
    within = 0.0
    grand = 0.0
    for c in range(2 * n_chain):
        first = _split_start(c, n_draw)
        part = values[first : first + half]
        s = 0.0
        for i in range(part.size):
            s += part[i]
        s /= half
        q = 0.0
        for i in range(part.size):
            q += (part[i] - s) * (part[i] - s)
        means[c] = s
        grand += s
        within += q / (half - 1)
    within /= 2 * n_chain
    grand /= 2 * n_chain
    between = 0.0
    for c in range(2 * n_chain):
        between += (means[c] - grand) ** 2
    between /= 2 * n_chain - 1
    return within, within * (half - 1) / half + between


@borrowing
def _split_start(c, n_draw):
    """Return where half chain c begins."""
    half = n_draw // 2
    start = (c // 2) * n_draw
    if c % 2 == 1:
        start += n_draw - half
    return start


@borrowing
def split_r_hat(values, n_chain, n_draw, means):
    """Return sqrt(pooled / within) of split chains, NaN where they do not move."""
    within, pooled = split_moments(values, n_chain, n_draw, means)
    if not within > 0.0:
        return np.nan
    return math.sqrt(pooled / within)


@compiled
def split_ess(values, n_chain, n_draw, means):
    """Return (ESS, R-hat) of split chains by Geyer's initial monotone sequence.

    rho_t = 1 - (W - mean autocovariance_t) / pooled, summed over pairs of lags.
    """
    n_half = 2 * n_chain
    half = n_draw // 2
    within, pooled = split_moments(values, n_chain, n_draw, means)
    total = np.float64(n_half * half)
    if not within > 0.0:
        return total, np.nan
    centered = np.empty(n_half * half)
    for c in range(n_half):
        first = _split_start(c, n_draw)
        for i in range(half):
            centered[c * half + i] = values[first + i] - means[c]
    previous = np.inf
    accumulated = 0.0
    last_even = 0.0
    lag = 0
    pair = 0.0
    even = 1.0
    while True:
        even = 1.0
        if lag > 0:
            even = 1.0 - (within - _autocovariance(centered, n_half, half, lag)) / pooled
        odd = 1.0 - (within - _autocovariance(centered, n_half, half, lag + 1)) / pooled
        pair = even + odd
        if lag > 0 and pair < 0.0:
            last_even = even
            break
        if lag > 0 and lag + 2 >= half - 2:
            # The chain ends before the sequence does: only the even lag of the last pair counts.
            last_even = even
            break
        if pair > previous:
            pair = previous
        previous = pair
        accumulated += pair
        lag += 2
    tau = -1.0 + 2.0 * accumulated
    if last_even > 0.0:
        tau += last_even
    tau = max(tau, 1.0 / math.log10(total))
    return total / tau, math.sqrt(pooled / within)


@borrowing
def _autocovariance(centered, n_half, half, lag):
    """Return the mean over half chains of sum x_i x_(i+lag) / n."""
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
    n = n_chain * n_draw
    values = np.empty(n)
    order = np.empty(n, np.int32)
    stack = np.empty(256, np.int64)
    means = np.empty(2 * n_chain)
    ranked = np.empty(n)
    mean = 0.0
    for i in range(n):
        values[i] = draws[i]
        order[i] = i
        mean += draws[i]
    mean /= n
    variance = 0.0
    for i in range(n):
        variance += (draws[i] - mean) * (draws[i] - mean)
    sort_with_order(values, order, stack)
    median = quantile(values, 0.5)
    summary[MEDIAN] = median
    summary[SD] = math.sqrt(variance / max(n - 1, 1))
    summary[LOW] = quantile(values, tail)
    summary[HIGH] = quantile(values, 1.0 - tail)
    if values[0] == values[n - 1]:
        # A constant has nothing to mix.
        summary[R_HAT] = np.nan
        summary[ESS_BULK] = np.nan
        summary[ESS_TAIL] = np.nan
        return
    fill_normal_scores(values, order, scores, ranked)
    summary[ESS_BULK], bulk_r_hat = split_ess(ranked, n_chain, n_draw, means)
    low_cut = quantile(values, 0.05)
    high_cut = quantile(values, 0.95)
    for i in range(n):
        ranked[i] = 1.0 if draws[i] <= low_cut else 0.0
    low_ess, _ = split_ess(ranked, n_chain, n_draw, means)
    for i in range(n):
        ranked[i] = 1.0 if draws[i] <= high_cut else 0.0
    high_ess, _ = split_ess(ranked, n_chain, n_draw, means)
    summary[ESS_TAIL] = min(low_ess, high_ess)
    _fold_scores(values, order, median, scores, ranked)
    summary[R_HAT] = max(bulk_r_hat, split_r_hat(ranked, n_chain, n_draw, means))


@compiled
def _fold_scores(values, order, median, scores, out):
    """Fill the normal scores of |draw - median|, merging the two sorted halves."""
    n = values.size
    folded = np.empty(n)
    folded_order = np.empty(n, np.int32)
    high = 0
    while high < n and values[high] < median:
        high += 1
    low = high - 1
    for i in range(n):
        if high >= n or (low >= 0 and median - values[low] <= values[high] - median):
            folded[i] = median - values[low]
            folded_order[i] = order[low]
            low -= 1
        else:
            folded[i] = values[high] - median
            folded_order[i] = order[high]
            high += 1
    fill_normal_scores(folded, folded_order, scores, out)


@compiled
def pareto_k(log_weight):
    """Return the shape of the generalised Pareto distribution of the largest weights.

    Zhang & Stephens' estimate from the upper min(n/5, 3 sqrt(n)) weights, drawn towards 1/2 by
    ten pseudo-observations; inf where fewer than five weights stand out.
    """
    n = 0
    top = -np.inf
    for i in range(log_weight.size):
        if not math.isnan(log_weight[i]):
            n += 1
            top = max(top, log_weight[i])
    if n < 25 or top == -np.inf:
        return np.inf
    shifted = np.empty(n)
    n = 0
    for i in range(log_weight.size):
        if not math.isnan(log_weight[i]):
            shifted[n] = log_weight[i] - top
            n += 1
    m = int(math.ceil(min(0.2 * n, 3.0 * math.sqrt(n))))
    _partition_upper(shifted, n - m - 1)
    tail = shifted[n - m :].copy()
    stack = np.empty(256, np.int64)
    sort_values(tail, stack)
    cut = math.exp(max(shifted[n - m - 1], -708.0))
    excess = np.empty(m)
    count = 0
    for i in range(m):
        e = math.exp(tail[i]) - cut
        if e > 0.0:
            excess[count] = e
            count += 1
    if count < 5:
        return np.inf
    return _fit_pareto(excess[:count])


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


@compiled
def _fit_pareto(excess):
    """Return the posterior-mean shape of Zhang & Stephens (2009) for sorted excesses."""
    n = excess.size
    n_grid = 30 + int(math.sqrt(n))
    quartile = excess[int(n / 4.0 + 0.5) - 1]
    b = np.empty(n_grid)
    likelihood = np.empty(n_grid)
    for j in range(n_grid):
        b[j] = (1.0 - math.sqrt(n_grid / (j + 0.5))) / (3.0 * quartile) + 1.0 / excess[n - 1]
        k = 0.0
        for i in range(n):
            k += math.log1p(-b[j] * excess[i])
        k /= n
        likelihood[j] = n * (math.log(-b[j] / k) - k - 1.0)
    total = 0.0
    b_mean = 0.0
    for j in range(n_grid):
        s = 0.0
        for i in range(n_grid):
            s += math.exp(likelihood[i] - likelihood[j])
        weight = 1.0 / s
        if weight >= 10.0 * 2.220446049250313e-16:
            total += weight
            b_mean += weight * b[j]
    b_mean /= total
    k = 0.0
    for i in range(n):
        k += math.log1p(-b_mean * excess[i])
    k /= n
    return (n * k + 10.0 * 0.5) / (n + 10.0)
