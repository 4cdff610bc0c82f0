"""Writes the dashboards: `python main.py DIRECTORY`."""

import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import decisions
import fleet
import host
import service

BOARDS = {"fleet": fleet, "host": host, "service": service, "decisions": decisions}


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, module in BOARDS.items():
        text = JSONEncoder(sort_keys=True, indent=2).encode(module.board().build())
        (directory / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
