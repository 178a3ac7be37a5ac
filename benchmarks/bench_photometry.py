"""Speed beside photutils, emcee and numpyro, all in one run: CPU and wall seconds.

    python benchmarks/bench_photometry.py [--repeat 3] [--skip-peers]

Fields of 500 x 500 pixels, FWHM 3, noise 5, boxes of 9 x 9: (a) 500 isolated stars, (b) 2000
stars at least 3 pixels apart, linked at 6 pixels. Rates are ratios within this run: machines are
shared and noisy. Every figure is the median over the repeats. numpyro is optional.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

import bayesphot as bp

FWHM = 3.0
SIGMA = FWHM / 2.354820045
SHAPE = (500, 500)
NOISE = 5.0
BOX = 9
LINK = 6.0


def measure(function: Callable, repeat: int) -> tuple[float, float, object]:
    """Return median CPU and wall seconds of a call, and its last result."""
    cpu, wall, result = [], [], None
    for _ in range(repeat):
        c, w = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    return float(np.median(cpu)), float(np.median(wall)), result


def make_field(name: str):
    """Return the simulated field of case (a) or (b)."""
    count, apart = {"a": (500, 18.0), "b": (2000, 3.0)}[name]
    return bp.simulate_scene(
        SHAPE,
        n_sources=count,
        sigma=SIGMA,
        flux_range=(1000.0, 10000.0),
        noise=NOISE,
        min_separation=apart,
        border=8,
        seed=20240101,
    )


def shift_starts(truth, seed: int):
    """Return start positions a fifth of a pixel off the truth."""
    from astropy.table import Table

    rng = np.random.default_rng(seed)
    start = Table()
    for name in ("x_0", "y_0"):
        start[name] = np.asarray(truth[name]) + rng.normal(0.0, 0.2, len(truth))
    return start


def configure(**options):
    """Return the photometry of both cases."""
    return bp.BasicPSFPhotometry(
        psf_model=bp.IntegratedGaussianPRF(sigma=SIGMA),
        fitshape=BOX,
        group_maker=bp.DAOGroup(LINK),
        bkg_estimator=bp.MMMBackground(),
        seed=1,
        max_group_size=None,
        **options,
    )


def time_photutils(scene, start) -> Callable:
    """Return a call of photutils' grouped PSF photometry."""
    from photutils.psf import CircularGaussianPRF, PSFPhotometry, SourceGrouper

    model = CircularGaussianPRF(fwhm=FWHM)
    grouper = SourceGrouper(LINK)

    def call():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            phot = PSFPhotometry(model, (BOX, BOX), grouper=grouper, aperture_radius=4)
            return phot(scene.image, error=scene.error, init_params=start)

    return call


def time_fit_stage(scene, start) -> Callable:
    """Return a call of the least-squares stage alone: cut all patches, fit all groups once."""
    from bayesphot.catalog import read_positions
    from bayesphot.execute import Workers
    from bayesphot.fitting import fit_groups
    from bayesphot.image import prepare_image
    from bayesphot.observer import Observer
    from bayesphot.patch import cut_batch
    from bayesphot.plan import LoopPlan
    from bayesphot.populate import measurable_rows, open_scene

    phot = configure(sampler=False)
    image = prepare_image(scene.image, scene.error)
    settings = phot._make_settings()
    plan = LoopPlan(
        settings, None, phot.group_maker, phot.bkg_estimator, None, 1, None, None, Workers()
    )
    pixels = Observer(image, plan).observe(np.zeros(SHAPE))
    catalog = read_positions(start, shape=SHAPE)
    opened = open_scene(catalog.select(measurable_rows(catalog)), pixels, plan)

    def call():
        data = cut_batch(
            pixels,
            opened.model,
            opened.sources,
            opened.grouped.member,
            opened.grouped.start,
            settings,
        )
        return fit_groups(data)

    return call


