"""HTTP: the API, the page, the metrics."""
