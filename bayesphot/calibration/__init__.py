"""Are the uncertainties true? Simulation-based calibration of the user's own set-up."""

from bayesphot.calibration.result import CalibrationResult
from bayesphot.calibration.run import calibrate

__all__ = ["CalibrationResult", "calibrate"]
