"""What went wrong in a run, where, and what to do: the flags of a catalogue as text."""

from __future__ import annotations

import numpy as np

from bayesphot.flags import Flag

__all__ = ["describe_run"]

#: Rows named for each flag.
NAMED = 5
#: A posterior-predictive p-value below says that the model does not describe the group's pixels.
SMALL_PPP = 1e-3
#: What to do about each flag, the gravest first.
ADVICE = {
    Flag.INTERRUPTED: "the run was stopped before it sampled these: p_fit is all there is; run "
    "it again",
    Flag.NOT_SAMPLED: "the sampler found no state to start from: p_fit is all there is; give a "
    "better start or a wider prior",
    Flag.HIGH_R_HAT: "chains disagree, intervals cannot be trusted: look at plot_trace, are two "
    "of the sources one? then Sampler(draws=2000), Sampler(fallback=EmceeSampler())",
    Flag.LOW_ESS: "too few effective draws: Sampler(max_extend=256), or as for HIGH_R_HAT",
    Flag.HIGH_PARETO_K: "the proposal missed a part of the posterior, tails may be too short: as "
    "for HIGH_R_HAT",
    Flag.DEGENERATE: "the data do not determine the source: fix positions or sigma, or drop it",
    Flag.NOT_CONVERGED: "least squares hit their limit: p_fit is doubtful, the draws are judged "
    "by their own diagnostics",
    Flag.POOR_FIT: "model or noise is wrong here: an undetected star, a galaxy, saturation, the "
    "PSF? look at the residual",
    Flag.AT_BOUND: "the best place is at the edge of its prior: a better start, or "
    "priors={'position': Disc(r)}",
    Flag.FROZEN_NEIGHBOURS: "a large group was split, errors near the cut are too small: raise "
    "max_group_size or link at a smaller separation",
    Flag.OFF_PSF_GRID: "outside the places where the PSF is known: valid as far as the PSF of the "
    "edge is",
    Flag.COSMIC_RAY: "a pixel is sharper than the PSF: mask it (L.A.Cosmic finds them), or "
    "noise=StudentTNoise(3)",
    Flag.SATURATED: "the core is saturated and masked, the flux is that of the wings: as good as "
    "the PSF is there",
    Flag.TRUNCATED: "the box is cut by the border or bad pixels: valid, with larger errors",
    Flag.NO_POSITION: "not measured: the position given is not finite",
    Flag.OFF_IMAGE: "not measured: the position given is off the image",
    Flag.ALL_MASKED: "not measured: no good pixel in the box",
    Flag.TOO_FEW_PIXELS: "not measured: fewer good pixels than free parameters",
    Flag.DUPLICATE: "not measured: another row has exactly this position, use that one",
}


def describe_run(table) -> str:
    """Return what is wrong with a catalogue: which flag, how often, where, what to do.

    Parameters
    ----------
    table : QTable
        A result's catalogue.
    """
    flags = np.asarray(table["flags"], dtype=np.int64)
    n_flagged = int(np.count_nonzero(flags))
    lines = [f"{flags.size} sources, {n_flagged} with a flag" if n_flagged else _all_well(table)]
    for flag, advice in ADVICE.items():
        rows = np.flatnonzero(flags & int(flag))
        if rows.size:
            lines.append(f"{flag.name}: {rows.size} ({rows.size / flags.size:.1%}); {advice}")
            lines.append(f"    {_name_rows(table, rows)}")
    lines += _judge_fits(table)
    lines += _judge_noise(table)
    return "\n".join(lines)


def _all_well(table) -> str:
    """Return the line of a catalogue without flags."""
    text = f"{len(table)} sources, none with a flag"
    worst = np.asarray(table["r_hat"], dtype=float)
    if np.isfinite(worst).any():
        least = np.nanmin(np.asarray(table["ess_bulk"], dtype=float))
        text += f"; largest R-hat {np.nanmax(worst):.4f}, least bulk ESS {least:.0f}"
    return text


def _name_rows(table, rows: np.ndarray) -> str:
    """Return ids and places of the first rows."""
    parts = [
        f"id {table['id'][row]} at ({float(table['x_0'][row]):.1f}, {float(table['y_0'][row]):.1f})"
        for row in rows[:NAMED]
    ]
    more = f" and {rows.size - NAMED} more" if rows.size > NAMED else ""
    return ", ".join(parts) + more


def _judge_fits(table) -> list[str]:
    """Return lines on the groups that their model does not describe, if any."""
    p = np.asarray(table["ppp"], dtype=float)
    rows = np.flatnonzero(p < SMALL_PPP)
    if not rows.size:
        return []
    n_group = len(np.unique(np.asarray(table["group_id"])[np.isfinite(p)]))
    return [
        f"ppp below {SMALL_PPP:g}: {rows.size} ({rows.size / p.size:.1%}), where chance has "
        f"{SMALL_PPP * n_group:.2g} of {n_group} groups; the model does not describe these pixels: "
        "an undetected star, the PSF, the noise? look at the residual",
        f"    {_name_rows(table, rows)}",
    ]


def _judge_noise(table) -> list[str]:
    """Return a line where the typical reduced chi-squared is far from 1."""
    reduced = np.asarray(table["reduced_chi2"], dtype=float)
    reduced = reduced[np.isfinite(reduced)]
    if reduced.size == 0:
        return []
    typical = float(np.median(reduced))
    if 0.7 < typical < 1.4:
        return []
    side = "small" if typical > 1.0 else "large"
    return [
        f"median reduced chi-squared {typical:.3g}: the errors of the pixels look too {side} by a "
        f"factor of about {max(typical, 1.0 / typical) ** 0.5:.2f}, or the PSF is not the stars'"
    ]
