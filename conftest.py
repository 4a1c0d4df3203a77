"""Makes `supervisor` the package before pytest names the tests' folder after itself: with importlib it gives each
test file a name made of its path, and a folder `supervisor/` on that path would otherwise stand in for the package."""

import structlog
from hypothesis import HealthCheck, settings

import supervisor  # noqa: F401 - imported to be there first

# Where a test does not choose how to log, an error is a traceback as Python writes it: the library's own choice, with
# colours, frames and every variable, takes seconds of a core each.
_as_python_writes_it = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _as_python_writes_it])

# An example that takes long is a busy machine, not a finding; what must be quick has a test that measures it.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")
