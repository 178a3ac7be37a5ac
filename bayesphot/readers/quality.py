"""Planes of quality bits: which bits make a pixel bad."""

from __future__ import annotations

import numpy as np

from bayesphot.readers.header import ReadError

__all__ = ["check_bits", "describe_bits", "mask_bits"]

#: Forms that bits are given in, for messages.
_FORMS = "a sum of bits (12), a list of bits ([4, 8]) or a text of them ('4,8', '~4,8')"


def check_bits(name: str, bits) -> int | None:
    """
    Return bits as one integer, None for None.

    Parameters
    ----------
    name : str
        The argument, for messages.
    bits : int, str, list of int or None
        As for `mask_bits`.

    Raises
    ------
    TypeError, ValueError
        If they are no bits; the message names the argument and what was found.
    """
    from astropy.nddata.bitmask import interpret_bit_flags

    if isinstance(bits, (bool, float)):
        raise TypeError(f"{name} must be {_FORMS}, found {bits!r}")
    if isinstance(bits, str) and bits.strip().lower() in ("", "none"):
        raise ValueError(f"{name} must be {_FORMS}, found {bits!r}")
    try:
        chosen = interpret_bit_flags(bits)
    except TypeError:
        raise TypeError(f"{name} must be {_FORMS}, found {bits!r}") from None
    except (ValueError, KeyError) as problem:
        raise ValueError(f"{name} must be {_FORMS}, found {bits!r}: {problem}") from None
    if chosen is not None and not -(2**63) <= chosen < 2**63:
        raise ValueError(f"{name} must be below 2**63, found {bits!r}")
    return chosen


def mask_bits(dq, dq_bits=None, *, dq_ignore=0) -> np.ndarray:
    """
    Return the mask that a plane of quality bits means: True where a pixel is bad.

    Parameters
    ----------
    dq : array_like of int or bool
        Quality bits of each pixel, any shape.
    dq_bits : int, str or list of int, optional
        Bits that make a pixel bad: their sum (12), a list ([4, 8]) or a text ("4,8"; "~4,8": all
        but these). None: any bit does.
    dq_ignore : int, str, list of int or None
        Or the bits to ignore, in the same forms, as ``ignore_flags`` of
        `~astropy.nddata.bitfield_to_boolean_mask`: 0 ignores none, None all of them.

    Returns
    -------
    ndarray of bool
        Shape of `dq`.

    Raises
    ------
    TypeError
        If `dq` holds no integers, or bits are given in another form.
    ValueError
        If bits are no powers of 2, or both `dq_bits` and `dq_ignore` are given.

    Examples
    --------
    >>> import bayesphot as bp
    >>> bp.mask_bits([[0, 1, 4, 5]])
    array([[False,  True,  True,  True]])
    >>> bp.mask_bits([[0, 1, 4, 5]], dq_ignore="4")
    array([[False,  True, False,  True]])
    >>> bp.mask_bits([[0, 1, 4, 5]], 4)
    array([[False, False,  True,  True]])
    """
    dq = np.asarray(dq)
    if dq.dtype.kind not in "iub":
        raise TypeError(f"dq must hold integers whose bits say what is wrong, found {dq.dtype}")
    ignored = check_bits("dq_ignore", dq_ignore)
    if dq_bits is not None and ignored != 0:
        raise ValueError(
            f"dq_bits and dq_ignore both choose bits: give one, found {dq_bits!r} and {dq_ignore!r}"
        )
    if ignored is None:
        return np.zeros(dq.shape, dtype=bool)
    chosen = ~ignored if dq_bits is None else check_bits("dq_bits", dq_bits)
    # Unsigned integers keep their bits when they become signed ones.
    return (dq.astype(np.int64) & np.int64(chosen or 0)) != 0


def describe_bits(dq: np.ndarray, bad: np.ndarray, n_most: int = 3) -> str:
    """Return which bits the bad pixels carry most often: "16 (4.0 %), 4 (0.2 %)"."""
    found = dq[bad].astype(np.int64)
    share = {}
    for k in range(8 * dq.dtype.itemsize if dq.dtype.kind in "iu" else 1):
        count = np.count_nonzero(found & (np.int64(1) << np.int64(k)))
        if count:
            share[1 << k] = count / dq.size
    most = sorted(share, key=lambda bit: (-share[bit], bit))[:n_most]
    return ", ".join(f"{bit} ({describe_share(share[bit])})" for bit in most)


def describe_share(share: float) -> str:
    """Return a share as a percentage of two digits: "4 %", "100 %"."""
    return f"{100.0 * share:.2g} %" if share < 0.995 else "100 %"


def read_quality(plane: np.ndarray, name: str, dq_bits, dq_ignore) -> np.ndarray:
    """Return the mask of a plane of a file; ReadError where it holds no bits."""
    try:
        return mask_bits(plane, dq_bits, dq_ignore=dq_ignore)
    except TypeError as problem:
        raise ReadError(f"{name}: {problem}") from None
