"""What a change in the source folder repeats, in a checkout whose names hold spaces."""

import os

import yaml
from slices_fixture import slice_hu, write_png
from study_run import QUICK, copy_checkout, run


def test_an_image_replaced_repeats_the_study_and_names_may_hold_spaces(tmp_path):
    checkout, source = tmp_path / "my check out", tmp_path / "my slices"
    checkout.mkdir()
    copy_checkout(checkout)
    (checkout / "config.yaml").write_text(yaml.safe_dump(QUICK))
    for index in range(16):
        kind = "tumor" if index % 2 else "no tumor"
        write_png(source / kind / f"{index}.png", slice_hu(index))
    targets = ["data/runs/my slices/paper-first-seed0/trained"]
    status, words = run(checkout, "--data", str(source), "--", *targets)
    assert status == 0, words[-3000:]
    status, words = run(checkout, "--data", str(source), "--", "-n", *targets)
    assert status == 0 and "Nothing to be done" in words
    image = source / "tumor" / "1.png"
    before = image.stat()
    write_png(image, slice_hu(1) + 1)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))  # older than the cohort
    status, words = run(checkout, "--data", str(source), "--", "-n", *targets)
    assert status == 0 and "rule ingest:" in words and "rule training:" in words
