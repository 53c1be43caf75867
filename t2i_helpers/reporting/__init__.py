"""Results as a reader sees them: figures with their provenance beside them."""
