"""What to do about a refusal whose own words say only what is wrong.

Each line is (how the words go, what to do); the first that fits counts. The command line prints
it below the message, docs/refusals.md beside it.
"""

import re

PATH = "check the path: it starts from the folder of the file or notebook that names it"
CODE = "correct the call; the function's help (`help(...)`) tells what it takes"
CELL = "correct this cell; nothing else of the table is wrong before it"
AGAIN = "run `make report` again: it makes anew what is damaged or missing"
WHOLE = "copy or download the file again, and compare its size with the original's"
LABELS = "see docs/own-data.md for the columns and words that are read"
STUDY = "see docs/reader-study.md for the columns and formats that are read"
DESIGN = "correct DESIGN of 07_reading_session; docs/reader-study.md lists what it takes"
NETWORK = "see docs/your-network.md for what a network has to offer, and test it as shown there"
MRMC = "see docs/statistics.md for which design each analysis needs"
RELOAD = "reload the page; every stored answer is kept"
RESTORE = "bring back the folder that the reading was set up in, whole, from your copy"

ADVICE: tuple[tuple[str, str], ...] = (
    # files and folders
    ("No such configuration file|No such folder|No such file|Folder of slices not found", PATH),
    ("The (JSON|zip)|Download failed|The server refuses|Zip cannot", "check the connection and the"
     " room on the disk, then start the download again: it goes on where it stopped"),
    ("(List of zips|Not a URL)", "copy the list of links from the download page again, one a line"),
    ("Zip refused", "download it again from the official page; if it is refused again, do not use"
     " it: it is not what the page offers"),
    ("Folder cannot be opened|File cannot be read|.*cannot be read: Permission", "give your user"
     " the right to read it, or copy the data to a folder of your own"),
    ("Too many folders", "give a folder further down as DATA, or take the links away"),
    ("The folder is empty", PATH),
    ("The folder's path is not UTF-8", "rename the folder named, and those above it"),
    # tables
    ("Not valid YAML", "look at the line named: indent with blanks, one blank after each colon,"
     " quotes around text that holds # or :"),
    (".*holds bytes that are no text|.*is not readable text|Text is not UTF-8", "save the table"
     " as “CSV UTF-8” in the program it comes from"),
    (".*row is cut short or damaged", "look for a quotation mark that is opened and not closed"),
    (".*needs column", "name one column so in the first row, and no other"),
    (".*is empty", "give a table with a header and at least one row"),
    ("Column missing|Not a table of tidy", f"add the column, or rename yours; {STUDY}"),
    ("Bad value|Unknown value|Not a number|Neither yes nor no|.*table breaks its schema", CELL),
    ("Unknown (truth|answer|quantity|check)|(Name|Rating) missing|An answer is missing", CELL),
    ("Duplicate reading|Second truth|Two (truths|clusters)|A cell is typed twice|One lesion marked"
     " twice", "keep the"
     " row that holds and take the other away; for readings, ask the reader"),
    ("Whole number too large|One number spelt in two ways", "write the column as text, every"
     " number in one way"),
    ("Case without a truth$", "add the case to the table of truth"),
    ("Case without a truth row", "add a row truth,<case>,truth,<0 or 1> for the case named"),
    ("No readings with a score|File of readings not found|Sheet missing|Weights do not sum|No case"
     " with a lesion|Workbook", STUDY),
    ("File is not valid JSON|Table cannot be read|Pixels|.*not found; |Table not found", AGAIN),
    ("The phantom", AGAIN),
    ("Folder holds data that is no phantom", "choose another `data:` folder or cohort name"),
    # images
    ("PNG|Image (is|not|has)|Not a readable image|Slice (not|cannot)|Mask cannot|.*cannot be"
     " decoded|Map cannot be read|Maps cannot be read", WHOLE),
    ("DICOM image is not one|No labelled image found|No (image|volume) can be read",
     "docs/own-data.md says which images are read; name the files meant in labels.csv, or allow"
     " SKIP_UNREADABLE"),
    ("PET in several units", "name the files of one unit in labels.csv"),
    ("… is (no readable workbook|too large)", "save the sheet as “CSV UTF-8” in the program it"
     " comes from"),
    ("The new folder lies inside", "choose a new folder beside the old one"),
    ("The server sent another image|…: the server|The archive did not", "look at the server's own"
     " log, then start the same command again: what is done is kept"),
    ("… is a finished folder, and the key", "nothing else helps: without the key two codes could"
     " mean one patient"),
    ("No DICOM file to send", "give the folder that notebook 04 wrote, reports/dicom/<study>"),
    ("Slices of one series differ", "leave that series out of the reading, or set STACK: 0"),
    ("CLASSES|PATIENT_PATTERN|Table of labels not found|Two tables of labels|Unknown label"
     " rule", LABELS),
    ("DL_info.csv|3-D annotation", "take the file from the official release again, unchanged"),
    # networks and maps
    ("Nothing is trained", "nothing to mend; TRAIN: train, or fine-tune, trains it here"),
    ("The adapter takes|The output has no such part", NETWORK),
    ("WEIGHTS|TRAIN |STD |CLASS |Weights|The network|A network|The exported program|Not an"
     " exported|Several classes|the network|A map has values|Class outside|Unknown"
     " architecture", NETWORK),
    ("METHODS|Importing it fails|No such function|.*needs the network|.*does not apply to this"
     " network|Unknown heat-map", NETWORK),
    ("A file of the network is gone|A predicted slice|No trained network", AGAIN),
    ("This run was refused|No run of this cohort|Unknown run|.*the cohort has no slice", "the"
     " cohort is too small or too one-sided for this run; the other runs stand"),
    ("Images must be|The layer took|batch_size|Maps and masks|A slice and a map|No such window|Not"
     " one entry|Labels and predictions", CODE),
    # statistics
    ("Nothing varies|Readers nested|readers and cases|Nested readers|A nested design|No such pair|"
     "One modality|The difference has no|A curve needs|No reader has two|Fewer than two|A modality"
     " under|This covariance|This metric|A proportion needs|Blocks must|Which modality|A reader has"
     " the network|The network scored|A table of readings", MRMC),
    ("Raters judged|Two answers|No case to compare|A count below|Not one group|Rows without a"
     " patient|The unit of analysis|Unknown", CODE),
    (".*is (a whole number of|no number|one of)|.*must be a (finite )?number", CODE),
    # the reading session
    ("A reader has begun|Readings exist|The analysis was declared", "use another COHORT for another"
     " design; FORCE_CHANGE: true for another margin or contrast"),
    ("These readings are of another cohort|These answers belong|This log holds readings of"
     " real", RESTORE),
    ("Sealed envelope|The key to|Envelope cannot|The sealed (answer|protocol)|This reading has no"
     " sealed", RESTORE),
    ("Marks are accepted within|readers were not asked for marks", DESIGN),
    ("A mark |A mark's|Every mark|Mark the one|Marks are|This study asks for no marks|The stack"
     " has|These slices are not|This case has no answer", RELOAD),
    ("A reading needs|The share|The prevalence|The margin|Cases (of|cannot)|Impossible|An arm|Arms|"
     "A stage|Stages|Two stages|One arm|An answer once|a name in small", DESIGN),
    ("No test slice to read|The reading could not|This reading is not set up|No reading is"
     " set up", "run `make report` to its end; the message of 07_reading_session says more"),
    ("The analysis needs this question|The score needs", "add the question to QUESTIONS of"
     " 07_reading_session, or take the option away"),
    ("The log holds several|Names that would be", "say which is meant, or export a .csv"),
    ("Please enter|That name|This study was set up|This reader is not", "enter the name under which"
     " you were enrolled; the study's owner has the list of codes"),
    ("No link was made|This reader has a link already|The study has no place for them", "see who"
     " has a link: `camreader links list`; `renew` replaces a link, `revoke` frees a place"),
    ("The study is closed", "read on in a study of its own (another COHORT)"),
    ("A display check|Each step of a display|Size and ratio of a screen|The steps"
     " of a display", RELOAD),
    ("This page|The study was set up again|This answer does not|This event id|The network's answer"
     " stays|A page may|Only a stored|The log knows|The answer|The history|Each entry|A pause|A"
     " comment|The profile|This question has", RELOAD),
    # the report
    (".*protocol$", "the cohort is too small or too one-sided for it; the other results stand"),
    (".* not found|.*cannot be read", PATH),
    ("Notebook cannot", AGAIN),
    ("A notebook was started", "start it in notebooks/"),
    ("Check|This is recorded|The test set is|Row 16", "correct data/published/, which the message"
     " names; tests/published tells what fits"),
)  # fmt: skip
_RULES = [(re.compile(how), todo) for how, todo in ADVICE]


def of(words: str) -> str:
    """What to do about a refusal with these words; empty where they say it themselves."""
    return next((todo for how, todo in _RULES if how.match(words)), "")
