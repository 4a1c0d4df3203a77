"""Recorded metrics played against a policy on a fake clock: for `supervisor simulate` and the page's preview."""
