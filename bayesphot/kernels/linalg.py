"""Dense Cholesky algebra on small matrices; only lower triangles are read."""

import math

from .cache import borrowing


@borrowing
def factor_cholesky_into(matrix, n, factor):
    """Factor A = L L^T; return False where A is not positive definite to rounding."""
    for i in range(n):
        for j in range(i + 1):
            s = matrix[i, j]
            for k in range(j):
                s -= factor[i, k] * factor[j, k]
            if i == j:
                # A pivot lost to cancellation is noise: 1e-13 is about 500 rounding errors.
                if not s > 1e-13 * matrix[i, i]:
                    return False
                factor[i, i] = math.sqrt(s)
            else:
                factor[i, j] = s / factor[j, j]
    return True


@borrowing
def solve_lower_into(factor, n, b, x):
    """Solve L x = b."""
    for i in range(n):
        s = b[i]
        for k in range(i):
            s -= factor[i, k] * x[k]
        x[i] = s / factor[i, i]


@borrowing
def solve_upper_into(factor, n, b, x):
    """Solve L^T x = b; with b ~ N(0, 1) the result has covariance (L L^T)^-1."""
    for i in range(n - 1, -1, -1):
        s = b[i]
        for k in range(i + 1, n):
            s -= factor[k, i] * x[k]
        x[i] = s / factor[i, i]


@borrowing
def solve_cholesky_into(factor, n, b, x):
    """Solve L L^T x = b."""
    solve_lower_into(factor, n, b, x)
    solve_upper_into(factor, n, x, x)


@borrowing
def invert_cholesky_into(factor, n, inverse):
    """Fill the full symmetric inverse of L L^T."""
    for c in range(n):
        row = inverse[c]
        for i in range(n):
            row[i] = 0.0
        row[c] = 1.0
        solve_cholesky_into(factor, n, row, row)


@borrowing
def fill_moments(points, mean, covariance):
    """Fill mean (D) and covariance (lower triangle of (D, D)) of points (n, D)."""
    n, size = points.shape
    for i in range(size):
        s = 0.0
        for t in range(n):
            s += points[t, i]
        mean[i] = s / n
    for i in range(size):
        for j in range(i + 1):
            s = 0.0
            for t in range(n):
                s += (points[t, i] - mean[i]) * (points[t, j] - mean[j])
            covariance[i, j] = s / n


@borrowing
def log_determinant(factor, n):
    """Return log |L|, half the log determinant of L L^T; one logarithm for two pivots."""
    s = 0.0
    for i in range(0, n - 1, 2):
        s += math.log(factor[i, i] * factor[i + 1, i + 1])
    if n % 2 == 1:
        s += math.log(factor[n - 1, n - 1])
    return s
