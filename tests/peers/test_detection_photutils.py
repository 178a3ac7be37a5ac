"""The finders against photutils 3: same stars, same columns, same numbers.

Limits, separations and borders are always given, as their defaults differ. photutils 3.1
corrected some numbers of 3.0; ours are those of 3.1, and the differences from 3.0 are named in
`CORRECTED_IN_3_1`.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from astropy import units as u
from astropy.stats import SigmaClip
from peer_scenes import SCENES, make_stars
from scipy.ndimage import distance_transform_edt

from bayesphot.detection import DAOStarFinder, IRAFStarFinder, find_sources
from bayesphot.detection.frame import estimate_noise, read_frame
from bayesphot.detection.starkernel import build_star_kernel

photutils = pytest.importorskip("photutils", reason="photutils is the referee")
theirs = pytest.importorskip("photutils.detection", reason="photutils is the referee")
if int(photutils.__version__.split(".")[0]) < 3:
    pytest.skip("the referee is photutils 3", allow_module_level=True)

VERSION = tuple(int(part) for part in photutils.__version__.split(".")[:2])

# Sums over some ten pixels of 1 to 1e3 in another order: 1e-13. The rest is room for the
# cancellation in a fit; a wrong weight or footprint pixel changes the third digit.
TOLERANCE = 1e-9

#: Columns that photutils 3.0 computes otherwise than its own documentation or 3.1 say: the flux
#: over the kernel's rectangle instead of its footprint, SROUND over rectangles that a quarter
#: turn does not map onto themselves.
CORRECTED_IN_3_1 = {"dao": {"flux", "mag", "roundness1"}, "iraf": set()}

KERNELS = {
    "round": {"fwhm": 3.5},
    "small": {"fwhm": 2.0, "sigma_radius": 3.0},
    "along x": {"fwhm": 5.0, "ratio": 0.5, "theta": 0.0},
    "oblique": {"fwhm": 5.0, "ratio": 0.6, "theta": 30.0},
    "nearly along y": {"fwhm": 6.0, "ratio": 0.4, "theta": 100.0, "sigma_radius": 2.2},
}
WIDE = {"sharplo": -1e9, "sharphi": 1e9, "roundlo": -1e9, "roundhi": 1e9}


def run_dao(
    image,
    mask=None,
    *,
    threshold=8.0,
    min_separation=0,
    exclude_border=False,
    referee_sees=None,
    **given,
):
    """The tables of both packages' DAOFIND with the same settings."""
    kernel = {k: v for k, v in given.items() if k in ("fwhm", "ratio", "theta", "sigma_radius")}
    limits = {"sharplo": 0.2, "sharphi": 1.0, "roundlo": -1.0, "roundhi": 1.0}
    limits |= {name: given[name] for name in limits if name in given}
    common = {"min_separation": min_separation, "exclude_border": exclude_border}
    ours = DAOStarFinder(threshold, **kernel, **limits, **common, brightest=given.get("brightest"))
    referee = theirs.DAOStarFinder(
        threshold,
        **kernel,
        **common,
        sharpness_range=(limits["sharplo"], limits["sharphi"]),
        roundness_range=(limits["roundlo"], limits["roundhi"]),
        n_brightest=given.get("brightest"),
    )
    seen, hidden = referee_sees or (image, mask)
    return ours(image, mask), referee(seen, mask=hidden)


def run_iraf(
    image,
    mask=None,
    *,
    fwhm,
    minsep_fwhm=2.5,
    threshold=8.0,
    exclude_border=False,
    referee_sees=None,
):
    """The tables of both packages' starfind with the same settings."""
    ours = IRAFStarFinder(
        threshold,
        fwhm,
        minsep_fwhm=minsep_fwhm,
        sharplo=0.3,
        roundhi=0.5,
        exclude_border=exclude_border,
    )
    referee = theirs.IRAFStarFinder(
        threshold,
        fwhm,
        min_separation=max(2, int(fwhm * minsep_fwhm + 0.5)),
        sharpness_range=(0.3, 2.0),
        roundness_range=(0.0, 0.5),
        exclude_border=exclude_border,
    )
    seen, hidden = referee_sees or (image, mask)
    return ours(image, mask), referee(seen, mask=hidden)


