"""Where one study keeps its tables, runs, readings and results."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.storage import read_json, write_json, write_shared_csv


@dataclass(frozen=True)
class Study:
    """Where one study keeps its tables, runs and results.

    `data` and `reports` are the project's two output folders, `cohort` the study's name. The
    defaults are right for a notebook opened from its own folder.
    """

    data: str = "../data"
    cohort: str = "phantom"
    reports: str = "../reports"
    simulated_readings: bool = False  # what is saved is computed from readings nobody made

    def __post_init__(self) -> None:
        """DataError for a notebook that was started elsewhere than in its folder.

        Its paths start from there, so that it would write beside the project.
        """
        home = Path("notebooks", "01_ingest.ipynb")
        outside = all(Path(place).parts[:1] == ("..",) for place in (self.data, self.reports))
        if outside and home.exists():
            raise DataError(
                "A notebook was started in the project's folder, but its paths start from its own",
                file=Path.cwd(),
                found=self.data,
                expected=f"notebooks/ as the folder it runs in (papermill: --cwd notebooks), or"
                f" DATA = {str(Path(*Path(self.data).parts[1:]))!r} and REPORTS alike",
            )

    @property
    def cohort_folder(self) -> Path:
        return Path(self.data) / "cohorts" / self.cohort

    @property
    def cohort_table(self) -> Path:
        return self.cohort_folder / "cohort.parquet"

    @property
    def pixels(self) -> Path:
        return self.cohort_folder / "pixels.npy"

    @property
    def card(self) -> dict[str, Any]:
        """What the cohort is, as a dict: name, title, synthetic, source, label rule, ..."""
        card = read_json(self.cohort_folder / "cohort.json")
        if "source" in card:
            card["source"] = str((self.cohort_folder / card["source"]).resolve())
        return card

    def save_card(self, card: dict[str, Any]) -> None:
        """Write the card; slices kept inside the study are named from there, so it can be moved."""
        inside, source = self.cohort_folder.resolve(), Path(card["source"]).resolve()
        if source.is_relative_to(inside):
            card = card | {"source": str(source.relative_to(inside))}
        write_json(card, self.cohort_folder / "cohort.json")

    @property
    def runs(self) -> Path:
        return Path(self.data) / "runs" / self.cohort

    @property
    def readings(self) -> Path:
        return Path(self.data) / "readings" / self.cohort

    @property
    def figures(self) -> Path:
        return Path(self.reports) / "figures"

    @property
    def challenge(self) -> Path:
        """Five slices for the report's page (heatmaps.challenge)."""
        return Path(self.reports) / "challenge.json"

    @property
    def tables(self) -> Path:
        return Path(self.reports) / "tables"

    def save_table(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a result table to reports/tables/<name>.csv and return it for display.

        Tables of simulated readings say so in a column of the file.
        """
        word = {"simulated_readings": True} if self.simulated_readings else {}
        write_shared_csv(frame.assign(**word), self.tables / f"{name}.csv")
        return frame

    def of_readings(self, simulated: bool) -> "Study":
        """The same study, whose tables say whether the readings behind them are simulated."""
        return replace(self, simulated_readings=simulated)

    def save_findings(self, notebook: str, sentences: Iterable[str]) -> list[str]:
        """Write a notebook's findings to reports/tables/<notebook>_findings.json; return them."""
        sentences = list(sentences)
        written = {"notebook": notebook, "sentences": sentences}
        write_json(written, self.tables / f"{notebook}_findings.json")
        return sentences

    def findings(self, notebook: str) -> list[str]:
        """What `save_findings` wrote; DataError where the notebook has not been run."""
        return read_json(self.tables / f"{notebook}_findings.json")["sentences"]
