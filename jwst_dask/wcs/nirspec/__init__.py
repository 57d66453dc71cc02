"""World coordinate systems built from reference files."""
