"""A folder that an option names is none that pytest should keep its cache in."""

import pytest


@pytest.fixture
def data(tmp_path):
    """The user's data, in another project than the one that pytest is started in."""
    (tmp_path / "other" / "data").mkdir(parents=True)
    (tmp_path / "other" / "pytest.ini").write_text("[pytest]\n")
    return tmp_path / "other" / "data"


def test_a_root_that_stands_apart_from_its_option_is_told_with_what_to_write(study, data):
    done = study("--collect-only", "--assets", str(data))
    assert f"medrival: pytest took {data.parent} for its root and keeps its cache there; write --assets={data}\n" in done.output


@pytest.mark.parametrize("arguments", [("--assets={}",), ("--assets", "{}", "--rootdir", "{}"), ()])
def test_of_a_root_that_the_user_chose_nothing_is_said(study, data, arguments):
    done = study("--collect-only", *(argument.format(data) for argument in arguments))
    assert done.status == 0
    assert "for its root" not in done.output
