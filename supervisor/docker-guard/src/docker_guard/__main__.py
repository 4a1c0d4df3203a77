"""`python -m docker_guard` guards; `python -m docker_guard check` says whether the guard in this container works."""

from __future__ import annotations

import os
import sys

from docker_guard.settings import BadSettings, read_settings


def main(arguments: list[str]) -> int:
    try:
        settings = read_settings(os.environ)
    except BadSettings as error:
        print(f"docker-guard: {error}", file=sys.stderr)
        return 2
    if arguments == ["check"]:
        from docker_guard.check import problem  # each command loads only what it needs

        if found := problem(settings):
            print(f"docker-guard: {found}", file=sys.stderr)
        return 1 if found else 0
    if arguments:
        print("usage: python -m docker_guard [check]", file=sys.stderr)
        return 2
    import asyncio

    from docker_guard.serve import run

    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
