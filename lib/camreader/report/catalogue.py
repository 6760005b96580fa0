"""The list of notebooks: what each asks, shows, reads, trains and needs of a machine.

The Snakefile makes one rule of each entry and the report one section, so that another notebook is
the notebook and one `Part`.
"""

from dataclasses import dataclass, field

from camreader.training import experiments

# What a notebook may read, besides the executed notebooks it names.
SOURCE, COHORT, PREDICTIONS, MAPS, READINGS = "source", "cohort", "predictions", "maps", "readings"
CHALLENGE = "challenge"  # what the page needs for its five slices
KINDS = (SOURCE, COHORT, PREDICTIONS, MAPS, READINGS, CHALLENGE)


@dataclass(frozen=True)
class Part:
    """One notebook: its question, what it shows, what it reads, and what it costs."""

    title: str
    question: str
    figures: dict[str, str] = field(default_factory=dict)  # file name: caption
    tables: dict[str, str] = field(default_factory=dict)  # file name: caption
    reads: tuple[str, ...] = (COHORT,)  # kinds of KINDS, and notebooks that must have run
    writes: tuple[str, ...] = ()  # COHORT, PREDICTIONS or CHALLENGE
    trains: tuple[str, ...] = ()  # runs it asks for, where it has no parameter RUNS
    threads: int = 1
    memory_mb: int = 2000  # for the packages ...
    memory_cohorts: int = 0  # ... and so many times the cohort's pixels
    minutes: int = 30  # on a cluster, at most; a retry gets as many again
    seconds: int = 15  # on two cores and the default study: how much of the run it is


