"""On what screens the study was read: the display checks in a reading log."""

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.reader_study.study import log_of
from camreader.reader_study.tables import NO_LOG, refused
from camreader.session import display
from camreader.session.tidy import events_of


def displays_table(path: str, study: Study) -> pd.DataFrame:
    """`session.display.display_table` of the readings that `study.load` reads; refused where the
    readings are no log."""
    log = log_of(path, study)
    if log is None:
        return refused(NO_LOG)
    try:
        return display.display_table(events_of(*log, None))
    except DataError as error:
        return refused(str(error))


def finding(table: pd.DataFrame) -> list[str]:
    """One sentence about the screens; none where the readings are no log, or nobody's."""
    nobody = "note" not in table or (table["note"] == display.INVENTED).all()
    return [] if nobody else [display.finding(table)]
