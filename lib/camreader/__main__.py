"""The command line: `camreader report`, `camreader read`, `camreader download`, ...

Each command is a module with two functions: `add_arguments(parser)` and `run(options)`, which
returns an exit status or None. A module is imported when its command is asked for, so that
`camreader read` loads no torch. Tested in tests/test_command_line.py.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from camreader import __version__
from camreader.common import advice
from camreader.common.errors import StudyError

COMMANDS = {  # name: (module, what it does)
    "new": ("report.new_study", "lay out a study in a new folder, ready for `report`"),
    "report": ("report.workflow", "run the whole study and write reports/index.html"),
    "read": (
        "session.server",
        "serve the reading session, to one radiologist or to a reading room",
    ),
    "links": ("session.links", "readers' secret links of a reading room: make, list, revoke"),
    "readings": ("session.tidy", "export readings, show progress, replay simulated answers"),
    "download": ("cohorts.download", "fetch parts of DeepLesion"),
    "paper": ("report.paper", "write the last report as a paper: PDF and Word"),
    "fetch": ("cohorts.fetch", "fetch images from a DICOMweb archive, without identity"),
    "deidentify": ("cohorts.deidentify", "copy a folder of DICOM without identity"),
    "send": ("cohorts.send", "send DICOM results to a DICOMweb archive"),
    "train": ("training.train", "train one run of the study (a step of `report`)"),
    "maps": ("heatmaps.maps", "make the maps of one method (a step of `report`)"),
    "claims": ("published.claims", "complete the claims ledger (a step of `report`)"),
    "page": ("report.page", "write reports/index.html (the last step of `report`)"),
}


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands; only the chosen one knows its arguments."""
    top = argparse.ArgumentParser(
        prog="camreader", description="Does a heat-map help a radiologist? An open workbook."
    )
    top.add_argument("--version", action="version", version=f"camreader {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:])
        if name == chosen:
            importlib.import_module(f"camreader.{module}").add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Bad input ends in words and status 1, never in a traceback."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    options = parser(chosen).parse_args(arguments)
    module = importlib.import_module(f"camreader.{COMMANDS[options.command][0]}")
    try:
        return module.run(options) or 0
    except StudyError as error:
        print(error, file=sys.stderr)
        if todo := advice.of(str(error)):
            print(f"What to do: {todo}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
