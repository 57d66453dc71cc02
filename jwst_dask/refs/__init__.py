"""Reference files: selection, loading, kinds."""