PARTS = {
    "01_ingest": Part(
        "The cohort",
        "Which slices, with which labels, and which may be trained on or tested?",
        {
            "figure3_examples": "Figure 3. Examples of labelled CT slices with their lesion boxes.",
            "01_counts": "Slices by region and label.",
            "01_label_rules": "What each rule for “no tumor” slices yields, and the share of them "
            "that hides a lesion, with 95 % interval.",
            "01_realism": "The phantom in three windows, beside real slices where at hand.",
            "01_phantom_lesions": "Lesions of the phantom, beside real ones where at hand.",
            "01_phantom_statistics": "Noise, contrast and size of the phantom beside those of CT.",
        },
        {
            "01_counts": "Slices by region and label.",
            "01_left_out": "What of the folder is not used, by reason.",
            "01_split": "Slices and patients in each part of each split.",
            "01_label_rules": "Slices each label rule yields and the share that hides a lesion.",
            "01_siblings": "Test slices with a sibling of the same patient in training.",
            "01_copies": "Test slices with a copy or near copy in training.",
        },
        reads=(SOURCE,),
        writes=(COHORT,),
        threads=2,
        memory_mb=4000,
        minutes=60,
        seconds=60,
    ),
    "02_train": Part(
        "Training",
        "Does the paper's generic network learn the task, and when does each protocol stop?",
        {
            "figure1_components": "Figure 1. The parts of a convolutional network.",
            "figure4_network": "Figure 4. The generic CNN, drawn from the trained module.",
            "02_curves": "Loss and accuracy of every run, by epoch.",
        },
        {
            "02_runs": "Every training run: data, epochs, stopping rule and error rates.",
            "02_learned": "Did each network learn: how far is it above the constant answer?",
            "02_layers": "The network's layers with output shapes and parameter counts.",
            "02_history": "Loss and accuracy by run and epoch.",
        },
        writes=(PREDICTIONS,),
        trains=experiments.MAIN,
        memory_cohorts=4,
        seconds=10,
    ),
    "03_evaluate": Part(
        "Evaluation",
        "How often is the network right, in which slices is it wrong, and can we trust the number?",
        {
            "figure5_outputs": "Figure 5. Outputs of the first run: answer (Yes/No), label (1/0).",
            "03_confusion": "Confusion matrices of the two protocols.",
            "03_roc": "ROC and precision-recall curves of the two protocols.",
            "03_calibration": "Are the probabilities right? Predicted against observed.",
            "03_by_contrast": "Detection by a lesion's conspicuity, contrast and size, with 95 % "
            "interval.",
            "03_by_region": "Accuracy by region, with 95 % interval.",
            "03_errors": "Every misclassified test slice.",
            "03_leakage": "Accuracy by kind of split and by label rule, with 95 % interval.",
            "03_classes": "Which class is taken for which, where a network has several.",
        },
        {
            "table2": "Table 2. Error rates of first, second and final run, published and here.",
            "03_metrics": "Both protocols side by side, with n and 95 % interval.",
            "03_by_group": "Errors by region, lesion size, contrast, conspicuity and cysts.",
            "03_leakage": "The split and label experiment.",
            "03_classes": "A network of several classes: each against the rest, and all together.",
        },
        reads=(COHORT, PREDICTIONS),
        trains=experiments.LEAKAGE,
        memory_mb=3000,
        memory_cohorts=4,
        minutes=60,
        seconds=25,
    ),
    "04_gradcam": Part(
        "Heat-maps",
        "What did the network look at, does the map point at the lesion, and is it faithful?",
        {
            "figure2_gradcam_steps": "Figure 2. The steps of Grad-CAM on one slice.",
            "figure6_overlays": "Figure 6. Overlays with the actual and the predicted class.",
            "04_errors_sheet": "Every false positive and false negative with its map.",
            "04_localisation": "Does the map point at the lesion? Share of slices with the "
            "maximum on it, by method, beside two baselines, with 95 % interval.",
            "04_faithfulness": "Is the map faithful? Deletion, insertion and randomised weights.",
            "04_dicom": "An overlay for the reading room, read back from its DICOM file.",
        },
        {
            "04_localisation": "Localisation by method, with n and 95 % interval.",
            "04_faithfulness": "Faithfulness by method, against Grad-CAM, and with random weights.",
            "04_shortcut": "Heat outside the body, and accuracy when what lies there is blanked.",
            "04_maps": "The maps: layer, explained class, blank maps.",
            "04_dicom": "Overlays as DICOM Secondary Capture; maps as DICOM, NIfTI and PNG.",
        },
        reads=(COHORT, PREDICTIONS, MAPS),
        writes=(CHALLENGE,),
        memory_mb=6000,
        memory_cohorts=2,
        minutes=120,
        seconds=70,
    ),
    "05_reader_results": Part(
        "The published readings",
        "What do the paper's 16 readings show, and which of its claims can be recomputed?",
        {
            "05_table3": "Table 3 as a picture; what is inferred or missing is hatched.",
            "05_agreement": "Agreement of reader, network and label, with 95 % intervals.",
            "05_claims": "The claims of the paper by section and verdict.",
            "05_granularity": "Which counts can round to the printed percentages?",
        },
        {
            "table1": "Table 1. The papers that compared heat-map methods.",
            "table3": "Table 3. Label, network and radiologist for 16 slices.",
            "05_counts": "Agreement counts.",
            "05_agreement": "Agreement statistics with intervals and flags.",
            "05_helpfulness": "Is “helpful” only “agrees with me”?",
            "claims_published": "The claims of the paper and what its own data say.",
        },
        reads=(),
        minutes=20,
    ),
    "06_region_subexperiment": Part(
        "Lung and liver",
        "Is the network better in one region, and could so small a sample tell?",
        {
            "figure7_lung": "Figure 7. Outputs for lung slices.",
            "figure8_liver": "Figure 8. Outputs for liver slices.",
            "06_comparison": "Accuracy in lung and liver, with 95 % interval; diamonds: published.",
        },
        {
            "06_regions": "Accuracy by region with n and 95 % interval, beside the published one.",
            "06_comparison": "Lung minus liver: interval, test, the sample that would tell.",
        },
        trains=experiments.REGIONS,
        memory_cohorts=4,
    ),
    "07_reading_session": Part(
        "The reading session",
        "How is a reading run so that its answers can be trusted, and none is lost?",
        {"07_design": "The design of the reading: cases, readers and order."},
        {"07_cases": "The cases of the reading, without their truth."},
        reads=(COHORT, PREDICTIONS),
        minutes=20,
        seconds=20,
    ),
    "08_reader_study": Part(
        "The reader study",
        "Does the heat-map help readers, and how large a study would tell?",
        {
            "08_auc_dots": "Each reader's AUC at every stage.",
            "08_roc": "ROC by modality.",
            "08_flow": "How diagnoses moved when help came.",
            "08_benefit_harm": "Benefit and harm where the network was right and where wrong.",
            "08_stepwise": "AUC, sensitivity and specificity stage by stage: answer, then map.",
            "08_map_hit": "Benefit and harm where the map lay on the lesion and where not.",
            "08_break_even": "Net benefit by the network's error rate and the prevalence.",
            "08_time": "Time per case, learning and fatigue.",
            "08_margin": "The difference in AUC against the margin.",
            "08_planning": "Cases and readers until a difference of 5, 10 or 15 points shows.",
        },
        {
            "08_source": "Where the readings come from.",
            "08_displays": "On what screens: each reader's display check.",
            "08_readers": "AUC, sensitivity and specificity by reader and modality.",
            "08_or": "Obuchowski-Rockette analysis.",
            "08_benefit_harm": "Benefit and harm.",
            "08_stepwise": "What each stage changes: AUC, sensitivity and specificity.",
            "08_map_hit": "Benefit and harm by network and by whether the map hit the lesion.",
            "08_reliance": "Switches, appropriate reliance and weight of advice.",
            "08_viewing": "Use of the opacity and threshold sliders beside benefit.",
            "08_break_even": "Expected net benefit by error rate and prevalence.",
            "08_marks": "Marks by reader and modality: lesions found, marks beside them.",
            "08_localisation": "The primary contrast in wAFROC or LROC.",
            "08_subgroups": "The primary contrast by the readers' profile.",
            "08_helpfulness": "Is “helpful” more than “it agrees with me”?",
            "08_time": "Time per case: unaided, aided, learning and fatigue.",
            "08_margin": "Non-inferiority and equivalence in AUC.",
            "08_gee": "Sensitivity and specificity by generalised estimating equations.",
            "08_time_model": "What the heat-map costs in time: a mixed model.",
            "08_confidence": "Share of right answers by stated confidence.",
            "08_net_benefit": "Net benefit of acting on the answers.",
            "08_agreement": "Agreement of the readers, and of the network with them.",
            "08_network": "The network alone against the readers.",
            "08_planning": "Cases and readers needed.",
            "08_sizing": "Cases by design and number of readers, in words to quote.",
            "08_checklist": "STARD-AI, CLAIM, DECIDE-AI and reader-study guidance, item by item.",
        },
        reads=(PREDICTIONS, READINGS, "07_reading_session"),  # 07 leaves a rehearsal to analyse
        minutes=60,
    ),
    "09_your_network": Part(
        "Your own network",
        "How does a network of another kind go from a file to figures and tables?",
        {
            "09_network": "One slice on its way through the network of the example.",
            "09_overlays": "Its heat-maps over test slices.",
            "09_localisation": "Where its maps point, by method, beside two baselines.",
        },
        {
            "09_networks": "The example and the study's network on their test slices.",
            "09_localisation": "Localisation of the example's maps, with n and 95 % interval.",
        },
        reads=(COHORT, PREDICTIONS),
        memory_mb=3000,
        memory_cohorts=4,
        minutes=60,
        seconds=35,
    ),
}
CLAIMS = "Every claim of the paper, recomputed, beside what this run measured."


def rule_name(notebook: str) -> str:
    """The name of a notebook's rule, for Snakemake and on a cluster: "01_ingest" -> "ingest"."""
    return notebook.partition("_")[2]
