"""Upload, progress, result and deletion of conversions."""