def assert_same_tables(ours, referee, kind):
    """Same columns, units, rows and numbers, but for what 3.1 corrected."""
    assert ours.colnames == referee.colnames
    assert len(ours) == len(referee)
    for name in ours.colnames:
        if VERSION < (3, 1) and name in CORRECTED_IN_3_1[kind]:
            continue
        units = (table[name].unit or u.dimensionless_unscaled for table in (ours, referee))
        assert len(set(units)) == 1
        a, b = (np.asarray(getattr(table[name], "value", table[name])) for table in (ours, referee))
        if name == "orientation":
            # 3.0 gives 0 to 360, 3.1 -90 to 90 degrees; the axis is the same.
            a, b = (a - b + 90.0) % 180.0, np.full(a.shape, 90.0)
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def keep_rows_of_3_1(table, shape):
    """What 3.1 keeps of a table of 3.0: centred on the image, at least 5 pixels of starfind."""
    if VERSION >= (3, 1):
        return table
    x, y = np.asarray(table["x_centroid"]), np.asarray(table["y_centroid"])
    inside = (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)
    kept = table[inside & (np.asarray(table["n_pixels"]) >= 5)]
    kept["id"] = np.arange(1, len(kept) + 1)
    return kept


@pytest.mark.parametrize("exclude_border", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_dao_equals_photutils(kernel, exclude_border):
    settings = KERNELS[kernel] | {"exclude_border": exclude_border}
    if VERSION < (3, 1):
        # 3.0 applies the limits to its own roundness1; keep that from choosing the rows.
        settings |= {"roundlo": -1e9, "roundhi": 1e9}
    ours, referee = run_dao(make_stars(1, **KERNELS[kernel]), **settings)
    assert len(ours) > 10
    assert_same_tables(ours, keep_rows_of_3_1(referee, (120, 140)), "dao")


@pytest.mark.parametrize("offset", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_dao_equals_photutils_on_pure_noise(kernel, offset):
    # Hundreds of peaks that are no stars go through every branch of the centroid fit.
    noise = np.random.default_rng(5).normal(offset, 3.0, (150, 150))
    ours, referee = run_dao(noise, threshold=4.0, **KERNELS[kernel], **WIDE)
    referee = keep_rows_of_3_1(referee, noise.shape)
    assert len(ours) > 100
    assert_same_tables(ours, referee, "dao")


@pytest.mark.parametrize("min_separation", [3, 8])
def test_dao_separation_equals_photutils(min_separation):
    ours, referee = run_dao(make_stars(2), fwhm=3.5, min_separation=min_separation)
    assert_same_tables(ours, keep_rows_of_3_1(referee, (120, 140)), "dao")


def test_dao_brightest_equals_photutils():
    if VERSION < (3, 1):
        pytest.skip("photutils 3.0 orders by the flux of the kernel's rectangle")
    ours, referee = run_dao(make_stars(2), fwhm=3.5, brightest=10)
    assert len(ours) == 10
    assert_same_tables(ours, referee, "dao")


@pytest.mark.parametrize("exclude_border", [False, True])
@pytest.mark.parametrize("sky", [0.0, 50.0])
@pytest.mark.parametrize(("fwhm", "minsep_fwhm"), [(3.5, 2.5), (5.0, 1.0), (2.0, 1.3)])
def test_iraf_equals_photutils(fwhm, minsep_fwhm, sky, exclude_border):
    image = make_stars(3, fwhm=max(fwhm, 3.0)) + sky
    ours, referee = run_iraf(
        image, fwhm=fwhm, minsep_fwhm=minsep_fwhm, exclude_border=exclude_border
    )
    assert len(ours) > 20
    assert_same_tables(ours, keep_rows_of_3_1(referee, image.shape), "iraf")


def make_masked_scene():
    """A scene and its mask: a block, a column, single pixels and the peaks of three stars.

    The scene is zero under the mask, as it is for ours whatever there is; photutils sums the
    values under its mask.
    """
    image = make_stars(4)
    peaks = run_dao(image, fwhm=3.5)[0]["x_centroid", "y_centroid"][[5, 20, 40]]
    mask = np.zeros(image.shape, dtype=bool)
    mask[30:60, 40:75] = mask[:, 100] = True
    mask.flat[np.random.default_rng(6).integers(0, mask.size, 40)] = True
    for x, y in peaks.iterrows():
        mask[round(float(y)), round(float(x))] = True
    image[mask] = 0.0
    return image, mask


def test_dao_with_a_mask_equals_photutils():
    image, mask = make_masked_scene()
    ours, referee = run_dao(image, mask, fwhm=3.5)
    referee = keep_rows_of_3_1(referee, image.shape)
    if VERSION < (3, 1):
        # There a masked pixel suppresses the peaks around it: it finds some of our stars.
        keys = {round(float(x), 6) for x in ours["x_centroid"]}
        assert {round(float(x), 6) for x in referee["x_centroid"]} <= keys
        assert len(referee) > 0.8 * len(ours)
    else:
        assert_same_tables(ours, referee, "dao")


def test_iraf_with_a_mask_equals_photutils():
    if VERSION < (3, 1):
        pytest.skip("in photutils 3.0 masked pixels suppress the peaks around them")
    image, mask = make_masked_scene()
    ours, referee = run_iraf(image, mask, fwhm=3.5)
    assert len(ours) > 15
    assert_same_tables(ours, referee, "iraf")


@pytest.mark.parametrize("run", [run_dao, run_iraf])
def test_quantity_data_equal_photutils(run):
    image = make_stars(4) * u.electron
    ours, referee = run(image, fwhm=3.5, threshold=8.0 * u.electron)
    assert_same_tables(ours, keep_rows_of_3_1(referee, image.shape), run.__name__[4:])


@pytest.mark.parametrize("run", [run_dao, run_iraf])
def test_nothing_found_is_none_as_in_photutils(run):
    from photutils.utils.exceptions import NoDetectionsWarning

    with pytest.warns(NoDetectionsWarning):
        ours, referee = run(np.zeros((30, 30)), fwhm=3.5)
    assert ours is None
    assert referee is None


def test_estimated_noise_is_that_of_the_clipped_mad():
    from photutils.background import MADStdBackgroundRMS

    image = make_stars(8)
    clip = SigmaClip(sigma=3.0, maxiters=10)
    expected = MADStdBackgroundRMS(sigma_clip=clip)(image)
    assert estimate_noise(read_frame(image)) == pytest.approx(expected, rel=1e-12)


# --- photutils' finders in our place ------------------------------------------------------


@pytest.mark.parametrize("name", ["DAOStarFinder", "IRAFStarFinder"])
def test_photutils_finders_plug_in(name):
    image, mask = make_masked_scene()
    finder = getattr(theirs, name)(8.0, 3.5)
    table, found = finder(image, mask=mask), find_sources(finder, image, mask=mask)
    np.testing.assert_array_equal(found.x, table["x_centroid"])
    np.testing.assert_array_equal(found.flux, table["flux"])
    np.testing.assert_array_equal(found.sharpness, table["sharpness"])


def test_warning_of_photutils_that_nothing_was_found_is_not_passed_on():
    assert len(find_sources(theirs.DAOStarFinder(8.0, 3.5), np.zeros((30, 30)))) == 0


# --- twenty scenes ------------------------------------------------------------------------


def keep_rows_far_from(bad, table, reach):
    """The rows of a table that no bad pixel can have changed.

    A bad pixel suppresses no peak here and in photutils 3.1, in 3.0 those within reach. A peak
    lies within that of its centroid.
    """
    if table is None or not bad.any():
        return table
    x, y = (np.round(np.asarray(table[name])).astype(int) for name in ("x_centroid", "y_centroid"))
    near = distance_transform_edt(~bad)[y.clip(0, bad.shape[0] - 1), x.clip(0, bad.shape[1] - 1)]
    kept = table[near > 2.0 * reach + 1.0]
    kept["id"] = np.arange(1, len(kept) + 1)
    return kept


def assert_same_on_scene(name, run, kind, *, reach, **settings):
    """What both packages find on a scene is the same.

    Two things are ours on purpose and not compared: bad pixels count as zero, that is sky, and
    images of any type are measured in double precision. So photutils, which sums what lies under
    its mask, spreads NaN, and convolves single precision in single, is given zeros and doubles.
    """
    scene = SCENES[name]
    common = {"threshold": scene.threshold, "referee_sees": (scene.plain, scene.bad)}
    ours, referee = run(scene.image, scene.mask, **common, **settings)
    if VERSION < (3, 1) and referee is not None:
        ours, referee = (keep_rows_far_from(scene.bad, table, reach) for table in (ours, referee))
        referee = keep_rows_of_3_1(referee, scene.image.shape)
    if name == "uniform":
        assert ours is None
        assert referee is None
        return
    # So many must be left of those that the limits let pass for the comparison to mean something.
    assert len(ours) >= (2 if name == "two stars" else 5)
    assert_same_tables(ours, referee, kind)


def expect_nothing_found(name):
    """Photutils warns where nothing is found, ours does not."""
    from photutils.utils.exceptions import NoDetectionsWarning

    return pytest.warns(NoDetectionsWarning) if name == "uniform" else nullcontext()


@pytest.mark.parametrize("name", SCENES)
def test_dao_equals_photutils_on_scenes(name):
    kernel = SCENES[name].kernel
    reach = max(build_star_kernel(**kernel).half_size)
    limits = {"sharplo": 0.2, "sharphi": 1.0}
    if VERSION < (3, 1):
        limits |= {"roundlo": -1e9, "roundhi": 1e9}
    with expect_nothing_found(name):
        assert_same_on_scene(name, run_dao, "dao", reach=reach, **kernel, **limits)


@pytest.mark.parametrize("name", SCENES)
def test_iraf_equals_photutils_on_scenes(name):
    # starfind's kernel is round.
    fwhm = SCENES[name].kernel["fwhm"]
    reach = max(2, int(fwhm + 0.5))
    with expect_nothing_found(name):
        assert_same_on_scene(name, run_iraf, "iraf", reach=reach, fwhm=fwhm, minsep_fwhm=1.0)
