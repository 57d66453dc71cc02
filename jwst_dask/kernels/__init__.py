"""Calibration maths: plain functions of numpy arrays (numba where a loop is hot), one algorithm per file."""
