"""PSFs of simulated images: python benchmarks/experiments/built_psfs_in_full.py"""

from __future__ import annotations

import time

import report_rows  # noqa: F401  (the path to the scenes)

FWHM = (1.0, 1.3, 1.8, 2.6, 3.5)
#: Log flux of the faintest star of a scene.
FAINTEST = (4.0, 3.0)


def main() -> int:
    """Print how far the PSF is off, what is quoted, how places follow the phase, the CPU time."""
    import built_psfs

    import bayesphot as bp

    print("| core | FWHM | SNR | off, % | quoted, % | phase x, y, px | error | CPU, s |")
    print("|---|---|---|---|---|---|---|---|")
    for faintest in FAINTEST:
        for kind in built_psfs.KINDS:
            for fwhm in FWHM if faintest == FAINTEST[0] else (1.3, 1.8):
                scene = built_psfs.simulate(kind, fwhm, faintest)
                began = time.process_time()
                build = bp.build_psf(scene[0], error=scene[1], degree=0)
                seconds = time.process_time() - began
                found = built_psfs.measure_build(kind, fwhm, build, scene)
                snr = "70 to 220" if faintest == FAINTEST[0] else "20 to 70"
                print(
                    f"| {kind} | {fwhm} | {snr} | {100 * found.off:.2f} | {100 * found.quoted:.2f} "
                    f"| {found.phase[0]:.4f}, {found.phase[1]:.4f} | {found.phase_error[0]:.4f} "
                    f"| {seconds:.1f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
