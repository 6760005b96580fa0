"""A sample of the campaign in tests/bench/bench_mutations.py, from the same seed."""

from bench_mutations import campaign


def test_broken_files_are_read_or_refused_in_words():
    found = campaign(files=60, batch=60)
    assert found["broken"] == [] and found["within_limit"]
    assert sum(found["outcomes"].values()) == 60 and found["outcomes"]["refused"] > 15
