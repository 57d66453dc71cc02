"""What an exposure is: schemas, drafts, blocks, metadata, flags, associations."""
