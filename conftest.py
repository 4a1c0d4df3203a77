"""Makes `supervisor` the package before pytest names the tests' folder after itself: with importlib it gives each
test file a name made of its path, and a folder `supervisor/` on that path would otherwise stand in for the package."""

import supervisor  # noqa: F401 - imported to be there first
