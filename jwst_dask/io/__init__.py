"""Reading and writing FITS, ASDF and ECSV."""
