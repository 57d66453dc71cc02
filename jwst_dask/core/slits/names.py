"""Names that the parts of this package share."""

CUT = "extract_2d"
MASTER = "master_background_mos"
MASTER_PRODUCTS = ("masterbg1d", "bkgx1d")
"""Side products of the exposure."""
