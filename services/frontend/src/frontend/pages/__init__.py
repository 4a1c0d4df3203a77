"""The pages and their fragments: home, conversions, live progress, errors."""