def report_field(name: str, repeat: int, peers: bool) -> None:
    """Print one field's times."""
    scene = make_field(name)
    start = shift_starts(scene.truth, 1)
    n = len(start)
    fit_cpu, fit_wall, _ = measure(time_fit_stage(scene, start), max(repeat, 30))
    least, least_wall, _ = measure(
        lambda: configure(sampler=False)(scene.image, error=scene.error, positions=start), repeat
    )
    full, full_wall, result = measure(
        lambda: configure()(scene.image, error=scene.error, positions=start), repeat
    )
    both, both_wall, _ = measure(
        lambda: configure(n_jobs=2)(scene.image, error=scene.error, positions=start), repeat
    )
    table = result.table
    sampling_flags = int(
        bp.Flag.HIGH_R_HAT | bp.Flag.LOW_ESS | bp.Flag.HIGH_PARETO_K | bp.Flag.NOT_SAMPLED
    )
    flagged = (table["flags"] & sampling_flags) > 0
    print(
        f"\n({name}) {n} stars in {len(np.unique(table['group_id']))} groups, "
        f"largest {max(table['group_size'])}"
    )
    print(
        f"  least-squares stage       cpu {fit_cpu:8.4f} s  wall {fit_wall:8.4f} s  "
        f"{n / fit_cpu:10.0f} stars/s (cpu)"
    )
    print(f"  whole call, sampler=False cpu {least:8.3f} s  wall {least_wall:8.3f} s")
    print(
        f"  whole call, 4x500 draws   cpu {full:8.3f} s  wall {full_wall:8.3f} s  "
        f"flagged by a gate {flagged.mean():.2%}"
    )
    print(f"  the same, n_jobs=2        cpu {both:8.3f} s  wall {both_wall:8.3f} s")
    print(
        f"  smallest ESS of unflagged rows: bulk {table['ess_bulk'][~flagged].min():.0f}, "
        f"tail {table['ess_tail'][~flagged].min():.0f}"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(f"  peak memory so far {peak:.0f} MB")
    if peers:
        cpu, wall, _ = measure(time_photutils(scene, start), 1 if name == "b" else repeat)
        print(
            f"  photutils least squares   cpu {cpu:8.3f} s  wall {wall:8.3f} s  "
            f"{n / cpu:10.0f} stars/s (cpu)"
        )
        print(
            f"  ratios (cpu): least-squares stage {cpu / fit_cpu:.0f}, whole call without "
            f"sampling {cpu / least:.0f}, full posteriors {cpu / full:.2f}; "
            f"(wall) full posteriors {wall / full_wall:.2f}, n_jobs=2 {wall / both_wall:.2f}"
        )


def report_samplers(repeat: int) -> None:
    """Print effective draws per CPU second of the compiled sampler, of emcee and of numpyro."""
    for count in (1, 2, 4):
        scene, settings = _prepare_copies(count)
        fast = _compiled_rate(scene, settings, repeat)
        slow = _emcee_rate(scene, settings, joint=True)
        collapsed = _emcee_rate(scene, settings, joint=False)
        print(
            f"  {count} stars: compiled {fast:9.0f}, emcee {slow:7.0f} (joint density, DE"
            f" moves), {collapsed:7.0f} (collapsed, stretch): ratios {fast / slow:.0f}, "
            f"{fast / collapsed:.0f}"
        )
        nuts = _numpyro_rates(scene, settings)
        if nuts is not None:
            print(
                f"           numpyro's NUTS {nuts[0]:7.0f} as called for a group (compiling, "
                f"adapting), {nuts[1]:7.0f} (sampling alone): ratios {fast / nuts[0]:.0f}, "
                f"{fast / nuts[1]:.0f}"
            )


def report_evaluations() -> None:
    """Print density evaluations per effective draw of the worst parameter, SNR 5 to 100.

    Extensions, pilots and starts are counted.
    """
    from bayesphot.kernels.batches import EVALUATIONS, THIN, WORST_BULK

    for count, apart in ((1, 0.0), (2, 1.0), (5, 1.5)):
        rng = np.random.default_rng(count)
        copies, columns, pitch = 400, 20, 48
        # Corners of a regular polygon whose side is the separation.
        turn = 2.0 * np.pi * (np.arange(count) / count + rng.random((copies, 1)))
        radius = 0.5 * apart * FWHM / np.sin(np.pi / count) if count > 1 else 0.0
        middle = pitch * (0.5 + np.array(np.divmod(np.arange(copies), columns)))
        middle = middle + rng.uniform(-0.5, 0.5, middle.shape)
        y, x = middle[:, :, None] + radius * np.array([np.sin(turn), np.cos(turn)])
        truth = _make_table(x.ravel(), y.ravel())
        unit = 2.0 * np.sqrt(np.pi) * SIGMA * NOISE
        truth["flux"] = unit * np.exp(rng.uniform(np.log(5.0), np.log(100.0), len(truth)))
        side = columns * pitch
        scene = bp.simulate_scene((side, side), sources=truth, sigma=SIGMA, noise=NOISE, seed=6)
        truth["group_id"] = np.repeat(np.arange(copies), count) + 1
        final, settings = _prepare_groups(scene, truth["x_0", "y_0", "group_id"])
        stats = _sample(final, settings).stats
        spent, effective = stats[:, EVALUATIONS], stats[:, WORST_BULK]
        print(
            f"  {count} at {apart:.1f} FWHM: {spent.sum() / effective.sum():.2f}; "
            f"{np.mean(stats[:, THIN] > 1):.1%} of groups sampled longer"
        )


def _make_table(x, y):
    """Return a table of places."""
    from astropy.table import Table

    return Table({"x_0": x, "y_0": y})


def _prepare_copies(count: int):
    """Return the final scene of a hundred groups of ``count`` equal stars, and the settings."""
    copies, pitch = 100, 40
    corner = [(10.0, 10.0), (13.0, 10.0), (10.0, 13.0), (13.0, 13.0)][:count]
    place = np.array(
        [(x + pitch * (i % 10), y + pitch * (i // 10)) for i in range(copies) for x, y in corner]
    )
    truth = _make_table(*place.T)
    truth["flux"] = 5000.0
    scene = bp.simulate_scene((400, 400), sources=truth, sigma=SIGMA, noise=NOISE, seed=5)
    return _prepare_groups(scene, shift_starts(truth, 2))


def _compiled_rate(scene, settings, repeat: int) -> float:
    """Return the compiled sampler's effective draws per CPU second, worst parameter."""
    from bayesphot.kernels.batches import WORST_BULK

    cpu, _, sampled = measure(lambda: _sample(scene, settings), repeat)
    return float(sampled.stats[:, WORST_BULK].sum() / cpu)


def _sample(scene, settings):
    """Sample all groups of a final scene."""
    from bayesphot.collect import Places
    from bayesphot.execute import Workers
    from bayesphot.sample import sample_scene

    n_star = len(scene.catalog)
    places = Places.find(scene.grouped, np.arange(n_star), n_star)
    return sample_scene(scene, settings, bp.Sampler().plan(0.15865), 1, Workers(), places=places)


def _numpyro_rates(scene, settings) -> np.ndarray | None:
    """Return effective draws per CPU second of NUTS on the first few groups, None without it.

    As a user's call runs, and of its sampling alone.
    """
    try:
        from peer_numpyro import measure_nuts
    except ImportError:
        return None
    costs = np.array([measure_nuts(_cut_group(scene, settings, g), SIGMA) for g in range(3)])
    total = costs.sum(axis=0)
    return total[0] / total[1:]


def _cut_group(scene, settings, g: int):
    """Return the pixels of one group."""
    from bayesphot.patch import cut_batch

    member, begin = scene.grouped.select(np.array([g]))
    return cut_batch(
        scene.pixels, scene.model, scene.sources, member, begin, settings, sampling=True
    )


def _prepare_groups(scene, start):
    """Return the final scene and settings of a run."""
    from bayesphot.catalog import read_positions
    from bayesphot.execute import Workers
    from bayesphot.image import prepare_image
    from bayesphot.loop import LoopPlan, run_loop

    phot = configure(sampler=False)
    settings = phot._make_settings()
    plan = LoopPlan(
        settings, None, phot.group_maker, phot.bkg_estimator, None, 1, None, None, Workers()
    )
    image = prepare_image(scene.image, scene.error)
    looped = run_loop(image, read_positions(start, shape=image.shape), plan)
    return looped.scene, settings


def _emcee_rate(scene, settings, *, joint: bool) -> float:
    """Return emcee's effective draws per CPU second on the first few groups."""
    import emcee

    from bayesphot.target import Target

    effective = cpu = 0.0
    for g in range(3):
        data = _cut_group(scene, settings, g)
        layout = settings.layout(data.batch.state.shape[0], sampling=True)
        target = Target(data, 0, layout)
        center = target.start()
        density, moves = target.log_density, None
        if joint:
            flux = data.batch.state[:, 2]
            center = np.concatenate([center, flux, scene.fit.shared[g]])
            density = target.log_joint
            moves = [(emcee.moves.DEMove(), 0.9), (emcee.moves.DEMove(gamma0=1.0), 0.1)]
        n_walker = max(32, 4 * center.size)
        rng = np.random.RandomState(g)
        spread = np.where(np.abs(center) > 500.0, 50.0, 0.02)
        walkers = center + spread * rng.standard_normal((n_walker, center.size))
        sampler = emcee.EnsembleSampler(n_walker, center.size, density, vectorize=True, moves=moves)
        steps = 2000
        state = emcee.State(walkers, random_state=rng.get_state())
        begin_cpu = time.process_time()
        sampler.run_mcmc(state, steps)
        cpu += time.process_time() - begin_cpu
        tau = emcee.autocorr.integrated_time(sampler.get_chain(discard=steps // 4), tol=0)
        effective += 0.75 * steps * n_walker / np.max(tau)
    return effective / cpu


def report_start() -> None:
    """Print compile time, later starts and import time, each in a fresh process."""
    import tempfile

    warm = (
        "import time; t=time.process_time(); import bayesphot as bp; bp.warmup(); "
        "print(time.process_time()-t)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for label in ("first ever run (warmup), cpu", "later start (warmup), cpu     "):
            out = subprocess.run(
                [sys.executable, "-c", warm],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            print(f"  {label} {float(out.stdout):6.1f} s")
    code = (
        "import time; import numpy, astropy; t=time.process_time(); import bayesphot; "
        "bayesphot.BasicPSFPhotometry; print(time.process_time()-t)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    bare = code.replace("bayesphot.BasicPSFPhotometry; ", "")
    short = subprocess.run([sys.executable, "-c", bare], check=True, capture_output=True, text=True)
    print(
        f"  import bayesphot beyond numpy and astropy, cpu {float(short.stdout):6.2f} s; with "
        f"the photometry classes {float(out.stdout):6.2f} s"
    )


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--skip-start", action="store_true")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )
    bp.warmup()
    for name in ("a", "b"):
        report_field(name, arguments.repeat, not arguments.skip_peers)
    print("\neffective draws per CPU second, worst parameter")
    report_samplers(arguments.repeat)
    print("\nevaluations per effective draw, worst parameter, SNR 5 to 100")
    report_evaluations()
    if not arguments.skip_start:
        print("\nstart")
        report_start()


if __name__ == "__main__":
    main()
