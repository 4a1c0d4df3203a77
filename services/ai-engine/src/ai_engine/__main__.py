"""python -m ai_engine: run the service; python -m ai_engine graph-rebuild: fill the graph again from Postgres."""

import argparse
import asyncio

from ai_engine.graph.rebuild import rebuild_command
from ai_engine.main import main
from ai_engine.settings import load_settings
from common.logging import configure_logging


def run() -> None:
    parser = argparse.ArgumentParser(prog="python -m ai_engine", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "graph-rebuild"], default="serve")
    if parser.parse_args().command == "serve":
        main()
        return
    settings = load_settings()
    configure_logging(settings)
    asyncio.run(rebuild_command(settings))


if __name__ == "__main__":
    run()
